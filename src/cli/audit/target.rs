//! The endpoint under audit: its URL, and the address that every request goes to.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::super::sign::Draft;
use super::credential::masked_target;

/// Header of every request, by which the owner of the endpoint finds them in a log.
const MARKER: &str = "hookgate-audit";

/// Bytes of a response that are read.
const MAX_RESPONSE: usize = 64 << 10;

/// Arguments by which no audit can be done.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub(in crate::cli) struct InvalidCommandLine(pub(super) anyhow::Error);

/// The parts of the URL under audit.
struct AuditUrl {
    is_tls: bool,
    host: String,
    port: u16,
    authority: String,
    path: String,
}

impl FromStr for AuditUrl {
    type Err = anyhow::Error;

    fn from_str(url: &str) -> anyhow::Result<Self> {
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
        let host = authority.host();
        let port = match authority.as_str().strip_prefix(host).unwrap_or_default().strip_prefix(':') {
            None => Some(if is_tls { 443 } else { 80 }),
            Some(port) => port.parse().ok().filter(|port| *port > 0),
        };
        Ok(Self {
            is_tls,
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: port.with_context(|| format!("{url}: expected a port from 1 to 65535"))?,
            authority: authority.to_string(),
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        })
    }
}

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
    marked: bool,
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
    ///
    /// # Errors
    /// A wrong URL or file of certificates is [`InvalidCommandLine`]; a host without an address is another error.
    pub(super) fn resolve(
        url: &str,
        allow_private: bool,
        ca: Option<&Path>,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        let AuditUrl { is_tls, host, port, authority, path } = url.parse().map_err(InvalidCommandLine)?;
        let address = (host.as_str(), port).to_socket_addrs();
        let address = address.with_context(|| format!("cannot resolve {host}"))?.next();
        let address = address.with_context(|| format!("{host} has no address"))?;
        if is_private(address.ip()) && !allow_private {
            let why = "not an address of the public internet: add --allow-private-address if it is the host you mean";
            return Err(InvalidCommandLine(anyhow!("{} is {why}", named(&host, address.ip()))).into());
        }
        let ca = ca.map(|path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display())));
        let ca = ca.transpose().map_err(InvalidCommandLine)?;
        let mut tls = crate::tls::client_config(ca.as_deref()).map_err(|error| InvalidCommandLine(error.into()))?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            is_tls,
            origin: format!("{}://{authority}", if is_tls { "https" } else { "http" }),
            authority,
            path,
            host,
            address,
            timeout,
            tls: Arc::new(tls),
            marked: true,
        })
    }

    /// The same endpoint, whose requests carry [`MARKER`] or not.
    pub(super) fn marked(self, marked: bool) -> Self {
        Self { marked, ..self }
    }

    /// The URL, without the values of its query.
    pub(super) fn url(&self) -> String {
        format!("{}{}", self.origin, masked_target(&self.path))
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
        let mut draft = draft.clone();
        if self.marked {
            draft.headers.push((MARKER.to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
        }
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

    /// Whether the port is open.
    pub(super) async fn is_reachable(&self) -> bool {
        self.limited(async { Ok(TcpStream::connect(self.address).await?) }).await.is_ok()
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
        // A body that goes on is read for half of the time.
        let body = beginning(body, Instant::now() + self.timeout / 2).await;
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
async fn beginning(mut body: hyper::body::Incoming, until: Instant) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < MAX_RESPONSE
        && let Ok(Some(Ok(frame))) = tokio::time::timeout_at(until.into(), body.frame()).await
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

/// The host, with its address if it is a name.
fn named(host: &str, address: IpAddr) -> String {
    if host == address.to_string() { host.to_owned() } else { format!("{host} ({address})") }
}

/// Whether the address is not one of the public internet (the IANA registries of special-purpose addresses).
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, third, _] = v4.octets();
            let is_shared = first == 100 && second & 0xc0 == 64;
            let is_benchmark = first == 198 && second & 0xfe == 18;
            let is_protocol = (first, second, third) == (192, 0, 0);
            let is_special = first == 0 || first >= 224 || is_shared || is_benchmark || is_protocol;
            is_special || v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_documentation()
        }
        IpAddr::V6(v6) => {
            // 2000::/3 is what is assigned; 2001::/23, documentation and 6to4 in it are special.
            let [first, second, ..] = v6.segments();
            let is_special = first == 0x2001 && (second < 0x200 || second == 0xdb8) || first == 0x2002;
            first & 0xe000 != 0x2000 || is_special
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_need_no_flag() {
        let special = [
            "127.0.0.1",
            "10.1.2.3",
            "100.64.0.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "0.0.0.1",
            "169.254.169.254",
            "::1",
            "fe80::1",
            "fd00::1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "::ffff:10.0.0.1",
        ];
        for address in special {
            assert!(is_private(address.parse().unwrap()), "{address}");
        }
        for address in ["93.184.216.34", "100.128.0.1", "198.20.0.1", "2606:4700::1111", "2a00:1450::1"] {
            assert!(!is_private(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_wrong_url_is_rejected() {
        for url in [
            "ftp://a/",
            "hooks.example.com/webhook",
            "https://user:pass@a/",
            "http://127.0.0.1:99999/x",
            "http://a:0/",
            "http:///x",
        ] {
            assert!(url.parse::<AuditUrl>().is_err(), "{url}");
        }
        let url: AuditUrl = "https://[::1]:8443/webhook?a=b".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("::1", 8443, "/webhook?a=b"));
        assert_eq!("http://a".parse::<AuditUrl>().unwrap().port, 80);
    }
}
