//! The wire to the hub: pairs the panel, follows the room's view, comes back by itself, and reports lost pictures.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use classroom_protocol::{Envelope, PanelView, ProblemCode, SourceId};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_tungstenite::tungstenite::{
    self, Message,
    client::IntoClientRequest,
    http::{HeaderValue, Request, StatusCode, header},
    protocol::WebSocketConfig,
};

use crate::{
    hub::{Hub, Refusal},
    keeping::Keeping,
};

/// Pause before the first try to come back, doubled up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The connection is made within this time or given up.
const CONNECT: Duration = Duration::from_secs(2);
/// The panel calls this often …
const CALL: Duration = Duration::from_millis(1_000);
/// … and a hub that has said nothing for this long is away.
const SILENT: Duration = Duration::from_millis(3_500);
/// How often a waiting panel asks whether it has been paired.
const ASK: Duration = Duration::from_secs(1);
/// The hub keeps a code for ten minutes; one that is over much sooner was pushed out by other panels at this address.
const KEPT: Duration = Duration::from_secs(9 * 60);
/// Pause of a panel that was pushed out, doubled up to [`CROWDED_MAX`]: asked for at once, a new code would push out the
/// next one, and so on for ever.
const CROWDED: Duration = Duration::from_secs(8);
const CROWDED_MAX: Duration = Duration::from_secs(120);
/// Largest message in bytes; a view of nine tiles is a few kilobytes.
const LARGEST: usize = 256 * 1024;

/// What the link tells the rest of the program.
#[derive(Debug)]
pub(crate) enum News {
    /// The panel waits to be paired; the teacher types these digits.
    Unpaired(Option<String>),
    /// The room as it is now.
    View(Box<PanelView>),
    /// Connected again, and what was said last still holds.
    Unchanged,
    /// The connection broke; the link is coming back by itself.
    Gone,
}

/// Why a connection ended.
enum End {
    /// Pair anew.
    SignedOut,
    /// Come back.
    Broken(String),
}

/// Follows the hub for as long as anyone reads `news`. `name` is the panel's name when it pairs.
pub(crate) async fn follow(hub: Hub, keeping: Keeping, name: String, news: mpsc::Sender<News>) {
    let mut pause = PAUSE;
    let mut crowded = CROWDED;
    let mut seen = Seen::default();
    while !news.is_closed() {
        let Some(token) = hub.token().or_else(|| keeping.load()) else {
            seen = Seen::default();
            if let Some(token) = pair(&hub, &name, &news, &mut crowded).await {
                if let Err(error) = keeping.store(&token) {
                    tracing::error!("the pairing can't be kept, it will be lost with this process: {error}");
                }
                hub.set_token(Some(token));
            }
            continue;
        };
        hub.set_token(Some(token.clone()));
        let begun = Instant::now();
        match listen(&hub, &token, &mut seen, &news).await {
            Ok(End::SignedOut) => {
                tracing::warn!("the room has removed this panel");
                hub.set_token(None);
                keeping.forget();
                continue;
            }
            Ok(End::Broken(why)) => tracing::info!("the hub is away: {why}"),
            Err(error) => tracing::info!("the hub is away: {error:#}"),
        }
        tell(&news, News::Gone).await;
        if begun.elapsed() > SILENT {
            pause = PAUSE;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// The queue is short and its reader quick; only a program that ends does not take the news.
async fn tell(news: &mpsc::Sender<News>, what: News) {
    if news.send(what).await.is_err() {
        tracing::debug!("nobody listens to the link any more");
    }
}

/// Waits until a teacher has typed in the code. `None`: start again.
async fn pair(hub: &Hub, name: &str, news: &mpsc::Sender<News>, crowded: &mut Duration) -> Option<String> {
    let waiting = match hub.pair(name).await {
        Ok(waiting) => waiting,
        Err(refusal) => {
            tracing::info!("pairing: {refusal}");
            match refusal {
                Refusal::Away(_) => tell(news, News::Gone).await,
                _ => tell(news, News::Unpaired(None)).await,
            }
            sleep(ASK).await;
            return None;
        }
    };
    tracing::info!("pairing code {}: a teacher types it in to add this panel to the room", waiting.code);
    tell(news, News::Unpaired(Some(waiting.code.clone()))).await;
    let begun = Instant::now();
    let mut away = false;
    while !news.is_closed() {
        sleep(ASK).await;
        match hub.paired(&waiting).await {
            Ok(Some(done)) => return Some(done.token),
            Ok(None) => away = false,
            Err(Refusal::Gone) => {
                if pushed_out(begun.elapsed(), away) {
                    tracing::info!("too many panels wait at this address: the next code in {crowded:?}");
                    tell(news, News::Unpaired(None)).await;
                    tokio::select! {
                        () = sleep(*crowded) => {}
                        () = news.closed() => {}
                    }
                    *crowded = (*crowded * 2).min(CROWDED_MAX);
                }
                return None;
            }
            Err(refusal) => {
                away = matches!(refusal, Refusal::Away(_));
                tracing::debug!("pairing: {refusal}");
            }
        }
    }
    None
}

/// Whether a code of this age is over because of other panels. A hub that was `away` may have begun anew.
fn pushed_out(age: Duration, away: bool) -> bool {
    age < KEPT && !away
}

/// The WebSocket request: the token goes into the header, where no log has it.
fn request(hub: &Hub, token: &str, after: Option<u64>) -> Result<Request<()>> {
    let mut url = hub.base().join("api/ws")?;
    let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
    url.set_scheme(scheme).ok().context("the hub's address has no WebSocket form")?;
    if let Some(seq) = after {
        url.set_query(Some(&format!("after={seq}")));
    }
    let mut request = url.as_str().into_client_request()?;
    let bearer = HeaderValue::try_from(format!("Bearer {token}"))?;
    request.headers_mut().insert(header::AUTHORIZATION, bearer);
    request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("classroom"));
    Ok(request)
}

/// One connection, from its start to its end.
async fn listen(hub: &Hub, token: &str, seen: &mut Seen, news: &mpsc::Sender<News>) -> Result<End> {
    let limits = WebSocketConfig::default().max_message_size(Some(LARGEST)).max_frame_size(Some(LARGEST));
    let connect = tokio_tungstenite::connect_async_with_config(request(hub, token, seen.seq)?, Some(limits), true);
    let socket = match timeout(CONNECT, connect).await {
        Ok(Ok((socket, _))) => socket,
        Ok(Err(tungstenite::Error::Http(answer))) if answer.status() == StatusCode::UNAUTHORIZED => {
            return Ok(End::SignedOut);
        }
        Ok(Err(error)) => return Ok(End::Broken(error.to_string())),
        Err(_) => return Ok(End::Broken("no answer".into())),
    };
    tracing::info!(hub = %hub.base(), "connected");
    seen.connected();
    let (mut out, mut incoming) = socket.split();
    let mut call = interval(CALL);
    call.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        let message = tokio::select! {
            _ = call.tick() => {
                if heard.elapsed() > SILENT {
                    return Ok(End::Broken("it has fallen silent".into()));
                }
                if let Err(error) = out.send(Message::Ping(tungstenite::Bytes::new())).await {
                    return Ok(End::Broken(error.to_string()));
                }
                continue;
            }
            message = incoming.next() => message,
            () = news.closed() => return Ok(End::Broken("the panel closes".into())),
        };
        heard = Instant::now();
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(_))) | None => return Ok(End::Broken("it hung up".into())),
            Some(Ok(_)) => continue,
            Some(Err(error)) => return Ok(End::Broken(error.to_string())),
        };
        match seen.read(&text) {
            Heard::View(view) => tell(news, News::View(view)).await,
            Heard::Unchanged => tell(news, News::Unchanged).await,
            Heard::Old => {}
            Heard::Bye(code) if signs_out(&code) => return Ok(End::SignedOut),
            Heard::Bye(code) => return Ok(End::Broken(format!("it says {code}"))),
            Heard::Strange(error) => tracing::warn!("a message of another form: {error}"),
        }
    }
}

/// A message, understood.
#[derive(Debug, PartialEq)]
enum Heard {
    View(Box<PanelView>),
    Unchanged,
    /// Older than what the panel has.
    Old,
    Bye(String),
    Strange(String),
}

/// How far the panel has heard the room.
#[derive(Debug, Default)]
struct Seen {
    /// Number of the newest view.
    seq: Option<u64>,
    /// Nothing has been said on this connection yet. What is said first counts whatever its number: it is the room as it
    /// is, also of a hub that has lost count because its clock was set back.
    anew: bool,
}

impl Seen {
    fn connected(&mut self) {
        self.anew = true;
    }

    fn read(&mut self, text: &str) -> Heard {
        match serde_json::from_str::<Envelope<PanelView>>(text) {
            Ok(Envelope::View { seq, .. }) if !self.anew && self.seq.is_some_and(|have| seq < have) => Heard::Old,
            Ok(Envelope::View { seq, view, .. }) => {
                *self = Self { seq: Some(seq), anew: false };
                Heard::View(Box::new(view))
            }
            Ok(Envelope::Current { .. }) => {
                self.anew = false;
                Heard::Unchanged
            }
            Ok(Envelope::Bye { code }) => Heard::Bye(code),
            Err(error) => Heard::Strange(error.to_string()),
        }
    }
}

/// Whether a goodbye means that the panel's token no longer holds, rather than that the hub goes away for a while.
fn signs_out(code: &str) -> bool {
    [ProblemCode::SignedOut, ProblemCode::NotAllowed].iter().any(|out| out.as_str() == code)
}

/// Reports the lost pictures whenever they change, and again after the connection was lost (`epoch`). The newest
/// report replaces one that could not be sent.
pub(crate) async fn report(hub: Hub, mut lost: watch::Receiver<(u64, Vec<SourceId>)>) {
    let mut sent: Option<(u64, Vec<SourceId>)> = None;
    while lost.changed().await.is_ok() {
        loop {
            let now = lost.borrow_and_update().clone();
            let nothing_new = sent.as_ref() == Some(&now) || (sent.is_none() && now.1.is_empty());
            if nothing_new || hub.token().is_none() {
                break;
            }
            match hub.report(now.1.clone()).await {
                Ok(()) => sent = Some(now),
                Err(refusal) => {
                    tracing::debug!("report: {refusal}");
                    sleep(PAUSE_MAX).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    const VIEW: &str = r#"{"type":"view","seq":7,"now":1,"view":{"room":"302","join_url":"http://a/join","lesson":null,
        "code":null,"stage":{"layout":1,"tiles":[null]},"voice":null,"marks":{"recording":false,"live":false}}}"#;

    #[test]
    fn views_are_read_and_old_ones_dropped() {
        let seen = |seq| Seen { seq, anew: false };
        assert!(matches!(seen(None).read(VIEW), Heard::View(view) if view.room == "302"));
        assert!(matches!(seen(Some(7)).read(VIEW), Heard::View(..)));
        assert_eq!(seen(Some(8)).read(VIEW), Heard::Old);
        assert_eq!(seen(None).read(r#"{"type":"current","seq":7,"now":1}"#), Heard::Unchanged);
        assert_eq!(seen(None).read(r#"{"type":"bye","code":"signed-out"}"#), Heard::Bye("signed-out".into()));
        for strange in ["", "[]", "{}", r#"{"type":"view","seq":-1}"#] {
            assert!(matches!(seen(None).read(strange), Heard::Strange(_)));
        }
    }

    #[test]
    fn the_first_word_of_a_connection_counts_whatever_its_number() {
        let mut seen = Seen { seq: Some(8), anew: false };
        assert_eq!(seen.read(VIEW), Heard::Old);
        seen.connected();
        assert!(matches!(seen.read(VIEW), Heard::View(_)), "a hub whose clock was set back");
        assert_eq!(seen.seq, Some(7), "from here on its numbers count");
        assert_eq!(seen.read(&VIEW.replace("\"seq\":7", "\"seq\":6")), Heard::Old);
    }

    #[test]
    fn only_some_goodbyes_end_the_pairing() {
        assert!(signs_out("signed-out"));
        assert!(!signs_out("internal"));
        assert!(!signs_out("elsewhere"), "it comes back in a moment");
    }

    #[test]
    fn only_a_young_code_of_a_hub_that_stayed_was_pushed_out() {
        assert!(pushed_out(Duration::from_secs(2), false));
        assert!(!pushed_out(Duration::from_secs(2), true), "the hub may have begun anew");
        assert!(!pushed_out(Duration::from_secs(600), false), "its time was over");
    }

    #[test]
    fn the_socket_s_address_follows_the_hub_s() {
        for (hub, url) in [
            ("http://127.0.0.1:8080/", "ws://127.0.0.1:8080/api/ws?after=3"),
            ("https://a.example/", "wss://a.example/api/ws?after=3"),
        ] {
            let hub = Hub::new(hub.parse().unwrap()).unwrap();
            let request = request(&hub, "secret", Some(3)).unwrap();
            assert_eq!(request.uri(), url);
            assert_eq!(request.headers()[header::AUTHORIZATION], "Bearer secret");
            assert!(super::request(&hub, "line\nbreak", None).is_err());
        }
    }
}
