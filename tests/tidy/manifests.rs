//! Cargo's manifests, the Makefile and the pages written by people: each thing that is used has its reason, and each
//! test is run.

use super::{none, tree};

/// The names in a table of a manifest.
pub(crate) fn dependencies<'a>(manifest: &'a str, table: &'a str) -> impl Iterator<Item = &'a str> {
    manifest
        .lines()
        .skip_while(move |line| line.trim() != table)
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with([' ', '#', ']']))
        .filter_map(|line| line.split_once(['=', '.']).map(|(name, _)| name.trim()))
        .filter(|name| !name.is_empty())
}

#[test]
fn every_dependency_has_its_reason() {
    let workspace = tree::read("Cargo.toml").expect("Cargo.toml");
    let page = tree::read("appliance/ARCHITECTURE.md").expect("appliance/ARCHITECTURE.md says why each is there");
    // The first cell of each row of the table.
    let named: Vec<&str> = page
        .lines()
        .skip_while(|line| !line.starts_with("## Dependencies"))
        .filter_map(|line| line.strip_prefix('|')?.split('|').next())
        .flat_map(|cell| cell.split(','))
        .map(|name| name.trim().trim_matches('`'))
        .collect();
    none(
        "appliance/ARCHITECTURE.md, \"Dependencies\", has a row with the reason for each dependency; missing:",
        dependencies(&workspace, "[workspace.dependencies]")
            .filter(|name| !["appliance", "appliance-core", "classroom-peer", "classroom-protocol"].contains(name))
            .filter(|name| !named.contains(name))
            .map(str::to_owned),
    );
}

#[test]
fn every_dependency_of_the_workspace_is_used() {
    let workspace = tree::read("Cargo.toml").expect("Cargo.toml");
    let manifests: Vec<_> =
        tree::files().into_iter().filter(|file| file.path.ends_with("/Cargo.toml")).map(|file| file.text).collect();
    let used = |name: &str| {
        let tables = ["[dependencies]", "[dev-dependencies]", "[build-dependencies]"];
        manifests.iter().any(|text| tables.iter().any(|table| dependencies(text, table).any(|found| found == name)))
    };
    none(
        "no crate uses these dependencies of the workspace",
        dependencies(&workspace, "[workspace.dependencies]").filter(|name| !used(name)).map(str::to_owned),
    );
}

#[test]
fn every_test_program_is_run() {
    let run = tree::read("tests/run.sh").expect("tests/run.sh, which `make test` calls");
    let words: Vec<&str> = run.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let manifest = tree::read("tests/Cargo.toml").expect("tests/Cargo.toml");
    let programs = manifest.split("[[test]]").skip(1).filter_map(|part| part.split('"').nth(1));
    none(
        "tests/run.sh runs each [[test]] of tests/Cargo.toml by its name",
        programs.filter(|name| !words.contains(name)).map(str::to_owned),
    );
}

#[test]
fn lock_files_name_no_private_registry() {
    let cargo = tree::read("Cargo.lock").expect("Cargo.lock");
    none(
        "Cargo.lock names crates.io only",
        cargo
            .lines()
            .filter(|line| line.starts_with("source = "))
            .filter(|line| !line.contains("registry+https://github.com/rust-lang/crates.io-index"))
            .map(str::to_owned),
    );
    none(
        "package-lock.json without `resolved` works with every registry (npm config `omit-lockfile-registry-resolved`)",
        tree::files()
            .iter()
            .filter(|file| file.path.ends_with("package-lock.json"))
            .filter(|file| file.text.contains("\"resolved\""))
            .map(|file| file.path.clone()),
    );
}
