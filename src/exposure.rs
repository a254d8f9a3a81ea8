//! Looks whether an upstream on loopback also accepts connections from other machines, which would go past the gateway: an
//! application that listens on 0.0.0.0 instead of 127.0.0.1.
//!
//! Reads the kernel's table of listening sockets in this network namespace, which a sidecar shares with its application. No
//! connection is made, which the application would log. A firewall is not seen. Called by the control thread.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use crate::route::{Endpoint, EndpointAddress};
use crate::services::Services;

const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The tables of TCP sockets, listening ones first (Linux, `proc_pid_net(5)`).
pub const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// The state of a listening socket in these tables.
const LISTEN: &str = "0A";

/// The URL of each upstream on loopback, and the address of another socket that listens on its port.
type Exposures = BTreeMap<String, Option<SocketAddr>>;

/// Looks at the start and every minute; returns only where the tables cannot be read, as in a chroot without /proc. `own` are the addresses on which the gateway itself listens.
pub async fn watch(services: Arc<Services>, own: Vec<SocketAddr>) {
    let mut known = Exposures::new();
    loop {
        let tables = tokio::task::spawn_blocking(|| TABLES.map(listening)).await.unwrap_or_default();
        if tables.iter().all(Option::is_none) {
            tracing::warn!(
                "the table of sockets cannot be read: an upstream that also listens elsewhere is not noticed"
            );
            return;
        }
        let sockets = tables.into_iter().flatten().flatten().filter(|socket| !own.contains(socket));
        let sockets: Vec<SocketAddr> = sockets.collect();
        let snapshot = services.snapshot.load_full();
        let upstreams = snapshot.routes.routes().map(|route| &route.upstream);
        let endpoints = upstreams.flat_map(|upstream| std::iter::once(&upstream.first).chain(&upstream.others));
        let found = exposures(endpoints.map(|endpoint| &**endpoint), &sockets);
        for (upstream, socket) in found.iter().filter(|(upstream, socket)| known.get(*upstream) != Some(socket)) {
            match socket {
                Some(listens) => tracing::warn!(
                    upstream,
                    %listens,
                    "the upstream's port also listens on another address: requests can bypass hookgate; bind it to 127.0.0.1"
                ),
                None if known.contains_key(upstream) => {
                    tracing::info!(upstream, "the upstream's port listens on loopback alone");
                }
                None => {}
            }
        }
        services
            .metrics
            .upstreams_exposed(found.iter().map(|(upstream, socket)| (upstream.as_str(), socket.is_some())));
        known = found;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn exposures<'e>(endpoints: impl Iterator<Item = &'e Endpoint>, sockets: &[SocketAddr]) -> Exposures {
    let on_loopback = endpoints.filter_map(|endpoint| {
        let port = loopback_port(&endpoint.address)?;
        let elsewhere =
            sockets.iter().find(|socket| socket.port() == port && !socket.ip().to_canonical().is_loopback());
        Some((endpoint.url.clone(), elsewhere.copied()))
    });
    on_loopback.collect()
}

/// The port of an upstream on loopback.
fn loopback_port(address: &EndpointAddress) -> Option<u16> {
    let (uri, default): (&Uri, u16) = match address {
        EndpointAddress::Tcp(uri) => (uri, 80),
        EndpointAddress::Tls(uri, _) => (uri, 443),
        EndpointAddress::Unix(_) => return None,
    };
    let host = uri.host()?.trim_matches(['[', ']']);
    let is_local = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    let is_loopback = host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_local);
    is_loopback.then(|| uri.port_u16().unwrap_or(default))
}

/// The listening sockets of a table; `None` if it cannot be read.
fn listening(table: &str) -> Option<Vec<SocketAddr>> {
    let lines = BufReader::new(File::open(table).ok()?).lines().map_while(Result::ok);
    Some(lines.skip(1).map_while(|line| listening_socket(&line)).collect())
}

/// The local address in a line of the table, if its socket listens.
pub fn listening_socket(line: &str) -> Option<SocketAddr> {
    let mut columns = line.split_ascii_whitespace().skip(1);
    let (local, _remote, state) = (columns.next()?, columns.next()?, columns.next()?);
    let (address, port) = local.split_once(':').filter(|_| state == LISTEN)?;
    // Words of 32 bits in network byte order, each printed as a number of this machine.
    let words = address.as_bytes().chunks(8).map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok());
    let bytes: Vec<u8> = words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(v4) => IpAddr::from(v4),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Protocol;
    use std::net::TcpListener;

    fn endpoint(url: &str) -> Endpoint {
        let address = match url.strip_prefix("unix:") {
            Some(path) => EndpointAddress::Unix(path.into()),
            None => EndpointAddress::Tcp(url.parse().unwrap()),
        };
        Endpoint { url: url.to_owned(), address, connect: LOOK_EVERY, keepalive: LOOK_EVERY, protocol: Protocol::Http1 }
    }

    #[test]
    fn an_upstream_on_loopback_is_exposed_by_a_socket_on_another_address() {
        let sockets = |text: &str| text.split(' ').map(|one| one.parse().unwrap()).collect::<Vec<SocketAddr>>();
        for (url, listens, expected) in [
            ("http://127.0.0.1:8000", "127.0.0.1:8000 0.0.0.0:8001", Some(None)),
            ("http://127.0.0.1:8000", "0.0.0.0:8000", Some(Some("0.0.0.0:8000"))),
            ("http://localhost:8000", "127.0.0.1:8000 [::]:8000", Some(Some("[::]:8000"))),
            ("http://[::1]:8000", "[::1]:8000 10.0.0.1:8000", Some(Some("10.0.0.1:8000"))),
            ("http://[::1]:8000", "[::ffff:127.0.0.1]:8000", Some(None)),
            ("http://127.0.0.1", "0.0.0.0:80", Some(Some("0.0.0.0:80"))),
            ("http://10.0.0.1:8000", "0.0.0.0:8000", None),
            ("unix:/run/app.sock", "0.0.0.0:80", None),
        ] {
            let endpoint = endpoint(url);
            let found = exposures(std::iter::once(&endpoint), &sockets(listens));
            let expected = expected.map(|socket| socket.map(|text| text.parse().unwrap()));
            assert_eq!(found.get(url), expected.as_ref(), "{url} {listens}");
        }
    }

    /// The kernel of the machine that runs the test writes the table.
    #[test]
    fn listening_sockets_of_both_families_are_read() {
        for (address, table) in
            ["127.0.0.2:0", "0.0.0.0:0"].map(|v4| (v4, TABLES[0])).into_iter().chain([("[::1]:0", TABLES[1])])
        {
            let socket = TcpListener::bind(address).unwrap();
            let address = socket.local_addr().unwrap();
            assert!(listening(table).unwrap().contains(&address), "{address}");
            drop(socket);
            assert!(!listening(table).unwrap().contains(&address), "{address}");
        }
        assert_eq!(listening("/proc/net/none"), None);
    }
}
