//! Fetches a key set with a GET request, after another one for the discovery document if there is one. Time and size
//! are limited. Only https is used (http on loopback, and with `insecure_http` to private addresses), and redirects stay
//! on the same origin; only the discovery document may name another host.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, LOCATION, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;

use super::connect::HttpClient;
use super::discovery::{DiscoveryError, key_set_address};
use crate::auth::keys::{KeySetError, RemoteSource};
use crate::settings::is_fetchable;
use crate::tls;

/// Maximum time that a request waits for a fetch of the key that it lacks.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(2);

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
    #[error("the body is incomplete or larger than {0} bytes")]
    Body(usize),
    #[error("the discovery document cannot be used")]
    Discovery(#[from] DiscoveryError),
    #[error("not a JWK Set")]
    BadSet(#[source] Arc<KeySetError>),
    #[error("the JWK Set has no usable key")]
    NoKeys,
}

/// A failed fetch: the URL that failed, which may be one that the discovery document or a redirect names, and why.
pub(super) struct FailedFetch {
    pub(super) url: String,
    pub(super) error: FetchError,
}

/// The response to a fetch of a key set.
pub(super) struct FetchedDocument {
    /// The URL that was fetched last.
    pub(super) url: Uri,
    pub(super) body: Bytes,
    /// Value of `Cache-Control: max-age` (RFC 9111 §5.2.2.1).
    pub(super) max_age: Option<Duration>,
}

/// The client for one key set.
pub(super) struct Fetcher {
    client: HttpClient,
    uri: Uri,
    insecure_http: bool,
    /// The value of `Authorization` for `uri` alone.
    authorization: Option<HeaderValue>,
    /// The `iss` of the issuer, if `uri` is the URL of its discovery document instead of its key set.
    discovery: Option<String>,
}

impl Fetcher {
    pub(super) fn new(source: &RemoteSource) -> Result<Self, FetchError> {
        let config = tls::pinned_client_config(source.ca.as_deref(), &source.pins);
        let config = config.map_err(|error| FetchError::Ca(Arc::new(error)))?;
        let client = HttpClient::new(config, &source.access).ok_or(FetchError::Address)?;
        let uri = source.url.parse().map_err(|_| FetchError::Address)?;
        let bearer =
            source.access.bearer.as_ref().map(|bearer| HeaderValue::try_from(format!("Bearer {}", bearer.as_str())));
        let mut authorization = bearer.transpose().map_err(|_| FetchError::Address)?;
        authorization.iter_mut().for_each(|value| value.set_sensitive(true));
        let insecure_http = source.access.insecure_http;
        Ok(Self { client, uri, insecure_http, authorization, discovery: source.discovery.clone() })
    }

    pub(super) async fn fetch(&self) -> Result<FetchedDocument, FailedFetch> {
        let mut current = self.uri.clone();
        let found = tokio::time::timeout(MAX_TIME, self.find(&mut current)).await;
        let found = found.map_err(|_| FetchError::Timeout).and_then(|found| found);
        found.map_err(|error| FailedFetch { url: current.to_string(), error })
    }

    /// Fetches the key set; `current` is always the URL in use. The discovery document is fetched each time, since an
    /// issuer may move its keys.
    async fn find(&self, current: &mut Uri) -> Result<FetchedDocument, FetchError> {
        let found = self.follow(current, self.authorization.as_ref()).await?;
        match &self.discovery {
            None => Ok(found),
            Some(iss) => {
                *current = key_set_address(&found.body, iss, &self.uri, self.insecure_http)?;
                self.follow(current, None).await
            }
        }
    }

    /// Only the first request has the authorization: a redirect could lead to a program that must not see it.
    async fn follow(
        &self,
        current: &mut Uri,
        authorization: Option<&HeaderValue>,
    ) -> Result<FetchedDocument, FetchError> {
        let mut authorization = authorization.cloned();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.get(current.clone(), authorization.take()).await?;
            if !response.status().is_redirection() {
                return read(current.clone(), response, MAX_SIZE).await;
            }
            *current = same_origin(current, &response).ok_or(FetchError::Redirect)?;
        }
        Err(FetchError::Redirect)
    }

    async fn get(&self, uri: Uri, authorization: Option<HeaderValue>) -> Result<Response<Incoming>, FetchError> {
        // An address in the URL is not resolved, so that the connector does not see it.
        if !is_fetchable(&uri.to_string(), self.insecure_http) {
            return Err(FetchError::Address);
        }
        let accept = HeaderValue::from_static("application/jwk-set+json, application/json");
        let headers = [(ACCEPT, accept)].into_iter().chain(authorization.map(|value| (AUTHORIZATION, value)));
        send(&self.client, uri, headers).await
    }
}

/// Fetches a URL once: any redirect is an error.
pub(super) async fn fetch_once(client: &HttpClient, url: &str, max_size: usize) -> Result<Bytes, FetchError> {
    let uri: Uri = url.parse().map_err(|_| FetchError::Address)?;
    let headers = [(ACCEPT, HeaderValue::from_static("*/*"))];
    let fetched = async { read(uri.clone(), send(client, uri.clone(), headers).await?, max_size).await };
    let fetched = tokio::time::timeout(MAX_TIME, fetched).await.map_err(|_| FetchError::Timeout)?;
    fetched.map(|document| document.body)
}

async fn send(
    client: &HttpClient,
    uri: Uri,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
) -> Result<Response<Incoming>, FetchError> {
    let mut request = Request::get(uri)
        .header(USER_AGENT, concat!("hookgate/", env!("CARGO_PKG_VERSION")))
        .body(Empty::new())
        .map_err(|_| FetchError::Address)?;
    request.headers_mut().extend(headers);
    client.request(request).await.map_err(|error| FetchError::Connection(Arc::new(error)))
}

async fn read(url: Uri, response: Response<Incoming>, max_size: usize) -> Result<FetchedDocument, FetchError> {
    if !response.status().is_success() {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    let max_age = response.headers().get(CACHE_CONTROL).and_then(|value| max_age(value.to_str().ok()?));
    let body = Limited::new(response.into_body(), max_size).collect().await;
    let body = body.map_err(|_| FetchError::Body(max_size))?;
    Ok(FetchedDocument { url, body: body.to_bytes(), max_age })
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
