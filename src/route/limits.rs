//! `limits` of a route, as far as they count requests. What has been counted is in [`crate::limit`]'s hands.

/// How many requests, and by whom they are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteLimits {
    /// Verified requests of the route, together.
    pub route: Limit,
    /// Those of each issuer.
    pub issuer: Limit,
    /// Those of each subject of an issuer.
    pub subject: Limit,
    /// Refused requests of each address (`rate_unauthenticated`).
    pub address: Option<Rate>,
    /// Counted over all replicas.
    pub shared: bool,
}

impl RouteLimits {
    /// How many at once, alone.
    #[must_use]
    pub fn without_rates(&self) -> Self {
        let places = |limit: &Limit| Limit { rate: None, ..*limit };
        Self {
            route: places(&self.route),
            issuer: places(&self.issuer),
            subject: places(&self.subject),
            address: None,
            shared: self.shared,
        }
    }
}

/// How often, and how many at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// How often.
    pub rate: Option<Rate>,
    /// How many at once.
    pub concurrency: Option<u32>,
}

/// So many in a time, and so many of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    seconds: u32,
    burst: u32,
}

impl Rate {
    /// The highest `count` and `burst`: a full burst at one an hour is then still far from the end of 64 bits.
    pub const MAX: u32 = 1_000_000;

    /// `count` in so many `seconds`, and `burst` at once; each at least 1, and none over [`Self::MAX`].
    pub fn new(count: u32, seconds: u32, burst: u32) -> Self {
        let within = |number: u32| number.clamp(1, Self::MAX);
        Self { count: within(count), seconds: within(seconds), burst: within(burst) }
    }

    /// How many at once.
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// Nanoseconds from one request to the next. Rounded up: what is rounded down lets more through than is written.
    pub fn interval(&self) -> u64 {
        (u64::from(self.seconds) * 1_000_000_000).div_ceil(u64::from(self.count))
    }

    /// Seconds in which a burst that is used up is whole again, rounded up.
    pub fn window(&self) -> u64 {
        (u64::from(self.burst) * u64::from(self.seconds)).div_ceil(u64::from(self.count))
    }
}
