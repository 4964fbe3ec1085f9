//! What applies now, subject by subject: for the page that people look at.

use classroom_protocol::{
    Millis,
    policy::{Action, Decision, Lifter, Names, Place, PolicyKind, PolicyRow, Subject},
};

use super::{Context, Marks, Policy, Query, decide};

/// Every bundle and category, the rest of the web, and what people do.
pub fn overview(policy: &Policy, context: &Context<'_>, now: Millis) -> Vec<PolicyRow> {
    let host = |marks| decide(policy, &Query::Host { name: "", listed: marks }, context, now);
    let switch = |subject: &Subject| {
        policy.document().rules.iter().any(|rule| {
            rule.about == *subject
                && rule.lifted_by == Some(Lifter::Teacher)
                && rule.when.place.is_none_or(|place| place == Place::School)
        })
    };
    let row = |kind, id: &str, name: Option<Names>, decision: Decision, switch| {
        let clause = policy.clause(&decision.rule).to_owned();
        PolicyRow { kind, id: id.to_owned(), name, decision, clause, switch }
    };
    let set = |kind, id: &String, name: &Names, subject: &Subject| {
        row(kind, id, Some(name.clone()), host(policy.set(id)), switch(subject))
    };
    let document = policy.document();
    // A set without hosts (programs only) says nothing of the web.
    let bundles = document.bundles.iter().filter(|(_, bundle)| bundle.systems.iter().any(|one| !one.hosts.is_empty()));
    let mut rows: Vec<PolicyRow> =
        bundles.map(|(id, bundle)| set(PolicyKind::Bundle, id, &bundle.name, &Subject::Bundle(id.clone()))).collect();
    rows.push(row(PolicyKind::Web, "web", None, host(Marks::NONE), false));
    rows.extend(
        document
            .categories
            .iter()
            .map(|(id, category)| set(PolicyKind::Category, id, &category.name, &Subject::Category(id.clone()))),
    );
    let actions = [("cast", Action::Cast), ("record", Action::Record), ("install", Action::Install)];
    rows.extend(actions.map(|(id, action)| {
        let decision = decide(policy, &Query::Action(action), context, now);
        row(PolicyKind::Action, id, None, decision, switch(&Subject::Action(action)))
    }));
    rows
}
