//! Rate limiting by the generic cell rate algorithm (GCRA, ITU-T I.371), a token bucket that stores one number per key:
//! the time at which the key's quota is full again. Each request adds an interval to it, and it may lie ahead by at
//! most a burst. Pure; times are nanoseconds of a monotonic clock.

use crate::route::Rate;

/// Counts one more request of a key whose quota is full again at `free_at`; returns the new such time.
///
/// # Errors
/// The number of nanoseconds by which the request is too early.
pub(super) fn take(free_at: u64, now: u64, rate: &Rate) -> Result<u64, u64> {
    let capacity = capacity(rate);
    let consumed = consumed(free_at, now, capacity).saturating_add(rate.interval());
    match consumed.checked_sub(capacity) {
        None | Some(0) => Ok(now.saturating_add(consumed)),
        Some(early) => Err(early),
    }
}

/// Like [`take`], for a request that has already been handled and can no longer be rejected.
pub(super) fn charge(free_at: u64, now: u64, rate: &Rate) -> u64 {
    let capacity = capacity(rate);
    now.saturating_add(consumed(free_at, now, capacity).saturating_add(rate.interval()).min(capacity))
}

/// The consumed quota, in nanoseconds. A quota consumed at an earlier, lower rate counts as one burst at most, so that
/// a raised rate takes effect at once.
fn consumed(free_at: u64, now: u64, capacity: u64) -> u64 {
    free_at.saturating_sub(now).min(capacity)
}

fn capacity(rate: &Rate) -> u64 {
    rate.interval().saturating_mul(u64::from(rate.burst()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// The times, of those given, at which a request is accepted.
    fn admitted(rate: &Rate, times: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut free_at = 0;
        let passes = |now: &u64| take(free_at, *now, rate).inspect(|next| free_at = *next).is_ok();
        times.into_iter().filter(passes).collect()
    }

    #[test]
    fn a_burst_passes_at_once_and_then_one_an_interval() {
        let rate = Rate::new(10, 1, 5);
        assert_eq!(admitted(&rate, [0; 20]).len(), 5);
        // One request per millisecond for two seconds: the burst passes, and then one request per 100 ms.
        let each_millisecond = (0..=2_000).map(|millis| millis * 1_000_000);
        assert_eq!(admitted(&rate, each_millisecond).len(), 5 + 20);
        assert_eq!(admitted(&rate, [[0; 9], [SECOND / 10 - 1; 9]].concat()).len(), 5);
        assert_eq!(admitted(&rate, [[0; 9], [SECOND / 10; 9]].concat()).len(), 6);
        // A long pause restores one burst and no more.
        assert_eq!(admitted(&rate, [[0; 9], [1000 * SECOND; 9]].concat()).len(), 10);
    }

    #[test]
    fn a_rejection_says_how_long_to_wait_and_costs_nothing() {
        let rate = Rate::new(1, 3600, 1);
        let free_at = take(0, 7, &rate).unwrap();
        let wait = take(free_at, SECOND, &rate).unwrap_err();
        assert_eq!(wait, 3599 * SECOND + 7);
        assert_eq!(take(free_at, SECOND + wait - 1, &rate), Err(1));
        assert!(take(free_at, SECOND + wait, &rate).is_ok());
    }

    #[test]
    fn requests_that_were_not_rejected_in_time_are_charged_up_to_a_burst() {
        let rate = Rate::new(1, 1, 2);
        let free_at = (0..9).fold(0, |free_at, _| charge(free_at, 0, &rate));
        assert_eq!(free_at, 2 * SECOND);
        assert_eq!(take(free_at, 0, &rate), Err(SECOND));
    }

    #[test]
    fn a_raised_rate_does_not_wait_for_the_old_one() {
        let (old, new) = (Rate::new(1, 3600, 1), Rate::new(10, 1, 1));
        let free_at = take(0, 0, &old).unwrap();
        assert_eq!(take(free_at, 0, &new), Err(SECOND / 10));
    }

    #[test]
    fn a_window_is_the_time_of_a_burst() {
        let windows = [(100, 1, 200), (3, 1, 3), (1, 3600, 2), (7, 60, 1)].map(|(n, s, b)| Rate::new(n, s, b).window());
        assert_eq!(windows, [2, 1, 7200, 9]);
    }

    proptest! {
        /// The bound holds over any window, also if the interval is not a whole number of nanoseconds.
        #[test]
        fn no_window_has_more_than_a_burst_and_the_rate(
            count in 1_u32..2_000,
            seconds in prop::sample::select(vec![1_u32, 60, 3600]),
            burst in 1_u32..40,
            pauses in prop::collection::vec(prop_oneof![Just(0), 0..50_000_u64, 0..3 * SECOND, 0..7200 * SECOND], 1..200),
        ) {
            let rate = Rate::new(count, seconds, burst);
            let (mut free_at, mut now, mut passed) = (0, 0, Vec::new());
            for pause in pauses {
                match take(free_at, now, &rate) {
                    Ok(next) => { passed.push(now); free_at = next }
                    // Usually the next request comes at the earliest time at which it can pass.
                    Err(early) => now += if pause % 3 == 0 { pause } else { early },
                }
            }
            for (first, from) in passed.iter().enumerate() {
                for (last, to) in passed.iter().enumerate().skip(first) {
                    let beyond = u128::try_from(last - first + 1).unwrap().saturating_sub(u128::from(burst));
                    let allowed = u128::from(count) * u128::from(to - from);
                    prop_assert!(beyond * u128::from(seconds) * u128::from(SECOND) <= allowed);
                }
            }
        }
    }
}
