//! The room's camera and microphone: the program `studio` with its test sources, on the box's own machine.

use std::path::Path;

use anyhow::Result;

use crate::{
    hub::{Hub, program},
    netns::Ns,
    outside::logged,
    proc::Owned,
};

/// Starts it beside a hub that serves port 8080 of `hub_ns`; its words go to `studio.log` of `folder`. Ends when dropped.
pub fn start(hub: &Hub, hub_ns: &Ns, folder: &Path) -> Result<Owned> {
    let key = hub.home().join("data/studio-key").display().to_string();
    let args = ["--hub", "http://127.0.0.1:8080", "--key-file", &key, "--video=test", "--audio=test"];
    let args = [&args[..], &["--size", "640x360", "--bitrate", "700"]].concat();
    logged(hub_ns, folder, "studio.log", program("studio")?, &args)
}
