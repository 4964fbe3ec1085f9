//! The rules for people: what applies now, why something does not open, what was refused.

use std::sync::Arc;

use appliance_core::policy::host_name;
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
};
use classroom_protocol::{
    Millis, Problem, ProblemCode,
    policy::{PolicyFiles, PolicyView, Refused, UnusedDocument, Why},
};
use serde::Deserialize;
use tokio::sync::watch;

use super::{gate::Peer, pages, reply::Refusal};
use crate::{clock, dns::Rules, policy::Refusals};

/// A student is shown what was refused in this time.
const LATELY: Millis = 30 * 60_000;

/// What these routes need.
#[derive(Clone)]
pub struct PolicyState {
    /// The rules as they apply now; none in the first moments.
    pub rules: watch::Receiver<Option<Arc<Rules>>>,
    /// Why the document in the school's file is not the one that counts.
    pub unused: watch::Receiver<Option<UnusedDocument>>,
    /// What was refused lately.
    pub refusals: Refusals,
    /// Address of the students' page, for who types the box's name without https.
    pub join_url: String,
    /// Port of the plain pages that refused hosts lead to.
    pub portal_port: u16,
}

impl PolicyState {
    fn rules(&self) -> Result<Arc<Rules>, ProblemCode> {
        self.rules.borrow().clone().ok_or(ProblemCode::NotReady)
    }
}

fn fresh(body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `GET /policy`: what applies now?
pub async fn page() -> Response {
    pages::page("policy.html")
}

/// `GET /why`: why a host does not open.
pub async fn why_page() -> Response {
    pages::page("why.html")
}

/// Whose rules are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Of {
    /// Those of the asker's device.
    #[default]
    Me,
    /// Those of a device of the class, also when the asker has a teacher's.
    Class,
}

/// For whom.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct For {
    #[serde(default)]
    of: Of,
}

/// `GET /api/policy`: what applies to the asker's device now; with `?of=class` to a device of the class.
///
/// # Errors
/// `not-ready` in the first moments of the box.
pub async fn view(
    State(state): State<PolicyState>,
    peer: Peer,
    asked: Result<Query<For>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(For { of }) = asked.map_err(|_| Problem::new(ProblemCode::BadInput).field("of"))?;
    let rules = state.rules()?;
    let view: PolicyView = match of {
        Of::Me => rules.view(peer.0, clock::now()),
        Of::Class => rules.class_view(clock::now()),
    };
    Ok(fresh(axum::Json(view)))
}

/// Which host is asked about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    host: String,
    #[serde(default)]
    of: Of,
}

/// `GET /api/policy/why?host=…`.
///
/// # Errors
/// `bad-input` when it is no name of a host, `not-ready`.
pub async fn why(
    State(state): State<PolicyState>,
    peer: Peer,
    about: Result<Query<About>, QueryRejection>,
) -> Result<Response, Refusal> {
    let wrong = || Problem::new(ProblemCode::BadInput).field("host");
    let Query(About { host, of }) = about.map_err(|_| wrong())?;
    let host = host_name(&host).map_err(|_| wrong())?;
    let (rules, now) = (state.rules()?, clock::now());
    let decision = match of {
        Of::Me => rules.decide(&host, peer.0, now).decision,
        Of::Class => rules.decide_for_class(&host, now),
    };
    let clause = rules.clause(&decision.rule);
    Ok(fresh(axum::Json(Why { host, decision, clause })))
}

/// `GET /api/policy/mine`: what was refused to the asker's device lately.
pub async fn mine(State(state): State<PolicyState>, peer: Peer) -> Response {
    let notices = state.refusals.of(peer.0, clock::now().saturating_sub(LATELY));
    let refused = |notice: classroom_protocol::policy::Notice| Refused {
        at: notice.at,
        name: notice.name,
        decision: notice.decision,
    };
    fresh(axum::Json(notices.into_iter().map(refused).collect::<Vec<_>>()))
}

/// `GET /api/policy/files`: whether the school's document and lists are what counts.
///
/// # Errors
/// `not-ready` in the first moments of the box.
pub async fn files(State(state): State<PolicyState>) -> Result<Response, Refusal> {
    let rules = state.rules()?;
    let revision = rules.document().revision.clone();
    let unused = state.unused.borrow().clone();
    Ok(fresh(axum::Json(PolicyFiles { revision, unused, lists: rules.lists() })))
}

/// What lands on the plain pages: a refused host, or someone who typed the box's name without https.
pub async fn astray(State(state): State<PolicyState>, peer: Peer, headers: HeaderMap) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host_name(host.rsplit_once(':').map_or(host, |(name, _)| name)).ok();
    let rules = state.rules.borrow().clone();
    let (Some(name), Some(rules)) = (name, rules) else { return fresh(Redirect::temporary(&state.join_url)) };
    if rules.is_own(&name) {
        return fresh(Redirect::temporary(&state.join_url));
    }
    // By the box's address: the name may lead elsewhere in a moment.
    let origin = match (rules.portal(peer.0, peer.0.is_ipv4()), state.portal_port) {
        (Some(std::net::IpAddr::V6(address)), port) => format!("http://[{address}]:{port}"),
        (Some(address), 80) => format!("http://{address}"),
        (Some(address), port) => format!("http://{address}:{port}"),
        (None, _) => String::new(),
    };
    fresh(Redirect::temporary(&format!("{origin}/why?host={name}")))
}
