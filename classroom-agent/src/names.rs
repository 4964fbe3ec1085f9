//! The device's DNS: each question is decided first, then asked above (R-POL-18). Answers of platforms are good for a
//! minute at most, so that use is seen while it lasts.

use std::sync::Arc;

use appliance_core::policy::{ends_in, refusal};
use hickory_server::{
    net::runtime::Time,
    proto::{
        op::{Edns, MessageType, Metadata, OpCode, ResponseCode},
        rr::{DNSClass, Record, rdata::opt::EdnsOption},
    },
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};
use tokio::sync::Semaphore;

use crate::{forward, state::Shared};

/// Answers of platforms are good for so long, in seconds.
const SEEN_TTL: u32 = 60;
/// The largest answer by UDP (DNS flag day 2020).
const PAYLOAD: u16 = 1232;
/// Questions that are asked above at once; what is more is answered with SERVFAIL.
const ASKING: usize = 64;
/// Extended DNS errors (RFC 8914 §4).
const FILTERED: u16 = 17;
const NO_REACHABLE_AUTHORITY: u16 = 22;

/// Answers this device.
pub(crate) struct Names {
    shared: Shared,
    asking: Arc<Semaphore>,
}

#[derive(Default)]
struct Answer {
    code: Option<ResponseCode>,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    extended: Option<(u16, String)>,
}

impl Names {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared, asking: Arc::new(Semaphore::new(ASKING)) }
    }

    async fn answer(&self, request: &Request) -> Answer {
        let only = |code| Answer { code: Some(code), ..Answer::default() };
        if request.metadata.message_type != MessageType::Query || request.metadata.op_code != OpCode::Query {
            return only(ResponseCode::NotImp);
        }
        let Ok(info) = request.request_info() else { return only(ResponseCode::FormErr) };
        if info.query.query_class() != DNSClass::IN {
            return only(ResponseCode::Refused);
        }
        // As rules write it: other scripts as `xn--…`, which `to_string` would undo.
        let mut name = info.query.name().to_ascii();
        if name.ends_with('.') {
            name.pop();
        }
        let asked = self.shared.asked(&name);
        if let Some(decision) = asked.decision.filter(|decision| !decision.allow) {
            return Answer { extended: Some((FILTERED, refusal(&decision))), ..only(ResponseCode::NXDomain) };
        }
        let Ok(_place) = self.asking.try_acquire() else { return only(ResponseCode::ServFail) };
        let Some(above) = forward::ask(request.as_slice(), &asked.servers).await else {
            let told = (NO_REACHABLE_AUTHORITY, "no name server above answers".to_owned());
            return Answer { extended: Some(told), ..only(ResponseCode::ServFail) };
        };
        // Nor beyond the end of the guardian's hours, when it is no longer allowed.
        let ends = asked.decision.map_or(u32::MAX, |decision| ends_in(&decision, asked.now));
        let longest = if asked.platform { SEEN_TTL.min(ends) } else { ends };
        let mut answers = above.answers;
        answers.iter_mut().for_each(|record| record.ttl = record.ttl.min(longest));
        Answer { code: Some(above.metadata.response_code), answers, authorities: above.authorities, extended: None }
    }
}

#[async_trait::async_trait]
impl RequestHandler for Names {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut reply: R) -> ResponseInfo {
        let answer = self.answer(request).await;
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = answer.code.unwrap_or(ResponseCode::ServFail);
        metadata.recursion_available = true;
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
