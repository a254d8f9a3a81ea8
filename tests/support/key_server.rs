//! An issuer's key set on a real socket, with or without TLS.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::configuration::Jwks;
use super::{Gateway, Issuer, Setup, Upstream, until};

/// A server of fixed texts, whose address stays the same over a restart.
pub struct KeyServer {
    pub address: SocketAddr,
    pages: Arc<Mutex<Pages>>,
    fetches: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    tls: Option<TlsAcceptor>,
    task: Option<JoinHandle<()>>,
}

/// The response for each path, and for all other paths.
#[derive(Default)]
struct Pages {
    by_path: BTreeMap<String, String>,
    elsewhere: String,
}

impl Pages {
    fn answer(&self, request: &str) -> &str {
        let path = request.split(' ').nth(1).unwrap_or_default();
        self.by_path.get(path).unwrap_or(&self.elsewhere)
    }
}

impl KeyServer {
    /// Responds to every request with `body`.
    pub async fn start(body: String) -> Self {
        Self::over(None, body).await
    }

    /// The same over TLS, with a certificate and its key in PEM form.
    pub async fn start_tls(chain: &str, key: &str, body: String) -> Self {
        let certificate = hookgate::tls::Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let config =
            hookgate::tls::server_config(vec![certificate], &[], hookgate::tls::MinVersion::Tls12, None).unwrap();
        Self::over(Some(TlsAcceptor::from(config)), body).await
    }

    async fn over(tls: Option<TlsAcceptor>, body: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let pages = Arc::new(Mutex::new(Pages { elsewhere: body, ..Pages::default() }));
        let requests = Arc::default();
        let mut server = Self { address, pages, fetches: Arc::default(), requests, tls, task: None };
        server.serve(listener);
        server
    }

    fn serve(&mut self, listener: TcpListener) {
        let (pages, fetches, tls) = (Arc::clone(&self.pages), Arc::clone(&self.fetches), self.tls.clone());
        let requests = Arc::clone(&self.requests);
        self.task = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                fetches.fetch_add(1, Ordering::SeqCst);
                match &tls {
                    None => respond(stream, &pages, &requests).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            respond(stream, &pages, &requests).await;
                        }
                    }
                }
            }
        }));
    }

    pub async fn stop(&mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        let _ = task.await;
    }

    pub async fn start_again(&mut self) {
        let address = self.address;
        // The port may still be in use for a moment.
        let mut listener = None;
        until("the port is free", async || {
            listener = TcpListener::bind(address).await.ok();
            listener.is_some()
        })
        .await;
        self.serve(listener.unwrap());
    }

    pub fn answers(&self, body: String) {
        self.pages.lock().unwrap().elsewhere = body;
    }

    pub fn answers_at(&self, path: &str, body: String) {
        self.pages.lock().unwrap().by_path.insert(path.to_owned(), body);
    }

    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// Line and headers of each request, in order.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// A gateway that fetches here.
    pub fn gateway(&self, upstream: &Upstream, issuer: &Issuer, change: impl FnOnce(Jwks) -> Jwks) -> Gateway {
        let jwks = change(Jwks::url(&format!("{}/jwks.json", self.url())));
        Setup::new(upstream.address).jwks(jwks).issuer(issuer.clone()).start()
    }

    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.address.port())
    }
}

/// The response text of an issuer that accepts connections and does not respond, from now on.
pub const SILENCE: &str = "";

async fn respond(mut stream: impl AsyncRead + AsyncWrite + Unpin, pages: &Mutex<Pages>, requests: &Mutex<Vec<String>>) {
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer).await.unwrap_or(0);
    let request = String::from_utf8_lossy(&buffer[..count]).into_owned();
    let answer = pages.lock().unwrap().answer(&request).to_owned();
    requests.lock().unwrap().push(request);
    if answer == SILENCE {
        std::future::pending::<()>().await;
    }
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

pub fn ok(body: &str) -> String {
    with_head("200 OK\r\ncontent-type: application/json", body)
}

pub fn with_head(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}
