//! The schemas of everything in this crate that crosses HTTP, for the pages and for people.

use utoipa::OpenApi;

use crate::{
    command::{HomeCommand, StudentCommand, TeacherCommand},
    id::{Seat, SourceId},
    keeping::{Keeping, SetAside},
    panel::{PairApprove, PairDone, PairRequest, PairWaiting, PanelReport},
    policy::{
        AccessLine, Action, Changer, Decision, DeviceState, Names, Permission, Permit, PolicyKind, PolicyRow,
        PolicyView, Reason, Refused, RuleId, Why,
    },
    problem::{Problem, ProblemCode},
    view::{
        DeviceAlert, DeviceTrouble, Envelope, HomeLink, HomePass, HomeSeat, HomeView, JoinTicket, LessonView, Marks,
        Microphone, OpenSeat, PanelState, PanelView, RoomInfo, SeatPass, SeatView, Sharing, SiteReport, SourceView,
        Stage, StudentView, TeacherView, Tile, Voice, Watching,
    },
};

/// The document. `openapi.json` beside this crate is its golden form, and the pages' types are generated from that.
#[derive(Debug, OpenApi)]
#[openapi(
    info(title = "Classroom box", description = "What pages, panels and programs exchange with the hub."),
    components(schemas(
        Envelope<TeacherView>, Envelope<StudentView>, Envelope<PanelView>, Envelope<HomeView>,
        HomeCommand, HomeLink, HomePass, HomeSeat, HomeView, Microphone, Voice, Watching,
        DeviceAlert, DeviceTrouble, SiteReport,
        JoinTicket, Keeping, LessonView, Marks, SetAside, OpenSeat, PairApprove, PairDone, PairRequest, PairWaiting, PanelReport, PanelState,
        AccessLine, Action, Changer, Decision, DeviceState, Names, Permission, Permit, PolicyKind, PolicyRow, PolicyView,
        Reason, Refused, RuleId, Why,
        PanelView, Problem, ProblemCode, RoomInfo, Seat, SeatPass, SeatView, Sharing, SourceId, SourceView, Stage,
        StudentCommand, StudentView, TeacherCommand, TeacherView, Tile,
    ))
)]
pub struct Document;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// `UPDATE_GOLDEN=1 cargo test -p classroom-protocol` writes it anew; then `npm run types` in `appliance/ui`.
    #[test]
    fn the_golden_document_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let now = Document::openapi().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &now).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), now, "the protocol has changed; see above");
    }
}
