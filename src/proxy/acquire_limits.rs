//! The stage that counts a verified request against the rate and concurrency limits of its route. A rate may be counted
//! in a shared store.

use std::time::{Duration, Instant};

use super::request_context::RequestContext;
use crate::auth::Permit;
use crate::auth::sender::Sender;
use crate::failure::Failure;
use crate::limit::{ConcurrencyPermits, RequestSender, limited};
use crate::reason::Reason;
use crate::route::{Limit, RouteLimits};
use crate::services::Services;
use crate::settings::OnError;
use crate::store::StoreClient;

/// Counts a request against the limits of its route, issuer, subject and sender. It comes after the reservation: a captured
/// request that is repeated must not consume its sender's quota. A request that fails verification in dry run has
/// proven nothing, and counts against its address alone.
///
/// # Errors
/// `RateLimited`, `ConcurrencyLimited`, or `StoreUnavailable` where the store of the shared rates does not respond.
pub(super) async fn acquire_limits(
    services: &Services,
    context: &RequestContext<'_>,
    permit: &Permit,
) -> Result<ConcurrencyPermits, Failure> {
    let route = context.route;
    let Permit::Granted(grant) = permit else { return Ok(ConcurrencyPermits::default()) };
    let (issuer, subject) = (grant.issuer().map(|issuer| &**issuer), grant.subject());
    let sender = (route.limits.sender != Limit::default() || context.tunnel.is_some()).then(|| grant.sender());
    let sender = RequestSender { route: &route.name, issuer, subject, sender };
    let tunnel = match context.tunnel {
        Some(rule) => services.limits.admit_tunnel(&sender, context.connection.address.ip(), rule)?,
        None => ConcurrencyPermits::default(),
    };
    Ok(count(services, context, &sender).await?.and(tunnel))
}

async fn count(
    services: &Services,
    context: &RequestContext<'_>,
    sender: &RequestSender<'_>,
) -> Result<ConcurrencyPermits, Failure> {
    let route = context.route;
    let (Some(store), true) = (&services.store, route.limits.shared) else {
        return services.limits.admit(sender, &route.limits, Instant::now);
    };
    // Concurrency is counted in each process: no other process knows when a request has ended.
    let permits = services.limits.admit(sender, &route.limits.without_rates(), Instant::now)?;
    match (Box::pin(take_shared(store, sender, &route.limits)).await, store.on_error) {
        (Ok(()), _) => Ok(permits),
        (Err(Failure::Plain(Reason::StoreUnavailable)), OnError::Allow) => {
            drop(permits);
            services.limits.admit(sender, &route.limits, Instant::now)
        }
        (Err(failure), _) => Err(failure),
    }
}

/// Counts against the narrowest limit first; its consumed quota stays consumed where a wider limit rejects the request.
async fn take_shared(store: &StoreClient, sender: &RequestSender<'_>, limits: &RouteLimits) -> Result<(), Failure> {
    let (route, issuer) = (sender.route.as_bytes(), sender.issuer.unwrap_or_default().as_bytes());
    let subject = sender.subject.unwrap_or_default().as_bytes();
    let whole = sender.sender.as_ref().map(Sender::to_bytes).unwrap_or_default();
    let counted: [(&'static str, &Limit, &[&[u8]]); 4] = [
        ("sender", &limits.sender, &[b"rate of sender", route, &whole]),
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
