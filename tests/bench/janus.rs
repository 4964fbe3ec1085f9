//! The peer of the forward benchmark: Debian's Janus with its videoroom plugin, spoken to over its WebSocket API.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use harness::{ports, proc::Owned};
use serde_json::{Value, json};
use str0m::media::{Direction, Mid};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::peer::Peer;

const ROOM: u64 = 1;
const ANSWER: Duration = Duration::from_secs(20);

/// A running Janus with one room.
#[derive(Debug)]
pub(crate) struct Janus {
    process: Owned,
    folder: PathBuf,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: u64,
    next: u64,
    feed: Option<u64>,
}

impl Janus {
    /// Starts it with one event loop and only what the benchmark needs.
    pub(crate) async fn start(address: Ipv4Addr) -> Result<Self> {
        let library = library().context("Janus is not installed: apt install janus")?;
        let folder = std::env::temp_dir().join(format!("classroom-bench-janus-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let port = ports::free()?;
        configure(&folder, &library, address, port)?;
        let log = fs::File::create(folder.join("log"))?;
        let mut process = Owned::spawn("janus", |command| {
            command.arg("--config").arg(folder.join("janus.jcfg")).arg("--configs-folder").arg(&folder);
            command.stdout(log).stderr(Stdio::null());
        })?;
        let until = Instant::now() + ANSWER;
        let socket = loop {
            let mut request = format!("ws://127.0.0.1:{port}").into_client_request()?;
            request.headers_mut().insert("Sec-WebSocket-Protocol", "janus-protocol".parse()?);
            match connect_async(request).await {
                Ok((socket, _)) => break socket,
                Err(_) if process.running() && Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(e) => {
                    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
                    return Err(e).with_context(|| format!("Janus does not answer; it said: {log}"));
                }
            }
        };
        let mut janus = Self { process, folder, socket, session: 0, next: 0, feed: None };
        janus.session = janus.ask(json!({ "janus": "create" })).await?["data"]["id"].as_u64().context("session")?;
        let room = json!({
            "request": "create", "room": ROOM, "publishers": 1, "videocodec": "h264", "h264_profile": "42e01f",
            "bitrate": 0, "record": false,
        });
        let handle = janus.attach().await?;
        let made = janus.ask(json!({ "janus": "message", "handle_id": handle, "body": room })).await?;
        if made["plugindata"]["data"]["videoroom"] != "created" {
            bail!("Janus made no room: {made}");
        }
        Ok(janus)
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Negotiates a publisher; gives the video's mid.
    pub(crate) async fn publish(&mut self, peer: &mut Peer) -> Result<Mid> {
        let (offer, pending, mid) = peer.offer(Direction::SendOnly)?;
        let handle = self.attach().await?;
        let body = json!({ "request": "joinandconfigure", "ptype": "publisher", "room": ROOM });
        let answer = self.negotiate(handle, body, Some(("offer", offer))).await?;
        self.feed = answer["plugindata"]["data"]["id"].as_u64();
        peer.answered(pending, answer["jsep"]["sdp"].as_str().context("Janus gave no answer")?)?;
        Ok(mid)
    }

    /// Negotiates a viewer.
    pub(crate) async fn subscribe(&mut self, peer: &mut Peer) -> Result<()> {
        let feed = self.feed.context("nobody publishes")?;
        let handle = self.attach().await?;
        let body = json!({ "request": "join", "ptype": "subscriber", "room": ROOM, "streams": [{ "feed": feed }] });
        let offer = self.negotiate(handle, body, None).await?;
        let answer = peer.accept(offer["jsep"]["sdp"].as_str().context("Janus gave no offer")?)?;
        self.negotiate(handle, json!({ "request": "start" }), Some(("answer", answer))).await?;
        Ok(())
    }

    async fn attach(&mut self) -> Result<u64> {
        let done = self.ask(json!({ "janus": "attach", "plugin": "janus.plugin.videoroom" })).await?;
        done["data"]["id"].as_u64().context("handle")
    }

    /// A message that is answered by an event of the plugin.
    async fn negotiate(&mut self, handle: u64, body: Value, jsep: Option<(&str, String)>) -> Result<Value> {
        let mut message = json!({ "janus": "message", "handle_id": handle, "body": body });
        if let Some((kind, sdp)) = jsep {
            message["jsep"] = json!({ "type": kind, "sdp": sdp });
        }
        let event = self.ask(message).await?;
        match event["plugindata"]["data"].get("error") {
            Some(error) => bail!("Janus refused: {error}"),
            None => Ok(event),
        }
    }

    /// Sends a request and gives its last answer (the event, where there is one). Other events are passed over.
    async fn ask(&mut self, mut request: Value) -> Result<Value> {
        self.next += 1;
        let transaction = format!("t{}", self.next);
        request["transaction"] = json!(transaction);
        if self.session != 0 {
            request["session_id"] = json!(self.session);
        }
        timeout(ANSWER, self.socket.send(Message::text(request.to_string()))).await??;
        loop {
            let message = timeout(ANSWER, self.socket.next()).await.context("Janus does not answer")?;
            let Message::Text(text) = message.context("Janus hung up")?? else { continue };
            let answer: Value = serde_json::from_str(&text)?;
            if answer["transaction"] == transaction.as_str() {
                match answer["janus"].as_str() {
                    Some("ack") => {}
                    Some("error") => bail!("Janus refused: {}", answer["error"]),
                    _ => return Ok(answer),
                }
            }
        }
    }
}

impl Drop for Janus {
    fn drop(&mut self) {
        self.process.terminate(Duration::from_secs(2));
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Where Debian keeps the plugins: `/usr/lib/TRIPLE/janus`.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path().join("janus"));
    folders.into_iter().find(|path| path.join("plugins/libjanus_videoroom.so").exists())
}

fn configure(folder: &Path, library: &Path, address: Ipv4Addr, port: u16) -> Result<()> {
    for (kind, file) in [("plugins", "libjanus_videoroom.so"), ("transports", "libjanus_websockets.so")] {
        fs::create_dir_all(folder.join(kind))?;
        symlink(library.join(kind).join(file), folder.join(kind).join(file))?;
    }
    let shown = folder.display();
    let general = format!(
        "general: {{ configs_folder = \"{shown}\"; plugins_folder = \"{shown}/plugins\"; \
         transports_folder = \"{shown}/transports\"; events_folder = \"{shown}/none\"; loggers_folder = \"{shown}/none\"; \
         interface = \"{address}\"; debug_level = 2; debug_colors = false; session_timeout = 0; event_loops = 1 }}\n\
         nat: {{ ice_enforce_list = \"{address}\"; full_trickle = false }}\n"
    );
    fs::write(folder.join("janus.jcfg"), general)?;
    fs::write(
        folder.join("janus.transport.websockets.jcfg"),
        format!(
            "general: {{ json = \"compact\"; ws = true; ws_port = {port}; ws_ip = \"127.0.0.1\"; wss = false }}\n\
             admin: {{ admin_ws = false; admin_wss = false }}\n"
        ),
    )?;
    fs::write(folder.join("janus.plugin.videoroom.jcfg"), "general: { }\n")?;
    Ok(())
}
