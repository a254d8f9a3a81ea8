//! How many endpoint verification challenges are answered: of each route and client address, unauthenticated and
//! authenticated ones apart, so that no client uses up what another one needs.

use std::net::IpAddr;

use super::gcra_store::{GcraStore, QuotaError};
use super::keys::{AddressKey, CounterHasher};
use crate::clock::UnixTime;
use crate::failure::Limited;
use crate::route::{ChallengeStage, Rate};

/// The maximum number of responses to challenges per second, of one route and address: a provider sends one challenge
/// in hours.
const MAX_CHALLENGES: u32 = 20;

const NANOSECONDS: u64 = 1_000_000_000;

/// Counts endpoint verification challenges.
#[derive(Debug)]
pub struct ChallengeLimit {
    rate: Rate,
    hasher: CounterHasher,
    consumed: GcraStore,
}

impl Default for ChallengeLimit {
    fn default() -> Self {
        let rate = Rate::new(MAX_CHALLENGES, 1, MAX_CHALLENGES);
        Self { rate, hasher: CounterHasher::default(), consumed: GcraStore::default() }
    }
}

impl ChallengeLimit {
    /// Counts one more challenge. If no further address can be counted, it is not: clients with many addresses would
    /// otherwise block the challenges of all others, and an answer costs less than a rejected request.
    ///
    /// # Errors
    /// [`Limited`] if the rate of the address on this route is exceeded.
    pub fn admit(&self, route: &str, stage: ChallengeStage, address: IpAddr, now: UnixTime) -> Result<(), Limited> {
        let authenticated = stage == ChallengeStage::Authenticated;
        let id = self.hasher.id((route, authenticated, AddressKey::of(address)));
        let mut consumed = self.consumed.lock(id);
        match consumed.take(id, now.seconds().saturating_mul(NANOSECONDS), &self.rate) {
            Ok(free_at) => consumed.record_consumption(id, free_at),
            Err(QuotaError::Full) => {}
            Err(QuotaError::Early(_)) => {
                return Err(Limited { limit: "challenges", quota: MAX_CHALLENGES, window: Some(1), retry_after: 10 });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_bounded_by_route_stage_and_address() {
        let (challenges, now) = (ChallengeLimit::default(), UnixTime::from_seconds(7).unwrap());
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let answered = |route, stage, from, at| {
            (0..100).filter(|_| challenges.admit(route, stage, address(from), at).is_ok()).count()
        };
        let unsigned = ChallengeStage::Unauthenticated;
        assert_eq!(answered("a", unsigned, "192.0.2.1", now), 20);
        assert_eq!(answered("a", unsigned, "192.0.2.1", UnixTime::from_seconds(8).unwrap()), 20);
        assert_eq!(answered("a", ChallengeStage::Authenticated, "192.0.2.1", now), 20);
        assert_eq!(answered("a", unsigned, "192.0.2.2", now), 20);
        assert_eq!(answered("b", unsigned, "192.0.2.1", now), 20);
        let limited = challenges.admit("b", unsigned, address("192.0.2.1"), now).unwrap_err();
        assert_eq!((limited.limit, limited.quota, limited.retry_after), ("challenges", 20, 10));
    }
}
