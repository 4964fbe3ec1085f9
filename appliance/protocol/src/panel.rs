//! How a panel pairs with its room and what it reports.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::SourceId;

/// A panel asks to be paired (`POST /api/panel/pair`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PairRequest {
    /// The panel's name for people, at most 40 characters.
    pub name: String,
}

/// What the panel shows while it waits (answer to `POST /api/panel/pair`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PairWaiting {
    /// Ask again at `GET /api/panel/pair/{id}`, once a second, for at most 10 minutes. Known to the panel only.
    pub id: String,
    /// Six digits that the teacher types in.
    pub code: String,
}

/// Answer to `GET /api/panel/pair/{id}`: 200 with this when paired, 202 without a body while waiting, 404 when over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PairDone {
    /// Bearer token of the panel. It holds until a teacher removes the panel.
    pub token: String,
}

/// A teacher types the code that the panel shows (`POST /api/panels`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PairApprove {
    /// Six digits.
    pub code: String,
}

/// What a panel tells when it changes (`POST /api/panel/report`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PanelReport {
    /// Sources on the stage without a decoded frame for 2 seconds, at most 9.
    pub lost: Vec<SourceId>,
}
