//! Who may import whom: `protocol ← core ← shells ← app.rs ← main.rs`.

use super::{none, tree};

/// The hub's shells. `web` is the outermost: it serves what the others hand out.
const SHELLS: &[&str] = &["store", "media", "dns", "cache", "upstream", "web"];

#[test]
fn shells_do_not_import_each_other() {
    none(
        "a shell imports no sibling; only `web` may name what a sibling's mod.rs hands out (`crate::store::Name`, one \
         level, never its inside), and nobody imports `web` but app.rs",
        tree::files().iter().filter_map(|file| Some((file, shell(&file.path)?))).flat_map(|(file, own)| {
            file.lines_with(move |line| {
                SHELLS.iter().filter(|other| **other != own).any(|other| {
                    let uses = format!("crate::{other}");
                    line.match_indices(&uses).any(|(at, _)| {
                        let rest = &line[at + uses.len()..];
                        let ends = !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
                        ends && (own != "web" || reaches_inside(rest))
                    })
                })
            })
        }),
    );
}

/// The shell to which a file of the hub belongs.
fn shell(path: &str) -> Option<&'static str> {
    let rest = path.strip_prefix("appliance/src/")?;
    let name = rest.split(['/', '.']).next()?;
    SHELLS.iter().find(|shell| **shell == name).copied()
}

/// Whether what follows `crate::store` names a thing inside a module of it: `::accounts::Accounts`.
fn reaches_inside(rest: &str) -> bool {
    let mut names = rest.trim_start_matches("::").split("::");
    let module = names.next().is_some_and(|name| name.starts_with(|c: char| c.is_lowercase()));
    module && names.next().is_some()
}

#[test]
fn inside_is_told_from_handed_out() {
    assert!(!reaches_inside("::{Accounts, Panels};"));
    assert!(!reaches_inside("::Accounts::open(x)"));
    assert!(!reaches_inside("::open(x)"));
    assert!(reaches_inside("::accounts::Accounts;"));
    assert_eq!(shell("appliance/src/store/mod.rs"), Some("store"));
    assert_eq!(shell("appliance/src/media.rs"), Some("media"));
    assert_eq!(shell("appliance/src/app.rs"), None);
}

#[test]
fn programs_meet_only_through_the_protocol() {
    none(
        "the panel's window knows the hub by its protocol only",
        ["appliance", "appliance-core"].iter().filter_map(|name| {
            let text = tree::read("display-client/Cargo.toml")?;
            super::manifests::dependencies(&text, "[dependencies]")
                .any(|found| found == *name)
                .then(|| format!("display-client depends on {name}"))
        }),
    );
}
