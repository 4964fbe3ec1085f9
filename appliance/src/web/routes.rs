//! A route can't be declared without the rule that guards it, and the table of all of them can be printed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use appliance_core::{
    access::Who,
    pace::{Bound, Pace},
    reach::Reach,
};

use axum::{
    Extension, Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    handler::Handler,
    http::{HeaderValue, Method, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{MethodFilter, on},
};
use classroom_protocol::{Problem, ProblemCode};
use tokio::time::timeout;

use super::{gate::Gate, reply::Refusal};
use crate::clock;

/// Bodies of JSON commands, in bytes, unless the route says otherwise.
const BODY: usize = 64 * 1024;
/// A client has this long to send its body: 64 KiB take half of it on a line of 100 kbit/s.
const PATIENCE: Duration = Duration::from_secs(10);
/// Passes whose commands are counted: more than have a lesson.
const PASSES: usize = 1024;

/// One declared route.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Declared {
    /// Method.
    pub method: String,
    /// Path, with `{name}` for its variable parts.
    pub path: &'static str,
    /// Name of its rule.
    pub rule: &'static str,
    /// Whether it is served at the door for homes.
    pub homes: bool,
}

/// What came of declaring.
pub(super) struct Finished {
    /// Every route.
    pub(super) router: Router,
    /// The routes for homes.
    pub(super) homes: Router,
    /// What was declared.
    pub(super) table: Vec<Declared>,
}

/// Routes with their rules.
pub(super) struct Routes {
    gate: Gate,
    router: Router,
    /// Those of them that are for homes.
    homes: Router,
    table: Vec<Declared>,
    paces: Paces,
}

/// Counts the commands of each pass.
type Paces = Arc<Mutex<Pace<String>>>;

impl Routes {
    /// No route yet; every one that is added passes through `gate`.
    pub(super) fn new(gate: Gate) -> Self {
        let paces = Arc::new(Mutex::new(Pace::new(Bound::COMMANDS, PASSES)));
        Self { gate, router: Router::new(), homes: Router::new(), table: vec![], paces }
    }

    /// Adds a route. `state` is all that its handler gets.
    #[must_use]
    pub(super) fn at<H, T, S>(
        self,
        method: Method,
        path: &'static str,
        reach: impl Into<Reach>,
        handler: H,
        state: &S,
    ) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
        S: Clone + Send + Sync + 'static,
    {
        self.at_with_limit(method, path, reach, BODY, handler, state)
    }

    /// Adds a route by which passes command: each only so often ([`Pace`]).
    #[must_use]
    pub(super) fn at_pace<H, T, S>(
        self,
        method: Method,
        path: &'static str,
        reach: impl Into<Reach>,
        handler: H,
        state: &S,
    ) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
        S: Clone + Send + Sync + 'static,
    {
        let guard = Guard { paces: Some(self.paces.clone()), ..self.guard(reach, Some(BODY)) };
        self.with(method, path, guard, handler, state)
    }

    /// Adds a route whose body may have up to `limit` bytes.
    #[must_use]
    pub(super) fn at_with_limit<H, T, S>(
        self,
        method: Method,
        path: &'static str,
        reach: impl Into<Reach>,
        limit: usize,
        handler: H,
        state: &S,
    ) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
        S: Clone + Send + Sync + 'static,
    {
        let guard = self.guard(reach, Some(limit));
        self.with(method, path, guard, handler, state)
    }

    /// Adds a route whose handler reads the body itself as it comes, and bounds its size and its slowness.
    #[must_use]
    pub(super) fn at_streaming<H, T, S>(
        self,
        method: Method,
        path: &'static str,
        reach: impl Into<Reach>,
        handler: H,
        state: &S,
    ) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
        S: Clone + Send + Sync + 'static,
    {
        let guard = self.guard(reach, None);
        self.with(method, path, guard, handler, state)
    }

    fn guard(&self, reach: impl Into<Reach>, limit: Option<usize>) -> Guard {
        Guard { gate: self.gate.clone(), reach: reach.into(), limit, paces: None }
    }

    fn with<H, T, S>(mut self, method: Method, path: &'static str, guard: Guard, handler: H, state: &S) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
        S: Clone + Send + Sync + 'static,
    {
        // Every method used here has a filter; one without could not be declared.
        let Ok(filter) = MethodFilter::try_from(method.clone()) else { return self };
        let Reach { rule, homes } = guard.reach;
        let guarded = on(filter, handler)
            .with_state(state.clone())
            // Not `layer`: a method that is not declared is answered with 405, whoever asks.
            .route_layer(from_fn_with_state(guard, check));
        if homes {
            self.homes = self.homes.route(path, guarded.clone());
        }
        self.router = self.router.route(path, guarded);
        self.table.push(Declared { method: method.to_string(), path, rule: rule.name(), homes });
        self
    }

    /// The routers and the table of what was declared.
    pub(super) fn finish(self) -> Finished {
        Finished { router: self.router, homes: self.homes, table: self.table }
    }
}

#[derive(Clone)]
struct Guard {
    gate: Gate,
    reach: Reach,
    /// Most bytes of the body, which is read before the handler runs; none: the handler reads it.
    limit: Option<usize>,
    /// Where the commands of each pass are counted, if they are.
    paces: Option<Paces>,
}

/// Lets a request through whose caller the rule admits, with its whole body in memory: so a slow or endless body ends
/// here, and a refusal never leaves half a body on the connection.
async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let Some(limit) = guard.limit else {
        let who = guard.gate.who(&request).await;
        let mut response = match admitted(&guard, who) {
            Ok(who) => {
                let mut request = request;
                request.extensions_mut().insert(who);
                return next.run(request).await;
            }
            Err(refusal) => refusal.into_response(),
        };
        // Whatever of the body is still to come is not read.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return response;
    };
    let (parts, body) = request.into_parts();
    let declared =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let body = if declared.is_some_and(|size| size > limit) {
        Err(Problem::new(ProblemCode::TooLarge))
    } else {
        match timeout(PATIENCE, to_bytes(body, limit)).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(_)) => Err(Problem::new(ProblemCode::TooLarge)),
            Err(_) => Err(Problem { status: 408, ..Problem::new(ProblemCode::BadInput).field("body") }),
        }
    };
    let (body, problem) = body.map_or_else(|problem| (Bytes::new(), Some(problem)), |body| (body, None));
    let mut request = Request::from_parts(parts, Body::from(body));
    // Asked when the body is there: what was taken back while it came holds no more.
    let who = guard.gate.who(&request).await;
    let whole = problem.is_none();
    let mut response = match (admitted(&guard, who), problem) {
        (Err(refusal), _) => refusal.into_response(),
        (Ok(_), Some(problem)) => Refusal::from(problem).into_response(),
        (Ok(who), None) => {
            request.extensions_mut().insert(who);
            next.run(request).await
        }
    };
    if !whole {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn admitted(guard: &Guard, who: Result<Who, Refusal>) -> Result<Who, Refusal> {
    let who = who?;
    if guard.reach.rule.admits(&who) {
        guard.paces.as_ref().map_or(Ok(()), |paces| paced(paces, &who))?;
        return Ok(who);
    }
    Err(if who == Who::Nobody { ProblemCode::SignedOut } else { ProblemCode::NotAllowed }.into())
}

/// Whether this pass may command once more now.
fn paced(paces: &Paces, who: &Who) -> Result<(), Refusal> {
    let (Who::Student(_) | Who::Home(_), Some(pass)) = (who, who.key()) else { return Ok(()) };
    let counted = paces.lock().unwrap_or_else(PoisonError::into_inner).count(&pass, clock::now());
    counted.map_err(|seconds| Problem::new(ProblemCode::TooManyTries).retry_after(seconds).into())
}

/// Who passed the gate; every handler can ask.
pub(super) type Caller = Extension<Who>;
