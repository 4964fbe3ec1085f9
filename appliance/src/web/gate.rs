//! Who is asking: credentials in, [`Who`] out.
//!
//! Students carry signed passes that need no look-up and end with their lesson. Teachers have a cookie, panels and
//! programs a token; those are looked up, so that they can be taken back.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use appliance_core::{
    access::Who,
    crowd::counted,
    home::HomePass,
    room::Pass,
    throttle::{Rule, Tally, Throttle, Verdict},
};
use axum::{
    extract::{ConnectInfo, FromRequestParts, Request},
    http::{HeaderMap, Method, header, request::Parts},
};
use classroom_protocol::{Millis, Problem, ProblemCode, SourceId};
use subtle::ConstantTimeEq as _;

use super::reply::Refusal;
use crate::{
    clock,
    presence::Presence,
    room::RoomHandle,
    staff::{BoxKey, Kind, Token},
    store::{Accounts, Agents, Hash, Panels, Sources, StoreError},
};

/// Name of the teachers' cookie.
pub const COOKIE: &str = "staff";
/// Name of the cookie that carries a student's pass to the library's content, which a player fetches by itself.
pub const LIBRARY_COOKIE: &str = "library";

/// Proves callers. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

struct Inner {
    key: Arc<BoxKey>,
    room: RoomHandle,
    accounts: Accounts,
    panels: Panels,
    sources: Sources,
    agents: Agents,
    ops_token: Option<String>,
    idle: Millis,
    presence: Presence,
}

/// On which kind of listener a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Plain HTTP, bound to a loopback address: someone on the box itself.
    Loopback,
    /// TLS, from anywhere.
    Tls,
    /// Plain HTTP from anywhere, for the page that says why a host does not open.
    Portal,
    /// TLS, from a home through the gateway.
    Homes,
}

/// The certificate that a take-home device has shown in its handshake, checked against the box's authority: SHA-256 of
/// its DER form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceCertificate(pub Hash);

/// A caller's credentials as they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    bearer: Option<String>,
    cookie: Option<String>,
}

impl Proof {
    /// The teachers' cookie, if there was one.
    pub fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
    }
}

impl Gate {
    /// A gate that knows these keys and accounts. Staff are signed out after `idle` without use (R-DATA-6); `presence`
    /// is told from where everyone speaks.
    #[expect(clippy::too_many_arguments, reason = "each kind of caller has a keeper of its own")]
    pub fn new(
        key: Arc<BoxKey>,
        room: RoomHandle,
        accounts: Accounts,
        panels: Panels,
        sources: Sources,
        agents: Agents,
        ops_token: Option<String>,
        idle: Millis,
        presence: Presence,
    ) -> Self {
        Self { inner: Arc::new(Inner { key, room, accounts, panels, sources, agents, ops_token, idle, presence }) }
    }

    /// The credentials of a request: `Authorization: Bearer`, for a WebSocket of a browser the subprotocol
    /// `bearer.…`, and the teachers' cookie.
    pub fn proof(&self, headers: &HeaderMap) -> Proof {
        let text = |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let authorization = text(header::AUTHORIZATION).find_map(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        });
        let subprotocol = || {
            let mut offered = text(header::SEC_WEBSOCKET_PROTOCOL).flat_map(|value| value.split(','));
            offered.find_map(|name| name.trim().strip_prefix("bearer.").map(str::to_owned))
        };
        Proof { bearer: authorization.or_else(subprotocol), cookie: cookie(headers, COOKIE) }
    }

    /// Who is asking. A bearer token outweighs the cookie, so that a student's tab in a teacher's browser is a
    /// student's.
    ///
    /// # Errors
    /// `not-allowed` when a cookie came with a request that another site sent; `internal` when the store fails.
    pub fn who(&self, request: &Request) -> impl Future<Output = Result<Who, Refusal>> + Send + use<> {
        let mut proof = self.proof(request.headers());
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if proof == Proof::default() && reads && request.uri().path().starts_with("/library/") {
            // Good for reading content only, and only what a pass is good for.
            proof.bearer = cookie(request.headers(), LIBRARY_COOKIE);
        }
        let by_cookie = proof.bearer.is_none() && proof.cookie.is_some();
        let refused = by_cookie && foreign(request);
        let operator = proof == Proof::default() && self.inner.ops_token.is_none() && on_the_box(request);
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
        let from_home = request.extensions().get() == Some(&Via::Homes);
        let device = request.extensions().get::<Option<DeviceCertificate>>().copied().flatten();
        let gate = self.clone();
        async move {
            if let Some(DeviceCertificate(hash)) = device {
                let row = gate.inner.agents.by_certificate(hash).await.map_err(|error| Refusal::internal(&error))?;
                return Ok(row.map_or(Who::Nobody, |row| Who::Agent { device: row.device, enrolment: row.enrolment }));
            }
            if refused {
                return Err(ProblemCode::NotAllowed.into());
            }
            if operator {
                return Ok(Who::Ops);
            }
            let who = gate.identify(&proof).await.map_err(|error| Refusal::internal(&error))?;
            let who = if from_home { who.at_the_door_for_homes() } else { who };
            if let Some(address) = peer {
                gate.inner.presence.spoke(address, &who);
            }
            Ok(who)
        }
    }

    /// Whether credentials that were good are good still.
    pub async fn still_holds(&self, proof: &Proof) -> bool {
        // When the store fails a running page is not thrown out; its commands are refused until it is back.
        self.identify(proof).await.map_or(true, |who| who != Who::Nobody)
    }

    async fn identify(&self, proof: &Proof) -> Result<Who, StoreError> {
        let Inner { key, room, accounts, panels, sources, ops_token, idle, .. } = &*self.inner;
        if let Some(bearer) = &proof.bearer {
            if let Ok(claims) = key.verify(bearer, clock::now()) {
                let pass = || claims.seat.map(|seat| Pass { lesson: claims.lesson.clone(), seat, epoch: claims.epoch });
                let seat = claims.seat;
                return Ok(match claims.kind {
                    Kind::Ticket if room.now().lesson_id() == Some(&claims.lesson) => {
                        Who::Ticket { lesson: claims.lesson }
                    }
                    Kind::Ticket => Who::Nobody,
                    Kind::Student => pass().filter(|pass| room.now().holds(pass)).map_or(Who::Nobody, Who::Student),
                    // Whether the link is good still is told with its reason, by the core.
                    Kind::HomeLink => seat.map_or(Who::Nobody, |seat| Who::HomeLink {
                        lesson: claims.lesson,
                        seat,
                        link: claims.epoch,
                    }),
                    Kind::Home => seat
                        .map(|seat| HomePass { lesson: claims.lesson, seat, session: claims.epoch })
                        .filter(|pass| room.now().holds_home(pass))
                        .map_or(Who::Nobody, Who::Home),
                    Kind::WhipKey => pass().filter(|pass| room.now().holds(pass)).map_or(Who::Nobody, Who::SeatKey),
                });
            }
            if key.is_studio_key(bearer) {
                return Ok(Who::Source(SourceId::room()));
            }
            if ops_token.as_ref().is_some_and(|token| token.as_bytes().ct_eq(bearer.as_bytes()).into()) {
                return Ok(Who::Ops);
            }
            let hash = Token::hash(bearer);
            if let Some(panel) = panels.by_token(hash).await? {
                return Ok(Who::Display { id: panel.id });
            }
            return Ok(sources.by_key(hash).await?.map_or(Who::Nobody, |source| Who::Source(source.source)));
        }
        let Some(cookie) = &proof.cookie else { return Ok(Who::Nobody) };
        let session = accounts.session(Token::hash(cookie), clock::now(), *idle).await?;
        Ok(session.map_or(Who::Nobody, |session| Who::Staff {
            id: session.staff,
            name: session.name,
            roles: session.roles,
        }))
    }
}

fn cookie(headers: &HeaderMap, wanted: &str) -> Option<String> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == wanted).then(|| value.to_owned())
    })
}

/// Whether someone on the box itself asks for the metrics. The host's name is looked at because a page from afar can
/// have its own name point to 127.0.0.1.
fn on_the_box(request: &Request) -> bool {
    let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    request.uri().path() == "/metrics"
        && request.extensions().get() == Some(&Via::Loopback)
        && matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

/// Whether a request that carries the cookie was sent by another site. Browsers say so; what changes nothing and
/// opens no socket may come from anywhere.
fn foreign(request: &Request) -> bool {
    let headers = request.headers();
    let harmless = matches!(*request.method(), Method::GET | Method::HEAD) && !headers.contains_key(header::UPGRADE);
    if harmless {
        return false;
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let host = text("host").map(str::to_owned).or_else(|| request.uri().authority().map(ToString::to_string));
    match (text("origin"), host) {
        (Some(origin), Some(host)) => origin.split_once("://").is_none_or(|(_, name)| name != host),
        // No browser: curl and our own programs send neither header, and have no cookie jar to be misused.
        (None, _) => false,
        (Some(_), None) => true,
    }
}

/// The address of the caller.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

impl Peer {
    /// What tries of this caller are counted under: a host of IPv6 has a whole /64 of addresses to come from.
    pub fn slate(self) -> String {
        counted(self.0).to_string()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let info = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(info.map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(address)| address.ip().to_canonical())))
    }
}

/// Counts wrong codes and passwords, by who tries and all together.
#[derive(Clone)]
pub struct Guesses(Arc<Mutex<Slates>>);

struct Slates {
    throttle: Throttle<String>,
    /// What is guessed at, where that changes.
    about: String,
}

/// So many who tried wrong are remembered; the oldest is forgotten first.
const REMEMBERED: usize = 4096;

impl Guesses {
    /// Nobody has guessed yet.
    pub fn new(each: Rule, all: Option<Rule>) -> Self {
        let slates = Slates { throttle: Throttle::new(each, all, REMEMBERED), about: String::new() };
        Self(Arc::new(Mutex::new(slates)))
    }

    /// Whether `who` may try. The try counts as wrong until [`Self::succeeded`] is called.
    ///
    /// # Errors
    /// `too-many-tries` with how long to wait.
    pub fn attempt(&self, who: &str, now: Millis) -> Result<(), Refusal> {
        match self.lock().throttle.attempt(&who.to_owned(), now) {
            Verdict::Allow => Ok(()),
            Verdict::Deny { retry_after } => {
                Err(Problem::new(ProblemCode::TooManyTries).retry_after(retry_after).into())
            }
        }
    }

    /// What `who` has on the slate, to be kept across a restart.
    pub fn tally(&self, who: &str) -> Option<Tally> {
        self.lock().throttle.tally(&who.to_owned())
    }

    /// Puts a kept slate back.
    pub fn restore(&self, who: String, tally: Tally) {
        self.lock().throttle.restore(who, tally);
    }

    /// The latest try of `who` was right.
    pub fn succeeded(&self, who: &str) {
        self.lock().throttle.succeeded(&who.to_owned());
    }

    /// What is guessed at now. When that is another thing than before, what all together have guessed wrong counts no more.
    pub fn about(&self, what: &str) {
        let mut slates = self.lock();
        if slates.about != what {
            what.clone_into(&mut slates.about);
            slates.throttle.begin_anew();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Slates> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_host_of_ipv6_has_one_slate_however_many_addresses_it_comes_from() {
        let guesses = Guesses::new(Rule::CODE, None);
        let peer = |n: u16| Peer(IpAddr::from([0x2001, 0xdb8, 0, 1, n, 0, 0, n]));
        let tried = (0..1000).filter(|n| guesses.attempt(&peer(*n).slate(), 0).is_ok()).count();
        assert_eq!(tried, 5);
        assert!(guesses.attempt(&Peer(IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1])).slate(), 0).is_ok());
        assert_eq!(Peer(IpAddr::from([10, 0, 0, 7])).slate(), "10.0.0.7");
    }

    #[test]
    fn with_a_new_room_code_the_class_comes_in_whatever_was_guessed_before() {
        let guesses = Guesses::new(Rule::CODE, Some(Rule::CODE_ALL));
        guesses.about("123456");
        let tried = (0..1000).filter(|n| guesses.attempt(&format!("guesser {n}"), 0).is_ok()).count();
        assert_eq!(tried, 100);
        guesses.about("123456");
        assert!(guesses.attempt("a student", 0).is_err());
        guesses.about("654321");
        assert!(guesses.attempt("a student", 0).is_ok());
        guesses.attempt("guesser 0", 0).unwrap_or_else(|_| panic!("one wrong try is no reason to wait"));
    }
}
