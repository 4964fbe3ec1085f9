//! A program that never rests commands only so often; people and other passes are not concerned.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use classroom_protocol::{HomeCommand, ProblemCode, StudentCommand, view::HomeLink};
use harness::{hub::Hub, people::Caller, wait::wait_for};
use serde::Serialize;
use serde_json::json;

/// Sends the commands in turn, each as soon as the one before is answered: about ten a second are taken.
async fn without_rest(caller: &Caller, path: &str, commands: [impl Serialize; 2]) -> Result<()> {
    let began = Instant::now();
    let (mut taken, mut refused) = (0, None);
    for command in commands.iter().cycle().take(400) {
        let reply = caller.post(path, command).await?;
        if reply.status.is_success() {
            taken += 1;
        } else {
            refused = Some(reply.problem()?);
        }
    }
    let most = 20 + 10 * (began.elapsed().as_secs() + 1);
    ensure!((20..=most).contains(&taken), "{taken} commands of one pass were taken in {:?}", began.elapsed());
    let refused = refused.context("every command was taken")?;
    assert_eq!((refused.code, refused.status, refused.retry_after), (ProblemCode::TooManyTries, 429, Some(1)));
    Ok(())
}

#[tokio::test]
async fn a_pass_commands_about_ten_times_a_second() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(3).await?;
    let restless = hub.anyone()?.join(&code, 1).await?.caller;
    let other = hub.anyone()?.join(&code, 2).await?.caller;
    without_rest(&restless, "/api/student/command", [StudentCommand::Ask, StudentCommand::Stop]).await?;
    other.ask(StudentCommand::Ask).await?;
    // Who waits as they were told is heard.
    let again = async || restless.ask(StudentCommand::Ask).await;
    wait_for("the pass to be heard again", Duration::from_secs(5), again).await?;

    let link: HomeLink = teacher.post("/api/seats/3/home-link", &json!({})).await?.json()?;
    let (_, token) = link.url.split_once("/home#link=").context("the link's token")?;
    let pass: serde_json::Value = teacher.bearer(token).post("/api/home/join", &json!({})).await?.json()?;
    let home = teacher.bearer(pass["token"].as_str().context("the pass")?);
    let hand = [true, false].map(|up| HomeCommand::RaiseHand { up });
    without_rest(&home, "/api/home/command", hand).await
}
