//! Asking origins: only hosts that may be asked, every redirect checked, names looked up so that they lead to public
//! addresses only.

use std::{error::Error as _, fmt, net::SocketAddr, sync::Arc, time::Duration};

use appliance_core::library::{
    address::{self, Hosts, Refused},
    freshness::{self, Headers},
    origin::{Answer, Validators, content_range},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Method, header};
use reqwest::{
    Client, Response, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};

use super::{CacheError, kind_of};

/// Redirects that are followed.
const HOPS: usize = 5;
/// An origin has this long to take a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// A connection that brings nothing for this long is given up.
const SILENCE: Duration = Duration::from_secs(20);

/// Asks origins. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Origins {
    client: Client,
    hosts: Arc<Hosts>,
}

/// A name leads only to addresses that may be asked, whatever its owner's DNS says today: the connection is made to the very
/// addresses that were looked at.
#[derive(Debug)]
struct Guarded(Arc<Hosts>);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let hosts = self.0.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            // The port is not known here: a host that the configuration lists with one is let through by its name, and the
            // address was checked with its port before.
            let listed = hosts.private.iter().any(|known| {
                let bare = known.rsplit_once(':').map_or(known.as_str(), |(bare, _)| bare);
                known.eq_ignore_ascii_case(&host) || bare.eq_ignore_ascii_case(&host)
            });
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let good: Vec<SocketAddr> = found.into_iter().filter(|at| listed || address::public(at.ip())).collect();
            if good.is_empty() {
                return Err(Box::new(NotPublic) as Box<dyn std::error::Error + Send + Sync>);
            }
            Ok(Box::new(good.into_iter()) as Addrs)
        })
    }
}

/// A name leads into the school's own network, or to the machine itself.
#[derive(Debug)]
struct NotPublic;

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host has no public address")
    }
}

impl std::error::Error for NotPublic {}

/// Why no answer came.
fn silent(error: &reqwest::Error) -> CacheError {
    if causes(error).any(|cause| cause.is::<NotPublic>()) {
        return CacheError::Refused(Refused::NotPublic);
    }
    CacheError::Unreachable(plain(error))
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Question<'a> {
    /// First byte and one past the last, when not everything is wanted.
    pub(super) range: Option<(u64, Option<u64>)>,
    /// The state to which a range must belong.
    pub(super) if_range: Option<&'a str>,
    /// Only if it is another than this.
    pub(super) if_none_match: Option<&'a str>,
    /// As above, by date.
    pub(super) if_modified_since: Option<&'a str>,
}

/// An answer with its body still to come.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) answer: Answer,
    pub(super) content_type: String,
    pub(super) may_store: bool,
    pub(super) fresh_ms: u64,
    pub(super) url: Url,
    pub(super) body: Response,
}

impl Origins {
    pub(super) fn new(hosts: Hosts) -> Result<Self, CacheError> {
        // Both TLS stacks may be linked in; a second call changes nothing.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let hosts = Arc::new(hosts);
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .dns_resolver(Arc::new(Guarded(hosts.clone())))
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .user_agent(concat!("classroom-box/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| CacheError::Io(error.to_string()))?;
        Ok(Self { client, hosts })
    }

    /// Reads an address and says whether it may be asked.
    ///
    /// # Errors
    /// [`CacheError::BadAddress`], [`CacheError::Refused`].
    pub(super) fn check(&self, address: &str) -> Result<Url, CacheError> {
        let mut url = Url::parse(address.trim()).map_err(|_| CacheError::BadAddress)?;
        url.set_fragment(None);
        self.check_url(&url)?;
        Ok(url)
    }

    fn check_url(&self, url: &Url) -> Result<(), CacheError> {
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default().unwrap_or(0);
        let credentials = !url.username().is_empty() || url.password().is_some();
        self.hosts.check(url.scheme(), host, port, credentials).map_err(|why| match why {
            Refused::Scheme => CacheError::BadAddress,
            other => CacheError::Refused(other),
        })
    }

    /// Asks and follows redirects.
    ///
    /// # Errors
    /// [`CacheError::Unreachable`] when no answer came, [`CacheError::Refused`] when a redirect leads where it may not.
    pub(super) async fn ask(
        &self,
        method: Method,
        address: &str,
        question: &Question<'_>,
    ) -> Result<Answered, CacheError> {
        let mut url = self.check(address)?;
        for _ in 0..=HOPS {
            let mut request =
                self.client.request(method.clone(), url.clone()).header(header::ACCEPT_ENCODING, "identity");
            if let Some((from, to)) = question.range {
                let to = to.map_or(String::new(), |to| to.saturating_sub(1).to_string());
                request = request.header(header::RANGE, format!("bytes={from}-{to}"));
            }
            for (name, value) in [
                (header::IF_RANGE, question.if_range),
                (header::IF_NONE_MATCH, question.if_none_match),
                (header::IF_MODIFIED_SINCE, question.if_modified_since),
            ] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            let response = request.send().await.map_err(|error| silent(&error))?;
            if response.status().is_redirection() && response.status() != http::StatusCode::NOT_MODIFIED {
                let place = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
                url = place.and_then(|place| url.join(place).ok()).ok_or(CacheError::BadAddress)?;
                self.check_url(&url)?;
                continue;
            }
            return Ok(read(response, url));
        }
        Err(CacheError::Unreachable("too many redirects".into()))
    }

    /// A whole small answer: a manifest.
    ///
    /// # Errors
    /// As [`Self::ask`], and [`CacheError::Origin`] for another status than 200; [`CacheError::TooLarge`].
    pub(super) async fn small(&self, address: &str, most: usize) -> Result<(Bytes, Answered), CacheError> {
        let mut answered = self.ask(Method::GET, address, &Question::default()).await?;
        if answered.answer.status != 200 {
            return Err(CacheError::Origin(answered.answer.status));
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = answered.body.chunk().await.map_err(|error| CacheError::Unreachable(plain(&error)))? {
            if bytes.len() + chunk.len() > most {
                return Err(CacheError::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((bytes.freeze(), answered))
    }
}

/// The innermost reason, without the address.
pub(super) fn plain(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

fn read(response: Response, url: Url) -> Answered {
    let headers = response.headers();
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let own = |name| text(name).map(str::to_owned);
    let validators =
        Validators { etag: own(header::ETAG), last_modified: own(header::LAST_MODIFIED), date: own(header::DATE) };
    let answer = Answer {
        status: response.status().as_u16(),
        length: text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
        range: text(header::CONTENT_RANGE).and_then(content_range),
        validators,
    };
    let cache_control = joined(headers, &header::CACHE_CONTROL);
    let told = Headers {
        cache_control: &cache_control,
        expires: text(header::EXPIRES),
        date: text(header::DATE),
        age: text(header::AGE),
        last_modified: text(header::LAST_MODIFIED),
        vary: text(header::VARY),
    };
    // An encoding that nobody asked for would be stored as if it were the content.
    let plain = text(header::CONTENT_ENCODING).is_none_or(|coding| coding.eq_ignore_ascii_case("identity"));
    let (may_store, fresh_ms) = (freshness::may_store(&told) && plain, freshness::fresh_ms(&told));
    let content_type = kind_of(text(header::CONTENT_TYPE).unwrap_or_default(), url.path());
    Answered { answer, content_type, may_store, fresh_ms, url, body: response }
}

fn joined(headers: &HeaderMap, name: &HeaderName) -> String {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}
