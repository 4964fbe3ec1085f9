//! Child processes that cannot outlive the test, and what a process costs (CPU time, memory).

use std::{
    fs, io,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, SysconfVar, sysconf},
};

/// Starts `command` so that the kernel kills it when this process dies, however it dies.
///
/// The parent-death signal goes by the *thread* that forked (`PR_SET_PDEATHSIG`), so one thread that lives as long as
/// the process does all the forking. `setpriv` sets the signal and then becomes the command: the pid is the command's.
pub fn spawn(program: impl AsRef<Path>, prepare: impl FnOnce(&mut Command)) -> io::Result<Child> {
    type Job = (Command, mpsc::SyncSender<io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, todo) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, answer) in todo {
                // The asker waits for it; if it is gone, dropping the child leaves it to the death signal.
                let _ = answer.send(command.spawn());
            }
        });
        jobs
    });
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program.as_ref()).stdin(Stdio::null());
    prepare(&mut command);
    let (answer, result) = mpsc::sync_channel(1);
    spawner.send((command, answer)).map_err(|_| io::Error::other("the spawning thread is gone"))?;
    result.recv().map_err(|_| io::Error::other("the spawning thread is gone"))?
}

/// A child process that is ended together with its descendants when this value goes.
#[derive(Debug)]
pub struct Owned(Child);

impl Owned {
    /// As [`spawn`].
    pub fn spawn(program: impl AsRef<Path>, prepare: impl FnOnce(&mut Command)) -> Result<Self> {
        let program = program.as_ref();
        spawn(program, prepare).map(Self).with_context(|| format!("start {}", program.display()))
    }

    /// The child's pid.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// The child itself, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Whether it still runs.
    pub fn running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Sends a signal to the child alone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).context("signal a child")
    }

    /// Asks it to end (SIGTERM) and waits for that, at most `within`; true when it went by itself.
    pub fn terminate(&mut self, within: Duration) -> bool {
        let asked = self.running() && self.signal(Signal::SIGTERM).is_ok();
        let until = Instant::now() + within;
        while asked && self.running() && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
        }
        !self.running()
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let family = descendants(self.pid());
        let _ = self.0.kill();
        let _ = self.0.wait();
        for pid in family {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    }
}

/// All processes below `pid`, nearest first.
pub fn descendants(pid: u32) -> Vec<u32> {
    let pairs: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|child| Some((child, stat_field(child, 4)?.parse().ok()?)))
        .collect();
    let mut found = vec![pid];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(pairs.iter().filter(|(_, p)| *p == parent).map(|(c, _)| *c));
        at += 1;
    }
    found.remove(0);
    found
}

/// CPU time that a process has used so far: user and system, all of its threads, also those that have ended.
///
/// The kernel scales it from nanosecond accounting and shows it in ticks of 10 ms: measure over seconds.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let ticks = |field| stat_field(pid, field)?.parse::<u64>().ok();
    let (Some(user), Some(system)) = (ticks(14), ticks(15)) else { bail!("no process {pid}") };
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("clock ticks per second")?;
    Ok(Duration::from_secs(user + system) / u32::try_from(per_second)?)
}

/// Field `n` of `/proc/PID/stat`, counted from 1 as in proc(5). For `n` ≥ 3.
fn stat_field(pid: u32, n: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in brackets and may hold blanks and brackets itself.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(n.checked_sub(3)?).map(String::from)
}

/// What of a process lies in memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Resident pages, shared ones counted fully.
    pub resident: u64,
    /// Resident pages, shared ones counted by share.
    pub proportional: u64,
    /// Highest resident size so far.
    pub peak: u64,
}

/// Memory of a process now (`/proc/PID/smaps_rollup` and `/proc/PID/status`).
pub fn memory(pid: u32) -> Result<Memory> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).with_context(|| format!("process {pid}"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid}"))?;
    let kib = |text: &str, key: &str| -> Result<u64> {
        let line = text.lines().find(|line| line.starts_with(key)).with_context(|| format!("no {key}"))?;
        let number = line.split_whitespace().nth(1).with_context(|| format!("no number in {line}"))?;
        Ok(number.parse::<u64>()? * 1024)
    };
    Ok(Memory { resident: kib(&rollup, "Rss:")?, proportional: kib(&rollup, "Pss:")?, peak: kib(&status, "VmHWM:")? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_child_is_counted_and_ends_with_its_owner() {
        let child = Owned::spawn("sh", |c| {
            c.args(["-c", "sleep 60 & while :; do :; done"]);
        })
        .unwrap();
        let pid = child.pid();
        let until = Instant::now() + Duration::from_secs(20);
        while cpu_time(pid).unwrap() < Duration::from_millis(50) || descendants(pid).is_empty() {
            assert!(Instant::now() < until, "no CPU time or no descendant seen");
            thread::yield_now();
        }
        let sleeper = descendants(pid)[0];
        let used = memory(pid).unwrap();
        assert!(used.resident > 100_000 && used.proportional <= used.resident && used.resident <= used.peak);
        drop(child);
        assert!(cpu_time(pid).is_err(), "the child is gone");
        // A killed orphan is a zombie until its new parent collects it.
        while fs::read_to_string(format!("/proc/{sleeper}/stat")).is_ok_and(|stat| !stat.contains(") Z")) {
            assert!(Instant::now() < until, "the descendant lives on");
            thread::yield_now();
        }
    }
}
