//! A connection to an endpoint: how it is opened, and the protocol that is spoken on it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{Request, Uri, Version, header};
use hyper::client::conn::{http1, http2};
use hyper::rt::{Executor, Read, Write};
use hyper::service::Service;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
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
    #[error("the upstream closed the connection before its SETTINGS")]
    Ended,
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
    let progress = Arc::new(Notify::new());
    let mut builder = http2::Builder::new(ReportingExecutor(Arc::clone(&progress)));
    builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    builder.max_header_list_size(HTTP2_BUFFER).max_send_buf_size(HTTP2_BUFFER as usize);
    let (requests, mut connection) = builder.initial_max_send_streams(0).handshake(io).await?;
    // The first frame of the upstream (RFC 9113 §3.4) says how many streams it allows: it would reject others, or they
    // would wait for them while another connection could be opened.
    while connection.current_max_send_streams() == 0 {
        tokio::select! {
            ended = &mut connection => return Err(ended.err().map_or(ConnectError::Ended, ConnectError::Http)),
            () = progress.notified() => {}
        }
    }
    let allowed = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
    let sender = SharedSender { requests, allowed: Arc::clone(&allowed) };
    tokio::spawn(async move {
        let ended = poll_fn(|cx| {
            let polled = Pin::new(&mut connection).poll(cx);
            allowed.store(connection.current_max_send_streams(), Ordering::Relaxed);
            polled
        });
        drop(ended.await);
    });
    Ok(UpstreamSender::Http2(sender))
}

/// Runs the tasks of a connection, and reports each time that one has done something: hyper does not report SETTINGS.
#[derive(Clone)]
struct ReportingExecutor(Arc<Notify>);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for ReportingExecutor {
    fn execute(&self, task: F) {
        let (mut task, progress) = (Box::pin(task), Arc::clone(&self.0));
        tokio::spawn(poll_fn(move |cx| {
            let polled = task.as_mut().poll(cx).map(drop);
            progress.notify_one();
            polled
        }));
    }
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
