//! Real Chromium, headless, driven through chromedriver.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use harness::browser::{Browser, Options, Screen};
//! let tablet = Browser::start(Options { screen: Screen::ThisTab, ..Options::default() }).await?;
//! tablet.client.goto("http://127.0.0.1:8080/join").await?;
//! tablet.wait_for("document.querySelector('h1') !== null", std::time::Duration::from_secs(10)).await?;
//! tablet.screenshot("target/join.png").await?;
//! # Ok(()) }
//! ```

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use fantoccini::{Client, ClientBuilder, error::NewSessionError, wd::WebDriverCompatibleCommand};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::{ports, proc::Owned};

/// Longest wait for any one answer of the browser. Generous: the machine may run several browsers and a compiler.
const ANSWER: Duration = Duration::from_secs(60);

/// What `getDisplayMedia` and `getUserMedia` give without a person who clicks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Screen {
    /// Nothing: the calls wait for a person.
    #[default]
    Ask,
    /// The real pixels of the page that asks. The browser takes them without a person only when the page asks for its own
    /// tab, so the page's `getDisplayMedia` is made to.
    ThisTab,
    /// A synthetic moving picture and a synthetic camera and microphone.
    Fake,
}

/// Height of the bar that the browser puts above a page while it captures its own tab. The page, and with it the picture,
/// is lower by so much.
pub const SHARING_BAR: u32 = 56;

/// Stands for the person who picks the page's own tab in the browser's chooser.
const CHOOSE_THIS_TAB: &str = "if (navigator.mediaDevices) {
    const choose = navigator.mediaDevices.getDisplayMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getDisplayMedia = wishes => choose({ ...wishes, preferCurrentTab: true });
}";

/// How to start a browser.
#[derive(Debug, Clone)]
pub struct Options {
    /// What capture gives.
    pub screen: Screen,
    /// Language of the browser's user, which the pages follow.
    pub lang: &'static str,
    /// Size of the page in CSS pixels.
    pub size: (u32, u32),
    /// Network namespace to live in (`ip netns`), else the harness's own.
    pub netns: Option<String>,
    /// X display to open a window on, else headless.
    pub display: Option<String>,
    /// Further command-line switches, with their dashes.
    pub args: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { screen: Screen::Ask, lang: "zh-TW", size: (1280, 800), netns: None, display: None, args: Vec::new() }
    }
}

/// A running browser with one tab. Ends, with its profile, when dropped.
#[derive(Debug)]
pub struct Browser {
    /// The WebDriver session.
    pub client: Client,
    driver: Owned,
    home: PathBuf,
}

impl Browser {
    /// Starts chromedriver and Chromium with a fresh profile.
    pub async fn start(options: Options) -> Result<Self> {
        // Both TLS stacks may be linked in; the client wants a process-wide choice. A second call changes nothing.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let home = std::env::temp_dir().join(format!(
            "classroom-browser-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        ));
        fs::create_dir_all(&home)?;
        let port = ports::free()?;
        let log = fs::File::create(home.join("chromedriver.log"))?;
        let driver = Owned::spawn(fetched("chromedriver").unwrap_or_else(|| "chromedriver".into()), |command| {
            command.arg(format!("--port={port}")).stdout(Stdio::null()).stderr(log);
            // Chromium wants writable homes, also where the user has none.
            command.env("HOME", &home).env("XDG_CONFIG_HOME", home.join("config"));
            if let Some(display) = &options.display {
                command.env("DISPLAY", display);
            }
        })?;
        let capabilities = capabilities(&options, &home)?;
        let mut started = Self::connect(port, capabilities, driver, &home).await;
        if let Ok(browser) = &mut started {
            if options.screen != Screen::ThisTab {
                let (width, height) = options.size;
                let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
                browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await?;
            } else {
                browser.fit_window(options.size).await?;
                browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": CHOOSE_THIS_TAB })).await?;
            }
        } else {
            let _ = fs::remove_dir_all(&home);
        }
        started
    }

    async fn connect(port: u16, capabilities: Value, mut driver: Owned, home: &Path) -> Result<Self> {
        let Value::Object(capabilities) = capabilities else { bail!("capabilities are an object") };
        let (address, until) = (format!("http://127.0.0.1:{port}"), Instant::now() + ANSWER);
        let mut builder = ClientBuilder::rustls()?;
        builder.capabilities(capabilities);
        loop {
            match timeout(ANSWER, builder.connect(&address)).await.context("chromedriver does not answer")? {
                Ok(client) => return Ok(Self { client, driver, home: home.into() }),
                // It does not listen yet.
                Err(NewSessionError::Failed(_) | NewSessionError::FailedC(_) | NewSessionError::Lost(_))
                    if Instant::now() < until && driver.running() =>
                {
                    sleep(Duration::from_millis(50)).await;
                }
                Err(e) => {
                    let log = fs::read_to_string(home.join("chromedriver.log")).unwrap_or_default();
                    return Err(e).with_context(|| format!("no browser session; chromedriver said: {log}"));
                }
            }
        }
    }

    /// Runs a function body in the page and gives what it returns (`return …`). Promises are awaited.
    pub async fn run(&self, script: &str) -> Result<Value> {
        let answer = timeout(ANSWER, self.client.execute(script, Vec::new()));
        answer.await.context("the page does not answer")?.with_context(|| format!("script: {script}"))
    }

    /// The value of an expression in the page.
    pub async fn eval(&self, expression: &str) -> Result<Value> {
        self.run(&format!("return ({expression});")).await
    }

    /// Waits until an expression is true in the page; errors in it count as false (the page may be loading).
    pub async fn wait_for(&self, expression: &str, within: Duration) -> Result<()> {
        let script = format!("try {{ return !!({expression}); }} catch (e) {{ return String(e); }}");
        let until = Instant::now() + within;
        loop {
            let last = self.run(&script).await;
            if matches!(last, Ok(Value::Bool(true))) {
                return Ok(());
            }
            if Instant::now() >= until {
                let text = self.run("return document.body ? document.body.innerText.slice(0, 600) : ''").await;
                bail!("not within {within:?}: {expression} (last answer {last:?}); the page shows: {text:?}");
            }
            sleep(Duration::from_millis(30)).await;
        }
    }

    /// Waits for an element and clicks it like a finger: scrolled into view, in the middle, not covered.
    pub async fn click(&self, css: &str, within: Duration) -> Result<()> {
        let until = Instant::now() + within;
        loop {
            let found = timeout(ANSWER, self.client.find(fantoccini::Locator::Css(css))).await?;
            let clicked = match found {
                Ok(element) => timeout(ANSWER, element.click()).await?.map(|_| ()),
                Err(e) => Err(e),
            };
            match clicked {
                Ok(()) => return Ok(()),
                Err(e) if Instant::now() >= until => return Err(e).with_context(|| format!("click {css}")),
                Err(_) => sleep(Duration::from_millis(30)).await,
            }
        }
    }

    /// Waits for a field, empties it and types into it.
    pub async fn type_into(&self, css: &str, text: &str, within: Duration) -> Result<()> {
        self.wait_for(&format!("document.querySelector({})", Value::from(css)), within).await?;
        let field = timeout(ANSWER, self.client.find(fantoccini::Locator::Css(css))).await??;
        timeout(ANSWER, field.clear()).await??;
        timeout(ANSWER, field.send_keys(text)).await?.with_context(|| format!("type into {css}"))
    }

    /// Writes what the page shows as PNG; makes the folder.
    pub async fn screenshot(&self, path: impl AsRef<Path>) -> Result<()> {
        let png = timeout(ANSWER, self.client.screenshot()).await.context("no screenshot")??;
        if let Some(folder) = path.as_ref().parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, png)?;
        Ok(())
    }

    /// Makes the window so large that the page in it has this size. What is captured of a tab is the real surface, which
    /// an emulated size does not change.
    async fn fit_window(&self, (width, height): (u32, u32)) -> Result<()> {
        let window = self.devtools("Browser.getWindowForTarget", json!({})).await?;
        let until = Instant::now() + ANSWER;
        loop {
            // Measured anew each time: a starting browser still puts up and takes away bars of its own.
            let now =
                self.eval("[innerWidth, innerHeight, outerWidth - innerWidth, outerHeight - innerHeight]").await?;
            let at = |at: usize| now[at].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
            if (at(0), at(1)) == (width, height) {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < until, "the page does not become {width} × {height}: {now}");
            let bounds = json!({ "width": width + at(2), "height": height + at(3) });
            let wanted = json!({ "windowId": window["windowId"], "bounds": bounds });
            self.devtools("Browser.setWindowBounds", wanted).await?;
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Calls the DevTools protocol, for example `Network.emulateNetworkConditions`.
    pub async fn devtools(&self, method: &str, params: Value) -> Result<Value> {
        let body = json!({ "cmd": method, "params": params });
        self.issue(Raw { path: "goog/cdp/execute", body }).await.with_context(|| method.to_string())
    }

    /// What the page wrote to its console since the last call, as `LEVEL message`.
    pub async fn console(&self) -> Result<Vec<String>> {
        let entries = self.issue(Raw { path: "se/log", body: json!({ "type": "browser" }) }).await?;
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_string();
        Ok(entries.as_array().into_iter().flatten().map(|e| text(e, "level") + " " + &text(e, "message")).collect())
    }

    async fn issue(&self, command: Raw) -> Result<Value> {
        Ok(timeout(ANSWER, self.client.issue_cmd(command)).await.context("the browser does not answer")??)
    }

    /// Pids of the browser's processes, for measuring and for stopping one.
    pub fn pids(&self) -> Vec<u32> {
        crate::proc::descendants(self.driver.pid())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The processes still write into the profile until they are gone; they go with `driver`, after this.
        for pid in self.pids() {
            let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// A chromedriver command that WebDriver does not know.
#[derive(Debug)]
struct Raw {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Raw {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, <Url as std::str::FromStr>::Err> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

fn capabilities(options: &Options, home: &Path) -> Result<Value> {
    let (width, height) = options.size;
    let mut args: Vec<String> = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--no-default-browser-check",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-breakpad",
        "--disable-dev-shm-usage",
        // A page under test keeps its timers and its picture although nobody looks at it.
        "--disable-renderer-backgrounding",
        "--disable-background-timer-throttling",
        "--disable-backgrounding-occluded-windows",
        "--autoplay-policy=no-user-gesture-required",
        "--password-store=basic",
        // By pipe, not by port: works across network namespaces, and Chromium ends when chromedriver is gone.
        "--remote-debugging-pipe",
    ]
    .map(String::from)
    .into();
    if options.display.is_none() {
        args.push("--headless=new".into());
    }
    args.push(format!("--lang={}", options.lang));
    args.push(format!("--window-size={width},{height}"));
    args.push(format!("--user-data-dir={}", home.join("profile").display()));
    match options.screen {
        Screen::Ask => {}
        Screen::ThisTab => args.push("--auto-accept-this-tab-capture".into()),
        Screen::Fake => {
            args.extend(["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"].map(String::from))
        }
    }
    args.extend(options.args.iter().cloned());
    let mut chrome = json!({
        "args": args,
        // Without this a window has a bar that says it is automated, above the page.
        "excludeSwitches": ["enable-automation"],
        "prefs": { "intl.accept_languages": options.lang, "credentials_enable_service": false },
    });
    if let Some(binary) = chromium() {
        chrome["binary"] = match &options.netns {
            None => json!(binary),
            Some(netns) => json!(inside(netns, &binary, home)?),
        };
    }
    Ok(json!({
        "browserName": "chrome",
        "goog:chromeOptions": chrome,
        "goog:loggingPrefs": { "browser": "ALL" },
        "timeouts": { "script": 55_000, "pageLoad": 55_000 },
    }))
}

/// A launcher that becomes Chromium inside a network namespace; chromedriver takes a path only.
fn inside(netns: &str, binary: &Path, home: &Path) -> Result<PathBuf> {
    let launcher = home.join("chromium-in-namespace");
    fs::write(&launcher, format!("#!/bin/sh\nexec ip netns exec '{netns}' '{}' \"$@\"\n", binary.display()))?;
    fs::set_permissions(&launcher, fs::Permissions::from_mode(0o755))?;
    Ok(launcher)
}

/// What `tests/packages.sh` has fetched where the distribution has no browser that can be driven.
fn fetched(program: &str) -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let target = test.ancestors().find(|path| path.ends_with("target"))?;
    Some(target.join("tools/browser").join(format!("{program}.program"))).filter(|path| path.exists())
}

/// The browser of this machine: Debian's or Google's. The binary rather than a launcher script if both exist.
fn chromium() -> Option<PathBuf> {
    if let Some(fetched) = fetched("chrome") {
        return Some(fetched);
    }
    ["/usr/lib/chromium/chromium", "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    /// Starts the real browser, so it is also the test that this machine has one.
    #[tokio::test]
    async fn a_page_runs_and_captures_itself() {
        let browser = Browser::start(Options { screen: Screen::ThisTab, ..Options::default() }).await.unwrap();
        let page = "data:text/html,<body style='background:rgb(10,200,30)'><button onclick='this.id=9'>x</button>";
        browser.client.goto(page).await.unwrap();
        browser.click("button", Duration::from_secs(10)).await.unwrap();
        browser.wait_for("document.querySelector('button').id == '9'", Duration::from_secs(10)).await.unwrap();
        assert_eq!(
            browser.eval("[innerWidth, innerHeight, navigator.language]").await.unwrap(),
            json!([1280, 800, "zh-TW"])
        );
        browser.run("console.error('said so')").await.unwrap();
        assert!(browser.console().await.unwrap().iter().any(|line| line.contains("said so")));
        let path = browser.home.join("shot.png");
        browser.screenshot(&path).await.unwrap();
        assert!(fs::read(&path).unwrap().starts_with(b"\x89PNG"));
        let (pids, home) = (browser.pids(), browser.home.clone());
        assert!(pids.len() > 2);
        drop(browser);
        assert!(!home.exists());
    }
}
