//! Clients over real TLS: an HTTP client, and one that sends raw bytes.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as Http, Error};
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Identity, PATIENCE};

/// A complete response.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// Status and reason of a problem document.
    pub fn problem(&self) -> (u16, String) {
        (self.status.as_u16(), self.json()["reason"].as_str().unwrap().to_owned())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// An HTTP/1.1 or HTTP/2 client with persistent connections.
#[derive(Clone)]
pub struct Client {
    http: Http<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
}

impl Client {
    pub fn new(address: SocketAddr, ca: &str) -> Self {
        Self::over(
            address,
            HttpsConnectorBuilder::new().with_tls_config(trusting(ca)).https_only().enable_http1().build(),
        )
    }

    pub fn http2(address: SocketAddr, ca: &str) -> Self {
        Self::over(
            address,
            HttpsConnectorBuilder::new().with_tls_config(trusting(ca)).https_only().enable_http2().build(),
        )
    }

    pub fn showing(address: SocketAddr, ca: &str, identity: &Identity) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let config = rustls::ClientConfig::builder_with_provider(Arc::clone(trusting(ca).crypto_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![identity.certificate.clone()], identity.key.clone_key())
            .unwrap();
        Self::over(address, HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().build())
    }

    fn over(address: SocketAddr, connector: HttpsConnector<HttpConnector>) -> Self {
        let http = Http::builder(TokioExecutor::new()).build(connector);
        Self { http, base: format!("https://localhost:{}", address.port()) }
    }

    /// POST /webhook with this token.
    pub async fn post(&self, token: &str) -> Answer {
        self.send(self.request("/webhook").header("authorization", format!("Bearer {token}")), "{}").await
    }

    /// A builder of a POST request.
    pub fn request(&self, target: &str) -> http::request::Builder {
        Request::post(format!("{}{target}", self.base))
    }

    pub async fn send(&self, request: http::request::Builder, body: impl Into<Bytes>) -> Answer {
        self.try_send(request, body).await.unwrap()
    }

    /// # Errors
    /// Fails if no complete response comes.
    pub async fn try_send(&self, request: http::request::Builder, body: impl Into<Bytes>) -> Result<Answer, Error> {
        let request = request.body(Full::new(body.into())).unwrap();
        let response = tokio::time::timeout(PATIENCE, self.http.request(request)).await.expect("no response")?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("the response broke off");
        let trailers = body.trailers().cloned();
        Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes(), trailers })
    }
}

fn trusting(ca: &str) -> rustls::ClientConfig {
    hookgate::tls::client_config(Some(ca.as_bytes())).unwrap()
}

/// GET without TLS, from the admin listener.
pub async fn get_plain(address: SocketAddr, path: &str) -> Answer {
    let http = Http::builder(TokioExecutor::new()).build(HttpConnector::new());
    let request = Request::get(format!("http://{address}{path}")).body(Full::<Bytes>::default()).unwrap();
    let (head, body) = http.request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status, headers: head.headers, body, trailers: None }
}

/// A connection from an address of this machine.
pub async fn connect_from(source: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((source, 0))).unwrap();
    socket.connect(address).await.unwrap()
}

/// One connection whose bytes the test writes itself.
pub struct Wire(pub TlsStream<TcpStream>);

impl Wire {
    pub async fn connect(address: SocketAddr, ca: &str, protocols: &[&[u8]]) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), ca, protocols).await
    }

    /// HTTP/1.1 from an address of this machine.
    pub async fn connect_from(source: [u8; 4], address: SocketAddr, ca: &str) -> Self {
        Self::over(connect_from(source, address).await, ca, &[b"http/1.1"]).await
    }

    /// Makes a TLS handshake on an open connection.
    pub async fn over(stream: TcpStream, ca: &str, protocols: &[&[u8]]) -> Self {
        let mut config = trusting(ca);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        Self(TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap())
    }

    /// `None` once the listener is closed.
    pub async fn try_connect(address: SocketAddr, ca: &str) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        let connector = TlsConnector::from(Arc::new(trusting(ca)));
        let name = ServerName::try_from("localhost").unwrap();
        Some(Self(connector.connect(name, stream).await.ok()?))
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        // In some tests the peer has closed the connection already.
        let _ = self.0.write_all(bytes.as_ref()).await;
        let _ = self.0.flush().await;
        self
    }

    /// Closes the connection by a reset.
    pub fn reset(self) {
        socket2::SockRef::from(self.0.get_ref().0).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }

    /// All bytes up to the end of the connection, which must come.
    pub async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        // A reset or a missing close_notify counts as the end too.
        let _ =
            tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await.expect("the connection stays open");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads until `end`. Returns all bytes read.
    pub async fn read_until(&mut self, end: &str) -> String {
        let mut text = String::new();
        let mut buffer = [0; 4096];
        while !text.contains(end) {
            let count = tokio::time::timeout(PATIENCE, self.0.read(&mut buffer)).await.expect("no response").unwrap();
            assert!(count > 0, "closed before {end:?}: {text}");
            text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        text
    }
}
