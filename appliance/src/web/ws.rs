//! `GET /api/ws`: each member of the room gets the view that is theirs, whenever it changes.
//!
//! A view is the whole state, so the queue of each reader is one place: the newest view. Slow readers skip.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use appliance_core::{
    access::Who,
    crowd::Pages,
    home::HomePass,
    room::{Facts, Input, Pass, Room},
};
use axum::{
    extract::{
        Query, State, WebSocketUpgrade,
        rejection::QueryRejection,
        ws::{Message, WebSocket},
    },
    http::HeaderMap,
    response::Response,
};
use classroom_protocol::{Envelope, HomeView, PanelView, Problem, ProblemCode, StudentView, TeacherView};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, interval_at, sleep, timeout},
};

use super::{gate::Gate, reply::Refusal, routes::Caller};
use crate::{clock, room::RoomHandle};

/// A sign of life is sent this often; pages take 12 seconds of silence for a broken line.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// Changes that follow each other quicker are told together. Well below the 200 ms that a tap may take to show.
const TOGETHER: Duration = Duration::from_millis(40);
/// A reader that takes no message for this long is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Staff sessions can be revoked or run out; they are looked at again this often.
const RECHECK: Duration = Duration::from_secs(30);

/// What the sockets need.
#[derive(Clone)]
pub struct WsState {
    /// The room.
    pub room: RoomHandle,
    /// What the views say beside the room's state.
    pub facts: Arc<Facts>,
    /// A place for each open page; who comes when all are taken is told to try again, and of one pass, account or panel
    /// the oldest page gives way ([`appliance_core::crowd`]).
    pub places: Places,
    /// Becomes true when the box stops.
    pub closing: watch::Receiver<bool>,
    /// Says whether a caller's credentials still hold.
    pub gate: Gate,
}

/// The places of open pages.
#[derive(Clone)]
pub struct Places(Arc<Mutex<Taken>>);

struct Taken {
    pages: Pages,
    /// Tells a page that it has to go.
    told: HashMap<u64, oneshot::Sender<()>>,
}

impl Places {
    /// Places for so many pages.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Mutex::new(Taken { pages: Pages::new(most), told: HashMap::new() })))
    }

    fn take(&self, who: &Who) -> Result<(Place, oneshot::Receiver<()>), ProblemCode> {
        // The route's rule lets members in only.
        let key = who.key().ok_or(ProblemCode::NotAllowed)?;
        let guest = matches!(who, Who::Student(_) | Who::Home(_));
        let mut taken = self.lock();
        let entered = taken.pages.enter(&key, guest)?;
        // Dropping the sender tells it.
        entered.gives_way.map(|number| taken.told.remove(&number));
        let (tell, told) = oneshot::channel();
        taken.told.insert(entered.number, tell);
        Ok((Place { places: self.clone(), number: entered.number }, told))
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One page's place, given back when it closes.
struct Place {
    places: Places,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.pages.leave(self.number);
        taken.told.remove(&self.number);
    }
}

/// Where the reader stopped.
#[derive(Debug, Deserialize)]
pub struct After {
    after: Option<u64>,
}

/// Upgrades to the socket.
///
/// # Errors
/// `bad-input` when `after` is no number, `full`.
pub async fn connect(
    State(state): State<WsState>,
    who: Caller,
    after: Result<Query<After>, QueryRejection>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refusal> {
    let Query(After { after }) = after.map_err(|_| Problem::new(ProblemCode::BadInput).field("after"))?;
    let place = state.places.take(&who);
    let (place, told) = place.map_err(|code| Problem::new(code).retry_after(5))?;
    let proof = state.gate.proof(&headers);
    let upgrade = upgrade.protocols(["classroom"]).max_message_size(4096).max_frame_size(4096);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let watch = Reader { state, proof, after, gone: told };
        match who.0 {
            Who::Student(pass) => watch.student(socket, pass).await,
            Who::Home(pass) => watch.home(socket, pass).await,
            Who::Staff { id, name, .. } => watch.staff(socket, id, &name).await,
            Who::Display { id } => watch.panel(socket, id).await,
            // The route's rule lets members in only.
            _ => {}
        }
        drop(place);
    }))
}

struct Reader {
    state: WsState,
    proof: super::gate::Proof,
    after: Option<u64>,
    /// Ends when this page has to give way to another one of the same pass.
    gone: oneshot::Receiver<()>,
}

impl Reader {
    async fn student(self, socket: WebSocket, pass: Pass) {
        let room = self.state.room.clone();
        let online = |online| Input::SeatOnline { pass: pass.clone(), online };
        if room.apply(online(true)).await.is_err() {
            return;
        }
        self.serve::<StudentView>(socket, |room, facts| room.student_view(facts, &pass, clock::now())).await;
        // The seat may have been freed meanwhile; then there is nothing to tell.
        let _ = room.apply(online(false)).await;
    }

    async fn home(self, socket: WebSocket, pass: HomePass) {
        let room = self.state.room.clone();
        let online = |online| Input::HomeOnline { pass: pass.clone(), online };
        if room.apply(online(true)).await.is_err() {
            return;
        }
        self.serve::<HomeView>(socket, |room, facts| room.home_view(facts, &pass)).await;
        // Another session may have taken the place meanwhile; then there is nothing to tell.
        let _ = room.apply(online(false)).await;
    }

    async fn staff(self, socket: WebSocket, id: i64, name: &str) {
        self.serve::<TeacherView>(socket, |room, facts| Ok(room.teacher_view(facts, id, name))).await;
    }

    async fn panel(self, socket: WebSocket, panel: i64) {
        let room = self.state.room.clone();
        if room.apply(Input::PanelOnline { panel, online: true }).await.is_err() {
            return;
        }
        self.serve::<PanelView>(socket, |room, facts| Ok(room.panel_view(facts))).await;
        // The panel may have been removed meanwhile; then there is nothing to tell.
        let _ = room.apply(Input::PanelOnline { panel, online: false }).await;
    }

    /// Tells each new view until either side ends. `view` says why when the reader's pass is void.
    async fn serve<V: Serialize + PartialEq>(
        self,
        mut socket: WebSocket,
        view: impl Fn(&Room, &Facts) -> Result<V, ProblemCode>,
    ) {
        let Self { state: WsState { room, facts, gate, mut closing, places: _ }, proof, after, mut gone } = self;
        let mut changes = room.watch();
        let mut told: Option<V> = None;
        let mut first = true;
        let mut beat = interval_at(Instant::now() + SIGN_OF_LIFE, SIGN_OF_LIFE);
        let mut recheck = interval_at(Instant::now() + RECHECK, RECHECK);
        loop {
            let state = changes.borrow_and_update().clone();
            let seq = state.seq();
            let newest = match view(&state, &facts) {
                Ok(newest) => newest,
                Err(code) => return goodbye::<V>(socket, code).await,
            };
            let message = if std::mem::take(&mut first) && after == Some(seq) {
                told = Some(newest);
                Some(Envelope::Current { seq, now: clock::now() })
            } else if told.as_ref() != Some(&newest) {
                Some(Envelope::View { seq, now: clock::now(), view: newest })
            } else {
                None
            };
            if let Some(message) = message {
                if say(&mut socket, &message).await.is_err() {
                    return;
                }
                if let Envelope::View { view, .. } = message {
                    told = Some(view);
                }
                sleep(TOGETHER).await;
            }
            loop {
                tokio::select! {
                    changed = changes.changed() => if changed.is_ok() { break } else { return },
                    _ = beat.tick() => {
                        let seq = changes.borrow().seq();
                        if say::<V>(&mut socket, &Envelope::Current { seq, now: clock::now() }).await.is_err() {
                            return;
                        }
                    }
                    _ = recheck.tick() => if !gate.still_holds(&proof).await {
                        return goodbye::<V>(socket, ProblemCode::SignedOut).await;
                    },
                    // Pages take a closed socket for a restart and come back by themselves.
                    () = closed(&mut closing) => return,
                    // It must not: it would have another one give way, and so on.
                    _ = &mut gone => return goodbye::<V>(socket, ProblemCode::Elsewhere).await,
                    message = socket.recv() => match message {
                        // Readers only listen; pings are answered by the library.
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(_)) | Some(Err(_)) | None => return,
                    },
                }
            }
        }
    }
}

/// Waits until the box stops. A wiring that is gone has stopped.
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

/// Says that the reader need not come back. Whether it still hears it makes no difference.
async fn goodbye<V: Serialize>(mut socket: WebSocket, code: ProblemCode) {
    let _ = say::<V>(&mut socket, &Envelope::Bye { code: code.as_str().to_owned() }).await;
}

async fn say<V: Serialize>(socket: &mut WebSocket, message: &Envelope<V>) -> Result<(), ()> {
    let text = serde_json::to_string(message).map_err(|error| tracing::error!(%error, "a view has no JSON form"))?;
    timeout(PATIENCE, socket.send(Message::Text(text.into()))).await.map_err(|_| ())?.map_err(|_| ())
}
