//! The peer of the glass-to-glass measure: the same browser straight into the same window, without the box.
//!
//! A stand-in for the hub's signalling only: it tells the panel's program of one cast, carries its WHEP offer to a page
//! and the page's answer back. No packet of media passes it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use axum::{
    Router,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderName, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{any, get, post},
};
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

/// An offer of the panel and where its answer goes.
pub(crate) type Offer = (String, oneshot::Sender<String>);

/// The stand-in. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Direct {
    /// Where it is, without a slash at the end. `/` is an empty page on which a browser may capture itself.
    pub(crate) base: String,
    /// The panel's offers.
    pub(crate) offers: mpsc::Receiver<Offer>,
    live: watch::Sender<bool>,
    server: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Shared {
    offers: mpsc::Sender<Offer>,
    live: watch::Receiver<bool>,
}

impl Direct {
    /// Starts it on a free port of loopback.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let base = format!("http://{}", listener.local_addr()?);
        // One panel asks for one cast; a second offer waits for the first one's answer.
        let (sender, offers) = mpsc::channel(1);
        let (live, seen) = watch::channel(false);
        let shared = Arc::new(Shared { offers: sender, live: seen });
        let routes = Router::new()
            .route("/", get(async || Html("<!doctype html><title>bench</title>")))
            .route("/api/ws", any(feed))
            .route("/api/panel/report", post(async || StatusCode::NO_CONTENT))
            .route("/whep/{source}", post(watch_source))
            .route("/whep/{source}/1", any(async || StatusCode::NO_CONTENT))
            .route("/whep/{source}/1/layer", any(async || StatusCode::NO_CONTENT))
            .with_state(shared);
        let server = tokio::spawn(async move {
            // Ends with the task; there is nobody to tell of an error but the panel, which sees it.
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self { base, offers, live, server })
    }

    /// Puts the cast on the stage, or takes it off.
    pub(crate) fn show(&self, on: bool) {
        self.live.send_replace(on);
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn watch_source(State(shared): State<Arc<Shared>>, offer: String) -> Response {
    match answer(&shared, offer).await {
        Ok(sdp) => {
            let head = [
                (header::CONTENT_TYPE, "application/sdp"),
                (header::LOCATION, "/whep/seat-01/1"),
                (HeaderName::from_static("etag"), "\"1\""),
            ];
            (StatusCode::CREATED, head, sdp).into_response()
        }
        Err(e) => (StatusCode::SERVICE_UNAVAILABLE, format!("{e:#}")).into_response(),
    }
}

async fn answer(shared: &Shared, offer: String) -> Result<String> {
    let (reply, answer) = oneshot::channel();
    shared.offers.send((offer, reply)).await.context("nobody answers")?;
    tokio::time::timeout(Duration::from_secs(10), answer).await?.context("the page did not answer")
}

async fn feed(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.protocols(["classroom"]).on_upgrade(async move |socket| {
        // The panel's program reconnects by itself; a broken connection is its business.
        let _ = tell(socket, shared.live.clone()).await;
    })
}

async fn tell(mut socket: WebSocket, mut live: watch::Receiver<bool>) -> Result<()> {
    let mut seq = 1;
    loop {
        let on = *live.borrow_and_update();
        let tile = on.then(|| json!({ "source": "seat-01", "label": "學生1", "frozen": false, "live": true }));
        let lesson = json!({
            "id": "1", "class_name": "五年三班", "started_at": 0, "attention": false, "locked": false, "open_until": null,
        });
        let view = json!({
            "room": "測試教室", "join_url": "http://127.0.0.1/join", "lesson": lesson, "code": "123456",
            "stage": { "layout": 1, "tiles": [tile] }, "marks": { "recording": false, "live": false },
        });
        let message = json!({ "type": "view", "seq": seq, "now": 0, "view": view });
        socket.send(Message::text(message.to_string())).await?;
        loop {
            tokio::select! {
                changed = live.changed() => break changed?,
                // Pings are answered on the way; without reading they would not be.
                heard = socket.recv() => drop(heard.context("the panel hung up")??),
                () = tokio::time::sleep(Duration::from_secs(2)) => {
                    let message = json!({ "type": "current", "seq": seq, "now": 0 });
                    socket.send(Message::text(message.to_string())).await?;
                }
            }
        }
        seq += 1;
    }
}
