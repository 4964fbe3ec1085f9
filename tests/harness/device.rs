//! A take-home device: the real `classroom-agent` on a machine of its own, its clock in the test's hands.

use std::{fs, net::Ipv4Addr, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use classroom_protocol::catalogue::{Lang, text};
use nix::sys::signal::Signal;

use crate::{
    hub::program,
    netns::{CARD, Lan, Ns},
    proc::Owned,
    wait::wait_for_blocking,
};

/// Where the student's page is.
pub const PAGE: &str = "127.0.0.1:8970";
const SOON: Duration = Duration::from_secs(30);

/// A device with an agent. Its folder goes with it.
#[derive(Debug)]
pub struct Device {
    /// The machine.
    pub ns: Ns,
    /// Its folder: `agent.toml`, `resolv.conf`, `agent.log`, `state/`.
    pub folder: PathBuf,
    agent: Option<Owned>,
}

impl Device {
    /// A machine on the room's network that asks `name_server`. Nothing runs yet.
    pub fn new(lan: &Lan, host: u8, name_server: Ipv4Addr) -> Result<Self> {
        let ns = lan.machine("device", host)?;
        let folder = std::env::temp_dir().join(format!("classroom-agent-{}", ns.name()));
        fs::create_dir_all(&folder)?;
        let device = Self { ns, folder, agent: None };
        device.set_options("")?;
        device.set_name_server(name_server)?;
        Ok(device)
    }

    /// Writes `agent.toml` with these lines more.
    ///
    /// # Errors
    /// Of the file.
    pub fn set_options(&self, more: &str) -> Result<()> {
        let text = format!(
            "dns = \"127.0.0.1:53\"\npage = \"{PAGE}\"\nresolv_conf = [\"{}\"]\ncontact_seconds = 1\n{more}",
            self.folder.join("resolv.conf").display()
        );
        Ok(fs::write(self.folder.join("agent.toml"), text)?)
    }

    /// As a DHCP client does when the network changes.
    pub fn set_name_server(&self, at: Ipv4Addr) -> Result<()> {
        Ok(fs::write(self.folder.join("resolv.conf"), format!("nameserver {at}\n"))?)
    }

    /// Sets the agent's clock, milliseconds since 1970. It stands still in between.
    pub fn set_clock(&self, at: u64) -> Result<()> {
        let new = self.folder.join("clock.new");
        fs::write(&new, at.to_string())?;
        Ok(fs::rename(new, self.folder.join("clock"))?)
    }

    /// Runs a command of the agent; whether it went well, and what it said.
    pub fn say(&self, words: &[&str]) -> Result<(bool, String)> {
        let mut command = self.ns.command(program("classroom-agent")?);
        command.args(words).arg("--config").arg(self.folder.join("agent.toml")).arg("--state");
        let done = command.arg(self.folder.join("state")).output()?;
        Ok((done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned()))
    }

    /// Starts the agent and waits for its page.
    pub fn start(&mut self) -> Result<()> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("agent.log"))?;
        let (own, name) = (program("classroom-agent")?, self.ns.name().to_owned());
        self.agent = Some(Owned::spawn("ip", |command| {
            command.args(["netns", "exec", &name]).arg(own).arg("run").arg("--config");
            command.arg(self.folder.join("agent.toml")).arg("--state").arg(self.folder.join("state"));
            command.arg("--test-clock").arg(self.folder.join("clock")).stderr(log);
        })?);
        self.sees("agent.title").map(drop)
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("agent.log")).unwrap_or_default()
    }

    /// The student's page, as text.
    pub fn page(&self) -> Result<String> {
        self.ns.block_on(|| async {
            let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
            anyhow::Ok(client.get(format!("http://{PAGE}/")).send().await?.text().await?)
        })?
    }

    /// Waits until the page says this.
    pub fn sees(&self, key: &str) -> Result<String> {
        let words = text(Lang::ZhHantTw, key);
        let words = words.split('{').next().unwrap_or(words);
        wait_for_blocking(key, SOON, || {
            let page = self.page()?;
            ensure!(page.contains(words), "not there; the agent says: {}", self.log());
            Ok(page)
        })
    }

    /// What the device's DNS says of a name.
    pub fn dig(&self, name: &str) -> Result<String> {
        let done = self.ns.command("dig").args(["@127.0.0.1", "+tries=1", "+time=5", name, "A"]).output()?;
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// Records that wait for the box.
    pub fn records(&self) -> usize {
        let text = fs::read_to_string(self.folder.join("state/records.jsonl")).unwrap_or_default();
        text.lines().count().saturating_sub(1)
    }
}

impl Device {
    /// The agent's pid.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.agent.as_ref().context("the agent runs")?.pid())
    }

    /// Ends it as a power cut does.
    ///
    /// # Errors
    /// When it does not run.
    pub fn power_cut(&mut self) -> Result<()> {
        self.agent.take().context("the agent runs")?.signal(Signal::SIGKILL)
    }

    /// Ends the agent.
    pub fn stop(&mut self) {
        self.agent = None;
    }

    /// How many records it has delivered so far, by its log: kept by the box, or `known` to it already.
    pub fn delivered(&self, key: &str) -> usize {
        delivered(&self.log(), key)
    }

    /// Waits until the device's DNS answers a name as `fits` says; what it said.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn answers(&self, name: &str, fits: &dyn Fn(&str) -> bool) -> Result<String> {
        wait_for_blocking(name, SOON, || {
            let said = self.dig(name)?;
            ensure!(fits(&said), "{said}\n{}", self.log());
            Ok(said)
        })
    }

    /// Carries it out of the room and into a home: another cable, another name server.
    ///
    /// # Errors
    /// Of the cards.
    pub fn go_home(&self, lan: &Lan, card: &str, router: Ipv4Addr) -> Result<()> {
        lan.unplug(&self.ns)?;
        self.ns.ip(&format!("link set {CARD} down"))?;
        self.ns.ip(&format!("link set {card} up"))?;
        self.ns.ip(&format!("route replace default via {router}"))?;
        self.set_name_server(router)
    }

    /// Carries it back.
    ///
    /// # Errors
    /// Of the cards.
    pub fn come_back(&self, lan: &Lan, card: &str, name_server: Ipv4Addr) -> Result<()> {
        self.ns.ip(&format!("link set {card} down"))?;
        self.ns.ip(&format!("link set {CARD} up"))?;
        lan.plug(&self.ns)?;
        self.ns.ip("route replace default via 10.77.0.254")?;
        self.set_name_server(name_server)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        drop(self.agent.take());
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Numbers of a log line "records delivered kept=3 known=0", added up.
fn delivered(log: &str, key: &str) -> usize {
    let lines = log.lines().filter(|line| line.contains("records delivered"));
    let plain = lines.map(|line| {
        let mut out = String::new();
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            // Colours of the log.
            if c == '\u{1b}' {
                let _ = chars.by_ref().find(|c| *c == 'm');
            } else {
                out.push(c);
            }
        }
        out
    });
    let number = |line: String| {
        let rest = line.split_once(&format!("{key}="))?.1.to_owned();
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<usize>().ok()
    };
    plain.filter_map(number).sum()
}
