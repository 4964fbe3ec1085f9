//! The repository's rules as tests: what the compiler and clippy can't check.
//!
//! Each rule lives in the file of its subject and says in its failure what to do about it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod directions;
mod manifests;
mod places;
mod pure;
mod sources;
mod tree;
mod units;
mod words;

/// Fails with the rule and every place that breaks it.
fn none(rule: &str, found: impl IntoIterator<Item = String>) {
    let found: Vec<String> = found.into_iter().collect();
    assert!(found.is_empty(), "{rule}\n  {}\n", found.join("\n  "));
}
