//! A connection to an endpoint: how it is opened, and the protocol that is spoken on it.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{Request, Uri, Version, header};
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, Write};
use hyper::service::Service;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::shared::{CONNECTION_WINDOW, STREAM_WINDOW, SharedSender};
use crate::proxy::request_body::RequestBody;
use crate::route::{Endpoint, EndpointAddress, Protocol};

/// The longest response headers of an HTTP/2 upstream, in bytes, and the bytes of a request body that one stream buffers.
const HTTP2_BUFFER: u32 = 64 * 1024;

/// Sends requests on one connection.
#[derive(Debug)]
pub(super) enum UpstreamSender {
    /// One at a time.
    Http1(http1::SendRequest<RequestBody>),
    /// Several at a time.
    Http2(SharedSender),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("no connection within timeouts.connect")]
    Late,
    #[error("the endpoint is no longer configured")]
    Gone,
    #[error(transparent)]
    Tcp(Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Socket(std::io::Error),
    #[error("TLS handshake failed")]
    Tls(#[source] std::io::Error),
    #[error("the upstream does not offer HTTP/2 (ALPN h2)")]
    NoHttp2,
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

/// Opens a connection; `limit` bounds all attempts together.
pub(super) async fn open(endpoint: &Endpoint, limit: Duration) -> Result<UpstreamSender, ConnectError> {
    let protocol = endpoint.protocol;
    match &endpoint.address {
        EndpointAddress::Tcp(uri) => speak(protocol, TokioIo::new(tcp(uri, limit).await?)).await,
        EndpointAddress::Tls(uri, trust) => {
            let connector = TlsConnector::from(Arc::clone(&trust.config));
            let stream = connector.connect(trust.name.clone(), tcp(uri, limit).await?).await;
            let stream = stream.map_err(ConnectError::Tls)?;
            if protocol == Protocol::Http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                return Err(ConnectError::NoHttp2);
            }
            speak(protocol, TokioIo::new(stream)).await
        }
        EndpointAddress::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(ConnectError::Socket)?;
            speak(protocol, TokioIo::new(stream)).await
        }
    }
}

/// Resolves the name and tries its addresses, of both families in parallel.
async fn tcp(uri: &Uri, limit: Duration) -> Result<TcpStream, ConnectError> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(limit));
    let stream = TowerToHyperService::new(connector).call(uri.clone()).await;
    stream.map(TokioIo::into_inner).map_err(|error| ConnectError::Tcp(error.into()))
}

/// The requests that use the connection get its errors.
async fn speak(
    protocol: Protocol,
    io: impl Read + Write + Send + Unpin + 'static,
) -> Result<UpstreamSender, ConnectError> {
    if protocol == Protocol::Http1 {
        let (sender, connection) = http1::handshake(io).await?;
        tokio::spawn(connection.with_upgrades());
        return Ok(UpstreamSender::Http1(sender));
    }
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    builder.max_header_list_size(HTTP2_BUFFER).max_send_buf_size(HTTP2_BUFFER as usize);
    let (sender, mut connection) = builder.handshake(io).await?;
    let sender = SharedSender::new(sender);
    let allowed = Arc::clone(&sender.allowed);
    tokio::spawn(async move {
        let ended = poll_fn(|cx| {
            let polled = std::pin::Pin::new(&mut connection).poll(cx);
            allowed.store(connection.current_max_send_streams(), Ordering::Relaxed);
            polled
        });
        drop(ended.await);
    });
    Ok(UpstreamSender::Http2(sender))
}

/// Turns a request in the form of HTTP/1 into that of HTTP/2, where the host is part of the target (RFC 9113 §8.3.1);
/// false if its Host is none.
pub(super) fn to_http2(request: &mut Request<RequestBody>, scheme: &Scheme) -> bool {
    *request.version_mut() = Version::HTTP_2;
    let Some(host) = request.headers_mut().remove(header::HOST) else { return true };
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    (parts.scheme, parts.authority) = (Some(scheme.clone()), Authority::try_from(host.as_bytes()).ok());
    Uri::from_parts(parts).map(|uri| *request.uri_mut() = uri).is_ok()
}
