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

/// The test programs that `tests/run.sh` runs: what stands behind `--test`, perhaps with a `*` at its end, and the parts
/// that its function `box` runs.
fn run(script: &str) -> Vec<&str> {
    let lines = || script.lines().filter(|line| !line.trim_start().starts_with('#'));
    let named =
        lines().flat_map(|line| line.split("--test ").skip(1)).filter_map(|rest| rest.split_whitespace().next());
    let parts = lines().filter(|line| line.contains(" box \"$name\"")).filter_map(|line| line.split(')').next());
    named.chain(parts.flat_map(|arm| arm.split('|'))).map(|name| name.trim().trim_matches(['\'', ';'])).collect()
}

/// Name of the test program that cargo makes of this file by itself, if it does: `tests/NAME.rs` or `tests/NAME/main.rs` of
/// a crate.
fn own_program(path: &str) -> Option<(&str, &str)> {
    let (member, file) = path.split_once("/tests/")?;
    let name = file.strip_suffix("/main.rs").or_else(|| file.strip_suffix(".rs"))?;
    (!name.contains('/')).then_some((member, name))
}

#[test]
fn every_test_program_is_run() {
    let script = tree::read("tests/run.sh").expect("tests/run.sh, which `make test` calls");
    let run = run(&script);
    let is_run = |name: &str| {
        let fits = |by: &str| by.strip_suffix('*').map_or(by == name, |begin| name.starts_with(begin));
        run.iter().any(|by| fits(by))
    };
    let manifest = tree::read("tests/Cargo.toml").expect("tests/Cargo.toml");
    let named: Vec<&str> = manifest.split("[[test]]").skip(1).filter_map(|part| part.split('"').nth(1)).collect();
    assert!(named.len() > 5, "tests/Cargo.toml: {named:?}");
    none(
        "tests/run.sh runs each [[test]] of tests/Cargo.toml by its name",
        named.into_iter().filter(|name| !is_run(name)).map(str::to_owned),
    );
    let files = tree::files();
    let own: Vec<_> = files.iter().filter_map(|file| own_program(&file.path)).collect();
    assert!(own.iter().any(|(member, _)| *member == "appliance/core"), "integration tests of crates: {own:?}");
    none(
        "tests/run.sh, part `rust`, runs the integration tests of every crate; add a --test for",
        own.iter().filter(|(_, name)| !is_run(name)).map(|(member, name)| format!("{member}/tests/{name}")),
    );
}

#[test]
fn test_programs_are_found_in_script_and_tree() {
    let script =
        "# usage: run.sh\nrust() { cargo test --test 'room*' --test media }\n http | day) part x box \"$name\" ;;";
    assert_eq!(run(script), ["room*", "media", "http", "day"]);
    assert_eq!(own_program("appliance/core/tests/room.rs"), Some(("appliance/core", "room")));
    assert_eq!(own_program("appliance/tests/peers/main.rs"), Some(("appliance", "peers")));
    assert_eq!(own_program("appliance/tests/peers/mod.rs"), None);
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
