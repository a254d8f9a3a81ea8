//! The time by which the store forgets ids and ends leases. It follows the system's clock, but a clock that is set
//! forward does not make it forget an id early or end a lease: it then runs a little faster until it has caught up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, UnixTime};

/// The store's time runs faster by this part of the time that passes, while it catches up: an hour in twenty. A lease
/// ends ten seconds after the last moment of its request, which leaves room for this.
const FASTER: u32 = 20;
/// A clock that is ahead by more than `JUMP` for `JUMP_AFTER` was wrong before, such as 1970 after a cold start, and is
/// followed at once.
const JUMP: Duration = Duration::from_secs(86_400);
const JUMP_AFTER: Duration = Duration::from_secs(3600);
/// A clock that was set back by this much or less counts as unchanged.
const SMALL: Duration = Duration::from_secs(2);
/// The system's time has no fractions, and the store must not be in its next second.
const FRACTION: Duration = Duration::from_nanos(999_999_999);

/// The time of the store.
pub struct StoreClock {
    clock: Arc<dyn Clock>,
    state: Mutex<StoreClockState>,
}

struct StoreClockState {
    /// Time of the store since 1970, when it was last read, and the monotonic time of that.
    now: Duration,
    read: Duration,
    start: Duration,
    highest: Duration,
    /// Monotonic time since which the system's clock is ahead by more than `JUMP`.
    ahead_since: Option<Duration>,
}

impl StoreClock {
    /// Begins with the system's time.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let (now, read) = (Duration::from_secs(clock.now().seconds()), clock.monotonic());
        let state = StoreClockState { now, read, start: now, highest: now, ahead_since: None };
        Self { clock, state: Mutex::new(state) }
    }

    /// The time of the store; never ahead of the system's.
    pub fn now(&self) -> UnixTime {
        to_unix(self.read().now)
    }

    /// The time of the system, by which credentials are verified.
    pub fn system(&self) -> UnixTime {
        self.clock.now()
    }

    /// Whether an id that is kept until `until` may have been forgotten already, because the clock was set back since.
    pub fn may_have_forgotten(&self, until: UnixTime) -> bool {
        let state = self.read();
        let until = Duration::from_secs(until.seconds());
        state.now + SMALL < state.highest && state.start <= until && until < state.highest
    }

    fn read(&self) -> MutexGuard<'_, StoreClockState> {
        let system = Duration::from_secs(self.clock.now().seconds());
        let monotonic = self.clock.monotonic();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = monotonic.saturating_sub(state.read);
        let steady = state.now + passed + passed / FASTER;
        if system <= steady + JUMP {
            state.ahead_since = None;
        }
        let jumps = system > steady + JUMP
            && monotonic.saturating_sub(*state.ahead_since.get_or_insert(monotonic)) >= JUMP_AFTER;
        state.now = if jumps { system } else { steady.min(system + FRACTION) };
        state.read = state.read.max(monotonic);
        state.highest = state.highest.max(state.now);
        state
    }
}

fn to_unix(time: Duration) -> UnixTime {
    UnixTime::default().plus(time)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const START: u64 = 1_800_000_000;
    const HOUR: u64 = 3600;

    /// A clock whose time can be set apart from the time that passes.
    struct SetClock {
        system: AtomicU64,
        monotonic: AtomicU64,
    }

    impl SetClock {
        fn pass(&self, seconds: u64) {
            self.system.fetch_add(seconds, Ordering::Relaxed);
            self.monotonic.fetch_add(seconds, Ordering::Relaxed);
        }
    }

    impl Clock for SetClock {
        fn now(&self) -> UnixTime {
            UnixTime::from_seconds(self.system.load(Ordering::Relaxed)).unwrap()
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.monotonic.load(Ordering::Relaxed))
        }
    }

    fn clocks() -> (Arc<SetClock>, StoreClock) {
        let clock = Arc::new(SetClock { system: AtomicU64::new(START), monotonic: AtomicU64::new(7) });
        (Arc::clone(&clock), StoreClock::new(clock))
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_seconds(START + seconds).unwrap()
    }

    #[test]
    fn an_hour_ahead_and_back_is_not_seen() {
        let (clock, store) = clocks();
        clock.system.fetch_add(HOUR, Ordering::Relaxed);
        clock.pass(60);
        assert_eq!(store.now(), at(63));
        clock.system.fetch_sub(HOUR, Ordering::Relaxed);
        clock.pass(60);
        assert_eq!(store.now(), at(120));
        assert!(!store.may_have_forgotten(at(100)));
        // A correction is caught up with.
        clock.system.fetch_add(HOUR, Ordering::Relaxed);
        (0..21).for_each(|_| {
            clock.pass(HOUR);
            store.now();
        });
        assert_eq!(store.now(), at(120 + 22 * HOUR));
    }

    #[test]
    fn a_clock_that_was_set_back_may_have_forgotten_ids() {
        let (clock, store) = clocks();
        clock.pass(HOUR);
        store.now();
        clock.system.fetch_sub(600, Ordering::Relaxed);
        assert!(store.now() <= at(HOUR - 599));
        assert!(store.may_have_forgotten(at(HOUR - 1)) && store.may_have_forgotten(at(0)));
        assert!(!store.may_have_forgotten(at(HOUR + 1)));
        let before = UnixTime::from_seconds(START - 1).unwrap();
        assert!(!store.may_have_forgotten(before));
        clock.pass(600);
        assert!(!store.may_have_forgotten(at(HOUR - 1)));
    }

    #[test]
    fn a_clock_that_was_wrong_before_is_followed() {
        let (clock, store) = clocks();
        clock.system.fetch_add(1_000_000, Ordering::Relaxed);
        assert_eq!(store.now(), at(0));
        clock.pass(HOUR);
        assert_eq!(store.now(), at(1_000_000 + HOUR));
    }
}
