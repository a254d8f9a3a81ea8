//! PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt, §2.1 and §2.2): the header that a TCP proxy sends
//! before the bytes of the connection itself. Strict: a header that two parsers could read differently is rejected.
//!
//! The server decides which peers may send a header, and calls [`read`] before it reads anything else from the
//! connection.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest line of version 1 in bytes, with its CRLF.
const LONGEST_LINE: usize = 107;

/// Longest header of version 2 that is accepted, in bytes: it fits into the smallest TCP segment that every host
/// accepts.
const LONGEST: usize = 536;

const LINE: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Length of `PROXY UNKNOWN\r
/// `, the shortest header of either version.
const SHORTEST: usize = 15;

/// Bytes before the addresses of version 2.
const FIXED: usize = 16;

/// Version 2 and the command: a connection of the proxy itself, or of a client.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

/// The client that has connected to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxiedSource {
    /// Address and port.
    Address(SocketAddr),
    /// The proxy names no client (UNKNOWN, UNSPEC), or has connected on its own behalf (LOCAL).
    Unnamed,
}

/// Next step of the parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read at most this number of further bytes, which belong to the header.
    Read(usize),
    /// The header is complete.
    Done(ProxiedSource),
}

/// The bytes are not the beginning of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no PROXY header")]
pub struct NotAHeader;

/// Reads the header from a stream, and not a byte more.
///
/// # Errors
/// I/O errors of the stream; `UnexpectedEof` if it ends within the header, `InvalidData` if the header is missing
/// or invalid.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<ProxiedSource> {
    let mut header = Vec::with_capacity(LONGEST);
    loop {
        match step(&header).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
            Step::Done(source) => return Ok(source),
            Step::Read(more) => {
                let more = u64::try_from(more).unwrap_or_default();
                if (&mut *stream).take(more).read_buf(&mut header).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
}

/// Parses the bytes read so far.
///
/// # Errors
/// [`NotAHeader`], as soon as no valid header can begin with them.
pub fn step(header: &[u8]) -> Result<Step, NotAHeader> {
    if header.is_empty() {
        return Ok(Step::Read(SHORTEST));
    }
    if begins(header, SIGNATURE) {
        return step_of_version_2(header);
    }
    if begins(header, LINE) {
        return step_of_version_1(header);
    }
    Err(NotAHeader)
}

/// Whether `header` begins with `magic`, as far as `header` goes.
fn begins(header: &[u8], magic: &[u8]) -> bool {
    header.iter().zip(magic).all(|(is, must)| is == must)
}

/// Only its end shows the length of the line, so it is read byte by byte.
fn step_of_version_1(header: &[u8]) -> Result<Step, NotAHeader> {
    if header.len() < SHORTEST {
        return Ok(Step::Read(SHORTEST - header.len()));
    }
    match header.iter().position(|byte| *byte == b'\n') {
        None if header.len() < LONGEST_LINE => Ok(Step::Read(1)),
        Some(end) if end + 1 == header.len() => line(header).map(Step::Done).ok_or(NotAHeader),
        None | Some(_) => Err(NotAHeader),
    }
}

/// Parses `PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r
/// `.
fn line(header: &[u8]) -> Option<ProxiedSource> {
    let line = std::str::from_utf8(header).ok()?.strip_suffix("\r\n")?;
    let mut words = line.strip_prefix("PROXY ")?.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        // The rest of the line is to be ignored.
        return Some(ProxiedSource::Unnamed);
    }
    let (source, destination) = (words.next()?.parse::<IpAddr>().ok()?, words.next()?.parse::<IpAddr>().ok()?);
    let (port, _) = (port(words.next()?)?, port(words.next()?)?);
    let fits = match family {
        "TCP4" => source.is_ipv4() && destination.is_ipv4(),
        "TCP6" => source.is_ipv6() && destination.is_ipv6(),
        _ => false,
    };
    (fits && words.next().is_none()).then_some(ProxiedSource::Address(SocketAddr::new(source, port)))
}

/// Rejects `+80` and `080`, which Rust would accept.
fn port(text: &str) -> Option<u16> {
    let plain = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| plain)
}

fn step_of_version_2(header: &[u8]) -> Result<Step, NotAHeader> {
    let Some(fixed) = header.first_chunk::<FIXED>() else { return Ok(Step::Read(FIXED - header.len())) };
    let [.., command, family, high, low] = *fixed;
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if !matches!(command, LOCAL | PROXY) || length > LONGEST {
        return Err(NotAHeader);
    }
    if header.len() < length {
        return Ok(Step::Read(length - header.len()));
    }
    let addresses = header.get(FIXED..length).unwrap_or_default();
    let source = if command == LOCAL { Some(ProxiedSource::Unnamed) } else { addressed(family, addresses) };
    source.map(Step::Done).ok_or(NotAHeader)
}

/// Reads source address, destination address, source port and destination port; further values may follow. The families
/// of datagrams and Unix sockets are rejected: such connections do not reach the gateway over TCP, and a proxy that has
/// some must send LOCAL or UNSPEC.
fn addressed(family: u8, addresses: &[u8]) -> Option<ProxiedSource> {
    let (address, port) = match family {
        0x00 => return Some(ProxiedSource::Unnamed),
        0x11 => {
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *addresses.first_chunk::<12>()?;
            (IpAddr::from(Ipv4Addr::new(a, b, c, d)), [high, low])
        }
        0x21 => {
            let source: [u8; 16] = *addresses.first_chunk::<16>()?;
            let [high, low, ..] = *addresses.get(32..)?.first_chunk::<4>()?;
            (IpAddr::from(Ipv6Addr::from(source)), [high, low])
        }
        _ => return None,
    };
    Some(ProxiedSource::Address(SocketAddr::new(address, u16::from_be_bytes(port))))
}

#[cfg(test)]
mod tests;
