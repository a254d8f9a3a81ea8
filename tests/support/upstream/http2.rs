//! An upstream that speaks HTTP/2, as a gRPC server does.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::{Recorded, Upstream, listen};
use crate::support::http2::{GOAWAY, HEADERS, PREFACE, SETTINGS, frame};

/// How the upstream responds.
#[derive(Clone)]
pub struct Calls {
    /// Streams on a connection at a time.
    pub streams: u32,
    /// A permit for each response, once the request is there.
    pub gate: Arc<Semaphore>,
    /// Codes of RST_STREAM (RFC 9113 §7) that the first requests get instead of a response, the last one first.
    pub resets: Arc<Mutex<Vec<u32>>>,
}

impl Calls {
    /// Responds at once.
    pub fn open() -> Self {
        Self { streams: 1000, gate: Arc::new(Semaphore::new(1000)), resets: Arc::default() }
    }

    /// Resets the streams of the first requests with these codes, and responds to the others at once.
    pub fn resetting(codes: &[u32]) -> Self {
        Self { resets: Arc::new(Mutex::new(codes.iter().rev().copied().collect())), ..Self::open() }
    }

    /// Responds when the gate has permits.
    pub fn held() -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), ..Self::open() }
    }
}

impl Upstream {
    /// Echoes over HTTP/2 without TLS. The header `status` is the `grpc-status` of the trailers, which have others too; with
    /// the header `size`, the response has as many bytes.
    pub async fn http2(calls: Calls) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let (address, connections, task) =
            listen(move |stream| serve(stream, calls.clone(), Arc::clone(&record))).await;
        Self { address, seen, connections, task }
    }

    /// The first connection ends its first request by a GOAWAY that leaves it out (RFC 9113 §6.8), and is then silent; the
    /// others echo.
    pub async fn http2_going_away() -> Self {
        let (seen, is_first) = (Arc::new(Mutex::new(Vec::new())), AtomicBool::new(true));
        let record = Arc::clone(&seen);
        let (address, connections, task) = listen(move |stream| {
            let (record, goes_away) = (Arc::clone(&record), is_first.swap(false, Ordering::SeqCst));
            async move { if goes_away { go_away(stream).await } else { serve(stream, Calls::open(), record).await } }
        })
        .await;
        Self { address, seen, connections, task }
    }

    /// The same over TLS, with this protocol by ALPN.
    pub async fn http2_tls(chain: &str, key: &str, alpn: &'static [u8]) -> Self {
        let certificate = hookgate::tls::Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let mut config =
            hookgate::tls::server_config(vec![certificate], &[], hookgate::tls::MinVersion::Tls12, None).unwrap();
        Arc::make_mut(&mut config).alpn_protocols =
            [alpn.to_vec()].into_iter().filter(|name| !name.is_empty()).collect();
        let (seen, tls) = (Arc::new(Mutex::new(Vec::new())), TlsAcceptor::from(config));
        let record = Arc::clone(&seen);
        let (address, connections, task) = listen(move |stream| {
            let (record, tls) = (Arc::clone(&record), tls.clone());
            async move {
                if let Ok(stream) = tls.accept(stream).await {
                    serve(stream, Calls::open(), record).await;
                }
            }
        })
        .await;
        Self { address, seen, connections, task }
    }
}

async fn go_away(mut stream: TcpStream) {
    let mut preface = [0; PREFACE.len()];
    let _ = stream.read_exact(&mut preface).await;
    let _ = stream.write_all(SETTINGS).await;
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let _ = stream.read_exact(&mut vec![0; length as usize]).await;
        if head[3] == HEADERS {
            let _ = stream.write_all(&frame(GOAWAY, 0, 0, &[0; 8])).await;
        }
    }
}

async fn serve<S>(stream: S, calls: Calls, record: Arc<Mutex<Vec<Recorded>>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let streams = calls.streams;
    let service = service_fn(move |request| call(request, calls.clone(), Arc::clone(&record)));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let _ = builder.max_concurrent_streams(streams).serve_connection(TokioIo::new(stream), service).await;
}

async fn call(
    request: Request<Incoming>,
    Calls { gate, resets, .. }: Calls,
    record: Arc<Mutex<Vec<Recorded>>>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = request.into_parts();
    let collected = body.collect().await?;
    let (trailers, body) = (collected.trailers().cloned(), collected.to_bytes());
    let target = head.uri.to_string();
    let status = head.headers.get("status").cloned().unwrap_or(HeaderValue::from_static("0"));
    let size = head.headers.get("size").map(|size| size.to_str().unwrap().parse().unwrap());
    let recorded = Recorded { method: head.method, target, headers: head.headers, body: body.clone(), trailers };
    record.lock().unwrap().push(recorded);
    let reset = resets.lock().unwrap().pop();
    if let Some(code) = reset {
        return Err(h2::Error::from(h2::Reason::from(code)).into());
    }
    gate.acquire().await.unwrap().forget();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status);
    for unsafe_one in ["x-own", "set-cookie", "authorization"] {
        trailers.insert(unsafe_one, HeaderValue::from_static("evil"));
    }
    let body = size.map_or(body, |size| vec![0; size].into());
    let body = Full::new(body).with_trailers(std::future::ready(Some(Ok(trailers)))).boxed();
    Ok(Response::builder().header("content-type", "application/grpc").body(body).unwrap())
}
