//! One GET for a key set, and one before it for the document that says where it is: over https, in bounded time and
//! size, on the configured host only. The document alone may name another one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, LOCATION, USER_AGENT};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::discovery::{DiscoveryError, key_set_address};
use crate::auth::keys::{KeySetError, RemoteSource};
use crate::tls;

/// For the whole fetch, discovery and redirects included.
const MAX_TIME: Duration = Duration::from_secs(5);

/// Bytes of a key set or document; the largest public ones are under 100 KiB.
const MAX_SIZE: usize = 512 * 1024;

const MAX_REDIRECTS: usize = 3;

/// Why there are no new keys.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the CA certificates cannot be used")]
    Ca(#[source] Arc<tls::TlsError>),
    #[error("the address cannot be used")]
    Address,
    #[error("no answer within {} s", MAX_TIME.as_secs())]
    Timeout,
    #[error("no answer")]
    Connection(#[source] Arc<hyper_util::client::legacy::Error>),
    #[error("status {0}")]
    Status(u16),
    #[error("a redirect to another host, or too many")]
    Redirect,
    #[error("the body broke off or is larger than {MAX_SIZE} bytes")]
    Body,
    #[error("no use as a discovery document")]
    Discovery(#[from] DiscoveryError),
    #[error("not a key set")]
    BadSet(#[source] Arc<KeySetError>),
    #[error("the set has no usable key")]
    NoKeys,
}

impl FetchError {
    pub(super) fn bad_set(error: KeySetError) -> Self {
        Self::BadSet(Arc::new(error))
    }
}

/// A key set as it came.
pub(super) struct Answer {
    pub(super) body: Bytes,
    /// `Cache-Control: max-age` (RFC 9111 §5.2.2.1).
    pub(super) max_age: Option<Duration>,
}

/// Fetches one key set.
pub(super) struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    uri: Uri,
    /// The `iss` whose document is at `uri`, where the keys are not.
    discovery: Option<String>,
}

impl Fetcher {
    pub(super) fn new(source: &RemoteSource) -> Result<Self, FetchError> {
        let config = tls::pinned_client_config(source.ca.as_deref(), &source.pins);
        let config = config.map_err(|error| FetchError::Ca(Arc::new(error)))?;
        // Whether plain http is allowed (loopback only) was decided when the configuration was compiled, or by
        // what is asked of a discovery document.
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        let uri = source.url.parse().map_err(|_| FetchError::Address)?;
        Ok(Self { client, uri, discovery: source.discovery.clone() })
    }

    pub(super) async fn fetch(&self) -> Result<Answer, FetchError> {
        tokio::time::timeout(MAX_TIME, self.find()).await.map_err(|_| FetchError::Timeout)?
    }

    /// The document is read each time: an issuer may move its keys.
    async fn find(&self) -> Result<Answer, FetchError> {
        let found = self.follow(self.uri.clone()).await?;
        match &self.discovery {
            None => Ok(found),
            Some(iss) => self.follow(key_set_address(&found.body, iss)?).await,
        }
    }

    async fn follow(&self, mut uri: Uri) -> Result<Answer, FetchError> {
        for _ in 0..=MAX_REDIRECTS {
            let response = self.get(uri.clone()).await?;
            if !response.status().is_redirection() {
                return read(response).await;
            }
            uri = same_origin(&uri, &response).ok_or(FetchError::Redirect)?;
        }
        Err(FetchError::Redirect)
    }

    async fn get(&self, uri: Uri) -> Result<Response<Incoming>, FetchError> {
        let request = Request::get(uri)
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .header(USER_AGENT, concat!("hookgate/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|_| FetchError::Address)?;
        self.client.request(request).await.map_err(|error| FetchError::Connection(Arc::new(error)))
    }
}

async fn read(response: Response<Incoming>) -> Result<Answer, FetchError> {
    if !response.status().is_success() {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    let max_age = response.headers().get(CACHE_CONTROL).and_then(|value| max_age(value.to_str().ok()?));
    let body = Limited::new(response.into_body(), MAX_SIZE).collect().await.map_err(|_| FetchError::Body)?;
    Ok(Answer { body: body.to_bytes(), max_age })
}

/// Where a redirect leads, if it stays with scheme, host and port.
fn same_origin(from: &Uri, response: &Response<Incoming>) -> Option<Uri> {
    let base = url::Url::parse(&from.to_string()).ok()?;
    let to = base.join(response.headers().get(LOCATION)?.to_str().ok()?).ok()?;
    let same = base.origin() == to.origin();
    if same { to.as_str().parse().ok() } else { None }
}

fn max_age(cache_control: &str) -> Option<Duration> {
    let directives = cache_control.split(',').map(|directive| directive.trim().to_ascii_lowercase());
    let seconds = directives.filter_map(|directive| directive.strip_prefix("max-age=")?.trim_matches('"').parse().ok());
    seconds.map(Duration::from_secs).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_is_found_among_other_directives() {
        assert_eq!(max_age("public, Max-Age=600, must-revalidate"), Some(Duration::from_secs(600)));
        assert_eq!(max_age("no-cache"), None);
        assert_eq!(max_age("max-age=soon"), None);
    }
}
