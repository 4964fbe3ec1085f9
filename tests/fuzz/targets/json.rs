//! Bodies of commands; what is read is written the same again.
#![no_main]

use appliance_core::{calendar, room::Room};
use classroom_protocol::{
    SourceId, StudentCommand, TeacherCommand,
    panel::{PairApprove, PairRequest, PanelReport},
};

fn again<T: serde::de::DeserializeOwned + serde::Serialize + PartialEq + std::fmt::Debug>(text: &str) {
    if let Ok(value) = serde_json::from_str::<T>(text) {
        let written = serde_json::to_string(&value).expect("what was read can be written");
        assert_eq!(serde_json::from_str::<T>(&written).expect("what was written can be read"), value);
    }
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    again::<TeacherCommand>(text);
    again::<StudentCommand>(text);
    again::<PairRequest>(text);
    again::<PairApprove>(text);
    again::<PanelReport>(text);
    again::<Room>(text);
    if let Ok(source) = text.parse::<SourceId>() {
        assert_eq!(source.as_str(), text);
    }
    calendar::day(text);
});
