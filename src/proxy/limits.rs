//! Where a request meets the limits of its route. Each of these may come to wait for a store that others share.

use std::time::{Duration, Instant};

use super::{Gateway, Peer, Verdict};
use crate::admission::Admission;
use crate::auth::Permit;
use crate::config::state::OnError;
use crate::failure::{Failure, StoreFault};
use crate::limit::{Places, Sender, limited};
use crate::route::{Limit, Route, RouteLimits};

impl Gateway {
    /// Before anything is verified: whether the address has been refused too often.
    pub(super) async fn may_ask(&self, route: &Route, peer: &Peer) -> Result<(), Failure> {
        let asked = self.limits.may_ask(&route.name, &route.limits, peer.address.ip(), Instant::now);
        asked.map_err(Failure::RateLimited)
    }

    /// Who was refused pays for it; on a route that only observes too, or that would be a way around the limit.
    pub(super) async fn charge(&self, route: &Route, peer: &Peer, judged: &Result<Verdict, Failure>) {
        if is_refused(judged) {
            self.limits.refused(&route.name, &route.limits, peer.address.ip(), Instant::now);
        }
    }

    /// Counts what was verified. What a route observes has proven nothing, and counts for its address alone.
    pub(super) async fn count(&self, route: &Route, permit: &Permit) -> Result<Places, Failure> {
        let Permit::Granted(grant) = permit else { return Ok(Places::default()) };
        let (issuer, subject) = (grant.issuer().map(|issuer| &**issuer), grant.subject());
        let sender = Sender { route: &route.name, issuer, subject };
        let (Some(admission), true) = (&self.admission, route.limits.shared) else {
            return self.limits.admit(&sender, &route.limits, Instant::now);
        };
        // How many at once is counted in each process: nobody else knows when one has ended.
        let places = self.limits.admit(&sender, &route.limits.without_rates(), Instant::now)?;
        match (Box::pin(take_shared(admission, &sender, &route.limits)).await, admission.on_error()) {
            (Ok(()), _) => Ok(places),
            (Err(Failure::Undecided(_)), OnError::Allow) => {
                drop(places);
                self.limits.admit(&sender, &route.limits, Instant::now)
            }
            (Err(failure), _) => Err(failure),
        }
    }
}

/// The narrowest first; what it took stays taken where a wider one refuses.
async fn take_shared(admission: &Admission, sender: &Sender<'_>, limits: &RouteLimits) -> Result<(), Failure> {
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
        match admission.take(name, interval, rate.burst()).await {
            Ok(None) => {}
            Ok(Some(wait)) => return Err(Failure::RateLimited(limited(limit, rate, wait))),
            Err(_) => return Err(Failure::Undecided(StoreFault::Unavailable)),
        }
    }
    Ok(())
}

/// By the decision: what is undecided, broken off or over a limit is not the sender's debt.
fn is_refused(judged: &Result<Verdict, Failure>) -> bool {
    match judged {
        Err(failure) => failure.is_refusal() && failure.limited().is_none(),
        Ok(Verdict::Forward(Permit::Observed(refused))) => Failure::Refused(refused.clone()).is_refusal(),
        Ok(Verdict::Forward(Permit::Granted(_)) | Verdict::Answer(_)) => false,
    }
}
