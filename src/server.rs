//! Accepts connections and takes each through TLS handshake, requests and close, under the limits of its listener.
//!
//! It does not interpret requests: the [`Gateway`] does. Run by each worker for each listener.

pub mod connection;
pub mod connection_state;
pub mod framing;
pub mod guarded_stream;
mod handshake_error;
pub mod phase;
pub mod proxy_protocol;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustls::server::Acceptor;
use rustls::{ServerConfig, ServerConnection};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::auth::client_certificate::{ClientCertificate, UnreadableCertificate};
use crate::limit::{ConnectionPermit, ConnectionProgress, Connections};
use crate::metrics::{ConnectionRejection, Metrics, OperationResult, PoolName};
use crate::proxy::connection_info::{ConnectionInfo, ForwardedInfo};
use crate::proxy::{Gateway, response};
use crate::reason::Reason;
use crate::route::within;
use crate::snapshot::ListenerSettings;
use crate::tls::acme::{AcmeName, challenge_for};
use guarded_stream::linger;
use handshake_error::{HandshakeError, HandshakeFailure};
use phase::{Phase, reached};
use proxy_protocol::ProxiedSource;

/// Listen backlog: connections that may wait to be accepted, if the kernel allows that many.
pub const BACKLOG: usize = 1024;

/// State of one listener that the workers share.
#[derive(Debug)]
pub struct ServerContext {
    /// Index in `listeners`.
    pub index: usize,
    /// Value of the metric label `listener`: the address as configured.
    pub name: String,
    /// Open connections, over all workers.
    pub connections: Connections,
}

/// One listener of one worker.
pub struct Server {
    /// Shared with the other workers.
    pub shared: Arc<ServerContext>,
    /// The worker's gateway, which every connection holds.
    pub gateway: Arc<Gateway>,
    /// Current phase of the drain.
    pub phase: watch::Receiver<Phase>,
}

impl Server {
    /// Accepts connections until the drain closes; each connection runs in its own task.
    pub async fn run(self, listener: TcpListener) {
        let server = Arc::new(self);
        let mut phase = server.phase.clone();
        let mut late = 0;
        while late < BACKLOG {
            tokio::select! {
                biased;
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => server.admit(stream, address),
                    Err(error) => {
                        tracing::warn!(listener = server.shared.name, %error, "cannot accept a connection");
                        // Mostly the process is out of file descriptors, which closing connections release.
                        server.shared.connections.make_room(Instant::now().into_std());
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                // Only once the accept queue is empty: clients in it are connected, so they are served.
                () = reached(&mut phase, Phase::Closing) => return,
            }
            late += usize::from(*phase.borrow() >= Phase::Closing);
        }
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, address: SocketAddr) {
        let snapshot = self.gateway.services.snapshot.load();
        let Some(settings) = snapshot.listeners.get(self.shared.index) else { return };
        match self.permit(address.ip(), settings, &snapshot.trusted_proxies) {
            Ok(permit) => {
                let progress = Arc::<ConnectionProgress>::default();
                let serving = Arc::clone(self).serve(stream, address, settings.clone(), permit, Arc::clone(&progress));
                let task = tokio::spawn(serving);
                progress.run_by(task.abort_handle(), Instant::now().into_std());
            }
            Err(closed) => self.closed(closed),
        }
    }

    /// Connections from a trusted proxy belong to its clients, which only a PROXY header names.
    fn permit(
        &self,
        address: IpAddr,
        settings: &ListenerSettings,
        trusted: &[IpNet],
    ) -> Result<ConnectionPermit, ConnectionRejection> {
        let trusted = within(trusted, address);
        if settings.proxy_protocol && !trusted {
            return Err(ConnectionRejection::TrustedProxies);
        }
        let address = Some(address).filter(|_| !trusted);
        self.shared.connections.admit(address, &settings.limits, Instant::now().into_std())
    }

    async fn serve(
        self: Arc<Self>,
        mut stream: TcpStream,
        address: SocketAddr,
        settings: ListenerSettings,
        mut permit: ConnectionPermit,
        progress: Arc<ConnectionProgress>,
    ) {
        let gauge = self.metrics().open_connections(&self.shared.name);
        gauge.inc();
        let (client_address, listener) = (address.ip(), &self.shared.name);
        tracing::debug!(listener, %client_address, client_port = address.port(), "connection opened");
        let _closed = OnDrop(|| {
            gauge.dec();
            tracing::debug!(listener, %client_address, client_port = address.port(), "connection closed");
            if let Some(why) = progress.displaced() {
                self.metrics().displaced(PoolName::Connections, why.into()).inc();
            }
        });
        permit.wait_for(&progress, Instant::now().into_std());
        // Fails only on a connection that is already closed.
        let _ = stream.set_nodelay(true);
        let deadline = Instant::now() + settings.limits.tls_handshake;
        let mut connection = ConnectionInfo {
            address: address.into(),
            named: true,
            secure: settings.tls.is_some(),
            forwarded: ForwardedInfo::default(),
            listener: self.shared.index,
            client_certificate: None,
            server_name: None,
            limits: settings.limits,
            progress: Arc::clone(&progress),
        };
        if settings.proxy_protocol {
            let source = Box::pin(timeout_at(deadline, proxy_protocol::read(&mut stream))).await;
            let source = source.ok().and_then(Result::ok).ok_or(ConnectionRejection::ProxyProtocol);
            if let Err(closed) = source.and_then(|source| self.name(&mut connection, source, &mut permit)) {
                return self.closed(closed);
            }
        }
        match settings.tls {
            None => Box::pin(connection::http1(stream, connection, &self.gateway, self.phase.clone())).await,
            Some(config) => self.serve_tls(stream, (config, settings.acme), connection, deadline).await,
        }
    }

    /// Sets the address to that of the client in the PROXY header, and counts the connection against that client's
    /// address.
    fn name(
        &self,
        connection: &mut ConnectionInfo,
        source: ProxiedSource,
        permit: &mut ConnectionPermit,
    ) -> Result<(), ConnectionRejection> {
        let ProxiedSource::Address(address) = source else {
            connection.named = false;
            return Ok(());
        };
        connection.address = address.into();
        if !within(&self.gateway.services.snapshot.load().trusted_proxies, address.ip()) {
            permit.count_for(address.ip(), &connection.limits, Instant::now().into_std())?;
            permit.wait_for(&connection.progress, Instant::now().into_std());
        }
        Ok(())
    }

    async fn serve_tls(
        &self,
        stream: TcpStream,
        tls: (Arc<ServerConfig>, AcmeNames),
        connection: ConnectionInfo,
        deadline: Instant,
    ) {
        let (client, mut server_name) = (*connection.address, None);
        // Boxed: a phase that is short, or that few connections have, must not enlarge the task of every connection.
        let mut phase = self.phase.clone();
        let handshake = Box::pin(async {
            tokio::select! {
                biased;
                shaken = timeout_at(deadline, handshake(stream, tls, connection, &mut server_name)) => Some(shaken),
                () = reached(&mut phase, Phase::ClosingAtOnce) => None,
            }
        });
        let Some(shaken) = handshake.await else { return };
        let shaken = shaken.unwrap_or_else(|_elapsed| Err(HandshakeError::Timeout.into()));
        let reason = shaken.as_ref().err().map(|failure| failure.reason);
        let result = if shaken.is_ok() { OperationResult::Success } else { OperationResult::Error };
        self.metrics().tls_handshakes(&self.shared.name, result, reason).inc();
        if reason == Some(HandshakeError::PlainHttp) {
            self.gateway.no_request(Reason::TlsRequired, None, client);
        }
        let (stream, connection) = match shaken {
            Ok(Some(shaken)) => shaken,
            Ok(None) => return,
            Err(failure) => return failure.log(&self.shared.name, client, server_name.as_deref()),
        };
        // Chosen by ALPN: detecting the protocol would wait for bytes that may never arrive (as hyper-util's detection
        // does).
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if http2 {
            Box::pin(connection::http2(stream, connection, &self.gateway, self.phase.clone())).await;
        } else {
            connection::http1(stream, connection, &self.gateway, self.phase.clone()).await;
        }
    }

    fn closed(&self, closed: ConnectionRejection) {
        self.metrics().connections_rejected(&self.shared.name, closed).inc();
    }

    fn metrics(&self) -> &Metrics {
        &self.gateway.services.metrics
    }
}

/// The names of `tls.acme` of a listener.
type AcmeNames = Option<Arc<[Arc<AcmeName>]>>;

/// Runs the TLS handshake; returns the stream, and the connection with its certificate and server name; or `None` after
/// the handshake of an ACME challenge, which ends the connection (RFC 8737 §3). `server_name` is
/// set as soon as the client has sent it, for the log line of a handshake that fails. A client that speaks plain HTTP
/// gets a readable response, as from nginx, instead of a TLS alert.
async fn handshake(
    mut stream: TcpStream,
    (config, acme): (Arc<ServerConfig>, AcmeNames),
    connection: ConnectionInfo,
    server_name: &mut Option<String>,
) -> Result<Option<(Box<TlsStream<TcpStream>>, ConnectionInfo)>, HandshakeFailure> {
    let mut first = [0];
    let peeked = stream.peek(&mut first).await;
    // An HTTP method begins with a letter, a TLS record with its type (RFC 8446 §5.1: 20 to 24).
    if peeked.is_ok() && first.first().is_some_and(u8::is_ascii_alphabetic) {
        linger(&mut stream, &response::without_request(Reason::TlsRequired)).await;
        return Err(HandshakeError::PlainHttp.into());
    }
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    *server_name = hello.client_hello().server_name().map(str::to_owned);
    let mut has_certificate = true;
    if let Some(names) = &acme {
        if let Some(challenge) = challenge_for(names, &hello.client_hello()) {
            let mut stream = hello.into_stream(challenge).await?;
            // The server has seen the certificate, and may have closed the connection.
            let _ = stream.shutdown().await;
            return Ok(None);
        }
        has_certificate = config.cert_resolver.resolve(hello.client_hello()).is_some();
    }
    let stream = match hello.into_stream(config).await {
        Ok(stream) => stream,
        Err(error) if has_certificate => return Err(error.into()),
        Err(error) => return Err(HandshakeFailure::without_certificate(&error)),
    };
    let connection = with_tls(connection, stream.get_ref().1).map_err(|UnreadableCertificate| HandshakeError::Other)?;
    // Boxed once: a task reserves space for each move of a value that it holds.
    Ok(Some((Box::new(stream), connection)))
}

/// The connection with the certificate and server name of the TLS handshake; a resumed session has those of its full
/// handshake. A connection with a certificate that cannot be parsed is rejected: it would count as one without a
/// certificate.
fn with_tls(connection: ConnectionInfo, tls: &ServerConnection) -> Result<ConnectionInfo, UnreadableCertificate> {
    let client_certificate = tls.peer_certificates().map(ClientCertificate::from_chain).transpose()?;
    let server_name = tls.server_name().map(|name| Arc::from(name.to_ascii_lowercase()));
    Ok(ConnectionInfo { client_certificate: client_certificate.map(Arc::new), server_name, ..connection })
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests;
