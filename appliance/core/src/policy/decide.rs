//! The decision itself: the rules in their order, the first that refuses or allows decides, nothing is refused too.

use std::borrow::Cow;

use classroom_protocol::{
    Millis,
    policy::{Action, Effect, Lifter, Permission, Permit, Rule, Subject, When},
};

use super::{
    Changer, Context, Decision, Marks, Place, Policy, Query, Reason, RuleId, hosts, permits,
    windows::{self, Window},
};

/// What no rule allows is refused (R-POL-2).
const DENY: RuleId = RuleId::new(2);

/// Decides. Pure; the same answer for the same arguments, in every program of the box.
pub fn decide(policy: &Policy, query: &Query<'_>, context: &Context<'_>, now: Millis) -> Decision {
    let asked = Asked::new(policy, query);
    let hours = (!context.guardian.is_empty() && context.place == Place::Home)
        .then(|| windows::inside(valid(context.guardian), now));
    let change = hours.map(|(_, until)| until);
    let mut alert = None;
    let mut lifted: Option<(&Rule, Reason, Millis)> = None;
    for (at, rule) in policy.document().rules.iter().enumerate() {
        let subject = policy.subjects.get(at).copied().flatten();
        if !asked.is(&rule.about, subject) || !holds(&rule.when, context, hours) {
            continue;
        }
        match rule.effect {
            Effect::Remind => {}
            Effect::Alert => alert = alert.or(Some(rule.id)),
            Effect::Refuse => match lift(rule, &asked, policy, context, now) {
                Some((reason, until)) => {
                    let until = lifted.map_or(until, |(_, _, before)| before.min(until));
                    lifted = Some((rule, reason, until));
                }
                None => {
                    let until = if rule.when.outside_guardian_hours { change } else { None };
                    return answer(false, rule, rule.reason, until, alert);
                }
            },
            Effect::Allow | Effect::AllowAndRecord => {
                let record = rule.effect == Effect::AllowAndRecord;
                let decision = match lifted {
                    Some((by, reason, until)) => answer(true, by, reason, earliest(Some(until), change), alert),
                    None => answer(true, rule, rule.reason, change, alert),
                };
                return Decision { record, ..decision };
            }
        }
    }
    if let Some((rule, reason, until)) = lifted {
        let record = context.place == Place::School;
        return Decision { record, ..answer(true, rule, reason, earliest(Some(until), change), alert) };
    }
    let (rule, reason, changer) = (DENY, Reason::NothingAllows, Changer::School);
    Decision { allow: false, rule, reason, changer, until: change, record: false, alert }
}

fn answer(allow: bool, rule: &Rule, reason: Reason, until: Option<Millis>, alert: Option<RuleId>) -> Decision {
    Decision { allow, rule: rule.id, reason, changer: rule.changer, until, record: false, alert }
}

fn earliest(a: Option<Millis>, b: Option<Millis>) -> Option<Millis> {
    a.into_iter().chain(b).min()
}

/// Hours that can't be used are none that allow: the guardian meant to tighten.
fn valid(windows: &[Window]) -> &[Window] {
    if windows.iter().all(|window| window.check().is_ok()) { windows } else { &[] }
}

/// A query with what the document says of its name.
struct Asked<'a> {
    name: Cow<'a, str>,
    own: bool,
    marks: Marks,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Host,
    App,
    Action(Action),
}

impl<'a> Asked<'a> {
    fn new(policy: &Policy, query: &Query<'a>) -> Self {
        match *query {
            Query::Host { name, listed } => {
                let name = lower(name.strip_suffix('.').unwrap_or(name));
                let marks = policy.marks_of_host(&name).with(listed);
                Self { own: policy.is_own(&name), marks, name, kind: Kind::Host }
            }
            Query::App(name) => {
                let name = lower(name);
                Self { own: false, marks: policy.marks_of_app(&name), name, kind: Kind::App }
            }
            Query::Action(action) => {
                Self { own: false, marks: Marks::NONE, name: Cow::Borrowed(""), kind: Kind::Action(action) }
            }
        }
    }

    fn is(&self, about: &Subject, marks: Option<Marks>) -> bool {
        match about {
            Subject::Anything => true,
            Subject::Hosts => self.kind == Kind::Host,
            Subject::Apps => self.kind == Kind::App,
            Subject::OwnBox => self.own,
            Subject::Bundle(_) | Subject::Category(_) => marks.is_some_and(|marks| marks.meets(self.marks)),
            Subject::Action(action) => self.kind == Kind::Action(*action),
        }
    }

    fn is_permitted(&self, what: &Permission, policy: &Policy) -> bool {
        match what {
            Permission::Category(id) => policy.category(id).is_some_and(|mark| mark.meets(self.marks)),
            Permission::Host(host) => {
                self.kind == Kind::Host && hosts::suffixes(&self.name).any(|suffix| suffix == host)
                    || self.kind == Kind::App && self.name == *host
            }
            Permission::Action(action) => self.kind == Kind::Action(*action),
        }
    }
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase() || !b.is_ascii()) {
        Cow::Owned(name.to_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

fn holds(when: &When, context: &Context<'_>, hours: Option<(bool, Millis)>) -> bool {
    let among = |list: &[_], is| list.is_empty() || list.contains(is);
    when.place.is_none_or(|place| place == context.place)
        && when.lesson.is_none_or(|running| running == context.lesson.is_some())
        && when.attention.is_none_or(|on| on == context.lesson.is_some_and(|lesson| lesson.attention))
        && among(&when.device, &context.device)
        && (when.consent.is_empty() || context.consent.is_some_and(|consent| when.consent.contains(&consent)))
        && (when.link.is_empty() || context.link.is_some_and(|link| when.link.contains(&link)))
        && (when.trouble.is_empty() || when.trouble.iter().any(|trouble| context.trouble.contains(trouble)))
        && (!when.outside_guardian_hours || hours.is_some_and(|(inside, _)| !inside))
}

/// Whether a permit lifts this refusal: until when, and in whose name.
fn lift(
    rule: &Rule,
    asked: &Asked<'_>,
    policy: &Policy,
    context: &Context<'_>,
    now: Millis,
) -> Option<(Reason, Millis)> {
    let longest = |permits: &[Permit], counts: fn(&Permit, Millis) -> bool| {
        let good = permits.iter().filter(|permit| counts(permit, now) && asked.is_permitted(&permit.what, policy));
        good.map(|permit| permit.until).max()
    };
    let by_school =
        || longest(context.exceptions, |permit, now| permit.until > now).map(|until| (Reason::Exception, until));
    let by_teacher = || longest(context.lesson?.permits, permits::counts).map(|until| (Reason::Permitted, until));
    match rule.lifted_by? {
        Lifter::Teacher => by_teacher().or_else(by_school),
        Lifter::School => by_school(),
    }
}
