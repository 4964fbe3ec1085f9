//! What must hold of every decision, whatever is asked.
#![allow(clippy::unwrap_used)]

use appliance_core::policy::{
    Action, Consent, Context, DeviceState, Document, LessonContext, Link, Marks, Permission, Permit, Place, Policy,
    Query, Reason, Trouble, Window, decide,
};
use proptest::prelude::*;

fn places() -> impl Strategy<Value = Place> {
    prop_oneof![Just(Place::School), Just(Place::Home)]
}

fn devices() -> impl Strategy<Value = DeviceState> {
    use DeviceState::{Lent, Lost, Own, Repair, Shared, Suspended, Unknown};
    prop::sample::select(vec![Unknown, Shared, Lent, Own, Repair, Lost, Suspended])
}

fn permits() -> impl Strategy<Value = Vec<Permit>> {
    let what = prop_oneof![
        prop::sample::select(vec!["mail", "games", "harmful", "none"])
            .prop_map(|id| Permission::Category(id.to_owned())),
        prop::sample::select(vec!["krunker.io", "pornhub.com", "com"]).prop_map(|id| Permission::Host(id.to_owned())),
        Just(Permission::Action(Action::Record)),
    ];
    prop::collection::vec((what, 0_u64..4_000_000_000_000).prop_map(|(what, until)| Permit { what, until }), 0..4)
}

fn windows() -> impl Strategy<Value = Vec<Window>> {
    let window = (prop::collection::vec(0_u8..9, 0..5), 0_u16..1500, 0_u16..1500).prop_map(|(days, from, to)| Window {
        days,
        from,
        to,
    });
    prop::collection::vec(window, 1..4)
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["adl.edu.tw", "krunker.io", "mail.google.com", "pornhub.com", "zh.wikipedia.org"])
            .prop_map(str::to_owned),
        "[a-zA-Z0-9.é中-]{0,40}",
    ]
}

proptest! {
    #[test]
    fn guardians_only_tighten_permits_only_loosen_and_every_answer_is_whole(
        place in places(),
        device in devices(),
        consent in prop::option::of(prop::sample::select(vec![Consent::Given, Consent::Missing, Consent::Withdrawn])),
        link in prop::option::of(prop::sample::select(vec![Link::Wifi, Link::Wired, Link::Mobile])),
        lesson in any::<bool>(),
        attention in any::<bool>(),
        permits in permits(),
        exceptions in permits(),
        guardian in windows(),
        name in names(),
        kind in 0_u8..3,
        now in 0_u64..4_000_000_000_000,
    ) {
        let policy = Policy::new(Document::standard().unwrap()).unwrap();
        let query = match kind {
            0 => Query::Host { name: &name, listed: Marks::NONE },
            1 => Query::App(&name),
            _ => Query::Action(Action::Record),
        };
        let trouble = [Trouble::SharedAccount];
        let free = Context {
            place, device, consent, link,
            lesson: lesson.then_some(LessonContext { permits: &permits, attention }),
            trouble: &trouble, guardian: &[], exceptions: &exceptions,
        };
        let guarded = Context { guardian: &guardian, ..free };
        let bare = Context {
            lesson: lesson.then_some(LessonContext { permits: &[], attention }), exceptions: &[], ..free
        };
        let (free, guarded, bare) =
            (decide(&policy, &query, &free, now), decide(&policy, &query, &guarded, now), decide(&policy, &query, &bare, now));
        // R-POL-12: a guardian's hours never open what the school has closed.
        prop_assert!(!guarded.allow || free.allow);
        // A permit never closes what was open.
        prop_assert!(!bare.allow || free.allow);
        // R-POL-15: nobody opens what is harmful.
        if name == "pornhub.com" && kind == 0 {
            prop_assert!(!free.allow);
        }
        for decision in [free, guarded, bare] {
            prop_assert!(decision.until.is_none_or(|until| until > now));
            prop_assert!(decision.allow || !matches!(decision.reason, Reason::Learning | Reason::Permitted));
        }
    }
}
