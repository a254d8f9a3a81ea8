//! The HTTP client of a key set: directly or through a proxy, and with `insecure_http` to private addresses alone.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use tower_service::Service;

use crate::auth::keys::JwksAccess;
use crate::settings::is_private;

/// The client, which opens a connection for each request.
pub(super) enum HttpClient {
    Direct(Client<HttpsConnector<HttpConnector<Resolver>>, Empty<Bytes>>),
    Proxied(Client<HttpsConnector<Tunnel<HttpConnector>>, Empty<Bytes>>),
}

impl HttpClient {
    /// `None` if the URL of the proxy is invalid.
    pub(super) fn new(tls: ClientConfig, access: &JwksAccess) -> Option<Self> {
        // Plain http is used for the URLs that the configuration and the discovery document may name.
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let mut builder = Client::builder(TokioExecutor::new());
        let builder = builder.pool_max_idle_per_host(0);
        Some(match &access.proxy {
            Some(proxy) => {
                let tunnel = Tunnel::new(proxy.parse().ok()?, HttpConnector::new());
                Self::Proxied(builder.build(https.wrap_connector(tunnel)))
            }
            None => {
                let mut connector = HttpConnector::new_with_resolver(Resolver { only_private: access.insecure_http });
                connector.enforce_http(false);
                Self::Direct(builder.build(https.wrap_connector(connector)))
            }
        })
    }

    pub(super) async fn request(&self, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, Error> {
        match self {
            Self::Direct(client) => client.request(request).await,
            Self::Proxied(client) => client.request(request).await,
        }
    }
}

/// Resolves host names. Each connection resolves its host, so that a name cannot change to a public address after a check
/// (DNS rebinding).
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolver {
    /// A host with an address that is not private is an error.
    only_private: bool,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let only_private = self.only_private;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            match only_private && !found.iter().all(|address| is_private(address.ip())) {
                true => Err(io::Error::other("insecure_http: the host has an address that is not private")),
                false => Ok(found.into_iter()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn with_insecure_http_each_address_must_be_private() {
        let resolve = async |name: &str, only_private| Resolver { only_private }.call(name.parse().unwrap()).await;
        assert!(resolve("localhost", true).await.unwrap().next().is_some());
        // Addresses as names, so that the test needs no name server.
        for (name, is_private) in
            [("10.1.2.3", true), ("9.9.9.9", false), ("169.254.169.254", false), ("fd00::1", true)]
        {
            assert_eq!(resolve(name, true).await.is_ok(), is_private, "{name}");
            assert!(resolve(name, false).await.is_ok(), "{name}");
        }
    }
}
