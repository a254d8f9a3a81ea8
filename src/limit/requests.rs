//! The rate and concurrency limits of routes (`limits`): the consumed quotas, across all workers. They are stored
//! outside the configuration snapshot, so that counters persist across reloads.
//!
//! Unauthenticated clients consume only the quota of their own address. All other limits count verified requests.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::gcra_store::{GcraStore, QuotaError};
use super::keys::{AddressKey, CounterHasher, CounterId, Sharded};
use super::quota::{KeyedQuota, QuotaPermit};
use crate::auth::sender::Sender;
use crate::failure::{Failure, Limited};
use crate::route::{Rate, RouteLimits, WebSocketRule};

/// The counters of all rate and concurrency limits.
#[derive(Debug)]
pub struct RequestLimits {
    begun: Instant,
    hasher: CounterHasher,
    routes: GcraStore,
    issuers: GcraStore,
    subjects: GcraStore,
    senders: GcraStore,
    failed_auth: GcraStore,
    in_flight: Sharded<Arc<KeyedQuota<CounterId>>>,
    tunnels: Sharded<Arc<KeyedQuota<CounterId>>>,
}

/// The concurrency permits of a request, held until its exchange has ended.
#[derive(Debug, Default)]
pub struct ConcurrencyPermits(Vec<QuotaPermit<CounterId>>);

/// The sender of a verified request, by each limit that counts it.
#[derive(Clone, Debug)]
pub struct RequestSender<'a> {
    /// The route's name.
    pub route: &'a str,
    /// The issuer in the grant; all requests without one count together.
    pub issuer: Option<&'a str>,
    /// The subject in the grant; all requests of an issuer without one count together.
    pub subject: Option<&'a str>,
    /// The sender by all of its credentials; `None` if no limit counts it.
    pub sender: Option<Sender<'a>>,
}

/// Computes the id of a sender's counter, only if there is a limit to count for.
type IdOf = fn(&RequestLimits, &RequestSender<'_>) -> CounterId;

/// A rate limit that a request counts against.
struct RateRequest<'a> {
    limit: &'static str,
    store: &'a GcraStore,
    id: CounterId,
    rate: &'a Rate,
}

impl ConcurrencyPermits {
    /// Both permits.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            hasher: CounterHasher::default(),
            routes: GcraStore::default(),
            issuers: GcraStore::default(),
            subjects: GcraStore::default(),
            senders: GcraStore::default(),
            failed_auth: GcraStore::default(),
            in_flight: Sharded::default(),
            tunnels: Sharded::default(),
        }
    }
}

impl RequestLimits {
    /// Checks whether this address has consumed its quota of rejected requests on this route. Its requests may be genuine
    /// all the same: every customer of a provider can exhaust the quota of the addresses that the provider sends from.
    ///
    /// # Errors
    /// The limit, with which its next rejected request is answered.
    pub fn check_ip_rate(
        &self,
        route: &str,
        limits: &RouteLimits,
        address: IpAddr,
        at: impl FnOnce() -> Instant,
    ) -> Result<(), Limited> {
        let Some(rate) = &limits.failed_auth else { return Ok(()) };
        let id = self.address(route, address);
        match self.failed_auth.lock(id).wait(id, self.now(at()), rate) {
            0 => Ok(()),
            early => Err(too_often("failed_auth", rate, QuotaError::Early(early))),
        }
    }

    /// Counts a request from this address that the decision has rejected.
    pub fn penalize(&self, route: &str, limits: &RouteLimits, address: IpAddr, at: impl FnOnce() -> Instant) {
        if let Some(rate) = &limits.failed_auth {
            let id = self.address(route, address);
            self.failed_auth.lock(id).charge(id, self.now(at()), rate);
        }
    }

    /// Counts a verified request against all of its limits, or against none.
    ///
    /// # Errors
    /// The narrowest limit that it exceeds.
    pub fn admit(
        &self,
        sender: &RequestSender<'_>,
        limits: &RouteLimits,
        at: impl FnOnce() -> Instant,
    ) -> Result<ConcurrencyPermits, Failure> {
        let counted: [(_, IdOf, _, _); 4] = [
            ("sender", Self::sender, &limits.sender, &self.senders),
            ("subject", Self::subject, &limits.subject, &self.subjects),
            ("issuer", Self::issuer, &limits.issuer, &self.issuers),
            ("route", Self::route, &limits.route, &self.routes),
        ];
        let (mut permits, mut requests) = (Vec::new(), Vec::new());
        for (limit, id, of, store) in counted {
            if of.concurrency.is_none() && of.rate.is_none() {
                continue;
            }
            let id = id(self, sender);
            if let Some(most) = of.concurrency {
                let mut permit = self.in_flight.of(id).begin(Some(id));
                let limited = |_| Failure::ConcurrencyLimited(Limited::at_once(limit, most));
                permit.grow(1, u64::MAX, u64::from(most)).map_err(limited)?;
                permits.push(permit);
            }
            requests.extend(of.rate.as_ref().map(|rate| RateRequest { limit, store, id, rate }));
        }
        if !requests.is_empty() {
            take(&requests, self.now(at())).map_err(Failure::RateLimited)?;
        }
        Ok(ConcurrencyPermits(permits))
    }

    /// Counts a tunnel against the limits of its address, its sender and its route, or against none.
    ///
    /// # Errors
    /// The narrowest limit that it exceeds.
    pub fn admit_tunnel(
        &self,
        sender: &RequestSender<'_>,
        address: IpAddr,
        rule: &WebSocketRule,
    ) -> Result<ConcurrencyPermits, Failure> {
        let counted = [
            ("tunnels_per_ip", self.address(sender.route, address), rule.max_tunnels_per_ip),
            ("tunnels_per_sender", self.sender(sender), rule.max_tunnels_per_sender),
            ("tunnels", self.route(sender), rule.max_tunnels),
        ];
        let mut permits = Vec::with_capacity(counted.len());
        for (limit, id, most) in counted {
            let mut permit = self.tunnels.of(id).begin(Some(id));
            let limited = |_| Failure::ConcurrencyLimited(Limited::at_once(limit, most));
            permit.grow(1, u64::MAX, u64::from(most)).map_err(limited)?;
            permits.push(permit);
        }
        Ok(ConcurrencyPermits(permits))
    }

    fn now(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.begun).as_nanos()).unwrap_or(u64::MAX)
    }

    fn address(&self, route: &str, address: IpAddr) -> CounterId {
        self.hasher.id(("address", route, AddressKey::of(address)))
    }

    fn route(&self, sender: &RequestSender<'_>) -> CounterId {
        self.hasher.id(("route", sender.route))
    }

    fn issuer(&self, sender: &RequestSender<'_>) -> CounterId {
        self.hasher.id(("issuer", sender.route, sender.issuer))
    }

    fn sender(&self, sender: &RequestSender<'_>) -> CounterId {
        self.hasher.id(("sender", sender.route, &sender.sender))
    }

    fn subject(&self, sender: &RequestSender<'_>) -> CounterId {
        self.hasher.id(("subject", sender.route, sender.issuer, sender.subject))
    }
}

/// Consumes quota of all rate limits or of none: a sender that exceeds its own limit must not consume the route's
/// quota. The shards stay locked until all limits have been checked, always in the same order.
fn take(requests: &[RateRequest<'_>], now: u64) -> Result<(), Limited> {
    let mut taken = Vec::with_capacity(requests.len());
    for RateRequest { limit, store, id, rate } in requests {
        let mut shard = store.lock(*id);
        let free_at = shard.take(*id, now, rate).map_err(|error| too_often(limit, rate, error))?;
        taken.push((shard, *id, free_at));
    }
    for (mut shard, id, free_at) in taken {
        shard.record_consumption(id, free_at);
    }
    Ok(())
}

fn too_often(limit: &'static str, rate: &Rate, error: QuotaError) -> Limited {
    let wait = match error {
        QuotaError::Early(nanoseconds) => Duration::from_nanos(nanoseconds),
        QuotaError::Full => Duration::ZERO,
    };
    limited(limit, rate, wait)
}

/// The error for an exceeded rate limit; `retry_after` is at least one second.
pub fn limited(limit: &'static str, rate: &Rate, wait: Duration) -> Limited {
    let retry_after = u64::try_from(wait.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u64::MAX).max(1);
    Limited { limit, quota: rate.burst(), window: Some(rate.window()), retry_after }
}

#[cfg(test)]
mod tests;
