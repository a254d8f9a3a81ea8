//! app 127.0.0.1:PORT
//!
//! The upstream behind every proxy: one thread, keep-alive, plain HTTP/1.1. It reads a whole request, by its length or in
//! chunks, and answers a fixed 200.

use hookgate_load::bytes::{chunk_length, find, header};
use hookgate_load::epoll::{Epoll, Wants, lengthen_queue};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ok\":true}";
const LISTENER: u64 = u64::MAX;

#[derive(Clone, Copy)]
enum Expects {
    Head,
    /// The number of bytes before the next request.
    Body(usize),
    ChunkLength,
    /// The number of bytes, including the line break after the chunk.
    Chunk(usize),
    Trailer,
}

struct Connection {
    stream: TcpStream,
    expects: Expects,
    /// Bytes of an incomplete part.
    kept: Vec<u8>,
}

fn main() -> io::Result<()> {
    let listener = TcpListener::bind(std::env::args().nth(1).expect("an address"))?;
    listener.set_nonblocking(true)?;
    lengthen_queue(&listener)?;
    let mut epoll = Epoll::new()?;
    epoll.add(&listener, LISTENER, Wants::Read)?;
    // Indexed by descriptor.
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut room = vec![0; 256 * 1024];
    loop {
        for event in epoll.wait(Duration::from_secs(3600)) {
            if event.token == LISTENER {
                accept_all(&listener, &epoll, &mut connections)?;
                continue;
            }
            let place = &mut connections[event.token as usize];
            if place.as_mut().is_some_and(|connection| connection.read(&mut room).is_none()) {
                *place = None;
            }
        }
    }
}

fn accept_all(listener: &TcpListener, epoll: &Epoll, connections: &mut Vec<Option<Connection>>) -> io::Result<()> {
    while let Ok((stream, _)) = listener.accept() {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let number = stream.as_raw_fd() as usize;
        epoll.add(&stream, number as u64, Wants::Read)?;
        if connections.len() <= number {
            connections.resize_with(number + 1, || None);
        }
        connections[number] = Some(Connection { stream, expects: Expects::Head, kept: Vec::new() });
    }
    Ok(())
}

impl Connection {
    /// Reads once, and answers the requests that are complete. `None`: the connection is over.
    fn read(&mut self, room: &mut [u8]) -> Option<()> {
        let count = match self.stream.read(room) {
            Ok(0) => return None,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(()),
            Err(_) => return None,
        };
        let mut bytes = &room[..count];
        // Most bytes of a large body take this branch and are not copied.
        if let (Expects::Body(left), true) = (self.expects, self.kept.is_empty())
            && count < left
        {
            self.expects = Expects::Body(left - count);
            bytes = &[];
        }
        self.kept.extend_from_slice(bytes);
        let mut used = 0;
        while let Some(more) = self.step(used)? {
            used += more;
        }
        self.kept.drain(..used);
        Some(())
    }

    /// The number of kept bytes, from `at` on, that the expected part takes. `Some(None)`: it is incomplete.
    fn step(&mut self, at: usize) -> Option<Option<usize>> {
        let bytes = &self.kept[at..];
        let (used, next) = match self.expects {
            Expects::Head => match find(bytes, b"\r\n\r\n") {
                Some(end) => (end + 4, self.after_head(at, end)?),
                None => return Some(None),
            },
            Expects::Body(0) => (0, Expects::Head),
            Expects::Chunk(0) => (0, Expects::ChunkLength),
            Expects::Body(_) | Expects::Chunk(_) if bytes.is_empty() => return Some(None),
            Expects::Body(left) => (left.min(bytes.len()), Expects::Body(left.saturating_sub(bytes.len()))),
            Expects::Chunk(left) => (left.min(bytes.len()), Expects::Chunk(left.saturating_sub(bytes.len()))),
            Expects::ChunkLength | Expects::Trailer => match (self.expects, find(bytes, b"\r\n")) {
                (_, None) => return Some(None),
                (Expects::Trailer, Some(0)) => (2, Expects::Body(0)),
                (Expects::Trailer, Some(end)) => (end + 2, Expects::Trailer),
                (_, Some(end)) => match chunk_length(&bytes[..end])? {
                    0 => (end + 2, Expects::Trailer),
                    length => (end + 2, Expects::Chunk(length + 2)),
                },
            },
        };
        if matches!(self.expects, Expects::Body(0)) {
            self.stream.write_all(RESPONSE).ok()?;
        }
        self.expects = next;
        Some(Some(used))
    }

    fn after_head(&self, at: usize, end: usize) -> Option<Expects> {
        let head = &self.kept[at..at + end];
        if header(head, "expect").is_some() {
            (&self.stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
        }
        if header(head, "transfer-encoding").is_some() {
            return Some(Expects::ChunkLength);
        }
        let length = header(head, "content-length").map_or(Some(0), |text| text.parse().ok())?;
        Some(Expects::Body(length))
    }
}
