//! A real learning record store: Ralph, from the environment that `tests/packages.sh` makes in `target/tools/ralph`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{netns::Ns, ports, proc::Owned, wait::wait_for};

/// It imports many models before it serves.
const START: Duration = Duration::from_secs(60);

/// A running store. Ends when dropped; its folder is the caller's.
#[derive(Debug)]
pub struct Lrs {
    _process: Owned,
    folder: PathBuf,
    /// Its port on loopback.
    pub port: u16,
}

impl Lrs {
    /// What the hub's `credentials_file` has to hold.
    pub const CREDENTIALS: &str = "box:secret\n";

    /// Starts a store that keeps its statements in `folder` and waits until it serves.
    pub async fn start(folder: &Path) -> Result<Self> {
        Self::start_on(None, folder).await
    }

    /// [`Lrs::start`] on a machine of a private network: on its loopback. To be called inside ([`Ns::block_on`]).
    pub async fn start_on(ns: Option<&Ns>, folder: &Path) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the repository")?;
        let python = std::env::current_exe()?;
        let target = python.ancestors().find(|path| path.ends_with("target")).context("the target folder")?;
        let python = target.join("tools/ralph/bin/python");
        ensure!(python.exists(), "{} is missing: run `make need-test`", python.display());
        fs::create_dir_all(folder)?;
        let port = ports::free()?;
        let log = fs::File::create(folder.join("lrs.log"))?;
        let (first, second) = (log.try_clone()?, log);
        let outer = if ns.is_some() { Path::new("ip") } else { &python };
        let process = Owned::spawn(outer, |command| {
            if let Some(ns) = ns {
                command.args(["netns", "exec", ns.name()]).arg(&python);
            }
            command
                .arg(root.join("tests/interop/lrs.py"))
                .arg(port.to_string())
                .arg(folder)
                .stdout(first)
                .stderr(second);
        })?;
        let lrs = Self { _process: process, folder: folder.into(), port };
        // Both TLS stacks may be linked in; the client wants a process-wide choice. A second call changes nothing.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
        let address = format!("http://127.0.0.1:{port}/__heartbeat__");
        wait_for("the learning record store", START, async || {
            let reply = client.get(&address).send().await.with_context(|| lrs.log())?;
            ensure!(reply.status().is_success(), "{}", reply.status());
            Ok(())
        })
        .await?;
        Ok(lrs)
    }

    /// What the hub's `[upstream] lrs` has to be.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/xAPI", self.port)
    }

    /// How many statements it holds, without reading them.
    pub fn count(&self) -> usize {
        fs::read(self.file()).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
    }

    /// Every statement by its id, in its own form. An id that is there twice is an error.
    pub fn statements(&self) -> Result<BTreeMap<String, Value>> {
        let text = fs::read_to_string(self.file())?;
        let mut all = BTreeMap::new();
        for line in text.lines() {
            let statement: Value = serde_json::from_str(line)?;
            let id = statement["id"].as_str().context("a statement has an id")?.to_owned();
            ensure!(all.insert(id.clone(), statement).is_none(), "the store holds {id} twice");
        }
        Ok(all)
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("lrs.log")).unwrap_or_default()
    }

    fn file(&self) -> PathBuf {
        self.folder.join("fs_lrs.jsonl")
    }
}
