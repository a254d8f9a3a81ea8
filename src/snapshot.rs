//! What one request sees of the configuration, and the only place where that is swapped.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use aws_lc_rs::digest::{Context, SHA256};
use ipnet::IpNet;

use crate::auth::certificate::ClientTrust;
use crate::route::RoutingTable;

/// SHA-256 over everything that was read: the YAML and each file and variable that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConfigHash(pub [u8; 32]);

impl ConfigHash {
    /// Over all parts, each with its length first, so that no two lists run together to the same bytes.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        let mut hash = [0; 32];
        // SHA-256 has 32 bytes.
        hash.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Self(hash)
    }
}

impl std::fmt::Display for ConfigHash {
    /// The first eight bytes in hex: enough to tell two configurations apart in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How much a reply tells (`errors`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disclosure {
    /// A stranger hears `unauthorized`; who has shown a genuine signature hears the code.
    #[default]
    Standard,
    /// `unauthorized` or `forbidden` throughout.
    Opaque,
    /// The code, always; for development.
    Detailed,
}

/// Of `buffered_bodies`, one address may hold one part in so many.
pub const ADDRESS_SHARE: u64 = 4;

/// One configuration, whole.
#[derive(Debug)]
pub struct Snapshot {
    /// Every route.
    pub routes: RoutingTable,
    /// In the order of `listeners`.
    pub listeners: Vec<ListenerSettings>,
    /// Whose word counts on where a connection or a request came from (`trusted_proxies`).
    pub trusted_proxies: Vec<IpNet>,
    /// How much a reply tells.
    pub disclosure: Disclosure,
    /// Bytes of all bodies that may wait to be judged.
    pub buffered_bodies: u64,
    /// Which configuration this is.
    pub version: ConfigHash,
}

/// The part of a listener that a reload may change.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// `None` on a plaintext listener.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Whose certificates count now; `None` where no client is asked for one.
    pub client_trust: Option<Arc<ClientTrust>>,
    /// Each connection begins with a PROXY header, and comes from a trusted proxy.
    pub proxy_protocol: bool,
    /// Limits and deadlines of its connections.
    pub limits: Arc<ListenerLimits>,
}

/// `limits` of a listener. All times are absolute: progress does not extend them, save `body_stall`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Open connections.
    pub connections: usize,
    /// Open connections of one address (one /64 in IPv6).
    pub connections_per_address: usize,
    /// From accept to the end of the TLS handshake.
    pub handshake: Duration,
    /// From there to the end of the first request's head.
    pub first_request: Duration,
    /// From the first byte of a later request's head to its end.
    pub head: Duration,
    /// Without a request.
    pub idle: Duration,
    /// Without a byte of a request's body.
    pub body_stall: Duration,
    /// A whole request body.
    pub body: Duration,
    /// Between two bytes of a response that the client reads.
    pub response_write_idle: Duration,
    /// Bytes of a request's head.
    pub head_bytes: u32,
    /// Header fields of a request.
    pub headers: usize,
    /// Concurrent streams of an HTTP/2 connection.
    pub streams: u32,
    /// Streams that the peer may reset before we have dealt with them (HTTP/2 rapid reset).
    pub resets: usize,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 1_000,
            handshake: Duration::from_secs(10),
            first_request: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            body_stall: Duration::from_secs(15),
            body: Duration::from_secs(60),
            response_write_idle: Duration::from_secs(60),
            head_bytes: 32 * 1024,
            headers: 100,
            streams: 100,
            resets: 20,
        }
    }
}

impl ListenerLimits {
    /// The shortest time in which a connection can run out of one of its deadlines.
    pub fn shortest(&self) -> Duration {
        self.first_request.min(self.head).min(self.idle).min(self.response_write_idle)
    }
}

/// The current [`Snapshot`].
#[derive(Debug)]
pub struct SharedSnapshot(ArcSwap<Snapshot>);

impl SharedSnapshot {
    /// Starts with this one.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self(ArcSwap::new(snapshot))
    }

    /// The current one; a request calls this once.
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.0.load()
    }

    /// Requests that begin after this see `snapshot`.
    pub fn swap(&self, snapshot: Arc<Snapshot>) {
        self.0.store(snapshot);
    }
}
