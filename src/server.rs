//! Accepts connections and carries each through handshake, requests and end, under its limits.
//!
//! It knows nothing of what a request means; that is the [`Gateway`]'s. Run by each worker for each listener.

pub mod activity;
mod connection;
mod framing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConnection;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::auth::certificate::{ClientCertificate, UnreadableCertificate};
use crate::limit::{ConnectionPermit, ConnectionRefused, Connections};
use crate::metrics::Metrics;
use crate::proxy::{Gateway, Peer, reply};
use crate::snapshot::ListenerSettings;
use activity::linger;

/// Connections that may wait to be accepted, by the kernel's leave.
pub const BACKLOG: usize = 1024;

/// How far a drain has come (`drain` in gateway.yaml).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    #[default]
    Running,
    /// Serving and accepting, but every reply says that its connection ends.
    Announcing,
    /// Accepting no more; what is under way is finished.
    Closing,
    /// Over: what is still under way is cut off.
    Stopped,
}

/// What the workers share of one listener.
#[derive(Debug)]
pub struct Shared {
    /// Its place in `listeners`.
    pub index: usize,
    /// The metric's label: the address as configured.
    pub name: String,
    /// Open connections, over all workers.
    pub connections: Arc<Connections>,
}

/// One listener of one worker.
pub struct Server {
    /// Shared with the other workers.
    pub shared: Arc<Shared>,
    /// The worker's gateway.
    pub gateway: Arc<Gateway>,
    /// How far a drain has come.
    pub phase: watch::Receiver<Phase>,
    /// Dropped with the server, which every connection holds: closed means that all have ended.
    pub alive: tokio::sync::mpsc::Sender<()>,
}

impl Server {
    /// Accepts until the drain closes; each connection runs in a task of its own.
    pub async fn run(self, listener: TcpListener) {
        let server = Arc::new(self);
        let mut phase = server.phase.clone();
        let mut late = 0;
        while late < BACKLOG {
            tokio::select! {
                biased;
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => server.admit(stream, address),
                    Err(error) => server.rest(&error).await,
                },
                // Only once nobody is waiting to be accepted: they have connected, so they are served.
                () = reached(&mut phase, Phase::Closing) => return,
            }
            late += usize::from(*phase.borrow() >= Phase::Closing);
        }
    }

    /// Out of file descriptors, mostly: those that close give some back.
    async fn rest(&self, error: &std::io::Error) {
        tracing::warn!(listener = self.shared.name, %error, "could not accept a connection");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, address: SocketAddr) {
        let snapshot = self.gateway.snapshot.load();
        let Some(settings) = snapshot.listeners.get(self.shared.index) else { return };
        match self.shared.connections.admit(address.ip(), &settings.limits) {
            Ok(permit) => {
                let serving = Arc::clone(self).serve(stream, address, settings.clone(), permit);
                tokio::spawn(serving);
            }
            Err(limit) => self.metrics().connection_refused(&self.shared.name, label(limit)),
        }
    }

    async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        settings: ListenerSettings,
        _permit: ConnectionPermit,
    ) {
        let gauge = self.metrics().connections(&self.shared.name);
        gauge.inc();
        let _closed = OnDrop(|| gauge.dec());
        // Fails only on a connection that is gone already.
        let _ = stream.set_nodelay(true);
        let peer = Peer {
            address,
            secure: settings.tls.is_some(),
            listener: self.shared.index,
            client: None,
            server_name: None,
            limits: settings.limits,
        };
        match settings.tls {
            None => connection::http1(stream, peer, &self.gateway, self.phase.clone()).await,
            Some(config) => self.serve_tls(stream, TlsAcceptor::from(config), peer).await,
        }
    }

    async fn serve_tls(&self, stream: TcpStream, acceptor: TlsAcceptor, peer: Peer) {
        let deadline = peer.limits.handshake;
        let handshake = tokio::time::timeout(deadline, handshake(stream, acceptor, peer)).await;
        let (result, shaken) = match handshake {
            Ok(Ok(shaken)) => ("ok", Some(shaken)),
            Ok(Err(NoHandshake::PlainHttp)) => ("plain_http", None),
            Ok(Err(NoHandshake::Failed)) => ("failed", None),
            Err(_elapsed) => ("timeout", None),
        };
        self.metrics().handshake(&self.shared.name, result);
        let Some((stream, peer)) = shaken else { return };
        // Chosen by ALPN: a detection of our own would wait for bytes that never come (hyper-util's does).
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if http2 {
            connection::http2(stream, peer, &self.gateway, self.phase.clone()).await;
        } else {
            connection::http1(stream, peer, &self.gateway, self.phase.clone()).await;
        }
    }

    fn metrics(&self) -> &Metrics {
        &self.gateway.metrics
    }
}

/// Waits until a drain has come so far; for ever gone senders count as the end of it.
pub async fn reached(phase: &mut watch::Receiver<Phase>, at: Phase) {
    let _end = phase.wait_for(|phase| *phase >= at).await;
}

/// Why there is no TLS connection.
enum NoHandshake {
    PlainHttp,
    Failed,
}

/// The connection, and its peer with what the handshake told of it. Somebody who speaks plain HTTP gets a word that a
/// person can read, as nginx gives one, and no TLS alert.
async fn handshake(
    mut stream: TcpStream,
    acceptor: TlsAcceptor,
    peer: Peer,
) -> Result<(TlsStream<TcpStream>, Peer), NoHandshake> {
    let mut first = [0];
    let peeked = stream.peek(&mut first).await;
    // A method begins with a letter, a TLS record with its type (RFC 8446 §5.1: 20 to 24).
    if peeked.is_ok() && first.first().is_some_and(u8::is_ascii_alphabetic) {
        linger(&mut stream, &reply::plain_http_on_tls()).await;
        return Err(NoHandshake::PlainHttp);
    }
    let stream = acceptor.accept(stream).await.map_err(|_| NoHandshake::Failed)?;
    let peer = introduced(peer, stream.get_ref().1).map_err(|UnreadableCertificate| NoHandshake::Failed)?;
    Ok((stream, peer))
}

/// A resumed session brings the certificate and the name that it began with. Whose certificate we cannot read gets no
/// connection: it would count as somebody without one.
fn introduced(peer: Peer, tls: &ServerConnection) -> Result<Peer, UnreadableCertificate> {
    let client = tls.peer_certificates().map(ClientCertificate::from_chain).transpose()?;
    let server_name = tls.server_name().map(|name| Arc::from(name.to_ascii_lowercase()));
    Ok(Peer { client: client.map(Arc::new), server_name, ..peer })
}

const fn label(limit: ConnectionRefused) -> &'static str {
    match limit {
        ConnectionRefused::Total => "connections",
        ConnectionRefused::Address => "connections_per_address",
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests;
