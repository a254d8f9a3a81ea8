//! An issuer's key set on a real socket.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Gateway, Issuer, Setup, Upstream, until};

/// Serves a text at an address that stays the same over a stop and a start.
pub struct KeyServer {
    pub address: SocketAddr,
    body: Arc<Mutex<String>>,
    fetches: Arc<AtomicUsize>,
    task: Option<JoinHandle<()>>,
}

impl KeyServer {
    pub async fn start(body: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = Self { address, body: Arc::new(Mutex::new(body)), fetches: Arc::default(), task: None };
        server.serve(listener);
        server
    }

    fn serve(&mut self, listener: TcpListener) {
        let (body, fetches) = (Arc::clone(&self.body), Arc::clone(&self.fetches));
        self.task = Some(tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                fetches.fetch_add(1, Ordering::SeqCst);
                let answer = body.lock().unwrap().clone();
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
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
        // The port may be lingering for a moment.
        let mut listener = None;
        until("the port is free", async || {
            listener = TcpListener::bind(address).await.ok();
            listener.is_some()
        })
        .await;
        self.serve(listener.unwrap());
    }

    pub fn answers(&self, body: String) {
        *self.body.lock().unwrap() = body;
    }

    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    pub fn gateway(&self, upstream: &Upstream, issuer: &Issuer, more: &str) -> Gateway {
        let jwks = format!("jwks: {{ url: \"http://{}/jwks.json\"{more} }}", self.address);
        Setup::new(upstream.address).with("jwks: { file: jwks.json }", &jwks).issuer(issuer.clone()).start()
    }
}

pub fn ok(body: &str) -> String {
    with_head("200 OK\r\ncontent-type: application/json", body)
}

pub fn with_head(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}
