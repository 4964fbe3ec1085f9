//! How long the person at the device has done nothing, as the desktop tells logind (`IdleHint`). An estimate: desktops tell it
//! when their own time without input is over, and some never do.

use std::{
    fs,
    io::Read as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use classroom_protocol::Millis;

use crate::clock;

/// How often logind is asked, milliseconds.
const ASK: Millis = 30_000;
/// An answer that has not come by then does not come, milliseconds.
const PATIENCE: Millis = 10_000;
/// A desktop calls itself idle after so long without input: what GNOME does unless it is set otherwise. Milliseconds.
const DELAY: Millis = 5 * 60_000;
/// The seat with the screen (sd-login(3)), as logind keeps it.
const SEAT: &str = "/run/systemd/seats/seat0";

/// What logind has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hint {
    /// Someone is there.
    Busy,
    /// Nobody has done anything since then, on the clock [`clock::awake`].
    Idle(Millis),
}

/// Asks logind at a slow pace and never waits for it.
#[derive(Debug, Default)]
pub(super) struct Session {
    asked_at: Option<Millis>,
    asking: Option<Child>,
    hint: Option<Hint>,
}

impl Session {
    /// Milliseconds without input; `None` when nobody can say.
    pub(super) fn idle(&mut self) -> Option<Millis> {
        let now = clock::awake();
        self.look(now);
        if self.asking.is_none() && self.asked_at.is_none_or(|at| now.saturating_sub(at) >= ASK) {
            self.asked_at = Some(now);
            self.asking = ask();
            if self.asking.is_none() {
                self.hint = None;
            }
        }
        Some(match self.hint? {
            Hint::Busy => 0,
            Hint::Idle(since) => now.saturating_sub(since).saturating_add(DELAY),
        })
    }

    /// Takes the answer when it is there.
    fn look(&mut self, now: Millis) {
        let Some(child) = &mut self.asking else { return };
        match child.try_wait() {
            Ok(None) if self.asked_at.is_some_and(|at| now.saturating_sub(at) < PATIENCE) => return,
            Ok(Some(status)) => {
                let mut said = String::new();
                // It has ended, and its few lines stand in the pipe.
                let read = child.stdout.take().map(|mut out| out.read_to_string(&mut said));
                let well = status.success() && read.is_some_and(|read| read.is_ok());
                self.hint = if well { hint(&said) } else { None };
            }
            Ok(None) | Err(_) => {
                // Gone already or not: what it would say counts no more.
                let _ = child.kill();
                let _ = child.wait();
                self.hint = None;
            }
        }
        self.asking = None;
    }
}

fn ask() -> Option<Child> {
    let session = active(&fs::read_to_string(Path::new(SEAT)).ok()?)?;
    let mut command = Command::new("/usr/bin/loginctl");
    command.args(["show-session", &session, "--property=IdleHint", "--property=IdleSinceHintMonotonic"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()
}

/// The session at the screen. Its name stands in a command line.
fn active(seat: &str) -> Option<String> {
    let name = seat.lines().find_map(|line| line.strip_prefix("ACTIVE="))?;
    (!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric())).then(|| name.to_owned())
}

/// A desktop that has never told anything has no time beside its `no`: that is no answer.
fn hint(said: &str) -> Option<Hint> {
    let value = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let since = value("IdleSinceHintMonotonic")?.parse::<u64>().ok().filter(|since| *since > 0)? / 1000;
    match value("IdleHint")? {
        "no" => Some(Hint::Busy),
        "yes" => Some(Hint::Idle(since)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_desktop_that_tells_nothing_is_not_known_to_be_used() {
        let said = |hint, since: u64| format!("IdleSinceHintMonotonic={since}\nIdleHint={hint}\n");
        assert_eq!(hint(&said("no", 7_000_000)), Some(Hint::Busy));
        assert_eq!(hint(&said("yes", 7_000_000)), Some(Hint::Idle(7000)));
        for none in [said("no", 0), said("yes", 0), said("?", 9), String::new(), "IdleHint=no\n".into()] {
            assert_eq!(hint(&none), None, "{none}");
        }
        assert_eq!(active("# x\nIS_SEAT0=1\nACTIVE=c2\nACTIVE_UID=1000\n").as_deref(), Some("c2"));
        assert_eq!(active("ACTIVE=--help\n"), None);
        assert_eq!(active("IS_SEAT0=1\n"), None);
    }

    #[test]
    fn an_idle_desktop_grows_idler_and_began_before_it_said_so() {
        let now = clock::awake();
        let mut session = Session { asked_at: Some(now), asking: None, hint: Some(Hint::Idle(now)) };
        assert!(session.idle().is_some_and(|idle| (DELAY..DELAY + ASK).contains(&idle)));
        session.hint = Some(Hint::Busy);
        assert_eq!(session.idle(), Some(0));
    }
}
