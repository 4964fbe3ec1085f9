//! Private networks: network namespaces with cables, switches, losses, translation and changing addresses.
//!
//! Needs root. Names are `ct-{pid}-{n}-{label}`, so parallel test programs never meet, and what a killed run left
//! behind is swept away by the next one. Addresses inside are free to repeat: each network is its own world, none has
//! a way out.

use std::{
    fs::{self, File},
    io::Write,
    net::Ipv4Addr,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sched::{CloneFlags, setns};

static COUNT: AtomicU32 = AtomicU32::new(0);
static SWEEP: Once = Once::new();

/// The network card of a [`Ns`] on a [`Lan`].
pub const CARD: &str = "eth0";

/// One network namespace: a machine as far as the network can tell. Gone when dropped.
#[derive(Debug)]
pub struct Ns {
    name: String,
}

impl Ns {
    /// A machine without any cable; only its loopback is up.
    pub fn new(label: &str) -> Result<Self> {
        SWEEP.call_once(|| {
            sweep();
            // Children are forked by one thread for all ([`crate::proc`]). It must not be born inside a namespace.
            drop(crate::proc::spawn("true", |_| ()).map(|mut child| child.wait()));
        });
        ensure!(nix::unistd::geteuid().is_root(), "network namespaces need root: run the tests with sudo");
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ct-{}-{n}-{label}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let ns = Self { name };
        ns.ip("link set lo up")?;
        // An address that is found to be nobody else's a second after the card is up is a new one to a browser: it drops
        // what it loads. Networks change where a test makes them.
        run(ns.command("sysctl").args(["-q", "-w", "net.ipv6.conf.default.accept_dad=0"]))?;
        Ok(ns)
    }

    /// Its name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `ip …` inside.
    pub fn ip(&self, arguments: &str) -> Result<String> {
        run(Command::new("ip").args(["-n", &self.name]).args(arguments.split_whitespace()))
    }

    /// Loads an nftables script inside.
    pub fn nft(&self, script: &str) -> Result<()> {
        let mut child = self
            .command("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("nft")?;
        child.stdin.take().context("nft's input")?.write_all(script.as_bytes())?;
        let done = child.wait_with_output()?;
        ensure!(done.status.success(), "nft: {}", String::from_utf8_lossy(&done.stderr).trim());
        Ok(())
    }

    /// A program that will run inside.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Calls `work` on a thread that lives inside: its sockets, its threads and its child processes belong to this
    /// machine. A whole tokio runtime may be built in there.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let door = File::open(Path::new("/run/netns").join(&self.name)).context("the namespace's door")?;
        thread::scope(|scope| {
            let inside = scope.spawn(move || -> Result<T> {
                setns(&door, CloneFlags::CLONE_NEWNET).context("setns")?;
                Ok(work())
            });
            inside.join().map_err(|panic| anyhow!("inside {}: {}", self.name, reason(panic.as_ref())))?
        })
    }

    /// [`Ns::enter`] with a tokio runtime of its own, for asynchronous tests.
    pub fn block_on<T: Send, F: Future<Output = T>>(&self, work: impl FnOnce() -> F + Send) -> Result<T> {
        self.enter(|| -> Result<T> {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            Ok(runtime.block_on(work()))
        })?
    }

    /// A runtime whose threads live inside, for tasks that go on while the test is elsewhere.
    pub fn tasks(&self) -> Result<Tasks> {
        let build = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        Ok(Tasks { runtime: Some(self.enter(build)??) })
    }

    /// Drops this share of the arriving packets (percent, whole numbers), of all kinds; 0 ends it.
    pub fn lose_arriving(&self, percent: u8) -> Result<()> {
        let rule = if percent == 0 { String::new() } else { format!("numgen random mod 100 < {percent} drop") };
        self.nft(&format!(
            "table inet loss\ndelete table inet loss\ntable inet loss {{\n\
             chain arriving {{\n type filter hook input priority -300\n iifname != \"lo\" {rule}\n }}\n}}"
        ))
    }

    /// Nothing arrives and nothing leaves any more, without the machine noticing: a dead radio, not a pulled cable.
    pub fn silence(&self) -> Result<()> {
        self.nft(
            "table inet silence\ndelete table inet silence\ntable inet silence {\n\
             chain arriving {\n type filter hook input priority -310\n iifname != \"lo\" drop\n }\n\
             chain leaving {\n type filter hook output priority -310\n oifname != \"lo\" drop\n }\n}",
        )
    }

    /// Ends [`Ns::silence`].
    pub fn unsilence(&self) -> Result<()> {
        self.nft("delete table inet silence")
    }

    /// Lets a card send at most this many kbit/s, with a queue of 200 ms.
    pub fn rate(&self, card: &str, kbit: u32) -> Result<()> {
        run(Command::new("tc").args(["-n", &self.name, "qdisc", "replace", "dev", card, "root", "tbf"]).args([
            "rate",
            &format!("{kbit}kbit"),
            "burst",
            "16kb",
            "latency",
            "200ms",
        ]))
        .map(drop)
    }

    /// Makes a router of the machine; what leaves by `card` carries the card's address (the way home routers do it).
    pub fn translate(&self, card: &str) -> Result<()> {
        run(self.command("sysctl").args(["-q", "-w", "net.ipv4.ip_forward=1"]))?;
        self.nft(&format!(
            "table ip home {{\n chain leaving {{\n type nat hook postrouting priority 100\n oifname \"{card}\" masquerade\n }}\n}}"
        ))
    }

    /// Replaces the card's address, as a new DHCP lease does: the old one is gone at once.
    pub fn readdress(&self, card: &str, address: Ipv4Addr) -> Result<()> {
        self.ip(&format!("-4 address flush dev {card}"))?;
        self.ip(&format!("address add {address}/24 dev {card}")).map(drop)
    }
}

impl Drop for Ns {
    fn drop(&mut self) {
        // Nobody can act on a failure here; the next run sweeps what is left.
        let _ = run(Command::new("ip").args(["netns", "del", &self.name]));
    }
}

/// Tasks that live on one machine. They end when this is dropped.
#[derive(Debug)]
pub struct Tasks {
    runtime: Option<tokio::runtime::Runtime>,
}

impl Tasks {
    /// Runs `work` inside and waits for it here. What it has spawned goes on when this returns.
    pub fn run<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let runtime = self.runtime.as_ref().context("the runtime is there until it is dropped")?;
        let task = runtime.spawn(work);
        runtime.block_on(task)?
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A cable between two machines. Both cards get an address of the same /24.
pub fn cable(a: &Ns, a_card: &str, a_address: Ipv4Addr, b: &Ns, b_card: &str, b_address: Ipv4Addr) -> Result<()> {
    a.ip(&format!("link add {a_card} type veth peer name {b_card} netns {}", b.name))?;
    for (ns, card, address) in [(a, a_card, a_address), (b, b_card, b_address)] {
        ns.ip(&format!("address add {address}/24 dev {card}"))?;
        ns.ip(&format!("link set {card} up"))?;
    }
    Ok(())
}

/// A room's network: a switch with machines on it, 10.77.0.0/24, each with one card [`CARD`].
#[derive(Debug)]
pub struct Lan {
    switch: Ns,
}

impl Lan {
    /// A switch with nothing plugged in.
    pub fn new() -> Result<Self> {
        let switch = Ns::new("switch")?;
        switch.ip("link add br0 type bridge stp_state 0 forward_delay 0")?;
        switch.ip("link set br0 up")?;
        Ok(Self { switch })
    }

    /// The address 10.77.0.`host`.
    pub fn address(host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, host)
    }

    /// A new machine on the switch with the address 10.77.0.`host`. Its default route leads nowhere (10.77.0.254), so
    /// that programs which look for "the" outgoing address find one.
    pub fn machine(&self, label: &str, host: u8) -> Result<Ns> {
        let ns = Ns::new(label)?;
        ns.ip(&format!("link add {CARD} type veth peer name {} netns {}", port(&ns), self.switch.name))?;
        self.switch.ip(&format!("link set {} master br0 up", port(&ns)))?;
        ns.ip(&format!("address add {}/24 dev {CARD}", Self::address(host)))?;
        ns.ip(&format!("link set {CARD} up"))?;
        ns.ip("route add default via 10.77.0.254")?;
        Ok(ns)
    }

    /// Pulls the machine's cable out of the switch: the card loses its carrier and the machine notices.
    pub fn unplug(&self, ns: &Ns) -> Result<()> {
        self.switch.ip(&format!("link set {} down", port(ns))).map(drop)
    }

    /// Puts it back.
    pub fn plug(&self, ns: &Ns) -> Result<()> {
        self.switch.ip(&format!("link set {} up", port(ns))).map(drop)
    }
}

/// The switch's end of a machine's cable: the machine's number, as card names are short.
fn port(ns: &Ns) -> String {
    let number = ns.name.split('-').nth(2).unwrap_or("0");
    format!("port{number}")
}

/// Removes namespaces of test programs that are no more.
fn sweep() {
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix("ct-").and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = run(Command::new("ip").args(["netns", "del", &name]));
        }
    }
}

fn run(command: &mut Command) -> Result<String> {
    let done = command.stdin(Stdio::null()).output().with_context(|| format!("{:?}", command.get_program()))?;
    if !done.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

fn reason(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panicked")
}
