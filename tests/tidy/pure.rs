//! Invariant 1: core decides, never does. `appliance/core/clippy.toml` says the same to the editor; this also sees
//! what a lint can't, such as a dependency.

use super::{none, tree};

/// What reads a clock, a socket, a file, the environment or a random source, or runs something.
const DOERS: &[&str] = &[
    // As an argument `Instant` is fine; reading one is not.
    "Instant::now",
    ".elapsed()",
    "SystemTime",
    "std::net::Tcp",
    "std::net::Udp",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::fs",
    "std::env",
    "std::io",
    "std::process",
    "std::thread",
    "std::sync::mpsc",
    "tokio",
    "async fn",
    "rand::",
    "getrandom",
    "tracing::",
    "println!",
    "RandomState",
    // Walked in another order each time: decisions would differ from run to run. BTreeMap and BTreeSet do not.
    "HashMap",
    "HashSet",
];

#[test]
fn core_never_does() {
    none(
        "core decides and never does: take `now`, ids and inputs as arguments and give back what to do as data",
        tree::files()
            .iter()
            .filter(|file| file.path.starts_with("appliance/core/src/") && file.is_shipped_rust())
            .flat_map(|file| file.lines_with(|line| DOERS.iter().any(|doer| line.contains(doer)))),
    );
}

#[test]
fn core_and_protocol_depend_on_nothing_that_does() {
    let allowed = [
        "classroom-protocol",
        "serde",
        "serde_json",
        "serde_path_to_error",
        "utoipa",
        "sha2",
        "hmac",
        "subtle",
        "time",
    ];
    for manifest in ["appliance/core/Cargo.toml", "appliance/protocol/Cargo.toml"] {
        let text = tree::read(manifest).expect(manifest);
        none(
            &format!("{manifest} may name only {allowed:?} as dependencies"),
            super::manifests::dependencies(&text, "[dependencies]")
                .filter(|name| !allowed.contains(name))
                .map(str::to_owned),
        );
    }
}
