//! All connections of a run, in one thread and one epoll.

use crate::connection::{Broken, Connection, State};
use crate::histogram::Histogram;
use hookgate_load::epoll::{Epoll, Event, Wants, connect};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub struct Plan {
    pub address: SocketAddrV4,
    /// `None`: plain HTTP.
    pub tls: Option<Arc<ClientConfig>>,
    /// The number of source addresses, from 127.0.0.2 on; 0 leaves the choice to the system.
    pub sources: u32,
    pub tokens: Vec<String>,
    pub order: Order,
    pub body: Vec<u8>,
    pub pace: Pace,
    pub expected: u16,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Order {
    /// Always the first token.
    First,
    /// One after the other, then again from the first.
    Rotate,
    /// Each token once; no request without a fresh one.
    Once,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Pace {
    /// The next request follows the response (closed loop).
    Closed,
    /// A closed loop with a new connection for each request.
    ClosedAndNew,
    /// Requests follow a schedule, independent of responses (open loop).
    Open,
    /// One request, then the connection stays idle.
    Single,
}

#[derive(Default)]
pub struct Counts {
    pub expected: u64,
    pub other: u64,
    pub failed: u64,
    pub statuses: BTreeMap<u16, u64>,
}

pub struct Generator {
    plan: Plan,
    name: ServerName<'static>,
    epoll: Epoll,
    connections: Vec<Option<Connection>>,
    /// Part of a connection's token, so that events of an earlier connection at the same index are ignored.
    generation: u32,
    next_token: usize,
    /// Due times of requests that found every connection busy.
    waiting: VecDeque<Instant>,
    free: VecDeque<usize>,
    /// No more connections are opened and no more requests sent.
    pub stopping: bool,
    pub counts: Counts,
    pub latencies: Histogram,
}

impl Generator {
    pub fn new(plan: Plan, connections: usize) -> std::io::Result<Self> {
        Ok(Self {
            plan,
            name: ServerName::try_from("localhost").expect("a name"),
            epoll: Epoll::new()?,
            connections: (0..connections).map(|_| None).collect(),
            generation: 0,
            next_token: 0,
            waiting: VecDeque::new(),
            free: VecDeque::new(),
            stopping: false,
            counts: Counts::default(),
            latencies: Histogram::new(),
        })
    }

    pub fn reset(&mut self) {
        self.counts = Counts::default();
        self.latencies = Histogram::new();
    }

    /// Whether every token was used once.
    pub fn exhausted(&self) -> bool {
        self.plan.order == Order::Once && self.next_token >= self.plan.tokens.len()
    }

    /// The number of idle connections that have received a response.
    pub fn settled(&self) -> usize {
        self.connections.iter().flatten().filter(|one| one.state == State::Idle && one.served > 0).count()
    }

    pub fn open(&mut self, index: usize) {
        if self.stopping {
            return;
        }
        self.generation += 1;
        let source = (self.plan.sources > 0)
            .then(|| Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 0, 2).to_bits() + self.generation % self.plan.sources));
        let token = u64::from(self.generation) << 32 | index as u64;
        let Ok(stream) = connect(self.plan.address, source) else {
            self.counts.failed += 1;
            return;
        };
        let tls = self.plan.tls.clone().map(|settings| {
            rustls::ClientConnection::new(settings, self.name.clone()).expect("settings that rustls takes")
        });
        self.epoll.add(&stream, token, Wants::ReadAndWrite).expect("room in the epoll");
        self.connections[index] = Some(Connection::new(stream, tls, token));
    }

    /// Sends a request of an open loop that is due, or queues it.
    pub fn schedule(&mut self, due: Instant) {
        let Some(index) = self.free.pop_front() else { return self.waiting.push_back(due) };
        self.ask(index, due);
        if self.send(index).is_err() {
            self.fail(index);
        }
    }

    /// Handles the next events, after at most `longest`.
    pub fn turn(&mut self, longest: Duration) {
        for event in self.epoll.wait(longest) {
            let index = (event.token & 0xffff_ffff) as usize;
            let current = self.connections[index].as_ref().is_some_and(|one| one.token == event.token);
            if current && self.progress(index, event).is_err() {
                self.fail(index);
            }
        }
    }

    fn progress(&mut self, index: usize, event: Event) -> Result<(), Broken> {
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        if connection.state == State::Connecting {
            if event.broken {
                return Err(Broken);
            }
            if connection.is_plain() {
                return self.next(index);
            }
            connection.state = State::Handshake;
            return self.send(index);
        }
        if event.writable {
            self.send(index)?;
        }
        if event.readable || event.broken { self.read(index) } else { Ok(()) }
    }

    fn read(&mut self, index: usize) -> Result<(), Broken> {
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        let ended = connection.receive()?;
        match connection.state {
            State::Handshake if ended => Err(Broken),
            State::Handshake if connection.is_handshaking() => self.send(index),
            // The client's Finished goes out with the first request.
            State::Handshake => self.next(index),
            State::Busy => match connection.take_reply(ended)? {
                Some(reply) => {
                    let stays = !reply.closes && !ended && connection.all_sent();
                    self.count(index, reply.status);
                    if stays && self.plan.pace != Pace::ClosedAndNew {
                        return self.next(index);
                    }
                    self.replace(index);
                    Ok(())
                }
                None if ended => Err(Broken),
                None => Ok(()),
            },
            State::Connecting | State::Idle => {
                if ended {
                    Err(Broken)
                } else {
                    Ok(())
                }
            }
        }
    }

    fn count(&mut self, index: usize, status: u16) {
        let Some(connection) = &mut self.connections[index] else { return };
        connection.state = State::Idle;
        connection.served += 1;
        self.latencies.add(connection.began.elapsed());
        *self.counts.statuses.entry(status).or_default() += 1;
        if status == self.plan.expected {
            self.counts.expected += 1;
        } else {
            self.counts.other += 1;
        }
    }

    /// Sends the next request of a free connection, if there is one.
    fn next(&mut self, index: usize) -> Result<(), Broken> {
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        connection.state = State::Idle;
        let begin = match self.plan.pace {
            _ if self.stopping => None,
            Pace::Single if connection.served > 0 => None,
            Pace::Single | Pace::Closed => Some(Instant::now()),
            // Includes the time to connect.
            Pace::ClosedAndNew => Some(connection.began),
            Pace::Open => self.waiting.pop_front(),
        };
        match begin {
            Some(begin) => self.ask(index, begin),
            None => self.free.push_back(index),
        }
        self.send(index)
    }

    fn ask(&mut self, index: usize, begin: Instant) {
        if self.exhausted() {
            return;
        }
        let Some(connection) = &mut self.connections[index] else { return };
        let token = &self.plan.tokens[self.next_token];
        if self.plan.order != Order::First {
            self.next_token += 1;
        }
        if self.plan.order == Order::Rotate {
            self.next_token %= self.plan.tokens.len();
        }
        connection.began = begin;
        let request = connection.begin();
        let close = if self.plan.pace == Pace::ClosedAndNew { "Connection: close\r\n" } else { "" };
        write!(
            request,
            "POST /api/orders HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load/1\r\nAccept: */*\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nAuthorization: Bearer {token}\r\n{close}\r\n",
            self.plan.body.len()
        )
        .expect("memory");
        request.extend_from_slice(&self.plan.body);
    }

    fn send(&mut self, index: usize) -> Result<(), Broken> {
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        let wants = connection.send()?;
        if wants != connection.waits {
            connection.waits = wants;
            self.epoll.change(&connection.stream, connection.token, wants).map_err(|_| Broken)?;
        }
        Ok(())
    }

    /// Replaces a broken connection. A server may close an idle one; any other break counts as a failure.
    fn fail(&mut self, index: usize) {
        match &self.connections[index] {
            Some(connection) if connection.state == State::Idle => self.free.retain(|one| *one != index),
            _ => self.counts.failed += 1,
        }
        self.connections[index] = None;
        self.open(index);
    }

    fn replace(&mut self, index: usize) {
        if let Some(mut connection) = self.connections[index].take() {
            connection.say_goodbye();
        }
        self.open(index);
    }
}
