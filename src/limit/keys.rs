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

/// A prefix by which clients are weighed. An IPv6 customer has a /64, a /56 or a /48 (RFC 6177), and an IPv4 network is
/// seldom smaller than a /24, so that an attacker with one of these has many addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum AddressPrefix {
    /// All addresses.
    All,
    /// An IPv4 /24.
    V4Network([u8; 3]),
    /// One IPv4 address.
    V4([u8; 4]),
    /// An IPv6 /48.
    V6Site(u64),
    /// An IPv6 /56.
    V6Network(u64),
    /// An IPv6 /64.
    V6(u64),
}

impl AddressPrefix {
    /// The last prefix in their order.
    pub(super) const MAX: Self = Self::V6(u64::MAX);
}

impl AddressKey {
    /// The key of an address; an IPv4-mapped IPv6 address counts as IPv4.
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.octets()),
            IpAddr::V6(v6) => Self::V6(u64::try_from(v6.to_bits() >> 64).unwrap_or(u64::MAX)),
        }
    }

    /// The prefixes that contain the address, the widest first; the last one is [`Self::prefix`].
    pub(super) fn prefixes(self) -> impl Iterator<Item = AddressPrefix> {
        let (network, parent) = match self {
            Self::V4([a, b, c, _]) => (AddressPrefix::V4Network([a, b, c]), None),
            Self::V6(bits) => (AddressPrefix::V6Site(bits >> 16), Some(AddressPrefix::V6Network(bits >> 8))),
        };
        [Some(network), parent, Some(self.prefix())].into_iter().flatten()
    }

    /// The address itself as a prefix.
    pub(super) fn prefix(self) -> AddressPrefix {
        match self {
            Self::V4(octets) => AddressPrefix::V4(octets),
            Self::V6(bits) => AddressPrefix::V6(bits),
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
