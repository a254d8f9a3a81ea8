//! An upstream that speaks HTTP/2, as a gRPC server does.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::{Recorded, Upstream, listen};

/// How the upstream responds.
#[derive(Clone)]
pub struct Calls {
    /// Streams on a connection at a time.
    pub streams: u32,
    /// A permit for each response, once the request is there.
    pub gate: Arc<Semaphore>,
}

impl Calls {
    /// Responds at once.
    pub fn open() -> Self {
        Self { streams: 1000, gate: Arc::new(Semaphore::new(1000)) }
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

    /// The same over TLS, with this protocol by ALPN.
    pub async fn http2_tls(chain: &str, key: &str, alpn: &'static [u8]) -> Self {
        let certificate = hookgate::tls::Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let mut config =
            hookgate::tls::server_config(vec![certificate], hookgate::tls::MinVersion::Tls12, None).unwrap();
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

async fn serve<S>(stream: S, calls: Calls, record: Arc<Mutex<Vec<Recorded>>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let streams = calls.streams;
    let service = service_fn(move |request| call(request, Arc::clone(&calls.gate), Arc::clone(&record)));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let _ = builder.max_concurrent_streams(streams).serve_connection(TokioIo::new(stream), service).await;
}

async fn call(
    request: Request<Incoming>,
    gate: Arc<Semaphore>,
    record: Arc<Mutex<Vec<Recorded>>>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let collected = body.collect().await?;
    let (trailers, body) = (collected.trailers().cloned(), collected.to_bytes());
    let target = head.uri.to_string();
    let status = head.headers.get("status").cloned().unwrap_or(HeaderValue::from_static("0"));
    let size = head.headers.get("size").map(|size| size.to_str().unwrap().parse().unwrap());
    let recorded = Recorded { method: head.method, target, headers: head.headers, body: body.clone(), trailers };
    record.lock().unwrap().push(recorded);
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
