//! What is wrong with what the box keeps.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Millis;

/// What is wrong with what the box keeps; teachers and the office are told until it is mended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Keeping {
    /// The database could not be read and the box began with an empty one; nobody has said yet that this is known.
    pub set_aside: Option<SetAside>,
    /// The disk takes no records now: they wait in memory.
    pub records_wait: bool,
}

/// A database that was set aside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SetAside {
    /// When.
    pub at: Millis,
    /// Where it lies now; several when it has happened again.
    pub files: Vec<String>,
    /// The folder of the backups.
    pub backups: String,
}
