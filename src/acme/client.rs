//! The HTTP client of the ACME protocol: https only, with bounds of time and size.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;

/// Timeout of one request with its response.
const MAX_TIME: Duration = Duration::from_secs(30);

/// Maximum size of a response in bytes; a certificate chain has a few KiB.
const MAX_SIZE: usize = 256 * 1024;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The client of one attempt to obtain a certificate.
pub(super) struct AcmeClient(Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

impl AcmeClient {
    pub(super) fn new(tls: ClientConfig) -> Self {
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
        Self(Client::builder(TokioExecutor::new()).build(https))
    }
}

impl HttpClient for AcmeClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let response = self.0.request(request);
        Box::pin(async move {
            let read = async {
                let (head, body) = response.await?.into_parts();
                let body = Limited::new(body, MAX_SIZE).collect().await?.to_bytes();
                Ok::<_, BoxError>(BytesResponse::from(Response::from_parts(head, Full::new(body))))
            };
            let read = tokio::time::timeout(MAX_TIME, read).await;
            read.unwrap_or_else(|elapsed| Err(elapsed.into())).map_err(Error::Other)
        })
    }
}
