//! Round-robin load balancing over the endpoints of an upstream, with passive health checks by each worker. No I/O.

use std::time::{Duration, Instant};

/// How long a failing endpoint is ejected while others are available. One half-open probe is then sent to it.
pub(super) const ASIDE: Duration = Duration::from_secs(10);

/// Consecutive failures that eject an endpoint which was reached. An endpoint that cannot be reached is ejected at
/// once.
const MAX_FAILURES: u32 = 5;

/// Outcome of an attempt. Any response counts as a success, regardless of its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttemptOutcome {
    /// A response was received.
    Answered,
    /// No response was received: the time was up, or the connection broke.
    Unanswered,
    /// There was no connection.
    Unreached,
}

/// State change that an outcome causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HealthChange {
    Ejected,
    Restored,
}

/// Health of an endpoint, as one worker has seen it.
#[derive(Debug, Default)]
pub(super) struct Health {
    failures: u32,
    aside_until: Option<Instant>,
    /// The worker's count of requests at the last request to this endpoint.
    turn: u64,
}

impl Health {
    /// Order in which endpoints are tried, lowest first: ejected ones last, otherwise the one with the oldest last
    /// request.
    pub(super) fn rank(&self, now: Instant) -> (bool, u64) {
        (self.aside_until.is_some_and(|until| now < until), self.turn)
    }

    /// Records that a request is sent. To an ejected endpoint it is the half-open probe: other requests keep away until
    /// the outcome is known, at most for another 10 s.
    pub(super) fn begin(&mut self, turn: u64, now: Instant) {
        self.turn = turn;
        self.aside_until = self.aside_until.map(|_| now + ASIDE);
    }

    pub(super) fn note(&mut self, outcome: AttemptOutcome, now: Instant) -> Option<HealthChange> {
        let was_aside = self.aside_until.is_some();
        self.failures = match outcome {
            AttemptOutcome::Answered => 0,
            AttemptOutcome::Unanswered => self.failures.saturating_add(1),
            AttemptOutcome::Unreached => MAX_FAILURES,
        };
        // The half-open probe decides: one failure ejects the endpoint again.
        let aside = self.failures >= MAX_FAILURES || (self.failures > 0 && was_aside);
        self.aside_until = aside.then(|| now + ASIDE);
        match (was_aside, aside) {
            (false, true) => Some(HealthChange::Ejected),
            (true, false) => Some(HealthChange::Restored),
            (false, false) | (true, true) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    /// The endpoint that is next, which then gets the request.
    fn next(all: &mut [Health], turn: u64, now: Instant) -> usize {
        let place = (0..all.len()).min_by_key(|place| all[*place].rank(now)).unwrap();
        all[place].begin(turn, now);
        place
    }

    fn places(all: &mut [Health], turns: std::ops::Range<u64>, now: Instant) -> Vec<usize> {
        turns.map(|turn| next(all, turn, now)).collect()
    }

    #[test]
    fn upstreams_are_used_round_robin() {
        let mut all = [Health::default(), Health::default(), Health::default()];
        assert_eq!(places(&mut all, 1..8, Instant::now()), [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn an_unreachable_upstream_is_ejected_and_then_probed_once() {
        let (mut all, now) = ([Health::default(), Health::default()], Instant::now());
        assert_eq!(next(&mut all, 1, now), 0);
        assert_eq!(all[0].note(AttemptOutcome::Unreached, now), Some(HealthChange::Ejected));
        assert_eq!(places(&mut all, 2..5, now + ASIDE - TICK), [1, 1, 1]);
        // While the half-open probe is in flight, other requests go to the other endpoint.
        assert_eq!(places(&mut all, 5..8, now + ASIDE), [0, 1, 1]);
        assert_eq!(all[0].note(AttemptOutcome::Unreached, now + ASIDE), None);
        assert_eq!(places(&mut all, 8..10, now + 2 * ASIDE - TICK), [1, 1]);
        assert_eq!(next(&mut all, 10, now + 2 * ASIDE), 0);
        assert_eq!(all[0].note(AttemptOutcome::Answered, now + 2 * ASIDE), Some(HealthChange::Restored));
        assert_eq!(places(&mut all, 11..15, now + 2 * ASIDE), [1, 0, 1, 0]);
    }

    #[test]
    fn an_upstream_that_does_not_answer_is_ejected_after_several_failures() {
        let (mut health, now) = (Health::default(), Instant::now());
        for _ in 1..MAX_FAILURES {
            assert_eq!(health.note(AttemptOutcome::Unanswered, now), None);
        }
        assert_eq!(health.note(AttemptOutcome::Answered, now), None);
        for _ in 1..MAX_FAILURES {
            assert_eq!(health.note(AttemptOutcome::Unanswered, now), None);
        }
        assert_eq!(health.note(AttemptOutcome::Unanswered, now), Some(HealthChange::Ejected));
        assert_eq!(health.note(AttemptOutcome::Unanswered, now + ASIDE), None);
        assert_eq!(health.rank(now + ASIDE + TICK), (true, 0));
    }

    #[test]
    fn if_all_are_ejected_all_are_tried() {
        let (mut all, now) = ([Health::default(), Health::default()], Instant::now());
        for health in &mut all {
            health.note(AttemptOutcome::Unreached, now);
        }
        assert_eq!(places(&mut all, 1..4, now + TICK), [0, 1, 0]);
    }
}
