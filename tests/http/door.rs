//! The door for homes (`[home] listen`): behind the gateway's header, and with nothing but what homes need.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use classroom_protocol::view::{HomeLink, HomePass};
use harness::{
    gateway::{Gateway, header},
    hub::{Hub, Options, program},
    people::Caller,
    ports,
    school::School,
    wait::wait_for,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::routes::{TABLE, outcome};

/// What is served there. The list is this file's own, not the program's.
const HOMES: &[(&str, &str)] = &[
    ("GET", "/home"),
    ("GET", "/assets/{*path}"),
    ("POST", "/api/home/join"),
    ("POST", "/api/home/command"),
    ("GET", "/api/ws"),
    ("OPTIONS", "/whip/{source}"),
    ("POST", "/whip/{source}"),
    ("PATCH", "/whip/{source}/{session}"),
    ("DELETE", "/whip/{source}/{session}"),
    ("OPTIONS", "/whep/{source}"),
    ("POST", "/whep/{source}"),
    ("PATCH", "/whep/{source}/{session}"),
    ("DELETE", "/whep/{source}/{session}"),
];
/// Of these, what a student at home may do.
const HOME: &[(&str, &str)] = &[
    ("POST", "/api/home/command"),
    ("GET", "/api/ws"),
    ("PATCH", "/whip/{source}/{session}"),
    ("DELETE", "/whip/{source}/{session}"),
    ("PATCH", "/whep/{source}/{session}"),
    ("DELETE", "/whep/{source}/{session}"),
];
/// Where two homes are in the world.
const ONE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 77);

/// A box with a door for homes.
struct Schoolhouse {
    hub: Hub,
    school: School,
    door: SocketAddr,
}

impl Drop for Schoolhouse {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(folder(self.door));
    }
}

/// Where the certificate of the school with this door is.
fn folder(door: SocketAddr) -> PathBuf {
    std::env::temp_dir().join(format!("classroom-door-{}", door.port()))
}

async fn school() -> Result<Schoolhouse> {
    let school = School::new(Ipv4Addr::LOCALHOST)?;
    let door = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()?));
    std::fs::create_dir_all(folder(door))?;
    let files = ["room.pem", "room.key"].map(|name| folder(door).join(name));
    std::fs::write(&files[0], school.certificate().0)?;
    std::fs::write(&files[1], school.certificate().1)?;
    let config = format!(
        "[https]\ncertificate = {:?}\nkey = {:?}\n[home]\nlisten = [\"{door}\"]\n",
        files[0].display().to_string(),
        files[1].display().to_string()
    );
    let hub = Hub::start_with(Options { config, ..Options::default() }).await?;
    Ok(Schoolhouse { hub, school, door })
}

/// Opens a personal link at home.
async fn enter(teacher: &Caller, home: &Caller, seat: u8) -> Result<Caller> {
    let link: HomeLink = teacher.post(&format!("/api/seats/{seat}/home-link"), &json!({})).await?.json()?;
    let (_, token) = link.url.split_once("/home#link=").context("the link's token")?;
    let pass: HomePass = home.bearer(token).post("/api/home/join", &json!({})).await?.json()?;
    Ok(home.bearer(pass.token))
}

#[test]
fn the_table_of_routes_says_which_are_for_homes() {
    let printed =
        std::process::Command::new(program("appliance").unwrap()).args(["routes", "--json"]).output().unwrap();
    let declared: Vec<Value> = serde_json::from_slice(&printed.stdout).unwrap();
    let for_homes = declared.iter().filter(|route| route["homes"] == true);
    let text = |route: &Value, key: &str| route[key].as_str().unwrap().to_owned();
    let for_homes: BTreeSet<(String, String)> =
        for_homes.map(|route| (text(route, "method"), text(route, "path"))).collect();
    let listed = HOMES.iter().map(|row| (row.0.to_owned(), row.1.to_owned())).collect();
    assert_eq!(for_homes, listed);
    assert!(declared.iter().all(|route| route["homes"].is_boolean()));
}

#[tokio::test]
async fn what_is_not_for_homes_is_not_there_and_who_is_no_home_is_nobody() -> Result<()> {
    let house = school().await?;
    let Schoolhouse { hub, school, door } = &house;
    let door = *door;
    let gateway = Gateway::of(ONE, door).await?;
    let far = gateway.anyone(school)?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(3).await?;
    let student = hub.anyone()?.join(&code, 1).await?.caller;
    let home = enter(&teacher, &far, 2).await?;
    let callers = [
        ("nobody", far.clone()),
        ("teacher", far.with(teacher.proof.clone())),
        ("student of the room", far.with(student.proof.clone())),
        ("student at home", home),
    ];
    let mut wrong = Vec::new();
    for (method, declared, path, body, expected) in TABLE {
        let (path, public) = (path.replace("{ext}", "ext-1"), expected.starts_with('+'));
        for (role, caller) in &callers {
            let (letter, words) = outcome(caller, method, &path, body).await.with_context(|| path.clone())?;
            let row = (*method, *declared);
            let fits = if !HOMES.contains(&row) {
                words.starts_with("404")
            } else if public || (*role == "student at home" && (HOME.contains(&row) || path == "/whip/home-02")) {
                letter == "+"
            } else {
                letter == if *role == "student at home" { "x" } else { "-" }
            };
            if !fits {
                wrong.push(format!("{method} {path} as {role}: {letter} {words}"));
            }
        }
    }
    ensure!(wrong.is_empty(), "{} calls went another way:\n  {}", wrong.len(), wrong.join("\n  "));
    Ok(())
}

#[tokio::test]
async fn a_code_gives_no_seat_there_and_wrong_tries_lock_nobody_out() -> Result<()> {
    let house = school().await?;
    let Schoolhouse { hub, school, door } = &house;
    let door = *door;
    let (one, other) = (Gateway::of(ONE, door).await?, Gateway::of(OTHER, door).await?);
    let far = one.anyone(school)?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(3).await?;
    assert_eq!(far.post("/api/join", &json!({ "code": code })).await?.status.as_u16(), 404, "the right code");
    for _ in 0..20 {
        let wrong = json!({ "account": "wang", "password": "not the one" });
        assert_eq!(far.post("/api/staff/sign-in", &wrong).await?.status.as_u16(), 404);
        assert_eq!(far.bearer("no link").post("/api/home/join", &json!({})).await?.status.as_u16(), 401);
    }
    // The teacher on the box's own browser, a student in the room, both homes.
    hub.anyone()?.sign_in("wang").await?;
    hub.anyone()?.join(&code, 1).await?;
    enter(&teacher, &far, 2).await?;
    enter(&teacher, &other.anyone(school)?, 3).await?;

    let audit: Vec<Value> = teacher.get("/api/audit").await?.json()?;
    let entered: Vec<_> = audit.iter().filter(|entry| entry["action"] == "home-join").collect();
    let places: Vec<_> = entered.iter().map(|entry| (entry["who"].as_str(), entry["place"].as_str())).collect();
    assert_eq!(
        places,
        [(Some("home-03"), Some("198.51.100.77")), (Some("home-02"), Some("203.0.113.2"))],
        "newest first"
    );
    Ok(())
}

#[tokio::test]
async fn who_does_not_say_which_home_it_is_of_is_hung_up_on() -> Result<()> {
    let house = school().await?;
    let Schoolhouse { hub, school, door } = &house;
    let door = *door;
    let direct = Caller::new(&format!("https://{door}"), Some(school))?;
    for _ in 0..5 {
        assert!(direct.get("/home").await.is_err(), "TLS without a header");
    }
    for bytes in [
        b"PROXY TCP4 203.0.113.2 192.0.2.10 49153 443\r\n".to_vec(),
        header(SocketAddr::from(([127, 0, 0, 1], 443)), door)?,
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec(),
    ] {
        let mut stream = TcpStream::connect(door).await?;
        stream.write_all(&bytes).await?;
        let closed = tokio::time::timeout(Duration::from_secs(4), stream.read(&mut [0; 8])).await;
        assert_eq!(closed.context("it is let stay")?.unwrap_or(0), 0, "{bytes:?}");
    }
    let said = async || {
        let said = hub.log().matches("which home it is of").count();
        ensure!(said == 1, "said {said} times:\n{}", hub.log());
        Ok(())
    };
    wait_for("the log to say so, once", Duration::from_secs(5), said).await?;
    let gateway = Gateway::of(ONE, door).await?;
    gateway.anyone(school)?.get("/home").await?.done()
}
