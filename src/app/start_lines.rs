//! The log lines of a start: what runs, where it listens, and what guards each route.

use std::net::SocketAddr;
use std::path::Path;

use crate::snapshot::Snapshot;

/// Before the sockets are bound.
pub(super) fn starting(config: Option<&Path>) {
    let config = config.map(|path| path.display().to_string());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), config, "starting");
}

/// Once requests are accepted.
pub(super) fn started(snapshot: &Snapshot, listeners: &[SocketAddr], admin: Option<SocketAddr>) {
    for (address, settings) in listeners.iter().zip(&snapshot.listeners) {
        let (tls, client_certificates) = (settings.tls.is_some(), settings.client_trust.is_some());
        tracing::info!(%address, tls, client_certificates, proxy_protocol = settings.proxy_protocol, "listening");
    }
    if let Some(address) = admin {
        tracing::info!(%address, "listening for admin requests");
    }
    let mut routes: Vec<_> = snapshot.routes.routes().collect();
    routes.sort_by_key(|route| &route.name);
    for route in routes {
        let (matches, upstream) = (route.matches.to_string(), route.upstream_summary());
        tracing::info!(route = &*route.name, matches, upstream, checks = route.checks_summary(), "route");
    }
}
