//! The real resolver, `appliance resolver`, beside a hub; name servers above it; and `dig`, as people ask.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use crate::{hub::program, netns::Ns, proc::Owned, wait::wait_for_blocking};

/// From start to the first answer.
const START: Duration = Duration::from_secs(20);

/// A running resolver.
#[derive(Debug)]
pub struct Resolver {
    process: Owned,
    log: PathBuf,
}

impl Resolver {
    /// Starts it on the hub's machine with the hub's `box.toml`, which needs a `[resolver]`.
    pub fn start(ns: &Ns, home: &Path) -> Result<Self> {
        let (log, program) = (home.join("resolver.log"), program("appliance")?);
        let output = fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let errors = output.try_clone()?;
        let process = Owned::spawn("ip", |command| {
            command.args(["netns", "exec", ns.name()]).arg(program);
            command.args(["resolver", "--config"]).arg(home.join("box.toml")).stdout(output).stderr(errors);
        })?;
        Ok(Self { process, log })
    }

    /// Killed by the kernel, as a crash would; then started again.
    pub fn crash(&mut self, ns: &Ns, home: &Path) -> Result<()> {
        self.process.signal(Signal::SIGKILL)?;
        let _ = self.process.child().wait();
        *self = Self::start(ns, home)?;
        Ok(())
    }

    /// Its pid, to be measured.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Everything that it has printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// A name server as schools have one (unbound), which knows every name: all lead to `leads_to`.
#[derive(Debug)]
pub struct NameServer {
    process: Owned,
    folder: PathBuf,
}

impl NameServer {
    /// Starts it on `address`, port 53. Answers are good for `ttl` seconds.
    pub fn start(ns: &Ns, address: Ipv4Addr, leads_to: Ipv4Addr, ttl: u32) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("classroom-unbound-{}-{}", std::process::id(), ns.name()));
        fs::create_dir_all(&folder)?;
        let config = format!(
            "server:\n interface: {address}\n access-control: 0.0.0.0/0 allow\n chroot: \"\"\n username: \"\"\n \
             pidfile: \"\"\n use-syslog: no\n do-daemonize: no\n module-config: \"iterator\"\n do-ip6: no\n \
             local-zone: \".\" redirect\n local-data: \". {ttl} IN A {leads_to}\"\nremote-control:\n control-enable: no\n"
        );
        fs::write(folder.join("unbound.conf"), config)?;
        let log = fs::File::create(folder.join("log"))?;
        let errors = log.try_clone()?;
        let process = Owned::spawn("ip", |command| {
            command.args(["netns", "exec", ns.name(), "unbound", "-d", "-c"]).arg(folder.join("unbound.conf"));
            command.stdout(log).stderr(errors);
        })?;
        let server = Self { process, folder };
        wait_for_blocking("the name server", START, || {
            let answer = dig(ns, address, &["ready.example"])?;
            ensure!(answer.contains(&leads_to.to_string()), "{answer}{}", server.log());
            anyhow::Ok(())
        })?;
        Ok(server)
    }

    /// What it said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.process.terminate(Duration::from_secs(3));
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// `dig @server …` on a machine: everything that it prints. One try of five seconds.
pub fn dig(ns: &Ns, server: Ipv4Addr, question: &[&str]) -> Result<String> {
    let mut command: Command = ns.command("dig");
    command.args(["+tries=1", "+time=5", &format!("@{server}")]).args(question);
    let done = command.output().context("dig (Debian package bind9-dnsutils)")?;
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Lets a machine ask this name server (`/etc/netns`, which `ip netns exec` lays over `/etc`). Ends when dropped.
#[derive(Debug)]
pub struct AsksAt(PathBuf);

impl AsksAt {
    /// Programs that are started on `ns` from now on ask `server`.
    pub fn new(ns: &Ns, server: Ipv4Addr) -> Result<Self> {
        let folder = Path::new("/etc/netns").join(ns.name());
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("resolv.conf"), format!("nameserver {server}\n"))?;
        Ok(Self(folder))
    }
}

impl Drop for AsksAt {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
