//! What stands behind the names of the world: a web server with one page.

use std::{fs, net::Ipv4Addr, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Result, ensure};

use crate::{netns::Ns, proc::Owned, wait::wait_for_blocking};

/// From start to the first answer, on a busy machine.
const START: Duration = Duration::from_secs(30);

/// A running web server on port 80. Ends when dropped.
#[derive(Debug)]
pub struct WebServer {
    process: Owned,
    folder: PathBuf,
}

impl WebServer {
    /// Starts it on the machine, which has this address. Its one page says `words` in large letters.
    pub fn start(ns: &Ns, address: Ipv4Addr, words: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("classroom-web-{}", ns.name()));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("index.html"), format!("<!doctype html><title>{words}</title><h1>{words}</h1>"))?;
        let process = Owned::spawn("ip", |command| {
            command.args(["netns", "exec", ns.name(), "python3", "-m", "http.server", "80", "--directory"]);
            command.arg(&folder).stdout(Stdio::null()).stderr(Stdio::null());
        })?;
        let server = Self { process, folder };
        let page = format!("http://{address}/");
        wait_for_blocking("the web server", START, || {
            let done = ns.command("curl").args(["-s", "-m", "2", "-o", "/dev/null", &page]).status()?;
            ensure!(done.success(), "{done}");
            anyhow::Ok(())
        })?;
        Ok(server)
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.process.terminate(Duration::from_secs(3));
        let _ = fs::remove_dir_all(&self.folder);
    }
}
