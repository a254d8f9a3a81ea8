//! The metrics of one route: the children that its requests count, created once.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::StatusCode;
use prometheus::{Histogram, IntCounter};

use super::families::{Families, seconds};
use super::label::Outcome;
use crate::auth::{Policy, PolicyKind};
use crate::clock::UnixTime;
use crate::reason::Reason;

/// The HTTP statuses from 200 on whose counter of forwarded requests is cached: those of RFC 9110 and 4918.
const CACHED: usize = 10;

/// The metrics of one route.
#[derive(Debug)]
pub struct RouteMetrics {
    name: Arc<str>,
    forwarded: [OnceLock<IntCounter>; CACHED],
    /// The counter of the first rejection: in a flood most rejections have the same reason and status.
    rejected: OnceLock<(Option<Reason>, Option<StatusCode>, IntCounter)>,
    request_duration: Histogram,
    upstream_duration: Histogram,
    /// The scheme that the route was first seen with, which it mostly keeps.
    verify_duration: OnceLock<(PolicyKind, Histogram)>,
}

impl RouteMetrics {
    pub(super) fn new(metrics: &Families, name: &Arc<str>) -> Self {
        // From zero on, so that a first request shows as an increase.
        metrics.requests(name, Outcome::Forwarded, None, Some(StatusCode::default())).inc_by(0);
        Self {
            name: Arc::clone(name),
            forwarded: Default::default(),
            rejected: OnceLock::new(),
            request_duration: metrics.request_duration(name),
            upstream_duration: metrics.upstream_duration(name),
            verify_duration: OnceLock::new(),
        }
    }

    /// Notes that one of the route's secrets has verified a request: a secret that no longer does can be removed.
    pub fn secret_used(&self, metrics: &Families, index: usize, now: UnixTime) {
        metrics.secret_last_used_timestamp(&self.name, &index.to_string()).set(seconds(now));
    }

    /// Counts one decision and its time.
    pub fn verified(&self, metrics: &Families, policy: &Policy, took: Duration) {
        let child = || (policy.kind(), metrics.verify_duration(policy.kind()));
        let (first, kept) = self.verify_duration.get_or_init(child);
        if *first == policy.kind() { kept.observe(took.as_secs_f64()) } else { child().1.observe(took.as_secs_f64()) }
    }

    /// Counts a request that has ended.
    pub fn finished(
        &self,
        metrics: &Families,
        outcome: Outcome,
        reason: Option<Reason>,
        status: Option<StatusCode>,
        took: Duration,
        upstream: Option<Duration>,
    ) {
        let count = || metrics.requests(&self.name, outcome, reason, status);
        if let Some(cached) = self.cached(outcome, status) {
            cached.get_or_init(count).inc();
        } else if outcome == Outcome::Rejected {
            let (first, its_status, kept) = self.rejected.get_or_init(|| (reason, status, count()));
            if (*first, *its_status) == (reason, status) { kept.inc() } else { count().inc() }
        } else {
            count().inc();
        }
        self.request_duration.observe(took.as_secs_f64());
        if let Some(upstream) = upstream {
            self.upstream_duration.observe(upstream.as_secs_f64());
        }
    }

    fn cached(&self, outcome: Outcome, status: Option<StatusCode>) -> Option<&OnceLock<IntCounter>> {
        let index = status?.as_u16().checked_sub(StatusCode::default().as_u16())?;
        if outcome == Outcome::Forwarded { self.forwarded.get(usize::from(index)) } else { None }
    }
}
