//! What the box prints for the person who starts it.

use std::sync::Arc;

use appliance_core::room::Room;
use classroom_protocol::catalogue::{Lang, fill};
use tokio::sync::watch;

/// The language of the console: Chinese, unless the environment asks for English.
pub fn language() -> Lang {
    let wish =
        ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    if wish.is_some_and(|wish| wish.starts_with("en")) { Lang::En } else { Lang::ZhHantTw }
}

/// Prints what is wrong with the box's settings, so that it is seen among other lines.
#[expect(clippy::print_stdout, reason = "this is what the console is for")]
pub fn notice(notice: &str) {
    println!("{}", fill(language(), "console.hub-notice", &[("notice", notice)]));
}

/// Prints the one-time code of `[staff] invite`, or why there is none.
#[expect(clippy::print_stdout, reason = "this is what the console is for")]
pub fn invited(invited: anyhow::Result<String>) {
    match invited {
        Ok(sentence) => println!("{sentence}"),
        Err(error) => println!("[staff] invite: {error:#}"),
    }
}

/// Prints what has gone wrong with the box itself and how it is mended.
#[expect(clippy::print_stdout, reason = "this is what the console is for")]
pub fn trouble(sentence: &str) {
    println!("{}", fill(language(), "console.hub-trouble", &[("sentence", sentence)]));
}

/// Prints the ways in: the teacher's (with the one-time code while there is no account), the students', the panel's, and
/// the room code when a lesson goes on after a restart.
#[expect(clippy::print_stdout, reason = "this is what the console is for")]
pub fn welcome(room: &str, base: &str, code: Option<&str>, room_code: Option<&str>) {
    let lang = language();
    let teach = code.map_or_else(|| format!("{base}/teach"), |code| format!("{base}/teach#code={code}"));
    let (join, panel) = (format!("{base}/join"), format!("{base}/panel"));
    let text =
        fill(lang, "console.hub-welcome", &[("room", room), ("teach", &teach), ("join", &join), ("panel", &panel)]);
    println!("{text}");
    let hint = if code.is_some() { "console.hub-first-code" } else { "console.hub-sign-in" };
    println!("{}", fill(lang, hint, &[]));
    if let Some(code) = room_code {
        println!("{}", fill(lang, "console.hub-room-code", &[("code", code)]));
    }
}

/// Prints the room code of each new lesson, for who tries the box out at its console. Runs until it is aborted.
#[expect(clippy::print_stdout, reason = "this is what the console is for")]
pub async fn follow_code(mut room: watch::Receiver<Arc<Room>>) {
    let mut told = room.borrow_and_update().code().map(str::to_owned);
    while room.changed().await.is_ok() {
        let code = room.borrow_and_update().code().map(str::to_owned);
        if let Some(code) = code.as_deref().filter(|code| told.as_deref() != Some(code)) {
            println!("{}", fill(language(), "console.hub-room-code", &[("code", code)]));
        }
        told = code;
    }
}
