//! What a person who types a command is told when it does not work: in both languages, as a terminal does not say which
//! one its reader has. Logs are for who looks after the machine and stay as they are.

use std::fmt;

use classroom_protocol::catalogue::{Lang, fill};

/// A text of the catalogue as an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForPeople(String);

impl ForPeople {
    /// The text of `key` with its places filled.
    pub(crate) fn new(key: &str, values: &[(&str, &str)]) -> Self {
        Self([Lang::ZhHantTw, Lang::En].map(|lang| fill(lang, key, values)).join("\n"))
    }
}

impl fmt::Display for ForPeople {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ForPeople {}
