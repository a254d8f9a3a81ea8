//! The record of a request: one access log line and one set of metrics, written when its response has been sent or
//! the request was given up. Bytes that are not a request have no record; they are counted and logged by `Gateway`.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::connection_info::ConnectionInfo;
use super::request_body::Received;
use super::{cors, request_id};
use crate::auth::{Grant, Permit, VerifyError};
use crate::clock::UnixTime;
use crate::failure::{self, Failure, UpstreamFault, is_rejection};
use crate::limit::ConcurrencyPermits;
use crate::metrics::{FilterResult, Metrics, Outcome, RouteMetrics};
use crate::reason::Reason;
use crate::route::Route;
use crate::telemetry;

/// The longest path that is logged whole, in bytes: a client may send 8 KiB.
const LONGEST_PATH: usize = 512;

/// The longest method that is logged whole, in bytes: a client may send any token.
const LONGEST_METHOD: usize = 32;

/// The record of one request; it is written when it is dropped.
#[derive(Debug)]
pub struct RequestRecord {
    metrics: Arc<Metrics>,
    begun: Instant,
    /// 128 random bits in hex, or the id that a trusted proxy sent.
    pub(super) request_id: Arc<str>,
    route: Option<(Arc<Route>, Arc<RouteMetrics>)>,
    /// The origin of the web page that may read the response.
    allowed_origin: Option<HeaderValue>,
    /// Counters of the request body, which is read elsewhere.
    pub(super) received: Arc<Received>,
    outcome: Outcome,
    /// None where the outcome needs none.
    reason: Option<Reason>,
    /// The request may be forwarded.
    permitted: bool,
    forwarded_as: Outcome,
    reason_if_forwarded: Option<Reason>,
    /// How long it took to open a tunnel.
    opened: Option<Duration>,
    /// Status of the response.
    pub(super) status: Option<StatusCode>,
    bytes_sent: u64,
    complete: bool,
    verify: Duration,
    /// How long the upstream took until its response had begun.
    pub(super) upstream: Option<Duration>,
    /// Held until the response is complete.
    pub(super) permits: ConcurrencyPermits,
    line: Option<Box<AccessLogLine>>,
}

/// The fields that only the access log needs.
#[derive(Debug)]
struct AccessLogLine {
    client: std::net::SocketAddr,
    method: String,
    path: String,
    path_rest: Option<String>,
    traceparent: Option<String>,
    issuer: Option<Arc<str>>,
    kid: Option<String>,
    sender: Option<String>,
    decided: bool,
    detail: Option<Cow<'static, str>>,
    filter: Option<Arc<str>>,
}

impl RequestRecord {
    /// Opens the record of a request.
    pub fn new(metrics: &Arc<Metrics>, head: &Parts, connection: &ConnectionInfo, access_log: bool) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            begun: Instant::now(),
            request_id: connection.forwarded.request_id.clone().unwrap_or_else(request_id::random),
            route: None,
            allowed_origin: None,
            received: Arc::default(),
            // A record that is dropped before anything else is known of its request: the client disconnected.
            outcome: Outcome::Error,
            reason: Some(Reason::ClientDisconnected),
            permitted: false,
            forwarded_as: Outcome::Forwarded,
            reason_if_forwarded: None,
            opened: None,
            status: None,
            bytes_sent: 0,
            complete: false,
            verify: Duration::ZERO,
            upstream: None,
            permits: ConcurrencyPermits::default(),
            line: access_log.then(|| Box::new(AccessLogLine::new(head, connection))),
        }
    }

    /// The route, once it is known.
    pub fn route(&self) -> Option<&Arc<Route>> {
        self.route.as_ref().map(|(route, _)| route)
    }

    pub(super) fn routed(&mut self, route: &Arc<Route>, headers: &HeaderMap) {
        self.allowed_origin = route.cors.as_ref().and_then(|rule| cors::allowed_origin(rule, headers));
        self.route = Some((Arc::clone(route), self.metrics.route(&route.name)));
    }

    /// Sets the CORS headers of the response, if the route has `cors`.
    pub(super) fn allow_origin(&self, headers: &mut HeaderMap) {
        if let Some(rule) = self.route().and_then(|route| route.cors.as_ref()) {
            cors::allow(headers, rule, self.allowed_origin.as_ref());
        }
    }

    /// Adds the time of one verification. A request whose body is needed is verified twice and counted once.
    pub(super) fn decided(&mut self, decision: &Result<Grant, VerifyError>, took: Duration, now: UnixTime) {
        self.verify += took;
        if let Err(VerifyError::NeedsBody) = decision {
            return;
        }
        if let Some((route, metrics)) = &self.route {
            metrics.verified(&self.metrics, &route.rules.policy, self.verify);
            let secrets = decision.as_ref().map(Grant::secrets).unwrap_or_default();
            secrets.iter().for_each(|index| metrics.secret_used(&self.metrics, *index, now));
        }
        if let Some(signed) = decision.as_ref().ok().and_then(Grant::signed) {
            self.metrics.token(signed);
        }
        if let Some(line) = &mut self.line {
            line.decided = true;
            (line.issuer, line.kid, line.sender) = match decision {
                Ok(grant) => (grant.issuer().cloned(), grant.kid().map(str::to_owned), grant.sender().text()),
                Err(VerifyError::Rejected(rejection)) => (rejection.issuer.clone(), None, None),
                Err(VerifyError::NeedsBody) => (None, None, None),
            };
        }
    }

    /// A request that is forwarded in dry run although it would be rejected is counted by the reason.
    pub(super) fn permitted(&mut self, permit: &Permit) {
        self.permitted = true;
        (self.forwarded_as, self.reason_if_forwarded) = match permit {
            Permit::Granted(_) => (Outcome::Forwarded, None),
            Permit::Observed(rejection) => {
                if let Some(line) = &mut self.line {
                    line.detail.clone_from(&rejection.detail);
                }
                (Outcome::DryRunRejected, Some(rejection.reason))
            }
        };
    }

    /// A rule of the route's filter matches the event. The log names the last of them, which is the one that is enforced.
    pub(super) fn filtered_by(&mut self, route: &str, rule: &Arc<str>, result: FilterResult) {
        self.metrics.filtered_requests(route, rule, result).inc();
        if let Some(line) = &mut self.line {
            line.filter = Some(Arc::clone(rule));
        }
    }

    /// A response without a failure has begun.
    pub(super) fn answered(&mut self, outcome: Outcome, reason: Option<Reason>, status: StatusCode) {
        (self.outcome, self.reason, self.status) = (outcome, reason, Some(status));
    }

    /// Without dry run, the store would have rejected the request.
    pub(super) fn observed(&mut self, reason: Reason) {
        (self.forwarded_as, self.reason_if_forwarded) = (Outcome::DryRunRejected, Some(reason));
    }

    /// Why the request would be rejected, if only a dry run forwards it.
    pub(super) fn reason_if_forwarded(&self) -> Option<Reason> {
        self.reason_if_forwarded
    }

    pub(super) fn forwarded(&mut self, status: StatusCode) {
        self.answered(self.forwarded_as, self.reason_if_forwarded, status);
        self.opened = status.is_informational().then(|| self.begun.elapsed());
    }

    /// The response ended prematurely. In dry run the reason of the rejection stays.
    pub(super) fn broke(&mut self, fault: UpstreamFault) {
        if self.outcome == Outcome::Forwarded {
            (self.outcome, self.reason) = (Outcome::UpstreamIncomplete, Some(fault.reason));
            if let Some(line) = &mut self.line {
                line.detail = Some(fault.cause.into_string().into());
            }
        }
    }

    pub(super) fn failed(&mut self, failure: &Failure) {
        self.outcome = outcome(failure.reason());
        self.reason = Some(failure.reason());
        if let Some(line) = &mut self.line {
            line.detail = failure.detail();
        }
    }

    /// A tunnel has ended, in order if `complete`.
    pub(super) fn tunnel_ended(&mut self, end: &'static str, complete: bool) {
        if let Some(line) = &mut self.line {
            line.detail = Some(end.into());
        }
        self.complete = complete;
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes_sent = self.bytes_sent.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// The response is complete on the gateway's side. Its concurrency permits are released before the sender can have
    /// seen the end of the response, so that the sender's next request is not limited by this one.
    pub(super) fn complete(&mut self) {
        self.complete = true;
        self.permits = ConcurrencyPermits::default();
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        match &self.route {
            Some((_, route)) => {
                // A tunnel may be open for hours, which is no time of a response.
                let took = self.opened.unwrap_or(took);
                route.finished(&self.metrics, self.outcome, self.reason, self.status, took, self.upstream);
            }
            None => self.metrics.requests("", self.outcome, self.reason, self.status).inc(),
        }
        match self.line.take() {
            Some(line) if self.permitted => self.write(&line, took),
            Some(line) => telemetry::unauthenticated(|| self.write(&line, took)),
            None => {}
        }
    }
}

impl RequestRecord {
    /// Fields, not text: the subscriber escapes them, so that a client cannot inject lines into the log. Fields
    /// that are `None` are left out.
    fn write(&self, line: &AccessLogLine, took: Duration) {
        tracing::info!(
            target: "hookgate::access",
            request_id = &*self.request_id,
            traceparent = line.traceparent,
            route = self.route.as_ref().map(|(route, _)| &*route.name),
            method = line.method,
            path = line.path,
            path_rest = line.path_rest,
            client_address = %line.client.ip(),
            client_port = port(line.client),
            outcome = self.outcome.label(),
            reason = self.reason.map(Reason::word),
            detail = line.detail.as_deref(),
            filter = line.filter.as_deref(),
            status = self.status.map(|status| status.as_u16()),
            issuer = line.issuer.as_deref(),
            kid = line.kid,
            sender = line.sender,
            duration_us = micros(took),
            verify_us = line.decided.then_some(micros(self.verify)),
            upstream_us = self.upstream.map(micros),
            bytes_received = self.received.bytes(),
            bytes_sent = self.bytes_sent,
            complete = self.complete,
            "request"
        );
    }
}

/// Counts a connection that failed before it became a request, and writes its line.
pub(super) fn no_request(
    metrics: &Metrics,
    access_log: bool,
    (reason, detail): (Reason, Option<&str>),
    client: std::net::SocketAddr,
) {
    let (outcome, status) = (outcome(reason), failure::status(reason));
    metrics.requests("", outcome, Some(reason), Some(status)).inc();
    if !access_log || !telemetry::may_log(reason.word()) {
        return;
    }
    telemetry::unauthenticated(|| {
        tracing::info!(
            target: "hookgate::access",
            client_address = %client.ip(),
            client_port = port(client),
            outcome = outcome.label(),
            reason = reason.word(),
            detail,
            status = status.as_u16(),
            "request"
        );
    });
}

/// The outcome of a request that is not forwarded.
fn outcome(reason: Reason) -> Outcome {
    if is_rejection(reason) { Outcome::Rejected } else { Outcome::Error }
}

/// The port of a client; `None` if a trusted proxy has named the address alone.
fn port(client: std::net::SocketAddr) -> Option<u16> {
    Some(client.port()).filter(|port| *port != 0)
}

impl AccessLogLine {
    fn new(head: &Parts, connection: &ConnectionInfo) -> Self {
        let traceparent = head.headers.get("traceparent").and_then(|value| value.to_str().ok());
        let traceparent = traceparent.filter(|text| is_traceparent(text));
        let (path, path_rest) = cut(head.uri.path(), LONGEST_PATH);
        Self {
            client: *connection.address,
            method: cut(head.method.as_str(), LONGEST_METHOD).0,
            path,
            path_rest,
            traceparent: traceparent.map(str::to_owned),
            issuer: None,
            kid: None,
            sender: None,
            decided: false,
            detail: None,
            filter: None,
        }
    }
}

/// The beginning of a text, and the hash of the rest, by which equal texts can be found.
fn cut(text: &str, longest: usize) -> (String, Option<String>) {
    if text.len() <= longest {
        return (text.to_owned(), None);
    }
    let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    let (start, rest) = text.split_at(end);
    let hash = digest(&SHA256, rest.as_bytes());
    (start.to_owned(), Some(hex::encode(hash.as_ref().split_at(8).0)))
}

/// Whether the value has the form of W3C Trace Context version 00. Only such a value is logged, since an
/// unauthenticated client could write anything else there.
fn is_traceparent(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f' | b'-');
    text.len() == 55 && text.bytes().all(plain)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A character of two bytes is cut before it.
    #[test]
    fn long_texts_are_cut_and_hashed() {
        assert_eq!(cut("/a", 2), ("/a".to_owned(), None));
        assert_eq!(cut("", 2), (String::new(), None));
        let (start, rest) = cut("/abc", 2);
        assert_eq!((start.as_str(), rest.clone()), ("/a", Some("1e0bbd6c686ba050".to_owned())));
        assert_ne!(cut("/abd", 2).1, rest);
        assert_eq!(cut("/ab\u{e9}", 4).0, "/ab");
    }
}
