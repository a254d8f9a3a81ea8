//! Binds the socket of a listener. Where that fails, the error says what helps: the process that has the port, the right to
//! bind low ports, or the addresses of this machine.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::exposure::{TABLES, listening_socket};
use crate::server::BACKLOG;

/// The first port that any process may bind, unless `net.ipv4.ip_unprivileged_port_start` says otherwise.
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

/// A socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("{field}: cannot listen on {address}: {cause}: {help}")]
pub struct ListenError {
    /// The key in gateway.yaml.
    pub field: String,
    /// The address as configured.
    pub address: SocketAddr,
    /// Error of the operating system.
    pub cause: io::Error,
    /// Advice for the operator.
    pub help: String,
}

/// A listening socket from which all workers accept; `field` is its key in gateway.yaml.
pub(super) fn listen(field: String, address: SocketAddr) -> Result<TcpListener, ListenError> {
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restart must not wait for old connections; a port that another process uses is still an error.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(BACKLOG).unwrap_or(i32::MAX))?;
        Ok(TcpListener::from(socket))
    };
    bind().map_err(|cause: io::Error| ListenError { help: help(address, &cause), field, address, cause })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "there is no advice for the other kinds of errors")]
fn help(address: SocketAddr, error: &io::Error) -> String {
    let has_no_ipv6 = || fs::read_to_string("/proc/net/if_inet6").map_or(true, |table| table.is_empty());
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => match owner(address) {
            Some(owner) => format!("{owner} listens there; stop it, or set another port"),
            None => format!("`ss -ltnp sport = :{port}`, as root, shows the process that listens there"),
        },
        io::ErrorKind::PermissionDenied if port < FIRST_UNPRIVILEGED_PORT => {
            "a port below 1024 needs CAP_NET_BIND_SERVICE: set `AmbientCapabilities=CAP_NET_BIND_SERVICE` in the systemd \
             unit, run `setcap cap_net_bind_service=+ep` on the program, or set a port from 1024 up"
                .to_owned()
        }
        io::ErrorKind::PermissionDenied => "look for a denial of SELinux, AppArmor or seccomp".to_owned(),
        _not_available if address.is_ipv6() && has_no_ipv6() => {
            format!("IPv6 is disabled on this machine; set an address of IPv4, such as 0.0.0.0:{port}")
        }
        io::ErrorKind::AddrNotAvailable => format!(
            "this machine does not have the address; `ip addr` lists those that it has, and 0.0.0.0:{port} stands for all"
        ),
        _other => "see bind(2)".to_owned(),
    }
}

/// The process that listens on the port, as far as this one may see it: without root, those of the same user that have
/// not protected their memory.
fn owner(address: SocketAddr) -> Option<String> {
    let tables = TABLES.into_iter().filter_map(|table| fs::read_to_string(table).ok());
    let sockets: Vec<String> = tables.flat_map(|table| sockets(&table, address)).collect();
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    processes.filter(|process| process.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit)).find_map(
        |process| {
            let mut files = fs::read_dir(process.path().join("fd")).ok()?.filter_map(Result::ok);
            files.find(|file| {
                let target = fs::read_link(file.path()).unwrap_or_default();
                sockets.iter().any(|socket| target.as_os_str() == socket.as_str())
            })?;
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            Some(format!("{} (pid {})", name.trim_end().escape_default(), process.file_name().display()))
        },
    )
}

/// The sockets in a table that listen on the port, of this address or of all, as the links in /proc/PID/fd name them.
fn sockets(table: &str, address: SocketAddr) -> Vec<String> {
    let lines = table.lines().filter(|line| {
        listening_socket(line).is_some_and(|socket| {
            let (own, other) = (address.ip().to_canonical(), socket.ip().to_canonical());
            socket.port() == address.port() && (own == other || own.is_unspecified() || other.is_unspecified())
        })
    });
    lines.filter_map(|line| Some(format!("socket:[{}]", line.split_ascii_whitespace().nth(9)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(address: &str) -> String {
        listen("listeners[0].address".to_owned(), address.parse().unwrap()).err().unwrap().to_string()
    }

    #[test]
    fn a_port_in_use_names_its_process() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"] {
            let other = TcpListener::bind(address).unwrap();
            let address = other.local_addr().unwrap();
            let error = message(&address.to_string());
            let expected = format!("listeners[0].address: cannot listen on {address}: Address already in use");
            assert!(error.starts_with(&expected), "{error}");
            assert!(error.contains(&format!("(pid {}) listens there", std::process::id())), "{error}");
        }
    }

    #[test]
    fn an_address_of_another_machine_is_said_to_be_one() {
        let error = message("203.0.113.7:8443");
        assert!(error.contains("Cannot assign requested address") && error.contains("`ip addr`"), "{error}");
    }

    /// Not bound, since root may bind any port.
    #[test]
    fn a_low_port_needs_a_right() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(help("0.0.0.0:443".parse().unwrap(), &denied).contains("AmbientCapabilities"));
        assert!(!help("0.0.0.0:8443".parse().unwrap(), &denied).contains("AmbientCapabilities"));
    }
}
