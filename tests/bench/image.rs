//! Family `image`: the flashable image beside a Debian that only starts, put together by the same recipe and switched on
//! in the same emulated PC. Takes long, so only `--only image` runs it; both images are made before by
//! `image/pc-x86_64/build.sh`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use harness::vm::{Disk, Vm};

use crate::{Settings, report::Row};

const BOOT: Duration = Duration::from_secs(900);
/// A disk larger than the image.
const DISK: u64 = 8 << 30;
/// The hub's first words to people, and the bare Debian's.
const OURS: (&str, &str) = ("classroom-pc-x86_64.raw", "/teach#code=");
const BARE: (&str, &str) = ("classroom-bare-x86_64.raw", "bare-debian-is-up");

/// `image.size` in MB of the root's files, `image.boot` in seconds from the switch to "it serves".
pub(crate) fn run(settings: &Settings, rows: &mut Vec<Row>) {
    if settings.only.is_none() {
        return;
    }
    let folder = folder();
    if settings.wants("image.size") {
        let size = |(name, _): (&str, &str)| -> Result<f64> {
            let path = folder.as_ref().map_err(|e| anyhow::anyhow!("{e}"))?.join(format!("{name}.root-mb"));
            Ok(fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?.trim().parse()?)
        };
        let (ours, bare) = (size(OURS), size(BARE));
        let why = [&ours, &bare].into_iter().filter_map(|size| size.as_ref().err()).map(|e| format!("{e:#}"));
        let note = why.collect::<Vec<_>>().join(" | ");
        let (ours, bare) = (ours.into_iter().collect::<Vec<_>>(), bare.into_iter().collect::<Vec<_>>());
        rows.push(Row::against(("image.size", "MB"), &ours, ("bare Debian 13", &bare), 6.0, &note));
    }
    if settings.wants("image.boot") {
        let (mut ours, mut bare, mut failures) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..settings.rounds {
            for ((name, word), into) in [(OURS, &mut ours), (BARE, &mut bare)] {
                let folder = folder.as_ref().map_err(|e| anyhow::anyhow!("{e}"));
                match folder.and_then(|folder| boot(folder, name, word)) {
                    Ok(seconds) => into.push(seconds),
                    Err(error) => failures.push(format!("{name}: {error:#}")),
                }
            }
        }
        let note = format!("first start, QEMU under TCG; ours until the hub serves {}", failures.join(" | "));
        rows.push(Row::against(("image.boot", "s"), &ours, ("bare Debian 13", &bare), 2.0, &note));
    }
}

/// Where `make image` puts what it makes.
fn folder() -> Result<PathBuf> {
    match env::var_os("IMAGE_WORK") {
        Some(folder) => Ok(folder.into()),
        None => Ok(env::current_exe()?.ancestors().nth(2).context("the target folder")?.join("image")),
    }
}

fn boot(folder: &Path, image: &str, word: &str) -> Result<f64> {
    let home = folder.join(format!("boot-{}", std::process::id()));
    fs::create_dir_all(&home)?;
    let booted = (|| {
        let disk = Disk::copy(&folder.join(image), &home.join("disk.raw"), DISK)?;
        disk.start_for_tests()?;
        Vm::start(&disk, &home, None)?.says(word, BOOT)
    })();
    fs::remove_dir_all(&home)?;
    Ok(booted?.as_secs_f64())
}
