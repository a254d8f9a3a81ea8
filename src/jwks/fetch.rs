//! Fetches a key set with a GET request, after another one for the discovery document if there is one. Time and size
//! are limited. Only https is used (http on loopback), and redirects stay on the same origin; only the discovery
//! document may name another host.

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

/// Timeout for the whole fetch, including discovery and redirects.
const MAX_TIME: Duration = Duration::from_secs(5);

/// Maximum size of a key set or discovery document in bytes; the largest public ones are under 100 KiB.
const MAX_SIZE: usize = 512 * 1024;

const MAX_REDIRECTS: usize = 3;

/// Why a fetch failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the CA certificates cannot be used")]
    Ca(#[source] Arc<tls::TlsError>),
    #[error("the URL is invalid")]
    Address,
    #[error("timeout after {} s", MAX_TIME.as_secs())]
    Timeout,
    #[error("the request failed")]
    Connection(#[source] Arc<hyper_util::client::legacy::Error>),
    #[error("unexpected status {0}")]
    Status(u16),
    #[error("a redirect to another origin, or more than {MAX_REDIRECTS} redirects")]
    Redirect,
    #[error("the body is incomplete or larger than {MAX_SIZE} bytes")]
    Body,
    #[error("the discovery document cannot be used")]
    Discovery(#[from] DiscoveryError),
    #[error("not a JWK Set")]
    BadSet(#[source] Arc<KeySetError>),
    #[error("the JWK Set has no usable key")]
    NoKeys,
}

/// The response to a fetch of a key set.
pub(super) struct FetchedDocument {
    pub(super) body: Bytes,
    /// Value of `Cache-Control: max-age` (RFC 9111 §5.2.2.1).
    pub(super) max_age: Option<Duration>,
}

/// The client for one key set.
pub(super) struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    uri: Uri,
    /// The `iss` of the issuer, if `uri` is the URL of its discovery document instead of its key set.
    discovery: Option<String>,
}

impl Fetcher {
    pub(super) fn new(source: &RemoteSource) -> Result<Self, FetchError> {
        let config = tls::pinned_client_config(source.ca.as_deref(), &source.pins);
        let config = config.map_err(|error| FetchError::Ca(Arc::new(error)))?;
        // Plain http is allowed on loopback only; this is checked when the configuration is compiled, and for the URL
        // in a discovery document.
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        let uri = source.url.parse().map_err(|_| FetchError::Address)?;
        Ok(Self { client, uri, discovery: source.discovery.clone() })
    }

    pub(super) async fn fetch(&self) -> Result<FetchedDocument, FetchError> {
        tokio::time::timeout(MAX_TIME, self.find()).await.map_err(|_| FetchError::Timeout)?
    }

    /// Fetches the key set. The discovery document is fetched each time, since an issuer may move its keys.
    async fn find(&self) -> Result<FetchedDocument, FetchError> {
        let found = self.follow(self.uri.clone()).await?;
        match &self.discovery {
            None => Ok(found),
            Some(iss) => self.follow(key_set_address(&found.body, iss)?).await,
        }
    }

    async fn follow(&self, mut uri: Uri) -> Result<FetchedDocument, FetchError> {
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

async fn read(response: Response<Incoming>) -> Result<FetchedDocument, FetchError> {
    if !response.status().is_success() {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    let max_age = response.headers().get(CACHE_CONTROL).and_then(|value| max_age(value.to_str().ok()?));
    let body = Limited::new(response.into_body(), MAX_SIZE).collect().await.map_err(|_| FetchError::Body)?;
    Ok(FetchedDocument { body: body.to_bytes(), max_age })
}

/// The target of a redirect if it has the same scheme, host and port.
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
