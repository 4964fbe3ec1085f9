//! The real pages in a real browser, used as people use them: by the words on their buttons.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use classroom_protocol::catalogue::{Lang, fill};
use serde_json::Value;

use crate::{
    browser::{Browser, Options, Screen},
    hub::Hub,
    people::PASSWORD,
    stamp,
};

/// Longest wait for something to appear. The machine may run several browsers that encode video.
const APPEARS: Duration = Duration::from_secs(30);

/// How long one that was found is tried to be tapped before it is looked for again.
const AT_ONCE: Duration = Duration::from_secs(2);

/// A person's browser with one of the pages.
#[derive(Debug)]
pub struct Page {
    /// The browser.
    pub browser: Browser,
    lang: Lang,
}

impl Page {
    /// Opens `path` of the hub.
    pub async fn open(base: &str, path: &str, lang: Lang, mut options: Options) -> Result<Self> {
        options.lang = match lang {
            Lang::ZhHantTw => "zh-TW",
            Lang::En => "en",
        };
        let browser = Browser::start(options).await?;
        // Headless browsers have no chooser. With this the page's own call captures the real pixels of its own tab.
        let source = format!(
            "{}\nif (navigator.mediaDevices?.getDisplayMedia) {{\
               const capture = navigator.mediaDevices.getDisplayMedia.bind(navigator.mediaDevices);\
               navigator.mediaDevices.getDisplayMedia = options => capture({{ ...options, preferCurrentTab: true }});\
             }}",
            stamp::SCRIPT
        );
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", serde_json::json!({ "source": source })).await?;
        browser.client.goto(&format!("{base}{path}")).await?;
        Ok(Self { browser, lang })
    }

    /// A student's tablet on the students' page. `size` is that of its screen.
    pub async fn tablet(hub: &Hub, lang: Lang, size: (u32, u32)) -> Result<Self> {
        let options = Options { screen: Screen::ThisTab, size, ..Options::default() };
        Self::open(&hub.base(), "/join", lang, options).await
    }

    /// A student's tablet on another machine of a private network. Its browser does not ask for the school's CA.
    pub async fn far_tablet(hub: &Hub, netns: &str, lang: Lang, size: (u32, u32)) -> Result<Self> {
        let args = vec!["--ignore-certificate-errors".into()];
        let options = Options { screen: Screen::ThisTab, size, netns: Some(netns.into()), args, ..Options::default() };
        Self::open(&hub.https_base()?, "/join", lang, options).await
    }

    /// The text of the catalogue in this browser's language.
    pub fn words(&self, key: &str, values: &[(&str, &str)]) -> String {
        fill(self.lang, key, values)
    }

    /// Taps the button with the catalogue's words.
    pub async fn tap(&self, key: &str) -> Result<()> {
        self.tap_words(&self.words(key, &[])).await
    }

    /// Taps the button, link or label with these words, in the open dialog if there is one.
    pub async fn tap_words(&self, words: &str) -> Result<()> {
        ensure!(!words.is_empty(), "the catalogue has no such key");
        let mark = format!(
            "(() => {{ const words = {}; \
             const open = [...document.querySelectorAll('dialog[open]')].pop() ?? document; \
             const named = e => (e.getAttribute('aria-label') ?? '').includes(words) || e.innerText.includes(words); \
             const found = [...open.querySelectorAll('button, a, summary, label.button')] \
               .filter(e => !e.disabled && e.getClientRects().length > 0 && named(e)) \
               .sort((a, b) => (b.innerText.trim() === words) - (a.innerText.trim() === words) \
                 || a.innerText.length - b.innerText.length); \
             document.querySelectorAll('[data-tap]').forEach(e => e.removeAttribute('data-tap')); \
             found[0]?.setAttribute('data-tap', ''); \
             return found.length > 0; }})()",
            Value::from(words)
        );
        let until = Instant::now() + APPEARS;
        loop {
            self.browser.wait_for(&mark, APPEARS).await.with_context(|| format!("a button {words:?}"))?;
            // It may go before the finger comes down, or another one like it come: then that one is meant.
            match self.browser.click("[data-tap]", AT_ONCE).await {
                Err(error) if Instant::now() >= until => return Err(error.context(format!("tap {words:?}"))),
                Err(_) => {}
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Waits until the page shows the catalogue's words.
    pub async fn sees(&self, key: &str) -> Result<()> {
        self.sees_words(&self.words(key, &[])).await
    }

    /// Waits until the page shows these words.
    pub async fn sees_words(&self, words: &str) -> Result<()> {
        ensure!(!words.is_empty(), "the catalogue has no such key");
        let shown = format!("document.body.innerText.includes({})", Value::from(words));
        self.browser.wait_for(&shown, APPEARS).await
    }

    /// On the students' page: types the room code, takes a seat by its name.
    pub async fn take_seat(&self, code: &str, name: &str) -> Result<()> {
        self.browser.type_into("input", code, APPEARS).await?;
        self.tap_words(name).await?;
        self.tap("join.seat-confirm-yes").await?;
        self.sees_words(&self.words("join.hello", &[("name", name)])).await
    }

    /// Lays the glass-to-glass stamp over the page.
    pub async fn stamp(&self) -> Result<()> {
        self.browser.run("showStamp(30);").await.map(drop)
    }

    /// On the teachers' page, opened with the one-time code: makes the account.
    pub async fn make_account(&self, account: &str, name: &str) -> Result<()> {
        self.browser.type_into("input[name=name]", name, APPEARS).await?;
        self.browser.type_into("input[name=username]", account, APPEARS).await?;
        self.browser.type_into("input[name=password]", PASSWORD, APPEARS).await?;
        self.tap("teach.first-submit").await?;
        self.sees("teach.start-title").await
    }
}
