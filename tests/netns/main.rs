//! What the room must survive: tested in private network namespaces. Needs root; run with `--test-threads=1`.
//!
//! The loss is nftables', delays are a userspace link's (this kernel may have no netem).
// What was measured is worth a line of the output.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod agent;
mod change;
mod cut;
mod delay;
mod devices;
mod forty;
mod home;
mod junk;
mod loss;
mod policy;
mod restart;
mod room;
mod still;
mod tools;
