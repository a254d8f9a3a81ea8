//! The rate and concurrency limits in `limits` of a route. [`crate::limit`] holds the counters.

/// The largest body that is read for the decision on a request of an address that exceeds `failed_auth_rate`. Most genuine
/// events are smaller, and an unauthenticated client cannot make a worker hash megabytes for each of its requests.
pub const REDUCED_MAX_BODY: u64 = 64 << 10;

/// The rate and concurrency limits of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteLimits {
    /// The limit on all verified requests of the route.
    pub route: Limit,
    /// The limit on the verified requests of each issuer (`per_issuer`).
    pub issuer: Limit,
    /// The limit on the verified requests of each subject of an issuer (`per_subject`).
    pub subject: Limit,
    /// The limit on the verified requests of each sender (`per_sender`).
    pub sender: Limit,
    /// The rate limit on rejected requests from each address (`failed_auth_rate`). Beyond it, bodies of at most
    /// [`REDUCED_MAX_BODY`] are read for the decision.
    pub failed_auth: Option<Rate>,
    /// Whether the rates of `route`, `issuer`, `subject` and `sender` are counted in the shared store.
    pub shared: bool,
}

impl RouteLimits {
    /// The concurrency limits alone.
    #[must_use]
    pub fn without_rates(&self) -> Self {
        let uncounted = |limit: &Limit| Limit { rate: None, ..*limit };
        Self {
            route: uncounted(&self.route),
            issuer: uncounted(&self.issuer),
            subject: uncounted(&self.subject),
            sender: uncounted(&self.sender),
            failed_auth: None,
            shared: self.shared,
        }
    }
}

/// A rate limit and a concurrency limit, each optional.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// The rate limit.
    pub rate: Option<Rate>,
    /// The maximum number of concurrent requests.
    pub concurrency: Option<u32>,
}

/// A number of requests per time, with a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    seconds: u32,
    burst: u32,
}

impl Rate {
    /// The maximum of `count` and `burst`: a full burst at one request per hour, in nanoseconds, fits well in 64 bits.
    pub const MAX: u32 = 1_000_000;

    /// `count` requests per `seconds`, with a burst of `burst`; each is clamped to 1 to [`Self::MAX`].
    pub fn new(count: u32, seconds: u32, burst: u32) -> Self {
        let within = |number: u32| number.clamp(1, Self::MAX);
        Self { count: within(count), seconds: within(seconds), burst: within(burst) }
    }

    /// The burst, in requests.
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// Nanoseconds from one request to the next. Rounded up: rounded down, the rate would be higher than configured.
    pub fn interval(&self) -> u64 {
        (u64::from(self.seconds) * 1_000_000_000).div_ceil(u64::from(self.count))
    }

    /// Seconds until a consumed burst is available again, rounded up.
    pub fn window(&self) -> u64 {
        (u64::from(self.burst) * u64::from(self.seconds)).div_ceil(u64::from(self.count))
    }
}
