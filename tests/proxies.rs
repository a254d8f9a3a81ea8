//! Behind other proxies: which proxies may name the client's address, and which decisions use it.

mod certificates;
mod fields;
mod header;
mod real;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Gateway, PATIENCE, Setup, Upstream, connect_from};

/// 127.0.0.8 to 127.0.0.15 are trusted proxies; 127.0.0.1 is not.
const TRUSTED: &str = "127.0.0.8/29";

/// The last byte of the address of the proxy that connects.
const PROXY: u8 = 9;

/// The last byte of an address that is no trusted proxy.
const UNTRUSTED: u8 = 1;

fn behind_proxies(upstream: &Upstream) -> Setup {
    Setup::new(upstream.address).top(|top| top.trusted_proxies([TRUSTED]))
}

/// A small good request with these additional headers, which closes its connection.
fn good(gateway: &Gateway, fields: &str) -> String {
    request(&gateway.token(), fields)
}

fn request(token: &str, fields: &str) -> String {
    format!(
        "POST /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\
         Connection: close\r\n{fields}\r\n"
    )
}

/// Sends over TLS from 127.0.0.`last`.
async fn ask(gateway: &Gateway, last: u8, request: String) -> String {
    gateway.wire_from(last).await.write(request).await.rest().await
}

/// Sends a good request with these headers from a trusted proxy.
async fn forwarded(gateway: &Gateway, fields: &str) -> String {
    ask(gateway, PROXY, good(gateway, fields)).await
}

async fn tcp(gateway: &Gateway, last: u8) -> TcpStream {
    connect_from([127, 0, 0, last], gateway.address()).await
}

/// Sends without TLS from 127.0.0.`last`. Returns the response, empty if the connection is closed without one.
async fn ask_plainly(gateway: &Gateway, last: u8, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = tcp(gateway, last).await;
    // If the connection is closed at once, not all bytes may be sent.
    let _ = stream.write_all(bytes.as_ref()).await;
    rest(&mut stream).await
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the connection stays open");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or_default()
}

/// The number of connections that were rejected for this reason.
async fn closed(gateway: &Gateway, reason: &str) -> f64 {
    let labels = format!("{{listener=\"{}\",reason=\"{reason}\"}}", gateway.address());
    gateway.metric(&format!("hookgate_connections_rejected_total{labels}")).await.unwrap_or_default()
}
