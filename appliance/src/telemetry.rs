//! The log, the figures of the process, and the token of who reads them.

use std::{
    fmt, fs,
    io::{self, IsTerminal},
    path::Path,
};

use anyhow::Context as _;
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Why there is no log.
#[derive(Debug)]
pub enum LogError {
    /// `[log] filter` is none.
    Filter(String),
    /// Set up before.
    Twice,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(reason) => {
                write!(f, "[log] filter: {reason}; write e.g. \"info\" or \"warn,appliance=debug\"")
            }
            Self::Twice => f.write_str("the log was set up before"),
        }
    }
}

impl std::error::Error for LogError {}

/// The DNS server's own lines would say at `info` who has asked for which name: the box keeps no such diary (R-DATA-4).
const NO_DIARY: &str = "hickory_server=warn";

/// What is logged.
///
/// # Errors
/// [`LogError::Filter`].
pub fn filter(log: &Log) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(format!("{NO_DIARY},{}", log.filter)).map_err(|error| LogError::Filter(error.to_string()))
}

/// Sends the log to standard error, which systemd puts into the journal. Times are UTC.
///
/// # Errors
/// [`LogError`].
pub fn init(log: &Log) -> Result<(), LogError> {
    let lines = tracing_subscriber::fmt().with_env_filter(filter(log)?).with_writer(io::stderr);
    match log.format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(|_| LogError::Twice)
}

/// The operator's token, the first line of the file.
///
/// # Errors
/// When the file can't be read or the token has less than 16 characters.
pub fn bearer(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let Some(path) = file else { return Ok(None) };
    let named = || format!("[metrics] bearer_file {}", path.display());
    let text = fs::read_to_string(path).with_context(named)?;
    let token = text.lines().next().unwrap_or_default().trim().to_owned();
    anyhow::ensure!(token.len() >= 16, "{}: the token needs 16 characters", named());
    Ok(Some(token))
}

/// Adds the figures of the process itself, looked up when someone asks.
pub fn register_process(registry: &mut Registry) {
    registry.register_collector(Box::new(Process));
}

/// Names as the client libraries of Prometheus have them, so that ready-made dashboards work.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name: &str, help: &str, unit: Option<Unit>, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, unit.as_ref(), gauge.metric_type())?)
        };
        if let Some(start) = start_time() {
            gauge("process_start_time", "Start, seconds since 1970", Some(Unit::Seconds), start)?;
        }
        if let Some(status) = Status::read() {
            gauge("process_resident_memory", "Resident memory", Some(Unit::Bytes), status.resident_bytes)?;
            gauge("process_threads", "Threads", None, status.threads)?;
        }
        if let Ok(list) = fs::read_dir("/proc/self/fd") {
            // The listing itself holds one open.
            gauge("process_open_fds", "Open files and sockets", None, (list.count() as f64 - 1.0).max(0.0))?;
        }
        if let Ok((most, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
            gauge("process_max_fds", "Most open files and sockets", None, most as f64)?;
        }
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            let seconds = [usage.user_time(), usage.system_time()]
                .iter()
                .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
                .sum::<f64>();
            let counter = ConstCounter::new(seconds);
            let help = "User and system time of the processor";
            let unit = Some(&Unit::Seconds);
            counter.encode(encoder.encode_descriptor("process_cpu", help, unit, counter.metric_type())?)?;
        }
        Ok(())
    }
}

/// From `/proc/self/status` (proc(5)).
#[derive(Debug, PartialEq)]
struct Status {
    resident_bytes: f64,
    threads: f64,
}

impl Status {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/status").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        Some(Self { resident_bytes: field("VmRSS")? * 1024.0, threads: field("Threads")? })
    }
}

/// When this process started, seconds since 1970: start of the machine and ticks since then (proc(5); a tick is 10 ms in
/// all that Linux tells programs on x86 and arm).
fn start_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in brackets and may hold anything; the 22nd is the start.
    let ticks = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse::<f64>().ok()?;
    let machine = fs::read_to_string("/proc/stat").ok()?;
    let boot = machine.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<f64>().ok()?;
    Some(boot + ticks / 100.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::time::{SystemTime, UNIX_EPOCH};

    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn the_figures_of_this_process_are_true() {
        let mut registry = Registry::default();
        register_process(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name} in {text}")).parse::<f64>().unwrap()
        };
        assert!(value("process_cpu_seconds_total") > 0.0);
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_threads") >= 1.0);
        assert!(value("process_open_fds") >= 3.0 && value("process_open_fds") < value("process_max_fds"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((now - value("process_start_time_seconds")).abs() < 3600.0);
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_status_without_its_fields_gives_nothing() {
        assert_eq!(
            Status::parse("VmRSS:\t   2048 kB\nThreads:\t3\n"),
            Some(Status { resident_bytes: 2_097_152.0, threads: 3.0 })
        );
        for text in ["", "VmRSS:\n", "VmRSS: x kB\nThreads: 3", "Threads: 3"] {
            assert_eq!(Status::parse(text), None);
        }
    }

    #[test]
    fn a_wrong_filter_is_told() {
        let log = Log { filter: "appliance=loud".into(), ..Log::default() };
        assert!(init(&log).unwrap_err().to_string().contains("[log] filter"));
    }
}
