//! Which of the running programs the agent speaks of (R-POL-3).
//!
//! A Linux desktop runs a hundred helpers of its own. What the school's image has installed in the system's folders was
//! put there by who looks after the devices, and counts as approved unless the rules name it; what a person has brought
//! (home folders, `/opt`, `/usr/local`, packages of users) and games' own folder is judged by the approved list.

use crate::policy::{Context, Decision, Policy, Query, decide};
use classroom_protocol::Millis;

/// Folders of the system's own programs.
const SYSTEM: &[&str] =
    &["/usr/bin/", "/usr/sbin/", "/usr/lib/", "/usr/lib64/", "/usr/libexec/", "/bin/", "/sbin/", "/lib/"];
/// Users below this number are no people (login.defs, `UID_MIN`).
const PEOPLE: u32 = 1000;
/// The user of services that need none (`nobody`).
const NOBODY: u32 = 65_534;

/// A running program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Program {
    /// Its process.
    pub pid: u32,
    /// When that began, in the kernel's own count: a number is used again.
    pub began: u64,
    /// Its name, as the process tells it or the file is called.
    pub name: String,
    /// Its file, if that is known.
    pub path: Option<String>,
    /// Whose it is.
    pub user: u32,
}

/// What the rules say of a program, or nothing when it is none of the agent's business. The network is: a cable at school
/// (R-POL-14) is told as such and is no reason to end every program.
pub fn judge(policy: &Policy, program: &Program, context: &Context<'_>, now: Millis) -> Option<Decision> {
    if program.user < PEOPLE || program.user == NOBODY {
        return None;
    }
    let file = program.path.as_deref().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    // A program may call itself anything; its file's name counts as well.
    let named = [program.name.to_lowercase(), file.to_lowercase()];
    let named = named.iter().find(|name| !name.is_empty() && !policy.marks_of_app(name).is_empty());
    let system = program.path.as_deref().is_some_and(|path| SYSTEM.iter().any(|folder| path.starts_with(folder)));
    let context = &Context { link: None, ..*context };
    match named {
        None if system || program.path.is_none() => None,
        None => Some(decide(policy, &Query::App(&program.name), context, now)),
        Some(name) => Some(decide(policy, &Query::App(name), context, now)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::policy::{Consent, DeviceState, Document, Place};

    #[test]
    fn games_and_what_was_brought_are_spoken_of_the_systems_own_are_not() {
        let policy = Policy::new(Document::standard().unwrap()).unwrap();
        let context =
            Context { device: DeviceState::Lent, consent: Some(Consent::Given), ..Context::unknown(Place::Home) };
        let judged = |name: &str, path: Option<&str>, user| {
            let path = path.map(str::to_owned);
            let program = Program { pid: 7, began: 1, name: name.into(), path, user };
            judge(&policy, &program, &context, 1_790_000_000_000)
        };
        assert_eq!(judged("gnome-shell", Some("/usr/bin/gnome-shell"), 1000), None);
        assert_eq!(judged("kthreadd", None, 0), None);
        assert_eq!(judged("steam", Some("/usr/bin/steam"), 0), None, "no person's");
        let game = policy.document().categories["games"].apps[0].clone();
        let decision = judged(&game, Some("/usr/bin/x"), 1000).unwrap();
        assert!(!decision.allow && decision.rule.to_string() == "R-POL-3");
        let hidden = judged("study", Some(&format!("/opt/{game}")), 1000).unwrap();
        assert!(!hidden.allow, "a game that calls itself otherwise");
        let wired = Context { place: Place::School, link: Some(classroom_protocol::policy::Link::Wired), ..context };
        let approved = policy.document().bundles["preloaded"].systems.iter().find_map(|one| one.apps.first()).unwrap();
        let program = Program { pid: 7, began: 1, name: approved.clone(), path: None, user: 1000 };
        assert!(judge(&policy, &program, &wired, 1_790_000_000_000).unwrap().allow, "a cable ends no program");
        let brought = judged("unheard-of", Some("/opt/x/unheard-of"), 1000).unwrap();
        assert!(!brought.allow && brought.rule.to_string() == "R-POL-3");
    }
}
