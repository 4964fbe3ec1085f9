//! Asking the school's name servers.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
};
use hickory_server::proto::{
    op::ResponseCode,
    rr::{LowerName, Name, Record, RecordType},
};

use super::cache::Entry;

/// A name server has so long for an answer, twice.
const ANSWER: Duration = Duration::from_secs(2);
/// A negative answer without a time of its own is fresh for so long.
const NEGATIVE: Duration = Duration::from_secs(60);
/// So many questions may be on their way to one server; what is more waits for a place.
const ON_THEIR_WAY: usize = 256;
/// After a failure nobody is asked for so long while there is a stale answer (RFC 8767 §5, failure recheck).
const PAUSE: Duration = Duration::from_secs(5);

/// The name servers above.
pub(super) struct Upstream {
    resolver: TokioResolver,
    born: Instant,
    /// Milliseconds after `born` of the latest failure, 0 for none since the latest success.
    failed: AtomicU64,
}

impl Upstream {
    /// Asks these servers.
    ///
    /// # Errors
    /// When none is named.
    pub(super) fn new(servers: &[SocketAddr]) -> anyhow::Result<Self> {
        anyhow::ensure!(!servers.is_empty(), "no name server is known; name one under [resolver] upstream");
        let server = |address: &SocketAddr| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = address.port();
                connection
            });
            NameServerConfig::new(address.ip(), true, connections.into())
        };
        let config = ResolverConfig::from_parts(None, vec![], servers.iter().map(server).collect());
        let mut options = ResolverOpts::default();
        options.timeout = ANSWER;
        options.attempts = 1;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.max_active_requests = ON_THEIR_WAY;
        options.try_tcp_on_error = true;
        let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = resolver.with_options(options).build()?;
        Ok(Self { resolver, born: Instant::now(), failed: AtomicU64::new(0) })
    }

    /// Whether it is not worth asking again just now.
    pub(super) fn pauses(&self) -> bool {
        let failed = self.failed.load(Ordering::Relaxed);
        failed > 0 && self.born.elapsed() < Duration::from_millis(failed) + PAUSE
    }

    /// Asks. None when nobody gives a usable answer.
    pub(super) async fn ask(&self, name: &LowerName, kind: RecordType) -> Option<Entry> {
        let answer = self.resolver.lookup(Name::from(name.clone()), kind).await;
        let entry = match answer {
            Ok(lookup) => {
                let answers = lookup.answers();
                let ttl = answers.iter().map(|record| record.ttl).min().unwrap_or(0);
                Some(Entry {
                    code: ResponseCode::NoError,
                    answers: answers.into(),
                    authorities: Vec::new().into(),
                    ttl: Duration::from_secs(ttl.into()),
                })
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(none)))
                if matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain) =>
            {
                let soa: Vec<Record> = none.soa.map(|soa| soa.into_record_of_rdata()).into_iter().collect();
                Some(Entry {
                    code: none.response_code,
                    answers: Vec::new().into(),
                    authorities: soa.into(),
                    ttl: none.negative_ttl.map_or(NEGATIVE, |ttl| Duration::from_secs(ttl.into())),
                })
            }
            Err(error) => {
                tracing::debug!(%error, "no answer from the name servers");
                None
            }
        };
        let failed =
            if entry.is_some() { 0 } else { u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX).max(1) };
        self.failed.store(failed, Ordering::Relaxed);
        entry
    }
}
