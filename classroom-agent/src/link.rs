//! The link to the box: HTTPS with both certificates.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use appliance_core::{agent::Report, policy::Lesson};
use classroom_protocol::{
    Problem, ProblemCode,
    agent::{Delivered, Enrol, EnrolCode, Enrolled, NAME, Sync, Synced, paths},
};
use reqwest::{Client, Method, StatusCode};
use serde::{Serialize, de::DeserializeOwned};

use crate::{keep::Identity, trust, words::ForPeople};

/// An answer takes no longer than this.
const ANSWER: Duration = Duration::from_secs(8);
/// A box in the room answers a call within this time.
const CONNECT: Duration = Duration::from_secs(3);

/// One way to the box.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    client: Client,
    base: String,
}

/// Why nothing was done.
#[derive(Debug)]
pub(crate) enum LinkError {
    /// Nobody answered, or not in time.
    Nobody(anyhow::Error),
    /// Someone answered who is not the box.
    Impostor,
    /// The box does not know this device any more.
    Forgotten,
    /// The box refuses.
    Refused(Box<Problem>),
}

impl std::fmt::Display for LinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nobody(error) => write!(f, "no box answers: {error:#}"),
            Self::Impostor => f.write_str("someone answers who is not this device's box: refused"),
            Self::Forgotten => f.write_str("the box does not know this device any more; ask the school"),
            Self::Refused(problem) => write!(f, "the box refuses: {}", problem.title),
        }
    }
}

impl std::error::Error for LinkError {}

/// The addresses of a `name:port`.
pub(crate) async fn addresses(of: &str) -> Vec<SocketAddr> {
    tokio::net::lookup_host(of).await.map(Iterator::collect).unwrap_or_default()
}

impl Link {
    fn new(at: SocketAddr, tls: rustls::ClientConfig) -> Result<Self> {
        // Every box has the same name in its certificate; its address is what differs.
        let client = Client::builder()
            .use_preconfigured_tls(tls)
            .resolve(NAME, at)
            .no_proxy()
            .timeout(ANSWER)
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(1)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { client, base: format!("https://{NAME}:{}", at.port()) })
    }

    /// To the box of this identity at `at`.
    pub(crate) fn known(identity: &Identity, at: SocketAddr) -> Result<Self> {
        Self::new(at, trust::known(identity)?)
    }

    /// The device's state against what it is to know.
    pub(crate) async fn sync(&self, body: &Sync) -> Result<Synced<Lesson>, LinkError> {
        self.call(Method::POST, paths::SYNC, Some(body)).await
    }

    /// Records.
    pub(crate) async fn deliver(&self, reports: &[Report]) -> Result<Delivered, LinkError> {
        self.call(Method::POST, paths::EVENTS, Some(&reports)).await
    }

    /// Ends the enrolment.
    pub(crate) async fn leave(&self) -> Result<(), LinkError> {
        self.send(Method::DELETE, paths::SELF, None::<&()>).await.map(drop)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, LinkError> {
        let answer = self.send(method, path, body).await?;
        serde_json::from_slice(&answer).map_err(|error| LinkError::Nobody(anyhow!("an answer that is none: {error}")))
    }

    async fn send(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<Vec<u8>, LinkError> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(failed)?;
        if status.is_success() {
            return Ok(bytes.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            return Err(LinkError::Forgotten);
        }
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) if problem.code == ProblemCode::Internal => {
                Err(LinkError::Nobody(anyhow!("the box has failed")))
            }
            Ok(problem) => Err(LinkError::Refused(Box::new(problem))),
            Err(_) => Err(LinkError::Nobody(anyhow!("the answer is {status}"))),
        }
    }
}

fn failed(error: reqwest::Error) -> LinkError {
    if trust::is_impostor(&error) { LinkError::Impostor } else { LinkError::Nobody(error.into()) }
}

/// What who types the code is told.
fn refused(problem: &Problem) -> ForPeople {
    match problem.code {
        ProblemCode::WrongCode => ForPeople::new("agent.error.code", &[]),
        ProblemCode::TooManyTries => ForPeople::new("agent.error.tries", &[]),
        other => ForPeople::new("agent.error.refused", &[("code", other.as_str())]),
    }
}

/// Enrols at one of these addresses: the identity and the first orders.
///
/// # Errors
/// What the last one said.
pub(crate) async fn enrol(
    code: &EnrolCode,
    at: &[SocketAddr],
) -> Result<(Identity, classroom_protocol::agent::Signed)> {
    let (key, request) = trust::new_key()?;
    let mut last = ForPeople::new("agent.error.no-box", &[]);
    for address in at {
        let (tls, found) = trust::by_print(code.print)?;
        let link = Link::new(*address, tls)?;
        let body = Enrol { code: code.secret.clone(), request: request.clone() };
        match link.call::<Enrolled>(Method::POST, paths::ENROL, Some(&body)).await {
            Ok(enrolled) => {
                let identity = Identity {
                    device: enrolled.device,
                    authority: found.authority().context("the box showed no authority")?,
                    certificate: enrolled.certificate,
                    key,
                    orders_key: enrolled.orders_key,
                    newest: 0,
                    met_at: vec![address.to_string()],
                };
                return Ok((identity, enrolled.orders));
            }
            Err(LinkError::Refused(problem)) => return Err(refused(&problem).into()),
            Err(error) => {
                tracing::debug!(%error, %address, "not enrolled there");
                let key =
                    if matches!(error, LinkError::Impostor) { "agent.error.impostor" } else { "agent.error.nobody" };
                last = ForPeople::new(key, &[("address", &address.to_string())]);
            }
        }
    }
    Err(last.into())
}
