//! The hub's HTTP side as the panel uses it: pairing, reports, WHEP.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use classroom_protocol::{
    Problem, ProblemCode, SourceId,
    panel::{PairDone, PairRequest, PairWaiting, PanelReport},
};
use reqwest::{
    Method, RequestBuilder, Response, StatusCode, Url,
    header::{CONTENT_TYPE, LOCATION, RETRY_AFTER},
};

use crate::{slot::lock, stage::Layer};

/// A hub that does not take the connection within this time is away.
const CONNECT: Duration = Duration::from_millis(700);
/// Nothing that the panel asks takes longer.
const ANSWER: Duration = Duration::from_secs(3);
/// Longest answer that is read, in bytes.
const LONGEST: usize = 256 * 1024;

/// Why the hub did not do it.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Nobody publishes this source now; ask again after this time.
    Silent(Duration),
    /// The panel's token does not hold (any more): pair anew.
    SignedOut,
    /// There is no such thing (any more).
    Gone,
    /// The hub said no; ask again later.
    No(String),
    /// The hub can't be reached.
    Away(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silent(_) => f.write_str("nobody publishes this source now"),
            Self::SignedOut => f.write_str("the panel is no longer paired"),
            Self::Gone => f.write_str("no such thing at the hub"),
            Self::No(why) => write!(f, "the hub says no: {why}"),
            Self::Away(why) => write!(f, "the hub can't be reached: {why}"),
        }
    }
}

impl std::error::Error for Refusal {}

/// One hub and the panel's standing with it. Clones share both.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    base: Url,
    http: reqwest::Client,
    token: Arc<Mutex<Option<String>>>,
}

/// A WHEP session.
#[derive(Debug)]
pub(crate) struct Session {
    url: Url,
    /// The hub's SDP answer.
    pub(crate) answer: String,
}

impl Hub {
    /// A hub at this address, `http` or `https`.
    pub(crate) fn new(base: Url) -> Result<Self, reqwest::Error> {
        // Fails only when a provider is there already, which is as good.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("display-client/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { base, http, token: Arc::default() })
    }

    /// The hub's address.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// The panel's token, while it is paired.
    pub(crate) fn token(&self) -> Option<String> {
        lock(&self.token).clone()
    }

    /// From now on this is the panel's token.
    pub(crate) fn set_token(&self, token: Option<String>) {
        *lock(&self.token) = token;
    }

    fn url(&self, path: &str) -> Result<Url, Refusal> {
        self.base.join(path).map_err(|error| Refusal::No(error.to_string()))
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        match self.token() {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Asks to be paired under this name.
    pub(crate) async fn pair(&self, name: &str) -> Result<PairWaiting, Refusal> {
        let request = PairRequest { name: name.chars().take(40).collect() };
        let body = answer(self.http.post(self.url("api/panel/pair")?).json(&request)).await?.1;
        parse(&body)
    }

    /// Whether the pairing has been approved: `None` while it is waiting.
    pub(crate) async fn paired(&self, waiting: &PairWaiting) -> Result<Option<PairDone>, Refusal> {
        let mut url = self.url("api/panel/pair/")?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(&waiting.id);
        }
        let (head, body) = answer(self.http.get(url)).await?;
        if head.status() == StatusCode::ACCEPTED { Ok(None) } else { parse(&body).map(Some) }
    }

    /// Tells which pictures are lost.
    pub(crate) async fn report(&self, lost: Vec<SourceId>) -> Result<(), Refusal> {
        let request = self.request(Method::POST, self.url("api/panel/report")?).json(&PanelReport { lost });
        answer(request).await.map(drop)
    }

    /// Opens a WHEP session for a source with this SDP offer.
    pub(crate) async fn watch(&self, source: &SourceId, offer: String) -> Result<Session, Refusal> {
        let url = self.url(&format!("whep/{source}"))?;
        let request = self.request(Method::POST, url.clone()).header(CONTENT_TYPE, "application/sdp").body(offer);
        let (head, body) = answer(request).await?;
        let place = head.headers().get(LOCATION).and_then(|place| place.to_str().ok());
        let session = place.and_then(|place| url.join(place).ok()).filter(|place| place.origin() == url.origin());
        match session {
            Some(url) => Ok(Session { url, answer: String::from_utf8_lossy(&body).into_owned() }),
            None => Err(Refusal::No("a WHEP session without a Location of the hub's own".into())),
        }
    }

    /// Asks for no more than this simulcast layer.
    pub(crate) async fn limit(&self, session: &Session, layer: Layer) -> Result<(), Refusal> {
        let mut url = session.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.push("layer");
        }
        let max = match layer {
            Layer::Middle => "m",
            Layer::High => "h",
        };
        let body = serde_json::json!({ "max": max });
        answer(self.request(Method::POST, url).json(&body)).await.map(drop)
    }

    /// Ends a WHEP session.
    pub(crate) async fn leave(&self, session: Session) -> Result<(), Refusal> {
        answer(self.request(Method::DELETE, session.url)).await.map(drop)
    }
}

/// Sends a request; the head and body of a good answer, or why there is none.
async fn answer(request: RequestBuilder) -> Result<(Response, Vec<u8>), Refusal> {
    let away = |error: reqwest::Error| Refusal::Away(reason(&error));
    let mut response = request.send().await.map_err(away)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(away)? {
        body.extend_from_slice(&chunk);
        if body.len() > LONGEST {
            return Err(Refusal::No("an endless answer".into()));
        }
    }
    if response.status().is_success() {
        return Ok((response, body));
    }
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Err(refusal(response.status(), seconds, &body))
}

/// What a bad answer means for the panel.
fn refusal(status: StatusCode, retry_after: Option<u64>, body: &[u8]) -> Refusal {
    let problem = serde_json::from_slice::<Problem>(body).ok();
    let code = problem.as_ref().map(|problem| problem.code);
    let wait = retry_after.or(problem.as_ref().and_then(|problem| problem.retry_after.map(u64::from)));
    match (status, code) {
        (StatusCode::NOT_FOUND, Some(ProblemCode::SourceSilent)) => {
            Refusal::Silent(Duration::from_secs(wait.unwrap_or(1)))
        }
        (StatusCode::NOT_FOUND, _) => Refusal::Gone,
        (StatusCode::UNAUTHORIZED, _) => Refusal::SignedOut,
        _ => Refusal::No(problem.map_or_else(|| status.to_string(), |problem| problem.title)),
    }
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::No(format!("an answer of another form: {error}")))
}

/// The innermost cause: reqwest's own words name only the address.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_silent_source_a_lost_token_and_a_missing_session_are_told_apart() {
        let body = |code| serde_json::to_vec(&Problem::new(code)).unwrap();
        let silent = refusal(StatusCode::NOT_FOUND, Some(2), &body(ProblemCode::SourceSilent));
        assert!(matches!(silent, Refusal::Silent(wait) if wait == Duration::from_secs(2)));
        assert!(matches!(refusal(StatusCode::NOT_FOUND, None, &body(ProblemCode::NotFound)), Refusal::Gone));
        assert!(matches!(refusal(StatusCode::NOT_FOUND, None, b"<html>"), Refusal::Gone));
        assert!(matches!(refusal(StatusCode::UNAUTHORIZED, None, b""), Refusal::SignedOut));
        let full = refusal(StatusCode::SERVICE_UNAVAILABLE, Some(5), &body(ProblemCode::Full));
        assert!(matches!(full, Refusal::No(_)));
    }
}
