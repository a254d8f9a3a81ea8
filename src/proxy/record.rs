//! What is known of a request in the end: one access line and one set of metrics, written when its reply has
//! gone out or it was given up. Nothing else on the request's path logs or counts.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use http::request::Parts;

use super::Peer;
use super::body::Received;
use crate::auth::jwt::Signed;
use crate::auth::{Grant, Permit, Stop};
use crate::clock::UnixTime;
use crate::failure::Failure;
use crate::limit::Places;
use crate::metrics::{Metrics, Outcome, RouteMetrics};
use crate::route::Route;

/// One request's record; closing it (dropping it) writes it down.
#[derive(Debug)]
pub struct Record {
    metrics: Arc<Metrics>,
    begun: Instant,
    request_id: String,
    route: Option<(Arc<Route>, Arc<RouteMetrics>)>,
    received: Arc<Received>,
    outcome: Outcome,
    reason: &'static str,
    forwarded_as: Outcome,
    reason_if_forwarded: &'static str,
    status: Option<StatusCode>,
    bytes_sent: u64,
    whole: bool,
    verify: Duration,
    upstream: Option<Duration>,
    places: Places,
    line: Option<Box<Line>>,
}

/// What only the access log wants.
#[derive(Debug)]
struct Line {
    peer: std::net::SocketAddr,
    method: String,
    path: String,
    traceparent: Option<String>,
    issuer: Option<Arc<str>>,
    kid: Option<String>,
    decided: bool,
}

impl Record {
    /// Opens the record of a request.
    pub fn new(metrics: &Arc<Metrics>, head: &Parts, peer: &Peer, access_log: bool) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            begun: Instant::now(),
            request_id: peer.told.request_id.clone().unwrap_or_else(new_request_id),
            route: None,
            received: Arc::default(),
            // What is dropped before anything else was said of it: the client left.
            outcome: Outcome::Error,
            reason: "client_disconnected",
            forwarded_as: Outcome::Forwarded,
            reason_if_forwarded: "",
            status: None,
            bytes_sent: 0,
            whole: false,
            verify: Duration::ZERO,
            upstream: None,
            places: Places::default(),
            line: access_log.then(|| Box::new(Line::new(head, peer))),
        }
    }

    /// The request's id: 128 random bits in hex, or what a trusted proxy calls it.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Where the body's progress is kept.
    pub fn received(&self) -> Arc<Received> {
        Arc::clone(&self.received)
    }

    /// The route, once there is one.
    pub fn route(&self) -> Option<&Arc<Route>> {
        self.route.as_ref().map(|(route, _)| route)
    }

    pub(super) fn routed(&mut self, route: &Arc<Route>) {
        self.route = Some((Arc::clone(route), self.metrics.route(&route.name)));
    }

    /// A look at the request took so long; what needs its body is looked at twice, and counted once.
    pub(super) fn decided(
        &mut self,
        decision: &Result<Grant, Stop>,
        scheme: &'static str,
        took: Duration,
        now: UnixTime,
    ) {
        self.verify += took;
        if let Err(Stop::NeedsBody) = decision {
            return;
        }
        if let Some((_, metrics)) = &self.route {
            metrics.verified(scheme, self.verify);
            let secrets = decision.as_ref().map(Grant::secrets).unwrap_or_default();
            secrets.iter().for_each(|index| metrics.secret_used(*index, now));
        }
        if let Some(signed) = decision.as_ref().ok().and_then(Grant::signed) {
            self.metrics.token(signed == Signed::Known);
        }
        if let Some(line) = &mut self.line {
            line.decided = true;
            (line.issuer, line.kid) = match decision {
                Ok(grant) => (grant.issuer().cloned(), grant.kid().map(str::to_owned)),
                Err(Stop::Refused(refused)) => (refused.issuer.clone(), None),
                Err(Stop::NeedsBody) => (None, None),
            };
        }
    }

    /// What is forwarded though it would be refused is still counted by its reason.
    pub(super) fn permitted(&mut self, permit: &Permit) {
        (self.forwarded_as, self.reason_if_forwarded) = match permit {
            Permit::Granted(_) => (Outcome::Forwarded, ""),
            Permit::Observed(refused) => (Outcome::DryRunRejected, refused.refusal.reason()),
        };
    }

    /// A handshake was answered.
    pub(super) fn handshake(&mut self, status: StatusCode) {
        (self.outcome, self.reason, self.status) = (Outcome::ChallengeAnswered, "", Some(status));
    }

    /// What has arrived already was answered once more.
    pub(super) fn repeated(&mut self, status: StatusCode) {
        (self.outcome, self.reason, self.status) = (Outcome::DuplicateAnswered, "duplicate_request", Some(status));
    }

    /// The store would not have let it through, on a route that only observes.
    pub(super) fn observed(&mut self, failure: &Failure) {
        (self.forwarded_as, self.reason_if_forwarded) = (Outcome::DryRunRejected, failure.reason());
    }

    /// Kept until the exchange has ended.
    pub(super) fn holds(&mut self, places: Places) {
        self.places = places;
    }

    pub(super) fn upstream_answered(&mut self, took: Duration) {
        self.upstream = Some(took);
    }

    pub(super) fn forwarded(&mut self, status: StatusCode) {
        (self.outcome, self.reason) = (self.forwarded_as, self.reason_if_forwarded);
        self.status = Some(status);
    }

    pub(super) fn failed(&mut self, failure: &Failure) {
        self.outcome = if failure.is_refusal() { Outcome::Rejected } else { Outcome::Error };
        self.reason = failure.reason();
    }

    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes_sent = self.bytes_sent.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// The reply is whole on our side. Its places are free before its sender can have seen the end of it: who then
    /// sends the next request shall not find its own in the way.
    pub(super) fn whole(&mut self) {
        self.whole = true;
        self.places = Places::default();
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        match &self.route {
            Some((_, metrics)) => metrics.finished(self.outcome, self.reason, took, self.upstream),
            None => self.metrics.unrouted(self.outcome, self.reason),
        }
        if let Some(line) = self.line.take() {
            self.write(&line, took);
        }
    }
}

impl Record {
    /// Fields, not text: the subscriber escapes them, so that nobody writes lines of their own into the log.
    fn write(&self, line: &Line, took: Duration) {
        tracing::info!(
            target: "hookgate::access",
            request_id = self.request_id,
            traceparent = line.traceparent,
            route = self.route.as_ref().map(|(route, _)| &*route.name),
            method = line.method,
            path = line.path,
            peer = %Shown(line.peer),
            outcome = self.outcome.label(),
            reason = self.reason,
            status = self.status.map(|status| status.as_u16()),
            issuer = line.issuer.as_deref(),
            kid = line.kid,
            duration_us = micros(took),
            verify_us = line.decided.then_some(micros(self.verify)),
            upstream_us = self.upstream.map(micros),
            bytes_received = self.received.bytes(),
            bytes_sent = self.bytes_sent,
            whole = self.whole,
            "request"
        );
    }
}

/// The line of what came in place of a request.
pub(super) fn unframed(failure: &Failure, peer: std::net::SocketAddr) {
    tracing::info!(
        target: "hookgate::access",
        %peer,
        outcome = Outcome::Rejected.label(),
        reason = failure.reason(),
        status = failure.status().as_u16(),
        "request"
    );
}

/// An address, and its port where that is known.
struct Shown(std::net::SocketAddr);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.port() == 0 { self.0.ip().fmt(f) } else { self.0.fmt(f) }
    }
}

impl Line {
    fn new(head: &Parts, peer: &Peer) -> Self {
        let traceparent = head.headers.get("traceparent").and_then(|value| value.to_str().ok());
        let traceparent = traceparent.filter(|text| is_traceparent(text));
        Self {
            peer: *peer.address,
            method: head.method.as_str().to_owned(),
            path: head.uri.path().to_owned(),
            traceparent: traceparent.map(str::to_owned),
            issuer: None,
            kid: None,
            decided: false,
        }
    }
}

/// As the log takes it: the form of W3C Trace Context version 00 and nothing else a stranger might write there.
fn is_traceparent(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f' | b'-');
    text.len() == 55 && text.bytes().all(plain)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

thread_local! {
    static RANDOM: RefCell<Random> = const { RefCell::new(Random { bytes: [0; BATCH], used: BATCH }) };
}

/// Random bytes that are drawn at once, since each draw costs as much as this many.
const BATCH: usize = 512;

struct Random {
    bytes: [u8; BATCH],
    used: usize,
}

impl Random {
    fn next(&mut self) -> [u8; 16] {
        if self.used >= BATCH {
            // Fails only where the system has no entropy; the ids of a log are then not unique.
            let _ = aws_lc_rs::rand::fill(&mut self.bytes);
            self.used = 0;
        }
        let next = self.bytes.get(self.used..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        self.used += next.len();
        next
    }
}

/// Never taken from a stranger: an id of the sender's choosing would let it write into another's trail.
fn new_request_id() -> String {
    let bytes = RANDOM.with_borrow_mut(Random::next);
    let digit = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble });
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
