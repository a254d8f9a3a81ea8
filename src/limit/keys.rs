//! Ids of counters, and the shards that hold them: the workers share the shards, and seldom wait for each other because
//! each shard has its own lock.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;

/// The number of shards.
const SHARDS: usize = 16;

/// The id of a counter: a keyed hash of a route with an address, an issuer or a subject. It is as small for a subject
/// of 8 KiB as for an address, and an attacker cannot aim at the id of another sender. Among a hundred thousand ids,
/// two are equal with a probability of 10⁻²⁸.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CounterId(u64, u64);

/// The unit by which addresses are counted: one IPv4 address, or one IPv6 /64, since an IPv6 customer has at least a
/// /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum AddressKey {
    V4([u8; 4]),
    V6(u64),
}

impl AddressKey {
    /// The key of an address; an IPv4-mapped IPv6 address counts as IPv4.
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.octets()),
            IpAddr::V6(v6) => Self::V6(u64::try_from(v6.to_bits() >> 64).unwrap_or(u64::MAX)),
        }
    }
}

/// Computes ids by SipHash with a random key in each process. It is faster than the HMAC of `store::entry_hasher`,
/// whose ids outlive the process, and which replicas share.
#[derive(Debug, Default)]
pub(super) struct CounterHasher(RandomState, RandomState);

impl CounterHasher {
    /// The id of `parts`, whose hash must include where each part ends, as that of a tuple of strings does.
    pub(super) fn id(&self, parts: impl Hash) -> CounterId {
        CounterId(self.0.hash_one(&parts), self.1.hash_one(&parts))
    }
}

/// One value per shard.
#[derive(Debug, Default)]
pub(super) struct Sharded<T>([T; SHARDS]);

impl<T> Sharded<T> {
    /// The shard of `id`.
    #[expect(clippy::indexing_slicing, reason = "a remainder of SHARDS is less than SHARDS")]
    pub(super) fn of(&self, id: CounterId) -> &T {
        let at = usize::try_from(id.0).unwrap_or_default() % SHARDS;
        &self.0[at]
    }

    #[cfg(test)]
    pub(super) fn sum(&self, count: impl Fn(&T) -> usize) -> usize {
        self.0.iter().map(count).sum()
    }
}
