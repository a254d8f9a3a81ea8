//! The servers around the gateway in the demo: the vulnerable upstream and the issuer's JWKS endpoint.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A vulnerable upstream: its handler checks that there is a bearer token, and does not verify it.
pub(super) struct WeakApp {
    pub(super) address: SocketAddr,
    seen: Arc<AtomicUsize>,
}

impl WeakApp {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        let address = serve(move |request: &Request<Incoming>| {
            let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
            let bearer = authorization.is_some_and(|value| value.starts_with("Bearer "));
            count.fetch_add(1, Ordering::SeqCst);
            if bearer {
                (200, r#"{"ok":true}"#.to_owned())
            } else {
                (403, r#"{"detail":"Not authenticated"}"#.to_owned())
            }
        })
        .await?;
        Ok(Self { address, seen })
    }

    /// Number of requests received so far.
    pub(super) fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

/// Starts the JWKS endpoint of an issuer, and returns its address.
pub(super) async fn serve_jwks(jwks: Value) -> anyhow::Result<SocketAddr> {
    let jwks = jwks.to_string();
    serve(move |_: &Request<Incoming>| (200, jwks.clone())).await
}

/// Serves on a free port of 127.0.0.1 until the process exits.
async fn serve<F>(answer: F) -> anyhow::Result<SocketAddr>
where
    F: Fn(&Request<Incoming>) -> (u16, String) + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            let service = service_fn(move |request: Request<Incoming>| {
                let (status, body) = answer(&request);
                async move {
                    // As an upstream usually does, it reads the whole body before it responds.
                    let _read = request.into_body().collect().await;
                    let mut response = Response::new(Full::<Bytes>::from(body));
                    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
                    Ok::<_, Infallible>(response)
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(address)
}

/// Sends a request without TLS to the TLS port, and returns the status and the reason of the response.
pub(super) async fn plain_http(gateway: SocketAddr, authorization: &[String]) -> anyhow::Result<(StatusCode, String)> {
    let mut stream = TcpStream::connect(gateway).await?;
    let authorization: String = authorization.iter().map(|value| format!("Authorization: {value}\r\n")).collect();
    let request = format!(
        "POST /webhook HTTP/1.1\r\nHost: localhost\r\n{authorization}\
         Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status =
        answer.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()).context("not an HTTP response")?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((StatusCode::from_u16(status)?, reason(body.as_bytes())))
}

/// The `reason` of a problem document (RFC 9457); empty for any other body.
pub(super) fn reason(body: &[u8]) -> String {
    let document: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let reason = document.as_ref().and_then(|document| document.get("reason")?.as_str());
    reason.unwrap_or_default().to_owned()
}
