//! The real hub: `appliance serve` with a folder and ports of its own, ended by its pid.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use crate::{netns::Ns, people::Caller, ports, proc::Owned, school::School, wait::wait_for};

/// From start to `/healthz`. Generous, as the machine may be compiling.
const START: Duration = Duration::from_secs(30);

/// Where and how a hub runs.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Lives in this namespace (`ip netns`), else where the harness lives. There the ports are always the same.
    pub netns: Option<String>,
    /// Serves HTTPS on this address, port 8443, beside HTTP on loopback.
    pub https: Option<Ipv4Addr>,
    /// Brings the class of 30 of the demo.
    pub demo: bool,
    /// Announces itself by mDNS.
    pub mdns: bool,
    /// Further lines of `box.toml`: whole tables that are not written here (`[limits]` …).
    pub config: String,
}

impl Options {
    /// A hub on this machine of a private network, reached by the others at `address`.
    pub fn inside(ns: &Ns, address: Ipv4Addr) -> Self {
        Self { netns: Some(ns.name().into()), https: Some(address), ..Self::default() }
    }
}

/// A running hub. Ends, with its folder, when dropped.
#[derive(Debug)]
pub struct Hub {
    process: Owned,
    options: Options,
    home: PathBuf,
    /// Port of plain HTTP on loopback.
    pub http: u16,
    /// Port of media, UDP and TCP.
    pub media: u16,
    /// The school that a client on another machine has to trust.
    pub school: Option<School>,
}

impl Hub {
    /// Starts a hub here with free ports and waits until it serves.
    pub async fn start() -> Result<Self> {
        Self::start_with(Options::default()).await
    }

    /// Starts a hub. Must be called where its loopback is: inside its namespace ([`Ns::block_on`]) if it has one.
    pub async fn start_with(options: Options) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let home = std::env::temp_dir().join(format!(
            "classroom-hub-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        ));
        fs::create_dir_all(&home)?;
        let (http, media) = if options.netns.is_some() { (8080, 8801) } else { (ports::free()?, ports::free()?) };
        let school = options.https.map(School::new).transpose()?;
        let tls = match (&school, options.https) {
            (Some(school), Some(address)) => {
                school.write(&home)?;
                format!("[https]\nlisten = [\"{address}:8443\"]\ncertificate = \"hub.pem\"\nkey = \"hub.key\"\n")
            }
            _ => String::new(),
        };
        let config = format!(
            "[room]\nname = \"測試教室\"\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n{tls}\
             [media]\nudp = \"0.0.0.0:{media}\"\ntcp = \"0.0.0.0:{media}\"\n[store]\npath = \"data\"\n\
             [discovery]\nmdns = {}\n[demo]\nclass = {}\n{}",
            options.mdns, options.demo, options.config
        );
        fs::write(home.join("box.toml"), config)?;
        let process = launch(&home, options.netns.as_deref())?;
        let mut hub = Self { process, options, home, http, media, school };
        hub.serves().await?;
        Ok(hub)
    }

    /// The address of its pages on its own loopback, without a slash at the end.
    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// The address of its pages for other machines.
    pub fn https_base(&self) -> Result<String> {
        Ok(format!("https://{}:8443", self.options.https.context("this hub has no HTTPS")?))
    }

    /// Nobody, on the hub's own machine.
    pub fn anyone(&self) -> Result<Caller> {
        Caller::new(&self.base(), None)
    }

    /// Nobody, on another machine.
    pub fn anyone_far(&self) -> Result<Caller> {
        Caller::new(&self.https_base()?, self.school.as_ref())
    }

    /// The first teacher, signed in by the one-time code that the hub has printed.
    pub async fn teacher(&self) -> Result<Caller> {
        let code = self.first_code().await?;
        self.anyone()?.first_sign_in(&code, "wang", "王老師").await
    }

    /// A further teacher, invited by `teacher`.
    pub async fn another_teacher(&self, teacher: &Caller) -> Result<Caller> {
        let invited: serde_json::Value = teacher.post("/api/staff/invite", &serde_json::json!({})).await?.json()?;
        let code = invited["code"].as_str().context("the invitation's code")?;
        self.anyone()?.first_sign_in(code, "chen", "陳老師").await
    }

    /// The one-time code of the first teacher, from the link that the hub prints once it serves.
    pub async fn first_code(&self) -> Result<String> {
        wait_for("the teacher's link", Duration::from_secs(5), async || {
            let log = self.log();
            let (_, rest) = log.split_once("/teach#code=").with_context(|| format!("no link in: {log}"))?;
            let code: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            ensure!(!code.is_empty() && rest.len() > code.len(), "half a line: {rest}");
            Ok(code)
        })
        .await
    }

    /// Everything that it has printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.join("hub.log")).unwrap_or_default()
    }

    /// Its folder, with `box.toml`, `data/` and, with HTTPS, `ca.pem`.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Its pid, to be measured.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends it in order and starts it again on the same ports and data. Says how long it was gone: from the signal to
    /// `/healthz`.
    pub async fn restart(&mut self) -> Result<Duration> {
        let began = Instant::now();
        self.stop()?;
        self.process = launch(&self.home, self.options.netns.as_deref())?;
        self.serves().await?;
        Ok(began.elapsed())
    }

    /// Starts it again after [`Hub::stop`], on the same ports and data.
    pub async fn again(&mut self) -> Result<()> {
        self.process = launch(&self.home, self.options.netns.as_deref())?;
        self.serves().await
    }

    /// Kills it without a word (as a power cut does) and starts it again.
    pub async fn crash(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGKILL)?;
        let _ = self.process.child().wait();
        self.process = launch(&self.home, self.options.netns.as_deref())?;
        self.serves().await
    }

    /// Ends it in order (SIGTERM), with what it says by its exit status.
    pub fn stop(&mut self) -> Result<()> {
        ensure!(self.process.terminate(Duration::from_secs(10)), "the hub did not end within 10 s of SIGTERM");
        let status = self.process.child().wait()?;
        ensure!(status.success(), "the hub ended with {status}: {}", self.log_end());
        Ok(())
    }

    async fn serves(&mut self) -> Result<()> {
        let anyone = self.anyone()?;
        let process = &mut self.process;
        let served = wait_for("the hub to serve", START, async || {
            if !process.running() {
                // Waiting on would not help.
                return Ok(false);
            }
            anyone.get("/healthz").await?.done().map(|()| true)
        })
        .await;
        match served {
            Ok(true) => Ok(()),
            Ok(false) => bail!("the hub ended at once: {}", self.log_end()),
            Err(error) => Err(error.context(self.log_end())),
        }
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if std::thread::panicking() || self.log().contains("panicked at") {
            #[expect(clippy::print_stderr, reason = "the hub's own words belong to a failed test's output")]
            {
                eprintln!("the hub said:\n{}", self.log_end());
            }
        }
        self.process.terminate(Duration::from_secs(5));
        let _ = fs::remove_dir_all(&self.home);
    }
}

fn launch(home: &Path, netns: Option<&str>) -> Result<Owned> {
    let program = program("appliance")?;
    let log = fs::OpenOptions::new().create(true).append(true).open(home.join("hub.log"))?;
    let (first, second) = (log.try_clone()?, log);
    // `ip netns exec` becomes the hub, so the pid is the hub's.
    let outer = if netns.is_some() { Path::new("ip") } else { &program };
    Owned::spawn(outer, |command| {
        if let Some(netns) = netns {
            command.args(["netns", "exec", netns]).arg(&program);
        }
        command.args(["serve", "--config"]).arg(home.join("box.toml")).current_dir(home).stdout(first).stderr(second);
    })
}

/// A program of this workspace, built in the same profile as the test.
pub fn program(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.ancestors().skip(1).find(|folder| !folder.ends_with("deps")).context("the target folder")?;
    let program = folder.join(name);
    ensure!(program.exists(), "{} is not built: run `make build`", program.display());
    Ok(program)
}
