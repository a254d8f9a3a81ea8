//! An upstream that records its requests, and fails in the way that the query selects.

mod http2;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

pub use http2::Calls;

const HALF: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nha\r\n";

/// A request as the upstream saw it.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Recorded {
    /// The only value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        assert!(values.len() <= 1, "{name} came {} times", values.len());
        values.first().map(|value| value.to_str().unwrap())
    }
}

pub struct Upstream {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Recorded>>>,
    connections: Arc<Connections>,
    task: JoinHandle<()>,
}

/// The numbers of connections that were opened and that are closed.
#[derive(Debug, Default)]
struct Connections {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    /// Responds with 200 and the body of the request.
    pub async fn echo() -> Self {
        Self::echo_at("127.0.0.1:0".parse().unwrap()).await
    }

    /// An echo at an address whose port is free again.
    pub async fn echo_at(address: SocketAddr) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let (address, connections, task) =
            listen_at(address, move |stream| serve_echo(stream, Arc::clone(&record))).await;
        Self { address, seen, connections, task }
    }

    /// An echo over TLS, with a certificate and its key in PEM form.
    pub async fn echo_tls(chain: &str, key: &str) -> Self {
        Self::echo_mtls(chain, key, None).await
    }

    /// The same, which requires a client certificate under this CA.
    pub async fn echo_mtls(chain: &str, key: &str, client_ca: Option<&str>) -> Self {
        use hookgate::tls::{Certificate, ClientAuth, MinVersion, client_trust, server_config};
        let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let clients = client_ca.map(|ca| client_trust(ca.as_bytes(), None, ClientAuth::Required).unwrap());
        let mut config = server_config(vec![certificate], &[], MinVersion::Tls12, clients.as_ref()).unwrap();
        Arc::make_mut(&mut config).alpn_protocols.clear();
        let (seen, tls) = (Arc::new(Mutex::new(Vec::new())), TlsAcceptor::from(config));
        let record = Arc::clone(&seen);
        let (address, connections, task) = listen(move |stream| {
            let (record, tls) = (Arc::clone(&record), tls.clone());
            async move {
                if let Ok(stream) = tls.accept(stream).await {
                    serve_echo(stream, record).await;
                }
            }
        })
        .await;
        Self { address, seen, connections, task }
    }

    /// An echo on a Unix socket; `address` is not used.
    pub fn echo_unix(path: &Path) -> Self {
        let (seen, listener) = (Arc::new(Mutex::new(Vec::new())), UnixListener::bind(path).unwrap());
        let record = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve_echo(stream, Arc::clone(&record)));
            }
        });
        Self { address: "0.0.0.0:0".parse().unwrap(), seen, connections: Arc::default(), task }
    }

    /// Stops the upstream and closes its connections.
    pub async fn stop(mut self) -> SocketAddr {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.address
    }

    /// Responds with these statuses in turn, then with 200.
    pub async fn answering(statuses: &[u16]) -> Self {
        let left = Arc::new(Mutex::new(statuses.iter().rev().copied().collect::<Vec<_>>()));
        Self::each(move |_| {
            let status = left.lock().unwrap().pop().unwrap_or(200);
            async move { status }
        })
        .await
    }

    /// Responds with 200 once the semaphore has a permit for the request.
    pub async fn held() -> (Self, Arc<Semaphore>) {
        let gate = Arc::new(Semaphore::new(0));
        let open = Arc::clone(&gate);
        let upstream = Self::each(move |_| {
            let gate = Arc::clone(&open);
            async move {
                gate.acquire_owned().await.unwrap().forget();
                200
            }
        })
        .await;
        (upstream, gate)
    }

    /// Records each request and responds with the result of `status`.
    async fn each<F, T>(status: F) -> Self
    where
        F: Fn(&Recorded) -> T + Send + Sync + 'static,
        T: Future<Output = u16> + Send + 'static,
    {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (record, status) = (Arc::clone(&seen), Arc::new(status));
        let (address, connections, task) = listen(move |stream| {
            let (record, status) = (Arc::clone(&record), Arc::clone(&status));
            async move {
                let service = service_fn(move |request| answer(request, Arc::clone(&record), Arc::clone(&status)));
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            }
        })
        .await;
        Self { address, seen, connections, task }
    }

    /// Reads some bytes, writes `bytes` and closes.
    pub async fn saying(bytes: &'static [u8]) -> Self {
        let (address, connections, task) = listen(move |mut stream| async move {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(bytes).await;
        })
        .await;
        Self { address, seen: Arc::default(), connections, task }
    }

    /// Responds to the first request of each connection; reads the second and closes.
    pub async fn leaving() -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let (address, connections, task) = listen(move |stream| {
            let (record, answered) = (Arc::clone(&record), AtomicUsize::new(0));
            async move {
                let service = service_fn(|request| {
                    let first = answered.fetch_add(1, Ordering::SeqCst) == 0;
                    let echoed = echo(request, Arc::clone(&record));
                    async move {
                        echoed
                            .await
                            .map_err(|never| match never {})
                            .and_then(|response| first.then_some(response).ok_or("gone"))
                    }
                });
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            }
        })
        .await;
        Self { address, seen, connections, task }
    }

    /// Writes `bytes` after each read, and once more for each permit of `unasked`.
    pub async fn repeating(bytes: &'static str, unasked: Arc<Semaphore>) -> Self {
        let (address, connections, task) = listen(move |mut stream| {
            let unasked = Arc::clone(&unasked);
            async move {
                let mut buffer = [0; 4096];
                loop {
                    tokio::select! {
                        read = stream.read(&mut buffer) => if !read.is_ok_and(|count| count > 0) { return },
                        permit = unasked.acquire() => permit.unwrap().forget(),
                    }
                    let _ = stream.write_all(bytes.as_bytes()).await;
                }
            }
        })
        .await;
        Self { address, seen: Arc::default(), connections, task }
    }

    /// Accepts connections and never responds.
    pub async fn silent() -> Self {
        let (address, connections, task) = listen(|mut stream| async move {
            let mut buffer = [0; 4096];
            while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        })
        .await;
        Self { address, seen: Arc::default(), connections, task }
    }

    /// Responds with `head` and then with `part` again and again, as fast as it is read, or once where the part is empty;
    /// until the connection is closed.
    pub async fn endless(head: &'static str, part: &'static str) -> Self {
        let (address, connections, task) = listen(move |mut stream| async move {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(head.as_bytes()).await;
            while !part.is_empty() && stream.write_all(part.as_bytes()).await.is_ok() {}
            while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        })
        .await;
        Self { address, seen: Arc::default(), connections, task }
    }

    /// Responds to one request per connection with `half` in two chunks, and waits between them until `gate` has a permit.
    pub async fn halting(gate: Arc<Semaphore>) -> Self {
        let (address, connections, task) = listen(move |mut stream| {
            let gate = Arc::clone(&gate);
            async move {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(HALF).await;
                gate.acquire().await.unwrap().forget();
                let _ = stream.write_all(b"2\r\nlf\r\n0\r\n\r\n").await;
            }
        })
        .await;
        Self { address, seen: Arc::default(), connections, task }
    }

    /// The number of connections so far.
    pub fn connections(&self) -> usize {
        self.connections.begun.load(Ordering::SeqCst)
    }

    /// The number of open connections.
    pub fn open(&self) -> usize {
        self.connections() - self.connections.ended.load(Ordering::SeqCst)
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Recorded> {
        self.seen.lock().unwrap().clone()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.seen.lock().unwrap().clear();
    }

    /// The only request so far.
    pub fn only(&self) -> Recorded {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen[0].clone()
    }
}

async fn listen<F, T>(serve: F) -> (SocketAddr, Arc<Connections>, JoinHandle<()>)
where
    F: Fn(tokio::net::TcpStream) -> T + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    listen_at("127.0.0.1:0".parse().unwrap(), serve).await
}

/// Serves connections at `address`; they are closed with the task.
async fn listen_at<F, T>(address: SocketAddr, serve: F) -> (SocketAddr, Arc<Connections>, JoinHandle<()>)
where
    F: Fn(tokio::net::TcpStream) -> T + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(Connections::default());
    let counted = Arc::clone(&connections);
    let task = tokio::spawn(async move {
        let mut serving = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            counted.begun.fetch_add(1, Ordering::SeqCst);
            let (served, counted) = (serve(stream), Arc::clone(&counted));
            serving.spawn(async move {
                served.await;
                counted.ended.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    (address, connections, task)
}

async fn serve_echo<S>(stream: S, record: Arc<Mutex<Vec<Recorded>>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(move |request| echo(request, Arc::clone(&record)));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn echo(
    request: Request<Incoming>,
    record: Arc<Mutex<Vec<Recorded>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let collected = body.collect().await;
    let Ok(collected) = collected else { return Ok(Response::new(Full::default())) };
    let trailers = collected.trailers().cloned();
    let body = collected.to_bytes();
    let target = head.uri.to_string();
    let status =
        head.uri.query().and_then(|query| query.strip_prefix("status=")).and_then(|status| status.parse().ok());
    record.lock().unwrap().push(Recorded {
        method: head.method,
        target,
        headers: head.headers,
        body: body.clone(),
        trailers,
    });
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = StatusCode::from_u16(status.unwrap_or(200)).unwrap();
    response.headers_mut().insert("server", "the-app".parse().unwrap());
    response.headers_mut().insert("x-from-app", "1".parse().unwrap());
    Ok(response)
}

async fn answer<F, T>(
    request: Request<Incoming>,
    record: Arc<Mutex<Vec<Recorded>>>,
    status: Arc<F>,
) -> Result<Response<Full<Bytes>>, hyper::Error>
where
    F: Fn(&Recorded) -> T,
    T: Future<Output = u16>,
{
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let (method, target, headers) = (head.method, head.uri.to_string(), head.headers);
    let recorded = Recorded { method, target, headers, body: body.clone(), trailers: None };
    record.lock().unwrap().push(recorded.clone());
    let status = status(&recorded).await;
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("x-from-app", "1".parse().unwrap());
    response.headers_mut().insert("set-cookie", "session=1".parse().unwrap());
    Ok(response)
}
