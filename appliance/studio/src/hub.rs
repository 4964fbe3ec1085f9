//! The hub's HTTP side as a source uses it: is there a lesson, WHIP, and whether the session lives (RFC 9725).

use std::time::Duration;

use anyhow::{Context, Result, bail};
use classroom_protocol::{Problem, view::RoomInfo};
use reqwest::{
    Method, RequestBuilder, StatusCode, Url,
    header::{CONTENT_TYPE, ETAG, IF_MATCH, LOCATION},
};

use crate::options::Options;

/// A hub that does not answer within this time is away.
const ANSWER: Duration = Duration::from_secs(3);

/// The hub.
pub(crate) struct Hub {
    base: Url,
    endpoint: Url,
    key_file: std::path::PathBuf,
    http: reqwest::Client,
}

/// A WHIP session.
pub(crate) struct Session {
    url: Url,
    etag: String,
    /// The hub's SDP answer.
    pub(crate) answer: String,
}

impl Hub {
    /// The hub of these options.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        // Fails only when a provider is there already, which is as good.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let http = reqwest::Client::builder()
            .timeout(ANSWER)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("studio/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let endpoint = options.hub.join(&format!("whip/{}", options.source))?;
        Ok(Self { base: options.hub.clone(), endpoint, key_file: options.key_file.clone(), http })
    }

    /// Whether a lesson runs: outside of lessons nothing is published (R-POL-7).
    pub(crate) async fn lesson(&self) -> Result<bool> {
        let reply = self.http.get(self.base.join("api/room")?).send().await?.error_for_status()?;
        Ok(reply.json::<RoomInfo>().await?.lesson)
    }

    /// The key is read each time: a teacher may have made a new one.
    fn with_key(&self, request: RequestBuilder) -> Result<RequestBuilder> {
        let key = std::fs::read_to_string(&self.key_file);
        let key = key.with_context(|| format!("the key {} can't be read", self.key_file.display()))?;
        Ok(request.bearer_auth(key.trim()))
    }

    /// Publishes with this offer.
    pub(crate) async fn publish(&self, offer: String) -> Result<Session> {
        let request = self.http.post(self.endpoint.clone()).header(CONTENT_TYPE, "application/sdp").body(offer);
        let reply = self.with_key(request)?.send().await?;
        let status = reply.status();
        let header = |name| reply.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (place, etag) = (header(LOCATION), header(ETAG));
        let body = reply.text().await?;
        if status != StatusCode::CREATED {
            let problem = serde_json::from_str::<Problem>(&body).ok();
            bail!("the hub says no: {}", problem.map_or_else(|| status.to_string(), |problem| problem.title));
        }
        let url = place.and_then(|place| self.endpoint.join(&place).ok());
        let url = url.filter(|url| url.origin() == self.endpoint.origin());
        let url = url.context("a WHIP session without a Location of the hub's own")?;
        Ok(Session { url, etag: etag.unwrap_or_else(|| "\"\"".into()), answer: body })
    }

    /// Whether the hub still knows the session. Says again that there are no more candidates, which changes nothing.
    pub(crate) async fn lives(&self, session: &Session) -> Result<bool> {
        let request = self.http.request(Method::PATCH, session.url.clone());
        let request = request.header(CONTENT_TYPE, "application/trickle-ice-sdpfrag").header(IF_MATCH, &session.etag);
        let reply = self.with_key(request.body("a=end-of-candidates\r\n"))?.send().await?;
        // Another entity tag is another state of a session that lives.
        Ok(reply.status().is_success() || reply.status() == StatusCode::PRECONDITION_FAILED)
    }

    /// Ends a session; when the hub does not hear it, it finds out by itself.
    pub(crate) async fn leave(&self, session: Session) {
        let request = self.with_key(self.http.delete(session.url));
        if let Ok(request) = request
            && let Err(error) = request.send().await
        {
            tracing::debug!(%error, "the session was not ended");
        }
    }
}
