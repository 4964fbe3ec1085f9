//! The world beyond the school, on one machine: a name server that knows every name, a page behind each of them, the
//! county's learning record store, and a publisher's videos.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, ensure};
use harness::{
    lrs::Lrs,
    netns::{Ns, Tasks, cable},
    origin::{Origin, Thing},
    outside::logged,
    proc::Owned,
    resolver::NameServer,
    school::School,
    video,
    wait::wait_for_blocking,
    web::WebServer,
};

/// Where it is, and the internet's address towards it.
pub(crate) const AT: Ipv4Addr = Ipv4Addr::new(100, 64, 9, 2);
const TOWARDS: Ipv4Addr = Ipv4Addr::new(100, 64, 9, 1);
/// Name and path of the video.
pub(crate) const VIDEO: (&str, &str) = ("光合作用", "/%E5%85%89%E5%90%88%E4%BD%9C%E7%94%A8.mp4");
const STARTS: Duration = Duration::from_secs(60);

/// The world. The order of the fields is the order in which it is taken down.
pub(crate) struct World {
    /// The county's store.
    pub(crate) lrs: Lrs,
    /// The publisher.
    pub(crate) origin: Origin,
    _tasks: Tasks,
    _doors: Owned,
    _pages: WebServer,
    _names: NameServer,
    folder: PathBuf,
    _ns: Ns,
}

impl World {
    pub(crate) fn new(internet: &Ns) -> Result<Self> {
        let ns = Ns::new("world")?;
        cable(internet, "world", TOWARDS, &ns, "eth0", AT)?;
        ns.ip(&format!("route add default via {TOWARDS}"))?;
        let folder = std::env::temp_dir().join(format!("classroom-world-{}", ns.name()));
        fs::create_dir_all(&folder)?;
        // Answers are good for a second: what the box tells with a dead line is stale.
        let names = NameServer::start(&ns, AT, AT, 1)?;
        let pages = WebServer::start(&ns, AT, "THE WORLD")?;
        let tasks = ns.tasks()?;
        let origin = tasks.run(Origin::start())?;
        video::mp4(&folder.join("lesson.mp4"))?;
        let body = fs::read(folder.join("lesson.mp4"))?.into();
        let video = Thing { body, etag: "\"v\"".into(), kind: "video/mp4".into(), ..Thing::default() };
        origin.put(VIDEO.1, video);
        let lrs = ns.block_on(|| async { Lrs::start_on(Some(&ns), &folder.join("lrs")).await })??;
        let doors = doors(&ns, &folder, lrs.port, origin.port)?;
        wait_for_blocking("the world", STARTS, || {
            for port in [80, 8085] {
                let mut curl = internet.command("curl");
                curl.args(["-s", "-m", "2", "-o", "/dev/null", &format!("http://{AT}:{port}/")]);
                let done = curl.status()?;
                ensure!(done.success(), "port {port}: {done}");
            }
            anyhow::Ok(())
        })?;
        Ok(Self { lrs, origin, _tasks: tasks, _doors: doors, _pages: pages, _names: names, folder, _ns: ns })
    }

    /// What the box has to be told of it, and the file with the certificate to trust.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The video's address.
    pub(crate) fn video() -> String {
        format!("http://{AT}:8085{}", VIDEO.1)
    }

    /// Bytes of the video.
    pub(crate) fn video_bytes(&self) -> Result<Vec<u8>> {
        Ok(fs::read(self.folder.join("lesson.mp4"))?)
    }
}

/// Store and publisher serve on the machine's loopback; here they are seen from outside, the store by HTTPS.
fn doors(ns: &Ns, folder: &Path, lrs: u16, origin: u16) -> Result<Owned> {
    let county = School::new(AT)?;
    let (certificate, key) = county.certificate();
    fs::write(folder.join("ca.pem"), &county.ca_pem)?;
    fs::write(folder.join("county.pem"), format!("{certificate}{key}"))?;
    let pem = folder.join("county.pem");
    let config = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
         listen records\n bind {AT}:8444 ssl crt {}\n server lrs 127.0.0.1:{lrs}\n\
         listen content\n bind {AT}:8085\n server origin 127.0.0.1:{origin}\n",
        pem.display()
    );
    fs::write(folder.join("doors.cfg"), config)?;
    let file = folder.join("doors.cfg").display().to_string();
    logged(ns, folder, "doors.log", "haproxy", &["-db", "-f", &file])
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
