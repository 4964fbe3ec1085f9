//! Nothing of the machine on which the code was written stays in it.

use super::{none, tree};

#[test]
fn no_path_and_no_host_of_a_workplace() {
    // Put together here, so that this file does not break its own rule.
    let foreign = [
        concat!("/wo", "rk/"),
        concat!("/tmp/", "wt"),
        concat!("/ro", "ot/"),
        concat!("/home", "/user"),
        concat!("artifact", "ory"),
        concat!("nex", "us/repository"),
        concat!("stun.l.goo", "gle.com"),
    ];
    none(
        "tracked files name no path of a machine, no mirror, no public STUN server",
        tree::files().iter().flat_map(|file| {
            file.text.lines().enumerate().filter_map(|(n, line)| {
                let word = foreign.iter().find(|word| line.contains(**word))?;
                Some(format!("{}:{}: {word}", file.path, n + 1))
            })
        }),
    );
}
