//! Other sites in the teacher's browser: they can make it send requests, but not with her authority.

use anyhow::Result;
use classroom_protocol::ProblemCode;
use harness::{hub::Hub, people::Proof};
use reqwest::Method;
use tokio_tungstenite::tungstenite::{Error, client::IntoClientRequest};

#[tokio::test]
async fn another_site_commands_nothing_with_the_teachers_cookie() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let Proof::Cookie(cookie) = &teacher.proof else { panic!("a teacher has a cookie") };
    let anyone = hub.anyone()?;
    let send = async |headers: &[(&str, &str)]| {
        let mut request = anyone.request(Method::POST, "/api/classes").header("cookie", cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        anyone.send(request.header("content-type", "application/json").body(r#"{"name":"a","students":[]}"#)).await
    };
    let base = hub.base();
    for foreign in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1:1")],
        &[("origin", &base), ("sec-fetch-site", "cross-site")],
        &[("origin", &base), ("sec-fetch-site", "same-site")],
    ] {
        assert_eq!(send(foreign).await?.code()?, ProblemCode::NotAllowed, "{foreign:?}");
    }
    send(&[("origin", &base), ("sec-fetch-site", "same-origin")]).await?.done()?;
    send(&[("origin", &base)]).await?.done()
}

#[tokio::test]
async fn the_cookie_is_kept_from_scripts_and_from_other_sites() -> Result<()> {
    let hub = Hub::start().await?;
    hub.teacher().await?;
    let anyone = hub.anyone()?;
    let body = serde_json::json!({ "account": "wang", "password": harness::people::PASSWORD });
    let reply = anyone.post("/api/staff/sign-in", &body).await?;
    let cookie = reply.header("set-cookie").to_ascii_lowercase();
    assert!(cookie.contains("httponly") && cookie.contains("samesite=strict"), "{cookie}");
    Ok(())
}

#[tokio::test]
async fn another_site_opens_no_socket_with_the_teachers_cookie() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let Proof::Cookie(cookie) = &teacher.proof else { panic!("a teacher has a cookie") };
    let open = async |origin: &str, cookie: Option<&str>| {
        let mut request = format!("ws://127.0.0.1:{}/api/ws", hub.http).into_client_request()?;
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "classroom".parse()?);
        headers.insert("origin", origin.parse()?);
        if let Some(cookie) = cookie {
            headers.insert("cookie", cookie.parse()?);
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok(_) => anyhow::Ok(101),
            Err(Error::Http(response)) => Ok(response.status().as_u16()),
            Err(other) => Err(other.into()),
        }
    };
    assert_eq!(open("https://evil.example", Some(cookie)).await?, 403);
    assert_eq!(open("null", Some(cookie)).await?, 403);
    assert_eq!(open(&hub.base(), None).await?, 401);
    assert_eq!(open(&hub.base(), Some(cookie)).await?, 101);
    Ok(())
}

#[tokio::test]
async fn pages_name_no_other_host_and_cannot_be_framed() -> Result<()> {
    let hub = Hub::start().await?;
    let anyone = hub.anyone()?;
    for path in ["/join", "/teach", "/panel"] {
        let page = anyone.get(path).await?;
        page.done()?;
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        let text = page.text();
        let foreign = text
            .match_indices("://")
            .filter(|(at, _)| !text[..*at].ends_with("http") || !text[*at..].starts_with("://www.w3.org/"));
        assert_eq!(foreign.count(), 0, "{path} names another host: {text}");
    }
    assert_eq!(anyone.get("/").await?.header("location"), "/join");
    Ok(())
}

#[tokio::test]
async fn a_browser_passes_its_token_as_a_subprotocol() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(3).await?;
    let student = hub.anyone()?.join(&code, 1).await?.caller;
    let Proof::Bearer(token) = &student.proof else { panic!("a student has a token") };
    let mut request = format!("ws://127.0.0.1:{}/api/ws", hub.http).into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", format!("classroom, bearer.{token}").parse()?);
    headers.insert("origin", hub.base().parse()?);
    let (_, response) = tokio_tungstenite::connect_async(request).await?;
    assert_eq!(response.headers()["sec-websocket-protocol"], "classroom", "the token is not repeated");
    Ok(())
}
