//! The client of a learning record store: posts batches of xAPI statements and says what the answer means. Talks to the one
//! host that the configuration names: no redirects, no proxy from the environment.

use std::{fmt, path::Path, time::Duration};

use appliance_core::usage::outbox::Answer;
use reqwest::{
    Certificate, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};

/// To reach the host.
const CONNECT: Duration = Duration::from_secs(10);
/// From the first byte of a request to the last one of its answer. A thin line takes long for a batch of 100 KB.
const WHOLE: Duration = Duration::from_secs(60);
/// Most of an answer that is read, in bytes: only a reason is wanted, and the ids that a store sends back are known.
const ANSWER: usize = 2_000;

/// What a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// For [`appliance_core`].
    pub answer: Answer,
    /// What the store said, or why there was no answer; for people.
    pub reason: String,
}

/// Why there is no client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamError {
    /// The address is none.
    Address(String),
    /// A file can't be read or holds something else.
    File(String),
    /// The TLS library refused.
    Tls(String),
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(reason) => write!(f, "[upstream] lrs: {reason}"),
            Self::File(reason) => f.write_str(reason),
            Self::Tls(reason) => write!(f, "the client of the learning record store: {reason}"),
        }
    }
}

impl std::error::Error for UpstreamError {}

/// Posts statements. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    statements: Url,
    credentials: Option<(String, String)>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.statements.as_str()).finish()
    }
}

impl Client {
    /// A client of the store at `lrs`. Reads the files.
    ///
    /// # Errors
    /// [`UpstreamError`], to be shown to the person as it is.
    pub fn new(lrs: &str, credentials: Option<&Path>, ca: Option<&Path>) -> Result<Self, UpstreamError> {
        let address = format!("{}/statements", lrs.trim_end_matches('/'));
        let statements = Url::parse(&address).map_err(|e| UpstreamError::Address(e.to_string()))?;
        let credentials = credentials.map(read_credentials).transpose()?;
        // A second time it is there already.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("classroom-box/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(
                HeaderName::from_static("x-experience-api-version"),
                HeaderValue::from_static("1.0.3"),
            )]))
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(WHOLE);
        if let Some(path) = ca {
            let failed =
                |reason: String| UpstreamError::File(format!("[upstream] ca_file {}: {reason}", path.display()));
            let pem = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
            for certificate in Certificate::from_pem_bundle(&pem).map_err(|e| failed(e.to_string()))? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let http = builder.build().map_err(|e| UpstreamError::Tls(e.to_string()))?;
        Ok(Self { http, statements, credentials })
    }

    /// Posts statements, each the JSON of one, in one request.
    pub async fn send<'a>(&self, statements: impl Iterator<Item = &'a [u8]>) -> Outcome {
        let mut body = vec![b'['];
        for (n, statement) in statements.enumerate() {
            if n > 0 {
                body.push(b',');
            }
            body.extend_from_slice(statement);
        }
        body.push(b']');
        let mut request = self.http.post(self.statements.clone()).header(CONTENT_TYPE, "application/json").body(body);
        if let Some((user, password)) = &self.credentials {
            request = request.basic_auth(user, Some(password));
        }
        match request.send().await {
            Ok(response) => outcome(response).await,
            Err(error) => Outcome { answer: Answer::Silence, reason: reason(&error) },
        }
    }
}

async fn outcome(mut response: reqwest::Response) -> Outcome {
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    // The form with a date would need a clock that is right; the wait that doubles serves as well.
    let retry_after = retry_after.and_then(|text| text.trim().parse::<u64>().ok()).map(|s| s.saturating_mul(1000));
    let answer = Answer::of(status.as_u16(), retry_after);
    if answer == Answer::Accepted {
        // A connection whose answer was read to its end is used again.
        let mut whole = Ok(Some(bytes::Bytes::new()));
        while let Ok(Some(_)) = whole {
            whole = response.chunk().await;
        }
        return Outcome { answer, reason: String::new() };
    }
    let mut said = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        said.extend_from_slice(&chunk);
        if said.len() >= ANSWER {
            break;
        }
    }
    said.truncate(ANSWER);
    Outcome { answer, reason: format!("{}: {}", named(status), String::from_utf8_lossy(&said)) }
}

fn named(status: StatusCode) -> String {
    status.canonical_reason().map_or_else(|| status.as_str().to_owned(), |name| format!("{} {name}", status.as_str()))
}

/// The innermost cause: reqwest's own words name only the address.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn read_credentials(path: &Path) -> Result<(String, String), UpstreamError> {
    let failed =
        |reason: &str| UpstreamError::File(format!("[upstream] credentials_file {}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| failed(&e.to_string()))?;
    let line = text.lines().next().unwrap_or_default().trim();
    let (user, password) = line.split_once(':').ok_or_else(|| failed("write user:password into its first line"))?;
    Ok((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests;
