//! A WebSocket connection after its handshake: the bytes of both sides are passed on as they come. Each direction has one
//! buffer, which is written before more is read: a side that does not read stops the other one, and holds no memory.
//!
//! A tunnel is allowed for as long as the request that opened it would be: it is verified again every few seconds, by
//! the configuration of that time, so that it ends with its token, its certificate, its route or a revocation. The task
//! of the client's connection runs it, so that it counts as a connection of its listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::Response;
use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use prometheus::IntGauge;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep_until, timeout};

use super::connection_info::ConnectionInfo;
use super::record::RequestRecord;
use super::route_request::route_again;
use super::{authenticate, forwarded};
use crate::failure::Failure;
use crate::services::Services;

/// Bytes that are read from one side before they are written to the other.
pub const BUFFER: usize = 8 * 1024;

/// Interval at which the request that opened the tunnel is verified again.
const VERIFY_EVERY: Duration = Duration::from_secs(5);

/// How long a side may take to close its connection in order.
const CLOSE: Duration = Duration::from_secs(1);

/// A tunnel that the upstream has opened, without its record.
pub struct OpenedTunnel {
    /// The request as it was received.
    head: Parts,
    upstream: OnUpgrade,
    idle_timeout: Duration,
}

impl std::fmt::Debug for OpenedTunnel {
    /// The headers have credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenedTunnel").finish_non_exhaustive()
    }
}

/// A tunnel that is ready to run.
#[derive(Debug)]
pub struct Tunnel {
    opened: Box<OpenedTunnel>,
    record: RequestRecord,
}

/// Why a tunnel has ended; a word of the log's field `detail`.
type End = &'static str;

impl OpenedTunnel {
    /// The tunnel that a response of the upstream opens, for the request with these headers as they were received.
    pub(super) fn new<B>(response: &mut Response<B>, head: Parts, idle_timeout: Duration) -> Box<Self> {
        Box::new(Self { head, upstream: hyper::upgrade::on(response), idle_timeout })
    }
}

impl Tunnel {
    pub(super) fn new(opened: Box<OpenedTunnel>, record: RequestRecord) -> Self {
        Self { opened, record }
    }

    /// The client has sent bytes before the response (RFC 6455 §4.1 forbids it): to a program in front they may have
    /// been another request, so that none is passed on.
    pub fn reject_early_bytes(mut self) {
        self.record.tunnel_ended("early_bytes", false);
    }

    /// Passes bytes on until either side closes its connection, a timeout passes, the request that opened the tunnel
    /// would be rejected, or `stopped` becomes ready.
    pub async fn run<S: AsyncRead + AsyncWrite + Send>(
        self,
        services: &Services,
        connection: &ConnectionInfo,
        client: S,
        stopped: impl Future<Output = ()>,
    ) {
        let Self { opened, mut record } = self;
        let OpenedTunnel { head, upstream, idle_timeout } = *opened;
        let _open = record.route().map(|route| Gauge::count(services.metrics.open_tunnels(&route.name)));
        let write_timeout = connection.limits.response_write_idle;
        let (traffic, received) = (Traffic::default(), Arc::clone(&record.received));
        let end = match timeout(CLOSE, upstream).await {
            Ok(Ok(upstream)) => {
                let (mut from_client, mut to_client) = tokio::io::split(client);
                let (mut from_upstream, mut to_upstream) = tokio::io::split(TokioIo::new(upstream));
                let up = pass(&mut from_client, &mut to_upstream, write_timeout, |bytes| {
                    received.add(bytes);
                    traffic.moved();
                });
                let down = pass(&mut from_upstream, &mut to_client, write_timeout, |bytes| traffic.sent(bytes));
                let end = tokio::select! {
                    broken = up => if broken { "write_timeout" } else { "client_closed" },
                    broken = down => if broken { "write_timeout" } else { "upstream_closed" },
                    end = until_forbidden(services, connection, &head, idle_timeout, &traffic) => end,
                    () = stopped => "drain",
                };
                let _ = timeout(CLOSE, async { tokio::join!(to_client.shutdown(), to_upstream.shutdown()) }).await;
                end
            }
            Ok(Err(_)) | Err(_) => "upstream_closed",
        };
        record.sent(usize::try_from(traffic.sent.load(Ordering::Relaxed)).unwrap_or(usize::MAX));
        record.tunnel_ended(end, matches!(end, "client_closed" | "upstream_closed"));
    }
}

/// Bytes to the client, and when a byte was last passed on in either direction.
struct Traffic {
    begun: Instant,
    last: AtomicU64,
    sent: AtomicU64,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { begun: Instant::now(), last: AtomicU64::default(), sent: AtomicU64::default() }
    }
}

impl Traffic {
    fn moved(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    fn sent(&self, bytes: usize) {
        self.sent.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.moved();
    }

    fn last(&self) -> Instant {
        self.begun + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }
}

/// An open tunnel in the metrics.
struct Gauge(IntGauge);

impl Gauge {
    fn count(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Passes bytes on until `from` ends or either side breaks; true if `to` has taken no byte for `write_timeout`.
async fn pass<R, W>(from: &mut R, to: &mut W, write_timeout: Duration, moved: impl Fn(usize)) -> bool
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; BUFFER];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return false };
        let mut rest = buffer.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            match timeout(write_timeout, to.write(rest)).await {
                Ok(Ok(written @ 1..)) => {
                    rest = rest.get(written..).unwrap_or_default();
                    moved(written);
                }
                Ok(Ok(0) | Err(_)) => return false,
                Err(_elapsed) => return true,
            }
        }
        match timeout(write_timeout, to.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return false,
            Err(_elapsed) => return true,
        }
    }
}

/// Waits until the tunnel has been idle for too long, or the request that opened it would be rejected.
async fn until_forbidden(
    services: &Services,
    connection: &ConnectionInfo,
    head: &Parts,
    idle_timeout: Duration,
    traffic: &Traffic,
) -> End {
    let mut verify_at = Instant::now() + VERIFY_EVERY;
    loop {
        sleep_until(verify_at.min(traffic.last() + idle_timeout).into()).await;
        if traffic.last().elapsed() >= idle_timeout {
            return "idle_timeout";
        }
        if Instant::now() >= verify_at {
            if let Err(rejected) = Box::pin(verify_again(services, connection, head)).await {
                return rejected.reason().word();
            }
            verify_at = Instant::now() + VERIFY_EVERY;
        }
    }
}

/// Decides the request again, by the present time and the active configuration.
async fn verify_again(services: &Services, connection: &ConnectionInfo, head: &Parts) -> Result<(), Failure> {
    let snapshot = &**services.snapshot.load();
    let resolved = forwarded::resolve_client(connection, &head.headers, &snapshot.trusted_proxies);
    let connection = &*forwarded::resolve_certificate(connection, resolved, &head.headers, snapshot);
    let context = route_again(services, snapshot, head.clone(), connection)?;
    authenticate::verify_again(services, &context).await
}
