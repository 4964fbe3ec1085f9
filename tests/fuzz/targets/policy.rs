//! The policy document and the snapshot: whatever is read can be judged, and decided with when it is good.
#![no_main]

use classroom_protocol::catalogue::Lang;
use appliance_core::policy::{Context, Document, Marks, Place, Policy, Query, Snapshot, Surroundings, decide, validate};

fn ask(document: Document, name: &str) {
    for found in validate(&document) {
        assert!(!found.path.is_empty() && !found.words(Lang::En).is_empty());
    }
    let Ok(policy) = Policy::new(document) else { return };
    for place in [Place::School, Place::Home] {
        let query = Query::Host { name, listed: Marks::NONE };
        let decision = decide(&policy, &query, &Context::unknown(place), 1_700_000_000_000);
        assert!(decision.rule.number() > 0);
    }
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    match Document::parse(text) {
        Ok(document) => ask(document, "www.krunker.io"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(snapshot) = serde_json::from_str::<Snapshot>(text) {
        let around = Surroundings::new(snapshot.lesson, snapshot.register_in_use, snapshot.devices);
        around.context(std::net::Ipv4Addr::LOCALHOST.into());
        ask(snapshot.document, "adl.edu.tw");
    }
});
