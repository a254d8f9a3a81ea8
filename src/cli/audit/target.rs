//! The endpoint under audit: its URL, and the address that every request goes to.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::super::sign::Draft;

/// Header of every request, by which the owner of the endpoint finds them in a log.
const MARKER: &str = "hookgate-audit";

/// Bytes of a response that are read.
const MAX_RESPONSE: usize = 64 << 10;

/// The endpoint under audit.
pub(super) struct Target {
    /// `http` or `https`.
    pub(super) is_tls: bool,
    /// Host name or address, without a port and without brackets.
    pub(super) host: String,
    /// Scheme and authority, such as `https://hooks.example.com`.
    pub(super) origin: String,
    /// Host and port as in the URL.
    pub(super) authority: String,
    /// Path and query.
    pub(super) path: String,
    /// The address to which the name was resolved once: a name that changes leads no probe to another host.
    pub(super) address: SocketAddr,
    timeout: Duration,
    tls: Arc<rustls::ClientConfig>,
    /// Whether requests carry [`MARKER`].
    pub(super) marked: bool,
}

/// A response, or why there is none.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: http::HeaderMap,
    /// The first bytes of the body.
    pub(super) body: Vec<u8>,
    /// From the request, on an open connection, to the head of the response.
    pub(super) time: Duration,
}

impl Target {
    /// Parses the URL and resolves its host once.
    pub(super) fn resolve(
        url: &str,
        allow_private: bool,
        ca: Option<&Path>,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        let uri: http::Uri = url.parse().with_context(|| format!("{url}: not a URL"))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => bail!("{url}: expected a URL with https:// or http://"),
        };
        let authority = uri.authority().with_context(|| format!("{url}: the URL has no host"))?;
        if authority.as_str().contains('@') {
            bail!("the URL must not contain a user name or password");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let address = (host.as_str(), port).to_socket_addrs();
        let address = address.with_context(|| format!("cannot resolve {host}"))?.next();
        let address = address.with_context(|| format!("{host} has no address"))?;
        if is_private(address.ip()) && !allow_private {
            bail!(
                "{host} is {}, a private address: add --allow-private-address if it is the host you mean",
                address.ip()
            );
        }
        let ca = ca.map(|path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display())));
        let mut tls = crate::tls::client_config(ca.transpose()?.as_deref())?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            is_tls,
            origin: format!("{}://{authority}", if is_tls { "https" } else { "http" }),
            authority: authority.to_string(),
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            host,
            address,
            timeout,
            tls: Arc::new(tls),
            marked: true,
        })
    }

    /// Whether the traffic stays on this machine.
    pub(super) const fn is_loopback(&self) -> bool {
        self.address.ip().is_loopback()
    }

    /// The marker as a line of a message, or nothing.
    pub(super) fn marker_line(&self) -> String {
        if self.marked { format!("{MARKER}: {}\r\n", env!("CARGO_PKG_VERSION")) } else { String::new() }
    }

    /// Sends one request over a connection of its own. Redirects are not followed.
    pub(super) async fn send(&self, draft: &Draft) -> anyhow::Result<Answer> {
        self.limited(async {
            match self.connect().await? {
                Stream::Plain(stream) => self.exchange(stream, draft).await,
                Stream::Tls(stream) => self.exchange(stream, draft).await,
            }
        })
        .await
    }

    /// Sends the head and half of the body, and closes the connection.
    pub(super) async fn break_off(&self, draft: &Draft) -> anyhow::Result<()> {
        let mut message = draft.message();
        message.truncate(message.len() - draft.body.len() / 2 - 1);
        self.limited(async {
            match self.connect().await? {
                Stream::Plain(mut stream) => stream.write_all(&message).await?,
                Stream::Tls(mut stream) => {
                    stream.write_all(&message).await?;
                    stream.flush().await?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Sends bytes over a new connection without TLS to this port, and returns the first bytes of the response.
    pub(super) async fn raw(&self, port: u16, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.limited(async {
            let mut stream = TcpStream::connect(SocketAddr::new(self.address.ip(), port)).await?;
            stream.write_all(bytes).await?;
            Ok(first_bytes(&mut stream).await)
        })
        .await
    }

    /// Whether the server responds to these bytes within `patience`, or closes the connection.
    pub(super) async fn answers_head(&self, bytes: &[u8], patience: Duration) -> anyhow::Result<bool> {
        let mut stream = self.limited(self.connect()).await?;
        let respond = async {
            match &mut stream {
                Stream::Plain(stream) => respond(stream, bytes).await,
                Stream::Tls(stream) => respond(stream, bytes).await,
            }
        };
        // An error is a connection that the server closed.
        Ok(tokio::time::timeout(patience, respond).await.is_ok())
    }

    /// The certificate of the server in DER, if its chain and its name are valid.
    pub(super) async fn certificate(&self) -> anyhow::Result<Vec<u8>> {
        self.limited(async {
            let Stream::Tls(stream) = self.connect().await? else { bail!("the endpoint does not use TLS") };
            let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
            Ok(chain.first().context("the server presented no certificate")?.to_vec())
        })
        .await
    }

    async fn limited<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let late = || format!("no response within {} s", self.timeout.as_secs());
        tokio::time::timeout(self.timeout, work).await.with_context(late)?
    }

    async fn connect(&self) -> anyhow::Result<Stream> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        if !self.is_tls {
            return Ok(Stream::Plain(stream));
        }
        let name = ServerName::try_from(self.host.clone())?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    async fn exchange<S>(&self, stream: S, draft: &Draft) -> anyhow::Result<Answer>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut request =
            Request::builder().method(draft.method.clone()).uri(&draft.target).header("host", &draft.host);
        for (name, value) in &draft.headers {
            // A header of a probe may have other bytes than those of ASCII.
            request = request.header(name, HeaderValue::from_bytes(value.as_bytes())?);
        }
        if self.marked {
            request = request.header(MARKER, env!("CARGO_PKG_VERSION"));
        }
        let request = request.header("connection", "close").body(Full::new(Bytes::from(draft.body.clone())))?;
        let start = Instant::now();
        let (head, body) = sender.send_request(request).await?.into_parts();
        let time = start.elapsed();
        let body = beginning(body).await;
        connection.abort();
        Ok(Answer { status: head.status, headers: head.headers, body, time })
    }
}

/// A connection to the endpoint.
enum Stream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// The first bytes of a body. A longer one is not read to its end, and one that breaks off counts as far as it came.
async fn beginning(mut body: hyper::body::Incoming) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < MAX_RESPONSE
        && let Some(Ok(frame)) = body.frame().await
    {
        bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
    }
    bytes.truncate(MAX_RESPONSE);
    bytes
}

async fn respond(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(bytes).await?;
    stream.flush().await?;
    Ok(first_bytes(stream).await)
}

async fn first_bytes(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let read = stream.read(&mut bytes).await.unwrap_or(0);
    bytes.truncate(read);
    bytes
}

/// Whether the address is not one of the public internet.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified(),
    }
}
