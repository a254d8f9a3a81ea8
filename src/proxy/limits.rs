//! Rate and concurrency limits of a route. Each check may have to wait for a shared store.

use std::time::{Duration, Instant};

use super::{ConnectionInfo, Decision, Gateway};
use crate::auth::Permit;
use crate::failure::{Failure, is_rejection};
use crate::limit::{ConcurrencyPermits, RequestSender, limited};
use crate::reason::Reason;
use crate::route::{Limit, Route, RouteLimits};
use crate::settings::OnError;
use crate::store::StoreClient;

impl Gateway {
    /// Before anything is verified: checks whether the client's address has exceeded `limits.failed_auth_rate`.
    pub(super) async fn check_ip_rate(&self, route: &Route, connection: &ConnectionInfo) -> Result<(), Failure> {
        let context = self.limits.check_ip_rate(&route.name, &route.limits, connection.address.ip(), Instant::now);
        context.map_err(Failure::RateLimited)
    }

    /// Counts a rejected request against the client's address. Dry run counts as well, or it would be a way around the
    /// limit.
    pub(super) async fn charge(
        &self,
        route: &Route,
        connection: &ConnectionInfo,
        evaluated: &Result<Decision, Failure>,
    ) {
        if is_rejected(evaluated) {
            self.limits.penalize(&route.name, &route.limits, connection.address.ip(), Instant::now);
        }
    }

    /// Counts a verified request against the limits of the route, issuer and subject. A request that fails verification
    /// in dry run has proven nothing, and counts against its address alone.
    pub(super) async fn count(&self, route: &Route, permit: &Permit) -> Result<ConcurrencyPermits, Failure> {
        let Permit::Granted(grant) = permit else { return Ok(ConcurrencyPermits::default()) };
        let (issuer, subject) = (grant.issuer().map(|issuer| &**issuer), grant.subject());
        let sender = RequestSender { route: &route.name, issuer, subject };
        let (Some(store), true) = (&self.store, route.limits.shared) else {
            return self.limits.admit(&sender, &route.limits, Instant::now);
        };
        // Concurrency is counted in each process: no other process knows when a request has ended.
        let permits = self.limits.admit(&sender, &route.limits.without_rates(), Instant::now)?;
        match (Box::pin(take_shared(store, &sender, &route.limits)).await, store.on_error()) {
            (Ok(()), _) => Ok(permits),
            (Err(Failure::Plain(Reason::StoreUnavailable)), OnError::Allow) => {
                drop(permits);
                self.limits.admit(&sender, &route.limits, Instant::now)
            }
            (Err(failure), _) => Err(failure),
        }
    }
}

/// Counts against the narrowest limit first; its consumed quota stays consumed where a wider limit rejects the request.
async fn take_shared(store: &StoreClient, sender: &RequestSender<'_>, limits: &RouteLimits) -> Result<(), Failure> {
    let (route, issuer) = (sender.route.as_bytes(), sender.issuer.unwrap_or_default().as_bytes());
    let subject = sender.subject.unwrap_or_default().as_bytes();
    let counted: [(&'static str, &Limit, &[&[u8]]); 3] = [
        ("subject", &limits.subject, &[b"rate of subject", route, issuer, subject]),
        ("issuer", &limits.issuer, &[b"rate of issuer", route, issuer]),
        ("route", &limits.route, &[b"rate of route", route]),
    ];
    for (limit, of, name) in counted {
        let Some(rate) = &of.rate else { continue };
        let interval = Duration::from_nanos(rate.interval());
        match store.take(name, interval, rate.burst()).await {
            Ok(None) => {}
            Ok(Some(wait)) => return Err(Failure::RateLimited(limited(limit, rate, wait))),
            Err(_) => return Err(Reason::StoreUnavailable.into()),
        }
    }
    Ok(())
}

/// Whether the decision rejected the request. A request that could not be verified, ended prematurely or exceeded a
/// limit does not count against its sender.
fn is_rejected(evaluated: &Result<Decision, Failure>) -> bool {
    match evaluated {
        Err(failure) => is_rejection(failure.reason()) && failure.limited().is_none(),
        Ok(Decision::Forward(Permit::Observed(rejection))) => is_rejection(rejection.reason),
        Ok(Decision::Forward(Permit::Granted(_)) | Decision::ChallengeResponse(_)) => false,
    }
}
