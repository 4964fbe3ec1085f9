//! The way between a school and a home (R-LIVE-1): a translator at each end, the internet with the gateway between them.
//!
//! The gateway runs HAProxy, coturn and sshd from the very files of `image/gateway`, the box its tunnel by the very command
//! of `systemd/classroom-tunnel.service`.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    home::{Student, write_voice},
    hub::Hub,
    netns::{Lan, Ns, cable},
    proc::{Owned, descendants},
    resolver::{AsksAt, NameServer},
    school::School,
};

/// The gateway's public address.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// The name at which homes reach the room. Not `.test`: the home's name server answers for that one by itself that there
/// is none.
pub const ROOM_NAME: &str = "room.example";
const RELAY_NAME: &str = "turn.example";
const SECRET: &str = "a-secret-of-the-test-only";
/// The translators' addresses and those of the internet towards them.
const SCHOOL_OUT: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(198, 51, 100, 2)];
/// The second is the home's address in the world.
pub const HOME_OUT: [Ipv4Addr; 2] = [Ipv4Addr::new(203, 0, 113, 1), Ipv4Addr::new(203, 0, 113, 2)];
const HOME: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 168, 1, 1), Ipv4Addr::new(192, 168, 1, 2)];
/// The school's translator on the school's network: where machines of a [`Lan`] send what is not theirs.
const ROUTER: u8 = 253;

/// Everything outside of the school's network. The order of the fields is the order in which it is taken down.
#[derive(Debug)]
pub struct Outside {
    gateway: Vec<Owned>,
    _names: NameServer,
    _asks: AsksAt,
    folder: PathBuf,
    relay: School,
    /// The student's machine at home.
    pub home: Ns,
    /// The home's translator.
    pub home_router: Ns,
    /// What lies between, with the gateway.
    pub internet: Ns,
    router: Ns,
}

/// A program on a machine of the test with its words in a file of `folder`.
pub fn logged(ns: &Ns, folder: &Path, log: &str, program: impl AsRef<Path>, args: &[&str]) -> Result<Owned> {
    let log = fs::File::create(folder.join(log))?;
    let errors = log.try_clone()?;
    Owned::spawn("ip", |ip| {
        ip.args(["netns", "exec", ns.name()]).arg(program.as_ref()).args(args).current_dir(folder);
        ip.stdout(log).stderr(errors);
    })
}

/// A file of the repository with words replaced that must be in it.
fn recipe(path: &str, words: &[(&str, &str)]) -> Result<String> {
    let text = fs::read_to_string(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path))
        .with_context(|| path.to_owned())?;
    for (word, _) in words {
        ensure!(text.contains(word), "{path} no longer has {word}");
    }
    Ok(words.iter().fold(text, |text, (word, value)| text.replace(word, value)))
}

impl Outside {
    /// Joins the school's network with a gateway and a home.
    pub fn new(lan: &Lan) -> Result<Self> {
        let router = lan.machine("router", ROUTER)?;
        let (internet, home_router, home) = (Ns::new("internet")?, Ns::new("homenat")?, Ns::new("home")?);
        router.ip("route del default")?;
        router.ip("address add 10.77.0.254/24 dev eth0")?;
        cable(&internet, "school", SCHOOL_OUT[0], &router, "wan", SCHOOL_OUT[1])?;
        cable(&internet, "homes", HOME_OUT[0], &home_router, "wan", HOME_OUT[1])?;
        cable(&home_router, "lan", HOME[0], &home, "eth0", HOME[1])?;
        internet.ip(&format!("address add {GATEWAY}/32 dev lo"))?;
        router.ip(&format!("route add default via {}", SCHOOL_OUT[0]))?;
        home_router.ip(&format!("route add default via {}", HOME_OUT[0]))?;
        home.ip(&format!("route add default via {}", HOME[0]))?;
        router.translate("wan")?;
        home_router.translate("wan")?;
        // The internet passes on what the gateway does not take.
        let status = internet.command("sysctl").args(["-q", "-w", "net.ipv4.ip_forward=1"]).status()?;
        ensure!(status.success(), "sysctl");
        let folder = std::env::temp_dir().join(format!("classroom-outside-{}", internet.name()));
        fs::create_dir_all(&folder)?;
        let relay = School::new(GATEWAY)?;
        // The home's router is its name server. A browser looks the relay up as `turn.example.`, with a dot, which rules of
        // its command line for the name without one do not cover; a question that nobody answers keeps the relay away for
        // longer than the page waits for it.
        let names = NameServer::start(&home_router, HOME[0], GATEWAY, 60)?;
        let asks = AsksAt::new(&home, HOME[0])?;
        let (gateway, _names, _asks) = (Vec::new(), names, asks);
        let mut outside = Self { gateway, _names, _asks, folder, relay, home, home_router, internet, router };
        outside.write_files()?;
        outside.start_gateway()?;
        Ok(outside)
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn write_files(&self) -> Result<()> {
        let write = |name: &str, text: &str| fs::write(self.folder.join(name), text).context(name.to_owned());
        let (certificate, key) = self.relay.certificate();
        write("relay.pem", certificate)?;
        write("relay.key", key)?;
        write("turn.secret", &format!("{SECRET}\n"))?;
        let names = [("RELAY-NAME", RELAY_NAME), ("ROOM-NAME", ROOM_NAME)];
        write("haproxy.cfg", &recipe("image/gateway/haproxy.cfg", &names)?)?;
        let (at, pem, key) = (GATEWAY.to_string(), self.file("relay.pem"), self.file("relay.key"));
        let words = [
            ("PUBLIC-ADDRESS", at.as_str()),
            ("CERTIFICATE-FILE", pem.as_str()),
            ("KEY-FILE", key.as_str()),
            ("static-auth-secret=SECRET", &format!("static-auth-secret={SECRET}")),
            ("RELAY-NAME", RELAY_NAME),
        ];
        write("turnserver.conf", &recipe("image/gateway/turnserver.conf", &words)?)?;
        for key in ["key", "hostkey"] {
            let mut made = Command::new("ssh-keygen");
            made.args(["-q", "-t", "ed25519", "-N", "", "-f", &self.file(key)]);
            ensure!(made.status()?.success(), "ssh-keygen");
        }
        let public = |name: &str| fs::read_to_string(self.folder.join(format!("{name}.pub")));
        let port = "restrict,port-forwarding,permitlisten=\"127.0.0.1:20501\"";
        write("authorized_keys", &format!("{port} {}", public("key")?))?;
        write("known_hosts", &format!("{GATEWAY} {}", public("hostkey")?))?;
        let as_test = recipe("image/gateway/sshd_tunnel.conf", &[("Match User tunnel", "Match User root")])?;
        write(
            "sshd.conf",
            &format!(
                "ListenAddress {GATEWAY}:22\nHostKey {}\nAuthorizedKeysFile {}\nPermitRootLogin prohibit-password\n\
                 StrictModes no\nUsePAM no\nPidFile {}\n{as_test}",
                self.file("hostkey"),
                self.file("authorized_keys"),
                self.file("sshd.pid")
            ),
        )?;
        let words = [("GATEWAY-NAME", at.as_str()), ("User tunnel", "User root")];
        write("config", &recipe("image/gateway/box/tunnel.config", &words)?)
    }

    fn start_gateway(&mut self) -> Result<()> {
        fs::create_dir_all("/run/sshd")?;
        let run = |log: &str, program: &str, args: &[&str]| logged(&self.internet, &self.folder, log, program, args);
        let turn = [self.file("turnserver.conf"), self.file("turn.pid"), self.file("turn.db")];
        self.gateway = vec![
            run("sshd.log", "/usr/sbin/sshd", &["-D", "-e", "-f", &self.file("sshd.conf")])?,
            run("haproxy.log", "haproxy", &["-db", "-f", &self.file("haproxy.cfg")])?,
            run("turnserver.log", "turnserver", &["-c", &turn[0], "--pidfile", &turn[1], "--userdb", &turn[2]])?,
        ];
        Ok(())
    }

    /// `[home]` of the box's `box.toml`.
    pub fn box_config(&self) -> String {
        format!(
            "[home]\nlisten = [\"127.0.0.1:8444\"]\nurl = \"https://{ROOM_NAME}\"\nstun = \"{GATEWAY}:3478\"\n\
             secret_file = \"{}\"\n\
             relays = [\"turn:{GATEWAY}:3478?transport=udp\", \"turns:{RELAY_NAME}:443?transport=tcp\"]\n",
            self.file("turn.secret")
        )
    }

    /// Starts the box's side of the tunnel, kept by its unit's own command and pause as systemd keeps it.
    pub fn tunnel(&self, hub_ns: &Ns) -> Result<Tunnel> {
        let unit = recipe("systemd/classroom-tunnel.service", &[])?;
        let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).context(key.to_owned());
        let folder = self.folder.display().to_string();
        let command =
            value("ExecStart=")?.replace("${CREDENTIALS_DIRECTORY}", &folder).replace("/etc/classroom/tunnel", &folder);
        ensure!(value("Restart=")? == "always", "the unit no longer restarts its tunnel");
        let script = format!("while :; do {command}; sleep {}; done", value("RestartSec=")?);
        Ok(Tunnel { keeper: logged(hub_ns, &self.folder, "tunnel.log", "sh", &["-c", &script])? })
    }

    /// A student's browser at home, at the personal link. It trusts the test's two keys by their hashes, for the pages and
    /// for `turns:` (it refuses a relay whose key it does not know); a real one trusts real certificates.
    pub async fn student(&self, hub: &Hub, link: &str, size: (u32, u32)) -> Result<Student> {
        let voice = self.folder.join("voice.wav");
        write_voice(&voice)?;
        let hub_pem = fs::read_to_string(hub.home().join("hub.pem"))?;
        let hashes = [self.relay.certificate().0, hub_pem.as_str()].map(|pem| self.key_hash(pem));
        let hashes = hashes.into_iter().collect::<Result<Vec<_>>>()?;
        let args = vec![format!("--ignore-certificate-errors-spki-list={}", hashes.join(","))];
        Student::open(link, &voice, Some(self.home.name()), size, args).await
    }

    /// The hash of a certificate's public key as browsers write it.
    fn key_hash(&self, pem: &str) -> Result<String> {
        let file = self.folder.join("one.pem");
        fs::write(&file, pem)?;
        let script = format!(
            "openssl x509 -in {} -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64",
            file.display()
        );
        let done = Command::new("sh").args(["-c", &script]).output()?;
        Ok(String::from_utf8(done.stdout)?.trim().to_owned())
    }

    /// Whether the room's page answers a home through the gateway.
    pub fn reaches_the_room(&self) -> Result<()> {
        let code = self.asks("/home", None)?;
        ensure!(code == "200", "through the gateway: {code}");
        Ok(())
    }

    /// The status of the answer that a home gets through the gateway, with a body of JSON by POST.
    pub fn asks(&self, path: &str, body: Option<&str>) -> Result<String> {
        let mut curl = self.home.command("curl");
        curl.args(["-sk", "-m", "2", "-o", "/dev/null", "-w", "%{http_code}", "--resolve"]);
        curl.arg(format!("{ROOM_NAME}:443:{GATEWAY}")).arg(format!("https://{ROOM_NAME}{path}"));
        if let Some(body) = body {
            curl.args(["-H", "content-type: application/json", "-d", body]);
        }
        Ok(String::from_utf8_lossy(&curl.output()?.stdout).into_owned())
    }

    /// From now on the home's line lets out TCP to port 443 and nothing else. Its router's name server answers still.
    pub fn only_port_443(&self) -> Result<()> {
        self.home_router.nft(
            "table inet thin {\n chain out {\n type filter hook forward priority 0\n iifname \"lan\" tcp dport != 443 drop\n \
             iifname \"lan\" meta l4proto != tcp drop\n }\n}",
        )
    }

    /// Cuts the school's line to the outside as a digger does, or mends it.
    pub fn cut(&self, cut: bool) -> Result<()> {
        self.router.ip(if cut { "link set wan down" } else { "link set wan up" })?;
        if !cut {
            // A card that was down has forgotten its way.
            self.router.ip(&format!("route replace default via {}", SCHOOL_OUT[0]))?;
        }
        Ok(())
    }

    /// The last lines of everything that runs out here, and of what the test has logged beside it.
    pub fn logs(&self) -> String {
        let mut all = String::new();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|kind| kind == "log") {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let last = lines[lines.len().saturating_sub(15)..].join("\n");
                all.push_str(&format!("{}:\n{last}\n", entry.file_name().display()));
            }
        }
        all
    }

    /// Its folder, for further files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        for process in &mut self.gateway {
            process.terminate(std::time::Duration::from_secs(3));
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The box's side of the tunnel. Ends when dropped.
#[derive(Debug)]
pub struct Tunnel {
    keeper: Owned,
}

impl Tunnel {
    /// The connection's pid, to be measured.
    pub fn pid(&self) -> Result<u32> {
        let is_ssh = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "ssh");
        descendants(self.keeper.pid()).into_iter().find(is_ssh).context("the tunnel runs")
    }

    /// Kills the connection; its keeper makes another.
    pub fn kill(&self) -> Result<()> {
        Ok(kill(Pid::from_raw(self.pid()?.cast_signed()), Signal::SIGKILL)?)
    }
}
