//! One question in, one answer out: decided first, then the box's own names, the cache, the name servers above.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use appliance_core::policy;
use hickory_server::{
    net::runtime::Time,
    proto::{
        op::{Edns, MessageType, Metadata, OpCode, ResponseCode},
        rr::{DNSClass, LowerName, Name, RData, Record, RecordType, rdata::opt::EdnsOption},
    },
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};

use super::{
    above::Own,
    cache::{Cache, Entry, Found, STALE_TTL},
    names,
    notices::Notices,
    state::{Rules, Verdict},
    upstream::Upstream,
};
use crate::clock;

/// TTL of a refusal, in seconds: the teacher's tap counts at once.
const REFUSED_TTL: u32 = 1;
/// TTL of the box's own names, in seconds.
const OWN_TTL: u32 = 60;
/// A client waits so long for a fresh answer while there is a stale one (RFC 8767 §5, client response timer).
const PATIENCE: Duration = Duration::from_millis(1_800);
/// A client waits so long when there is none.
const LONG_PATIENCE: Duration = Duration::from_millis(4_500);
/// So many questions are asked above at once; what is more is answered with SERVFAIL.
const ASKING: usize = 512;
/// The largest answer by UDP (DNS flag day 2020).
const PAYLOAD: u16 = 1232;

/// Extended DNS errors (RFC 8914 §4).
mod extended {
    pub(super) const STALE: u16 = 3;
    pub(super) const NOT_READY: u16 = 14;
    pub(super) const BLOCKED: u16 = 15;
    pub(super) const STALE_NXDOMAIN: u16 = 19;
    pub(super) const NO_REACHABLE_AUTHORITY: u16 = 22;
}

/// Answers everyone in the room. Clones are the same one.
#[derive(Clone)]
pub(super) struct Handler {
    pub(super) state: watch::Receiver<Option<Arc<Rules>>>,
    pub(super) cache: Arc<Cache>,
    /// `None` while there is nobody to ask.
    pub(super) upstream: watch::Receiver<Option<Arc<Upstream>>>,
    own: Own,
    pub(super) notices: Arc<Notices>,
    asking: Arc<Semaphore>,
}

struct Answer {
    code: ResponseCode,
    own: bool,
    answers: Vec<Record>,
    authorities: Arc<[Record]>,
    extended: Option<(u16, String)>,
}

impl Answer {
    fn new(code: ResponseCode) -> Self {
        Self { code, own: false, answers: vec![], authorities: Arc::from(Vec::new()), extended: None }
    }

    fn told(self, code: u16, text: impl Into<String>) -> Self {
        Self { extended: Some((code, text.into())), ..self }
    }

    fn from_entry(entry: &Entry, ttl: u32) -> Self {
        let answers = entry.answers.iter().map(|record| {
            let mut record = record.clone();
            record.ttl = ttl;
            record
        });
        Self { answers: answers.collect(), authorities: entry.authorities.clone(), ..Self::new(entry.code) }
    }
}

impl Handler {
    pub(super) fn new(
        state: watch::Receiver<Option<Arc<Rules>>>,
        upstream: watch::Receiver<Option<Arc<Upstream>>>,
        own: Own,
        notices: Notices,
    ) -> Self {
        let asking = Arc::new(Semaphore::new(ASKING));
        Self { state, cache: Arc::default(), upstream, own, notices: Arc::new(notices), asking }
    }

    async fn answer(&self, request: &Request) -> Answer {
        if request.metadata.message_type != MessageType::Query || request.metadata.op_code != OpCode::Query {
            return Answer::new(ResponseCode::NotImp);
        }
        let Ok(info) = request.request_info() else { return Answer::new(ResponseCode::FormErr) };
        let (name, kind) = (info.query.name(), info.query.query_type());
        if info.query.query_class() != DNSClass::IN {
            return Answer::new(ResponseCode::Refused);
        }
        if matches!(kind, RecordType::ANY | RecordType::AXFR | RecordType::IXFR | RecordType::OPT) {
            return Answer::new(ResponseCode::NotImp);
        }
        let asker = info.src.ip().to_canonical();
        let Some(state) = self.state.borrow().clone() else {
            return Answer::new(ResponseCode::ServFail)
                .told(extended::NOT_READY, "the box has not given its rules yet");
        };
        let text = names::text(name);
        if state.is_own(&text) {
            return portal(&state, name, kind, asker, OWN_TTL);
        }
        // The box's own programs, also where the network hands the box out as its own name server: the rules are for the
        // room's devices.
        if asker.is_loopback() || self.own.borrow().contains(&asker.to_canonical()) {
            return self.look_up(name, kind, u32::MAX).await;
        }
        let now = clock::now();
        let verdict = state.decide(&text, asker, now);
        self.notices.tell(asker, &text, &verdict.decision, &state, now);
        if !verdict.decision.allow {
            return refused(&state, &verdict, name, kind, asker);
        }
        self.look_up(name, kind, policy::keep_for(&verdict.decision, now)).await
    }

    async fn look_up(&self, name: &LowerName, kind: RecordType, longest: u32) -> Answer {
        let stale = match self.cache.get(name, kind, Instant::now()) {
            Found::Fresh(entry, left) => return Answer::from_entry(&entry, left.min(longest)),
            Found::Stale(entry) => Some(entry),
            Found::Nothing => None,
        };
        let old = |entry: Entry| {
            let code = if entry.code == ResponseCode::NXDomain { extended::STALE_NXDOMAIN } else { extended::STALE };
            Answer::from_entry(&entry, STALE_TTL.min(longest)).told(code, "the uplink does not answer")
        };
        let Some(upstream) = self.upstream.borrow().clone() else {
            return stale.map_or_else(
                || {
                    Answer::new(ResponseCode::ServFail)
                        .told(extended::NO_REACHABLE_AUTHORITY, "the box knows no name server but itself")
                },
                old,
            );
        };
        if upstream.pauses()
            && let Some(entry) = stale
        {
            return old(entry);
        }
        let Ok(place) = self.asking.clone().try_acquire_owned() else {
            return stale.map_or_else(|| Answer::new(ResponseCode::ServFail), old);
        };
        let cache = self.cache.clone();
        let (asked, patience) = (name.clone(), if stale.is_some() { PATIENCE } else { LONG_PATIENCE });
        // It goes on when the client has been answered: the next one gets the fresh answer.
        let asking = tokio::spawn(async move {
            let _place = place;
            let entry = upstream.ask(&asked, kind).await?;
            cache.put(asked, kind, entry.clone(), Instant::now());
            Some(entry)
        });
        match timeout(patience, asking).await {
            Ok(Ok(Some(entry))) => {
                let ttl = u32::try_from(entry.ttl.as_secs()).unwrap_or(u32::MAX);
                Answer::from_entry(&entry, ttl.min(longest))
            }
            _ => match stale {
                Some(entry) => old(entry),
                None => Answer::new(ResponseCode::ServFail)
                    .told(extended::NO_REACHABLE_AUTHORITY, "the uplink does not answer"),
            },
        }
    }
}

/// The box's own address: for its names, and for what is refused, so that people are told why.
fn portal(state: &Rules, name: &LowerName, kind: RecordType, asker: IpAddr, ttl: u32) -> Answer {
    let address = match kind {
        RecordType::A => state.portal(asker, true),
        RecordType::AAAA => state.portal(asker, false),
        _ => None,
    };
    let data = address.map(|address| match address {
        IpAddr::V4(address) => RData::A(address.into()),
        IpAddr::V6(address) => RData::AAAA(address.into()),
    });
    let answers = data.map(|data| Record::from_rdata(Name::from(name.clone()), ttl, data)).into_iter().collect();
    Answer { answers, own: true, ..Answer::new(ResponseCode::NoError) }
}

fn refused(state: &Rules, verdict: &Verdict, name: &LowerName, kind: RecordType, asker: IpAddr) -> Answer {
    let answer = if verdict.silent {
        Answer::new(ResponseCode::NXDomain)
    } else {
        portal(state, name, kind, asker, REFUSED_TTL)
    };
    answer.told(extended::BLOCKED, policy::refusal(&verdict.decision))
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut reply: R) -> ResponseInfo {
        let answer = self.answer(request).await;
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = answer.code;
        metadata.recursion_available = true;
        metadata.authoritative = answer.own;
        // Only who speaks EDNS gets it back (RFC 6891 §7).
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(asked.max_payload().clamp(512, PAYLOAD));
            if let Some((code, text)) = &answer.extended {
                let mut bytes = code.to_be_bytes().to_vec();
                bytes.extend_from_slice(text.as_bytes());
                edns.options_mut().insert(EdnsOption::Unknown(15, bytes));
            }
            edns
        });
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &edns {
            builder.edns(edns);
        }
        let message = builder.build(metadata, &answer.answers, answer.authorities.iter(), [], []);
        match reply.send_response(message).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%error, "an answer could not be sent");
                hickory_server::proto::op::Header { metadata, counts: Default::default() }.into()
            }
        }
    }
}
