//! What a teacher's permit can do at all: whether anything opens by it, and for how long it can be meant.

use classroom_protocol::{
    Millis,
    policy::{Decision, Permission, Permit, Place},
};

use super::{Context, LessonContext, Marks, Policy, Query, decide, host_name};

/// A lesson's permit ends after so many minutes, also when nobody ends the lesson.
pub const LONGEST_PERMIT: u16 = 240;

/// Clocks of devices may be behind the box's by so much.
const APART: Millis = 15 * 60_000;

/// Whether a teacher's permit counts now. One that ends later than a permit can end was given under a clock that ran
/// ahead: how long it was meant is not known any more.
pub fn counts(permit: &Permit, now: Millis) -> bool {
    permit.until > now && permit.until <= now.saturating_add(Millis::from(LONGEST_PERMIT) * 60_000 + APART)
}

/// Why a teacher's permit would not open something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// There is no such thing.
    Nothing,
    /// A rule that no teacher lifts.
    By(Decision),
}

/// Whether a teacher's permit opens this for a class; `listed` are the categories whose lists hold the host.
///
/// # Errors
/// [`Closed`]: what is said to be open must be.
pub fn opens(policy: &Policy, what: &Permission, listed: Marks, now: Millis) -> Result<(), Closed> {
    let host;
    let query = match what {
        Permission::Host(text) => {
            host = host_name(text).map_err(|_| Closed::Nothing)?;
            Query::Host { name: &host, listed }
        }
        Permission::Category(id) => Query::Host { name: "", listed: policy.category(id).ok_or(Closed::Nothing)? },
        Permission::Action(action) => Query::Action(*action),
    };
    let permits = [Permit { what: permission(what, query), until: now + 60_000 }];
    let lesson = Some(LessonContext { permits: &permits, attention: false });
    let decision = decide(policy, &query, &Context { lesson, ..Context::class() }, now);
    if decision.allow { Ok(()) } else { Err(Closed::By(decision)) }
}

/// The permission in its one form.
fn permission(what: &Permission, query: Query<'_>) -> Permission {
    match query {
        Query::Host { name, .. } if matches!(what, Permission::Host(_)) => Permission::Host(name.to_owned()),
        _ => what.clone(),
    }
}

impl Context<'_> {
    /// A class's device without anything of its own: what a teacher's switches are about.
    pub fn class() -> Self {
        Self { device: super::DeviceState::Shared, ..Context::unknown(Place::School) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::policy::{Action, Changer, Document, RuleId};

    const NOW: Millis = 1_800_000_000_000;

    #[test]
    fn a_teacher_opens_what_a_rule_leaves_to_teachers_and_nothing_else() {
        let policy = Policy::new(Document::standard().unwrap()).unwrap();
        let category = |id: &str| Permission::Category(id.into());
        let host = |name: &str| Permission::Host(name.into());
        let opens = |what: &Permission| opens(&policy, what, Marks::NONE, NOW);
        let good = [
            category("games"),
            category("mail"),
            host("krunker.io"),
            host("WWW.Krunker.io."),
            Permission::Action(Action::Record),
        ];
        for what in good.iter().chain(&[host("zh.wikipedia.org")]) {
            assert_eq!(opens(what), Ok(()), "{what:?}");
        }
        for what in [
            category("nope"),
            category("<b>"),
            category(""),
            category("learning"),
            host("https://krunker.io"),
            host("io"),
        ] {
            assert_eq!(opens(&what), Err(Closed::Nothing), "{what:?}");
        }
        for what in
            [category("harmful"), host("pornhub.com"), host("www.pornhub.com"), Permission::Action(Action::Install)]
        {
            let Err(Closed::By(decision)) = opens(&what) else { panic!("{what:?} is opened") };
            assert!(!decision.allow && decision.changer != Changer::Teacher, "{what:?}: {decision:?}");
        }
        let harmful = policy.category("harmful").unwrap();
        let Err(Closed::By(decision)) = super::opens(&policy, &host("elsewhere.example"), harmful, NOW) else {
            panic!("a listed name is opened")
        };
        assert_eq!(decision.rule, RuleId::new(15), "a list holds it");
    }

    #[test]
    fn a_permit_of_a_clock_that_ran_ahead_does_not_count() {
        let permit = |until| Permit { what: Permission::Category("games".into()), until };
        assert!(counts(&permit(NOW + 1), NOW) && counts(&permit(NOW + 240 * 60_000), NOW));
        assert!(!counts(&permit(NOW), NOW));
        assert!(!counts(&permit(NOW + 5 * 60_000), NOW - 25 * 3_600_000), "five minutes, and the clock 25 hours back");
    }
}
