//! One connection: TCP, usually with TLS, and one request at a time.

use hookgate_load::bytes::{chunk_length, find, header};
use hookgate_load::epoll::Wants;
use rustls::ClientConnection;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

/// The connection was reset, or its bytes are not HTTP.
pub struct Broken;

#[derive(PartialEq, Clone, Copy)]
pub enum State {
    Connecting,
    Handshake,
    Idle,
    Busy,
}

pub struct Connection {
    pub stream: TcpStream,
    tls: Option<ClientConnection>,
    pub state: State,
    /// The events that the epoll waits for.
    pub waits: Wants,
    pub request: Vec<u8>,
    sent: usize,
    received: Vec<u8>,
    /// When the current request was due.
    pub began: Instant,
    pub served: u64,
    pub token: u64,
}

pub struct Reply {
    pub status: u16,
    /// The server will close the connection.
    pub closes: bool,
}

impl Connection {
    pub fn new(stream: TcpStream, tls: Option<ClientConnection>, token: u64) -> Self {
        Self {
            stream,
            tls,
            state: State::Connecting,
            waits: Wants::ReadAndWrite,
            request: Vec::new(),
            sent: 0,
            received: Vec::new(),
            began: Instant::now(),
            served: 0,
            token,
        }
    }

    pub fn is_plain(&self) -> bool {
        self.tls.is_none()
    }

    pub fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Begins the next request; returns the buffer for it.
    pub fn begin(&mut self) -> &mut Vec<u8> {
        self.state = State::Busy;
        self.sent = 0;
        self.request.clear();
        &mut self.request
    }

    pub fn all_sent(&self) -> bool {
        self.sent >= self.request.len()
    }

    /// Sends as much as the socket accepts, and returns the events to wait for.
    pub fn send(&mut self) -> Result<Wants, Broken> {
        let Some(tls) = &mut self.tls else { return self.send_plain() };
        loop {
            while tls.wants_write() {
                match tls.write_tls(&mut self.stream) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Wants::ReadAndWrite),
                    Err(_) => return Err(Broken),
                }
            }
            if tls.is_handshaking() || self.sent >= self.request.len() {
                return Ok(Wants::Read);
            }
            self.sent += tls.writer().write(&self.request[self.sent..]).map_err(|_| Broken)?;
        }
    }

    fn send_plain(&mut self) -> Result<Wants, Broken> {
        while self.sent < self.request.len() {
            match self.stream.write(&self.request[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Wants::ReadAndWrite),
                Err(_) => return Err(Broken),
            }
        }
        Ok(Wants::Read)
    }

    /// Reads once. `true`: the server has closed the connection.
    pub fn receive(&mut self) -> Result<bool, Broken> {
        let Some(tls) = &mut self.tls else { return self.receive_plain() };
        match tls.read_tls(&mut self.stream) {
            Ok(0) => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(_) => return Err(Broken),
        }
        let state = tls.process_new_packets().map_err(|_| Broken)?;
        let begin = self.received.len();
        self.received.resize(begin + state.plaintext_bytes_to_read(), 0);
        tls.reader().read_exact(&mut self.received[begin..]).map_err(|_| Broken)?;
        Ok(state.peer_has_closed())
    }

    fn receive_plain(&mut self) -> Result<bool, Broken> {
        let mut room = [0; 16 * 1024];
        match self.stream.read(&mut room) {
            Ok(count) => {
                self.received.extend_from_slice(&room[..count]);
                Ok(count == 0)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(_) => Err(Broken),
        }
    }

    /// The response, once it is complete; `ended` if the server has closed the connection.
    pub fn take_reply(&mut self, ended: bool) -> Result<Option<Reply>, Broken> {
        let Some((length, reply)) = parse(&self.received, ended)? else { return Ok(None) };
        self.received.drain(..length);
        Ok(Some(reply))
    }

    pub fn say_goodbye(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // The connection ends in either case.
            let _ = tls.write_tls(&mut self.stream);
        }
    }
}

/// A complete response and its length.
fn parse(bytes: &[u8], ended: bool) -> Result<Option<(usize, Reply)>, Broken> {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let (head, body) = (&bytes[..end], &bytes[end + 4..]);
    let status: u16 = head.get(9..12).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).ok_or(Broken)?;
    if status == 100 {
        return Ok(parse(body, ended)?.map(|(length, reply)| (end + 4 + length, reply)));
    }
    let closes = header(head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let length = if let Some(text) = header(head, "content-length") {
        text.parse().map_err(|_| Broken).map(Some)?
    } else if header(head, "transfer-encoding").is_some() {
        chunked_length(body)?
    } else if closes {
        ended.then_some(body.len())
    } else {
        Some(0)
    };
    Ok(length.filter(|length| *length <= body.len()).map(|length| (end + 4 + length, Reply { status, closes })))
}

/// The length of a chunked body without trailers; `None`: it is incomplete.
fn chunked_length(body: &[u8]) -> Result<Option<usize>, Broken> {
    let mut at = 0;
    while at < body.len() {
        let Some(line) = find(&body[at..], b"\r\n") else { return Ok(None) };
        let length = chunk_length(&body[at..at + line]).ok_or(Broken)?;
        at += line + 2 + length + 2;
        if length == 0 {
            return Ok(Some(at));
        }
    }
    Ok(None)
}
