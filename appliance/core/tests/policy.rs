//! From clause to situation to decision: 004 附件1, rule by rule, on the document that the box comes with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use appliance_core::{
    calendar,
    policy::{
        Action, Changer, Consent, Context, Decision, DeviceState, Document, LessonContext, Link, Marks, Permission,
        Permit, Place, Policy, Query, Reason, RuleId, Trouble, Window, decide, validate,
    },
};
use classroom_protocol::{
    Millis,
    catalogue::{Lang, text},
    policy::{Effect, Subject},
};

fn policy() -> Policy {
    Policy::new(Document::standard().unwrap()).unwrap().with_own(["room501.school.example"])
}

/// Monday 2026-11-23 on the school's clock.
fn monday(hour: u64, minute: u64) -> Millis {
    calendar::day("2026-11-23").unwrap().begins() + (hour * 60 + minute) * 60_000
}

const LESSON: LessonContext<'static> = LessonContext { permits: &[], attention: false };

/// A lent device with both signatures, in a lesson.
fn class() -> Context<'static> {
    Context {
        lesson: Some(LESSON),
        device: DeviceState::Lent,
        consent: Some(Consent::Given),
        ..Context::unknown(Place::School)
    }
}

fn recess() -> Context<'static> {
    Context { lesson: None, ..class() }
}

fn home() -> Context<'static> {
    Context { place: Place::Home, ..recess() }
}

fn host(name: &str) -> Query<'_> {
    Query::Host { name, listed: Marks::NONE }
}

/// What the table says of a decision: yes or no, rule, reason, who can change it.
type Expected = (bool, u8, Reason, Changer);

fn seen(decision: &Decision) -> Expected {
    (decision.allow, decision.rule.number(), decision.reason, decision.changer)
}

#[test]
fn from_clause_to_situation_to_decision() {
    use Changer::{Guardian, Nobody, School, Teacher};
    let permits = |what| [Permit { what, until: monday(10, 40) }];
    let mail = permits(Permission::Category("mail".into()));
    let games = permits(Permission::Category("games".into()));
    let one_host = permits(Permission::Host("krunker.io".into()));
    let record = permits(Permission::Action(Action::Record));
    let with = |permits| Context { lesson: Some(LessonContext { permits, attention: false }), ..class() };
    let attention = Context { lesson: Some(LessonContext { permits: &[], attention: true }), ..class() };
    let device = |device| Context { device, ..class() };
    let consent = |consent| Context { consent: Some(consent), ..class() };
    let evening = [Window { days: vec![1, 2, 3, 4, 5], from: 19 * 60, to: 21 * 60 }];
    let guarded = Context { guardian: &evening, ..home() };
    let guarded_lesson = Context { lesson: Some(LESSON), ..guarded };
    let agreed = permits(Permission::Host("com.duolingo".into()));
    let agreed_game = permits(Permission::Category("games".into()));
    let now = monday(10, 0);

    #[rustfmt::skip]
    let table: &[(&str, &str, Query<'_>, Context<'_>, Millis, Expected)] = &[
        ("一、六", "nobody has signed", host("adl.edu.tw"), consent(Consent::Missing), now, (false, 23, Reason::NoConsent, Guardian)),
        ("一、六", "the agreement was taken back", host("adl.edu.tw"), consent(Consent::Withdrawn), now, (false, 23, Reason::NoConsent, Guardian)),
        ("一、六", "a device of the school in class needs no agreement", host("adl.edu.tw"), Context { consent: Some(Consent::Missing), ..device(DeviceState::Shared) }, now, (true, 4, Reason::Learning, School)),
        ("三(二)", "an unknown device sees the page to join", host("room501.school.example"), device(DeviceState::Unknown), now, (true, 1, Reason::OwnBox, Nobody)),
        ("三、四(一)1(1)", "an unknown device sees nothing else", host("adl.edu.tw"), device(DeviceState::Unknown), now, (false, 2, Reason::UnknownDevice, School)),
        ("三、四(一)1(1)", "an unknown device at recess", host("adl.edu.tw"), Context::unknown(Place::School), now, (false, 2, Reason::UnknownDevice, School)),
        ("四(一)1(2)", "a game in class", host("www.roblox.com"), class(), now, (false, 3, Reason::Games, Teacher)),
        ("四(一)1(2)", "a game's program in class", Query::App("com.roblox.client"), class(), now, (false, 3, Reason::Games, Teacher)),
        ("四(一)1(2)", "a game at home", host("krunker.io"), home(), now, (false, 3, Reason::Games, School)),
        ("四(一)1(2)", "games opened by the teacher", host("krunker.io"), with(&games), now, (true, 3, Reason::Permitted, Teacher)),
        ("四(一)1(2)", "one game opened by the teacher", host("www.krunker.io"), with(&one_host), now, (true, 3, Reason::Permitted, Teacher)),
        ("四(一)1(2)", "another one stays closed", host("poki.com"), with(&one_host), now, (false, 3, Reason::Games, Teacher)),
        ("四(一)1(2)", "the permit has ended", host("krunker.io"), with(&games), monday(10, 40), (false, 3, Reason::Games, Teacher)),
        ("四(一)1(2)", "a platform that looks like a game", host("school.pagamo.org"), class(), now, (true, 4, Reason::Learning, School)),
        ("四(一)1(2)", "entertainment in class", host("www.tiktok.com"), class(), now, (false, 3, Reason::NotTeaching, Teacher)),
        ("四(一)1(2)", "a program nobody knows", Query::App("org.example.unknown"), class(), now, (false, 3, Reason::AppNotApproved, School)),
        ("四(一)1(2)", "a program that the school has put there", Query::App("chromium"), home(), now, (true, 3, Reason::ApprovedApp, School)),
        ("四(一)1(3)", "learning at recess", host("www.coolenglish.edu.tw"), recess(), now, (true, 4, Reason::Learning, School)),
        ("四(一)1(3)", "the open web at recess", host("zh.wikipedia.org"), recess(), now, (false, 4, Reason::NoLesson, Teacher)),
        ("四(一)1(4)", "files in Google Drive", host("drive.google.com"), class(), now, (true, 5, Reason::Storage, School)),
        ("四(一)1(4)", "files in Google Drive at recess", host("docs.google.com"), recess(), now, (true, 5, Reason::Storage, School)),
        ("四(一)1(5)", "the open web in class", host("zh.wikipedia.org"), class(), now, (true, 6, Reason::OpenWeb, School)),
        ("四(一)1(6)", "casting without a lesson", Query::Action(Action::Cast), recess(), now, (false, 7, Reason::NoLesson, Teacher)),
        ("四(一)1(6)", "casting while all look up", Query::Action(Action::Cast), attention, now, (false, 7, Reason::Attention, Teacher)),
        ("四(一)1(6)", "casting in class", Query::Action(Action::Cast), class(), now, (true, 7, Reason::Lesson, Teacher)),
        ("四(一)1(8)", "mail in class", host("mail.google.com"), class(), now, (false, 9, Reason::Mail, Teacher)),
        ("四(一)1(8)", "mail at recess", host("mail.edu.tw"), recess(), now, (false, 9, Reason::Mail, Teacher)),
        ("四(一)1(8)", "mail that the teacher has opened", host("mail.google.com"), with(&mail), now, (true, 9, Reason::Permitted, Teacher)),
        ("四(一)1(8)", "messages belong to it", host("gateway.discord.gg"), with(&mail), now, (true, 9, Reason::Permitted, Teacher)),
        ("四(一)1(8)", "at home mail is the family's matter", host("mail.google.com"), home(), now, (true, 12, Reason::AtHome, Guardian)),
        ("四(一)1(9)", "sound in class is allowed, with a reminder", Query::Action(Action::PlayAloud), class(), now, (true, 10, Reason::Learning, Teacher)),
        ("四(一)2(1)", "a further program at home", Query::Action(Action::Install), home(), now, (false, 11, Reason::HomeApp, School)),
        ("四(一)2(1)", "the school has agreed to it", Query::App("com.duolingo"), Context { exceptions: &agreed, ..home() }, now, (true, 3, Reason::Exception, School)),
        ("四(一)2(1)", "the agreement has ended", Query::App("com.duolingo"), Context { exceptions: &agreed, ..home() }, monday(10, 40), (false, 3, Reason::AppNotApproved, School)),
        ("四(一)2(1)", "the school agreed to a game at home", host("krunker.io"), Context { exceptions: &agreed_game, ..home() }, now, (true, 3, Reason::Exception, School)),
        ("四(一)2(2)", "before the guardian's hours", host("adl.edu.tw"), guarded, monday(18, 59), (false, 12, Reason::GuardianHours, Guardian)),
        ("四(一)2(2)", "in the guardian's hours", host("adl.edu.tw"), guarded, monday(19, 0), (true, 4, Reason::Learning, School)),
        ("四(一)2(2)", "after the guardian's hours", Query::App("chromium"), guarded, monday(21, 0), (false, 12, Reason::GuardianHours, Guardian)),
        ("四(一)2(2)", "the guardian's hours open no game", host("krunker.io"), guarded, monday(20, 0), (false, 3, Reason::Games, School)),
        ("四(一)2(2)", "at school the guardian's hours do not count", host("adl.edu.tw"), Context { guardian: &evening, ..class() }, now, (true, 4, Reason::Learning, School)),
        ("四(一)2(2)", "a lesson joined from home is the school's", host("adl.edu.tw"), guarded_lesson, now, (true, 4, Reason::Learning, School)),
        ("四(二)1", "a device that is lent to nobody, at home", host("adl.edu.tw"), Context { place: Place::Home, lesson: None, ..device(DeviceState::Shared) }, now, (false, 24, Reason::NotLent, School)),
        ("四(二)1", "taking such a device home", Query::Action(Action::TakeHome), device(DeviceState::Shared), now, (false, 24, Reason::NotLent, School)),
        ("四(二)2", "a lost device", host("adl.edu.tw"), device(DeviceState::Lost), now, (false, 13, Reason::DeviceAway, School)),
        ("四(二)2", "a device in repair", host("adl.edu.tw"), device(DeviceState::Repair), now, (false, 13, Reason::DeviceAway, School)),
        ("四(二)4", "a telecom card at school", host("adl.edu.tw"), Context { link: Some(Link::Mobile), ..class() }, now, (false, 14, Reason::SchoolNetwork, Teacher)),
        ("四(二)4", "a cable at school", host("adl.edu.tw"), Context { link: Some(Link::Wired), ..class() }, now, (false, 14, Reason::SchoolNetwork, Teacher)),
        ("四(二)4", "a telecom card at home", host("adl.edu.tw"), Context { link: Some(Link::Mobile), ..home() }, now, (true, 4, Reason::Learning, School)),
        ("四(三)1", "against copyright", host("thepiratebay.org"), home(), now, (false, 15, Reason::Copyright, School)),
        ("四(三)3", "harmful, at school", host("www.pornhub.com"), class(), now, (false, 15, Reason::Harmful, School)),
        ("四(三)3", "harmful, at home", host("www.pornhub.com"), home(), now, (false, 15, Reason::Harmful, School)),
        ("四(三)4", "recording", Query::Action(Action::Record), class(), now, (false, 17, Reason::Recording, Teacher)),
        ("四(三)4", "recording with the teacher's word", Query::Action(Action::Record), with(&record), now, (true, 17, Reason::Permitted, Teacher)),
        ("四(三)5", "around the filter", host("dns.google"), class(), now, (false, 18, Reason::Bypass, School)),
        ("四(三)5", "a teacher's machine at recess", host("zh.wikipedia.org"), Context { lesson: None, ..device(DeviceState::Staff) }, now, (true, 18, Reason::StaffDevice, School)),
        ("四(三)5", "a teacher's machine and what is harmful", host("www.pornhub.com"), device(DeviceState::Staff), now, (false, 15, Reason::Harmful, School)),
        ("四(三)6", "telling a teacher, whoever it is", Query::Action(Action::Report), Context::unknown(Place::Home), now, (true, 19, Reason::Report, Nobody)),
        ("五", "a suspended device", host("adl.edu.tw"), device(DeviceState::Suspended), now, (false, 21, Reason::Suspended, School)),
        ("五", "a suspended device can still tell a teacher", Query::Action(Action::Report), device(DeviceState::Suspended), now, (true, 19, Reason::Report, Nobody)),
        ("–", "an action that no rule names", Query::Action(Action::Install), class(), now, (false, 3, Reason::AppNotApproved, School)),
    ];
    let policy = policy();
    let wrong: Vec<String> = table
        .iter()
        .filter_map(|(clause, situation, query, context, now, expected)| {
            let found = seen(&decide(&policy, query, context, *now));
            (found != *expected).then(|| format!("{clause} {situation}: expected {expected:?}, found {found:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_of_the_document_decides_something_in_the_table_of_clauses() {
    let document = Document::standard().unwrap();
    let clauses = [
        "一、六",
        "三(二)",
        "三、四(一)1(1)",
        "四(一)1(2)",
        "四(一)1(3)",
        "四(一)1(4)",
        "四(一)1(5)",
        "四(一)1(6)",
        "四(一)1(7)",
        "四(一)1(8)",
        "四(一)1(9)",
        "四(一)2(1)",
        "四(一)2(2)",
        "四(二)1",
        "四(二)2",
        "四(二)4",
        "四(三)1",
        "四(三)2",
        "四(三)3",
        "四(三)4",
        "四(三)5",
        "四(三)6",
        "五",
    ];
    for clause in clauses {
        assert!(document.rules.iter().any(|rule| rule.clause == clause), "附件1 {clause} has no rule");
    }
    for rule in &document.rules {
        assert!(clauses.contains(&rule.clause.as_str()), "{} follows the unknown clause {}", rule.id, rule.clause);
    }
}

#[test]
fn every_answer_has_words_in_both_languages() {
    for rule in Document::standard().unwrap().rules {
        for lang in [Lang::ZhHantTw, Lang::En] {
            assert!(!text(lang, rule.reason.key()).is_empty() && !text(lang, rule.changer.key()).is_empty());
        }
    }
}

#[test]
fn the_open_web_is_recorded_and_learning_is_not() {
    let policy = policy();
    let record = |name, context: &Context<'_>| decide(&policy, &host(name), context, monday(10, 0)).record;
    assert!(record("zh.wikipedia.org", &class()));
    assert!(!record("adl.edu.tw", &class()) && !record("drive.google.com", &class()));
    assert!(!record("zh.wikipedia.org", &home()), "nothing of the kind is kept at home (R-POL-20)");
}

#[test]
fn another_students_device_and_a_shared_account_are_told_and_not_blocked() {
    let policy = policy();
    for (trouble, rule) in [(Trouble::AnotherStudents, 8), (Trouble::SharedAccount, 16)] {
        let trouble = [trouble];
        let context = Context { trouble: &trouble, ..class() };
        let decision = decide(&policy, &host("adl.edu.tw"), &context, monday(10, 0));
        assert!(decision.allow);
        assert_eq!(decision.alert, Some(RuleId::new(rule)));
    }
}

#[test]
fn an_answer_says_until_when_it_holds() {
    let policy = policy();
    let evening = [Window { days: vec![1], from: 19 * 60, to: 21 * 60 }];
    let guarded = Context { guardian: &evening, ..home() };
    let until = |now| decide(&policy, &host("adl.edu.tw"), &guarded, now).until;
    assert_eq!(until(monday(18, 0)), Some(monday(19, 0)));
    assert_eq!(until(monday(20, 0)), Some(monday(21, 0)));
    let permits = [Permit { what: Permission::Category("mail".into()), until: monday(10, 40) }];
    let context = Context { lesson: Some(LessonContext { permits: &permits, attention: false }), ..class() };
    assert_eq!(decide(&policy, &host("gmail.com"), &context, monday(10, 0)).until, Some(monday(10, 40)));
}

#[test]
fn lists_count_like_the_documents_own_names() {
    let policy = policy();
    let harmful = policy.category("harmful").unwrap();
    let query = Query::Host { name: "zh.wikipedia.org", listed: harmful };
    assert_eq!(decide(&policy, &query, &class(), monday(10, 0)).reason, Reason::Harmful);
    let listed = policy.category("games").unwrap();
    let query = Query::Host { name: "school.pagamo.org", listed };
    assert!(decide(&policy, &query, &class(), monday(10, 0)).allow, "a platform outweighs a list of games");
    assert_eq!(policy.category("learning"), None, "a bundle has no lists");
}

#[test]
fn names_in_capitals_and_with_a_dot_are_the_same() {
    let policy = policy();
    for name in ["WWW.Roblox.COM", "roblox.com.", "a.b.roblox.com"] {
        assert_eq!(decide(&policy, &host(name), &class(), monday(10, 0)).reason, Reason::Games, "{name}");
    }
    for name in ["notroblox.com", "roblox.com.example.tw", ""] {
        assert_ne!(decide(&policy, &host(name), &class(), monday(10, 0)).reason, Reason::Games, "{name}");
    }
}

#[test]
fn usage_finds_the_platform_of_a_host() {
    let policy = policy();
    let id = |name| policy.system_of_host(name).map(|(bundle, system)| (bundle, system.id.as_str()));
    assert_eq!(id("school.pagamo.org"), Some(("learning", "pagamo")));
    assert_eq!(id("media.video.cloud.edu.tw"), Some(("learning", "video")));
    assert_eq!(id("x.cloud.edu.tw"), Some(("learning", "educloud")));
    assert_eq!(id("roblox.com"), None);
}

#[test]
fn contradictions_are_told_with_their_place_and_mend() {
    let good = Document::standard().unwrap();
    assert_eq!(validate(&good), vec![]);
    type Change = fn(&mut Document);
    let cases: &[(Change, &str, &str)] = &[
        (|d| d.rules.clear(), "rules", "there is no rule"),
        (|d| d.rules.retain(|rule| rule.about != Subject::OwnBox), "rules", "no rule allows the box's own pages"),
        (|d| d.rules[1].effect = Effect::Refuse, "rules", "no rule allows the box's own pages"),
        (|d| d.rules.push(d.rules[2].clone()), "rules[39]", "never applies: rules[2] (R-POL-2)"),
        (
            |d| {
                let at = d.rules.iter().position(|rule| rule.about == Subject::Bundle("learning".into())).unwrap();
                let mut opposite = d.rules[at].clone();
                opposite.effect = Effect::Refuse;
                d.rules.push(opposite);
            },
            "rules[39]",
            "contradicts rules[",
        ),
        (|d| drop(d.categories.remove("games")), "rules[", "there is no category \"games\""),
        (|d| drop(d.bundles.remove("storage")), "rules[", "there is no bundle \"storage\""),
        (
            |d| d.rules.retain(|rule| rule.about != Subject::Category("piracy".into())),
            "categories.piracy",
            "no rule is about it",
        ),
        (
            |d| d.categories.get_mut("games").unwrap().hosts.push("https://poki.com/x".into()),
            "categories.games.hosts[",
            "write the host's name alone",
        ),
        (
            |d| d.categories.get_mut("games").unwrap().hosts.push("adl.edu.tw".into()),
            "categories.games.hosts[",
            "stands at bundles.learning.systems[0].hosts[0] already",
        ),
        (
            |d| {
                let rule = d.rules.iter_mut().find(|rule| rule.when.outside_guardian_hours).unwrap();
                rule.effect = Effect::Allow;
            },
            "rules[",
            "a guardian's hours only tighten",
        ),
        (
            |d| {
                let rule = d.rules.iter_mut().find(|rule| rule.lifted_by.is_some()).unwrap();
                rule.changer = Changer::Guardian;
            },
            "rules[",
            "a teacher lifts this rule",
        ),
        (|d| d.rules[0].clause = " ".into(), "rules[0].clause", "name the clause"),
        (|d| d.revision.clear(), "revision", "a name has 1 to 60 characters"),
        (
            |d| d.categories.get_mut("games").unwrap().name.zh = "<b>遊戲</b>".repeat(600),
            "categories.games.name.zh-Hant-TW",
            "a name has 1 to 60 characters",
        ),
    ];
    for (at, (change, path, word)) in cases.iter().enumerate() {
        let mut document = good.clone();
        change(&mut document);
        let found = validate(&document);
        let told = found.iter().any(|one| one.path.starts_with(path) && one.words(Lang::En).contains(word));
        assert!(told, "case {at}: expected {path}: {word}; found {found:?}");
        for one in &found {
            let [zh, en] = [Lang::ZhHantTw, Lang::En].map(|lang| one.told(lang));
            assert!(en == one.to_string() && zh != en && !zh.contains('{'), "{zh}");
        }
        assert!(Policy::new(document).is_err());
    }
}
