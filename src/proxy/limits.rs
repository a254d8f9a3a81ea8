//! Where a request meets the limits of its route. Each of these may come to wait for a store that others share.

use std::time::Instant;

use super::{Gateway, Peer, Verdict};
use crate::auth::Permit;
use crate::failure::Failure;
use crate::limit::{Places, Sender};
use crate::route::Route;

impl Gateway {
    /// Before anything is verified: whether the address has been refused too often.
    pub(super) async fn may_ask(&self, route: &Route, peer: &Peer) -> Result<(), Failure> {
        let asked = self.limits.may_ask(&route.name, &route.limits, peer.address.ip(), Instant::now());
        asked.map_err(Failure::RateLimited)
    }

    /// Who was refused pays for it; on a route that only observes too, or that would be a way around the limit.
    pub(super) async fn charge(&self, route: &Route, peer: &Peer, judged: &Result<Verdict, Failure>) {
        if is_refused(judged) {
            self.limits.refused(&route.name, &route.limits, peer.address.ip(), Instant::now());
        }
    }

    /// Counts what was verified. What a route observes has proven nothing, and counts for its address alone.
    pub(super) async fn admit(&self, route: &Route, permit: &Permit) -> Result<Places, Failure> {
        let Permit::Granted(grant) = permit else { return Ok(Places::default()) };
        let (issuer, subject) = (grant.issuer().map(|issuer| &**issuer), grant.subject());
        self.limits.admit(&Sender { route: &route.name, issuer, subject }, &route.limits, Instant::now())
    }
}

/// By the decision: what is undecided, broken off or over a limit is not the sender's debt.
fn is_refused(judged: &Result<Verdict, Failure>) -> bool {
    match judged {
        Err(failure) => failure.is_refusal() && failure.limited().is_none(),
        Ok(Verdict::Forward(Permit::Observed(refused))) => Failure::Refused(refused.clone()).is_refusal(),
        Ok(Verdict::Forward(Permit::Granted(_)) | Verdict::Answer(_)) => false,
    }
}
