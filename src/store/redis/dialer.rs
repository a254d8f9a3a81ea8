//! The settings and resources that all servers of a store share, and how a connection is opened.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::TlsConnector;

use super::epochs::Epochs;
use super::script::Scripts;
use super::tail::Tail;
use crate::metrics::Metrics;
use crate::store::store_clock::StoreClock;

/// Minimum timeout for connecting, TLS handshake included, which takes longer than a command.
const CONNECT: Duration = Duration::from_secs(1);
/// Commands queued for writing per connection; further ones wait for a place, within their deadline.
const WAITING: usize = 1024;

/// Host and port of a server.
pub(super) type RedisAddress = (String, u16);

/// The settings and resources to connect to any node.
pub(super) struct Dialer {
    pub(super) login: RedisConnectionInfo,
    pub(super) tls: Option<TlsConnector>,
    pub(super) timeout: Duration,
    pub(super) runtime: Handle,
    pub(super) scripts: Scripts,
    pub(super) epochs: Epochs,
    pub(super) tail: Tail,
    /// Random id of this process.
    pub(super) gateway: String,
    pub(super) started: std::time::Instant,
    pub(super) clock: Arc<StoreClock>,
    pub(super) metrics: Arc<Metrics>,
    /// Whether a server has no memory left for the last heartbeats.
    pub(super) full: AtomicBool,
    /// Whether a heartbeat was triggered by a reservation that noticed an event.
    pub(super) recovering: AtomicBool,
}

/// Why a server cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum NodeError {
    #[error("connection failed: {0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error("timeout")]
    Late(#[from] tokio::time::error::Elapsed),
    #[error("the host is not a valid name for a certificate")]
    Name,
    #[error("the server is a replica, or is still loading its data")]
    NotMaster,
    #[error("maxmemory-policy is {0}")]
    Evicts(String),
}

impl Dialer {
    /// Opens an authenticated connection. Its task runs on the runtime of the store, also for callers on other
    /// runtimes.
    pub(super) async fn dial(&self, address: &RedisAddress) -> Result<MultiplexedConnection, NodeError> {
        let (host, port) = address;
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        stream.set_nodelay(true)?;
        // The timeouts of redis-rs are disabled: they would fail one command and leave the connection in use.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_pipeline_buffer_size(WAITING);
        let Some(tls) = &self.tls else {
            let (connection, driver) = MultiplexedConnection::new_with_config(&self.login, stream, config).await?;
            self.runtime.spawn(driver);
            return Ok(connection);
        };
        let name = ServerName::try_from(host.clone()).map_err(|_| NodeError::Name)?;
        let stream = tls.connect(name, stream).await?;
        let (connection, driver) = MultiplexedConnection::new_with_config(&self.login, stream, config).await?;
        self.runtime.spawn(driver);
        Ok(connection)
    }

    pub(super) fn patience(&self) -> Duration {
        self.timeout.max(CONNECT)
    }
}
