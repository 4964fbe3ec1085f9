//! What the box prints for the person who starts it.

use classroom_protocol::catalogue::{Lang, fill};

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
