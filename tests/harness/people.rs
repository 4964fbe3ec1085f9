//! Who talks to the hub in tests: anyone with an address and, perhaps, credentials. Everything goes over the wire.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use classroom_protocol::{
    Envelope, Problem, ProblemCode, Seat, SourceId, StudentCommand, TeacherCommand,
    panel::{PairApprove, PairDone, PairRequest, PairWaiting},
    view::{JoinTicket, SeatPass},
};
use futures_util::{SinkExt, StreamExt};
use reqwest::{Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::{school::School, wait::wait_for};

/// Longest wait for an answer of the hub.
const ANSWER: Duration = Duration::from_secs(20);

/// What a caller shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Nothing.
    Nobody,
    /// `Authorization: Bearer`.
    Bearer(String),
    /// A teacher's cookie.
    Cookie(String),
}

/// Someone who talks to the hub.
#[derive(Debug, Clone)]
pub struct Caller {
    client: reqwest::Client,
    tls: Option<Arc<rustls::ClientConfig>>,
    /// Scheme, host and port.
    pub base: String,
    /// What they show.
    pub proof: Proof,
}

/// The hub's answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text, empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body of a success.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        ensure!(self.status.is_success(), "{}: {}", self.status, self.text());
        serde_json::from_slice(&self.body).with_context(|| self.text())
    }

    /// Nothing but a success.
    pub fn done(&self) -> Result<()> {
        ensure!(self.status.is_success(), "{}: {}", self.status, self.text());
        Ok(())
    }

    /// The problem that the hub told: one of ours, in its media type, with its own status.
    pub fn problem(&self) -> Result<Problem> {
        ensure!(!self.status.is_success(), "no problem at all: {} {}", self.status, self.text());
        let kind = self.header("content-type");
        ensure!(kind == "application/problem+json", "{} as {kind:?}: {}", self.status, self.text());
        let problem: Problem = serde_json::from_slice(&self.body).with_context(|| self.text())?;
        ensure!(problem.status == self.status.as_u16(), "{problem:?} came with {}", self.status);
        Ok(problem)
    }

    /// [`Reply::problem`], the code alone.
    pub fn code(&self) -> Result<ProblemCode> {
        Ok(self.problem()?.code)
    }
}

impl Caller {
    /// Nobody yet, at `base`; `school` to be trusted for HTTPS.
    pub fn new(base: &str, school: Option<&School>) -> Result<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder =
            reqwest::Client::builder().timeout(ANSWER).no_proxy().redirect(reqwest::redirect::Policy::none());
        if let Some(school) = school {
            builder = builder
                .tls_built_in_root_certs(false)
                .add_root_certificate(reqwest::Certificate::from_pem(school.ca_pem.as_bytes())?);
        }
        let tls = school.map(School::trust).transpose()?;
        Ok(Self { client: builder.build()?, tls, base: base.into(), proof: Proof::Nobody })
    }

    /// Nobody yet, who comes from this address of the hub's own machine.
    pub fn from(base: &str, address: std::net::Ipv4Addr) -> Result<Self> {
        let client = reqwest::Client::builder().timeout(ANSWER).no_proxy().local_address(std::net::IpAddr::V4(address));
        Ok(Self { client: client.build()?, ..Self::new(base, None)? })
    }

    /// The same way to the hub with other credentials.
    #[must_use]
    pub fn with(&self, proof: Proof) -> Self {
        Self { proof, ..self.clone() }
    }

    /// The same way to the hub with a bearer token.
    #[must_use]
    pub fn bearer(&self, token: impl Into<String>) -> Self {
        self.with(Proof::Bearer(token.into()))
    }

    /// A request with the credentials, as a page of the hub's own would send it.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.proof {
            Proof::Nobody => request,
            Proof::Bearer(token) => request.bearer_auth(token),
            Proof::Cookie(cookie) => request.header("cookie", cookie).header("origin", &self.base),
        }
    }

    /// Sends a request and reads all of the answer.
    pub async fn send(&self, request: RequestBuilder) -> Result<Reply> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Reply { status, headers, body: response.bytes().await?.into() })
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Result<Reply> {
        self.send(self.request(Method::GET, path)).await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Result<Reply> {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// PUT of JSON.
    pub async fn put(&self, path: &str, body: &impl Serialize) -> Result<Reply> {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Result<Reply> {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// POST of an SDP offer to `/whip/…` or `/whep/…`.
    pub async fn offer(&self, path: &str, sdp: &str) -> Result<Reply> {
        let request = self.request(Method::POST, path).header("content-type", "application/sdp");
        self.send(request.body(sdp.to_owned())).await
    }

    /// The WebSocket `/api/ws` as a native client opens it.
    pub async fn feed(&self, after: Option<u64>) -> Result<Feed> {
        let query = after.map_or(String::new(), |seq| format!("?after={seq}"));
        let address = self.base.replacen("http", "ws", 1);
        let mut request = format!("{address}/api/ws{query}").into_client_request()?;
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", HeaderValue::from_static("classroom"));
        match &self.proof {
            Proof::Nobody => {}
            Proof::Bearer(token) => drop(headers.insert("authorization", format!("Bearer {token}").parse()?)),
            Proof::Cookie(cookie) => {
                headers.insert("cookie", cookie.parse()?);
                headers.insert("origin", self.base.parse()?);
            }
        }
        let tls = self.tls.clone().map(Connector::Rustls);
        let opened = connect_async_tls_with_config(request, None, true, tls);
        let (socket, response) = tokio::time::timeout(ANSWER, opened).await??;
        let agreed = response.headers().get("sec-websocket-protocol").and_then(|value| value.to_str().ok());
        ensure!(agreed == Some("classroom"), "the hub agreed on the subprotocol {agreed:?}");
        Ok(Feed { socket, seq: 0 })
    }

    /// Signs the first teacher in, or a further one by invitation.
    pub async fn first_sign_in(&self, code: &str, account: &str, name: &str) -> Result<Caller> {
        let body = json!({ "code": code, "account": account, "name": name, "password": PASSWORD });
        self.staff(&self.post("/api/staff/first-sign-in", &body).await?)
    }

    /// Signs a teacher in with account and password.
    pub async fn sign_in(&self, account: &str) -> Result<Caller> {
        let body = json!({ "account": account, "password": PASSWORD });
        self.staff(&self.post("/api/staff/sign-in", &body).await?)
    }

    fn staff(&self, reply: &Reply) -> Result<Caller> {
        reply.done()?;
        let cookie = reply.header("set-cookie").split(';').next().unwrap_or_default();
        ensure!(cookie.starts_with("staff="), "no cookie: {:?}", reply.headers);
        Ok(self.with(Proof::Cookie(cookie.into())))
    }

    /// A teacher's command that must succeed.
    pub async fn command(&self, command: &TeacherCommand) -> Result<()> {
        self.post("/api/room/command", command).await?.done().with_context(|| format!("{command:?}"))
    }

    /// A student's command that must succeed.
    pub async fn ask(&self, command: StudentCommand) -> Result<()> {
        self.post("/api/student/command", &command).await?.done().with_context(|| format!("{command:?}"))
    }

    /// Imports a list (`students`, `devices`) as the office does: looks at the preview, then takes it. As the office.
    pub async fn import(&self, list: &str, file: &str) -> Result<()> {
        let send = async |way: String| {
            let request = self.request(Method::POST, &way).header("content-type", "application/octet-stream");
            self.send(request.body(file.to_owned())).await
        };
        let shown: Value = send(format!("/api/school/import?list={list}")).await?.json()?;
        let plan = shown["plan"].as_str().context("plan")?.to_owned();
        send(format!("/api/school/import/apply?list={list}&plan={plan}")).await?.done()
    }

    /// Publishes the consent's text, signs it for every student, and lends the devices in their order to the students on
    /// these seats. Gives what the office sees before the loans. As the office, after the lists.
    pub async fn lend(&self, seats: &[u8]) -> Result<Value> {
        let text = json!({ "title": "學生攜帶載具回家同意書", "body": "內容", "renew": false });
        self.post("/api/school/consent-texts", &text).await?.done()?;
        let view: Value = self.get("/api/school").await?.json()?;
        let ids = |what: &str| -> Vec<i64> {
            view[what].as_array().into_iter().flatten().filter_map(|one| one["id"].as_i64()).collect()
        };
        let (students, devices) = (ids("students"), ids("devices"));
        ensure!(devices.len() >= seats.len(), "devices for {seats:?}: {view}");
        let signatures: Vec<Value> = students
            .iter()
            .flat_map(|id| ["student", "guardian"].map(|party| json!({ "student": id, "party": party })))
            .collect();
        self.post("/api/school/consents", &json!({ "version": 1, "signatures": signatures })).await?.done()?;
        for (seat, device) in seats.iter().zip(&devices) {
            let student = students.get(usize::from(seat - 1)).with_context(|| format!("seat {seat}: {view}"))?;
            let loan = json!({ "student": student, "device": device, "due": view["school_year_ends"] });
            self.post("/api/school/loans", &loan).await?.done()?;
        }
        Ok(view)
    }

    /// Makes a class with students on the seats 1 to `count` and gives its id. As a teacher.
    pub async fn make_class(&self, count: u8) -> Result<i64> {
        let students: Vec<Value> = (1..=count).map(|n| json!({ "seat": n, "name": format!("學生{n}") })).collect();
        let made = self.post("/api/classes", &json!({ "name": "五年三班", "students": students })).await?;
        made.json::<Value>()?["id"].as_i64().context("the class's id")
    }

    /// Makes a class, starts a lesson with it and gives the room code. As a teacher.
    pub async fn start_lesson(&self, students: u8) -> Result<String> {
        let class = self.make_class(students).await?;
        self.command(&TeacherCommand::StartLesson { class }).await?;
        self.room_code().await
    }

    /// The code of the running lesson. As a teacher.
    pub async fn room_code(&self) -> Result<String> {
        let view: classroom_protocol::TeacherView = self.feed(None).await?.view("the room", |_| true).await?;
        view.code.context("the room has a code while a lesson runs")
    }

    /// Comes in with the room code and takes a seat. As anyone.
    pub async fn join(&self, code: &str, seat: u8) -> Result<Student> {
        let ticket: JoinTicket = self.post("/api/join", &json!({ "code": code })).await?.json()?;
        let pass: SeatPass =
            self.bearer(ticket.ticket).post("/api/join/seat", &json!({ "seat": seat })).await?.json()?;
        Ok(Student { caller: self.bearer(pass.token), seat: pass.seat, source: pass.source })
    }

    /// Pairs a panel with the help of `teacher` and gives it its credentials. As anyone.
    pub async fn pair(&self, name: &str, teacher: &Caller) -> Result<Caller> {
        let request = PairRequest { name: name.into() };
        let waiting: PairWaiting = self.post("/api/panel/pair", &request).await?.json()?;
        teacher.post("/api/panels", &PairApprove { code: waiting.code }).await?.done()?;
        let path = format!("/api/panel/pair/{}", waiting.id);
        let done: PairDone = wait_for("the panel to be paired", ANSWER, async || {
            let reply = self.get(&path).await?;
            ensure!(reply.status == StatusCode::OK, "{}", reply.status);
            reply.json()
        })
        .await?;
        Ok(self.bearer(done.token))
    }
}

/// The password of every teacher in tests.
pub const PASSWORD: &str = "correct horse battery";

/// A student on a seat.
#[derive(Debug, Clone)]
pub struct Student {
    /// Their credentials.
    pub caller: Caller,
    /// Their seat.
    pub seat: Seat,
    /// Their source.
    pub source: SourceId,
}

/// One reader of the room's views.
#[derive(Debug)]
pub struct Feed {
    socket: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>,
    /// Number of the newest view that was read.
    pub seq: u64,
}

impl Feed {
    /// The next message, at the latest in [`ANSWER`].
    pub async fn next<V: DeserializeOwned>(&mut self) -> Result<Envelope<V>> {
        loop {
            let message = tokio::time::timeout(ANSWER, self.socket.next()).await.context("the hub says nothing")?;
            match message.context("the hub hung up")?? {
                Message::Text(text) => {
                    let envelope = serde_json::from_str(&text).with_context(|| text.to_string())?;
                    if let Envelope::View { seq, .. } | Envelope::Current { seq, .. } = &envelope {
                        self.seq = *seq;
                    }
                    return Ok(envelope);
                }
                Message::Close(frame) => bail!("the hub closed: {frame:?}"),
                _ => {}
            }
        }
    }

    /// Reads until a view is as `fits` says.
    pub async fn view<V: DeserializeOwned + std::fmt::Debug>(
        &mut self,
        what: &str,
        fits: impl Fn(&V) -> bool,
    ) -> Result<V> {
        let mut last = None;
        let read = async {
            loop {
                match self.next::<V>().await? {
                    Envelope::View { view, .. } if fits(&view) => return Ok(view),
                    Envelope::View { view, .. } => last = Some(view),
                    Envelope::Current { .. } => {}
                    Envelope::Bye { code } => bail!("the hub said bye: {code}"),
                }
            }
        };
        match tokio::time::timeout(ANSWER, read).await {
            Ok(done) => done.with_context(|| what.to_owned()),
            Err(_) => bail!("waited {ANSWER:?} for {what}; last seen: {last:?}"),
        }
    }

    /// Says something that the hub did not ask for.
    pub async fn say(&mut self, text: &str) -> Result<()> {
        Ok(self.socket.send(Message::text(text)).await?)
    }
}
