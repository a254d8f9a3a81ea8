//! Limits on the resources of unauthenticated clients: open connections and buffered bodies, in total and per address,
//! and responses to endpoint verification challenges; and the rate and concurrency limits of routes. Called by the
//! server and the gateway.

mod gcra;
mod gcra_store;
mod keys;
mod quota;
mod requests;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::UnixTime;
use crate::failure::{Exhausted, Limited};
use crate::metrics::ConnectionRejection;
use crate::snapshot::{ADDRESS_SHARE, ListenerLimits};
use keys::AddressKey;
use quota::{KeyedQuota, QuotaPermit};
pub use requests::{ConcurrencyPermits, RequestLimits, RequestSender, limited};

/// Counts the open connections of one listener, across all workers.
#[derive(Debug, Default)]
pub struct Connections(Arc<KeyedQuota<AddressKey>>);

/// The permit of a connection, held while it is open.
#[derive(Debug)]
pub struct ConnectionPermit(QuotaPermit<AddressKey>);

impl Connections {
    /// A permit for one more connection, not yet counted for an address.
    ///
    /// # Errors
    /// [`ConnectionRejection::MaxConnections`].
    pub fn admit(&self, limits: &ListenerLimits) -> Result<ConnectionPermit, ConnectionRejection> {
        let mut permit = self.0.begin(None);
        permit.grow(1, amount(limits.max_connections), 0).map_err(|_| ConnectionRejection::MaxConnections)?;
        Ok(ConnectionPermit(permit))
    }
}

impl ConnectionPermit {
    /// Counts the connection for `address` as well.
    ///
    /// # Errors
    /// [`ConnectionRejection::MaxConnectionsPerIp`].
    pub fn count_for(&mut self, address: IpAddr, limits: &ListenerLimits) -> Result<(), ConnectionRejection> {
        let limit = amount(limits.max_connections_per_ip);
        self.0.assign(AddressKey::of(address), limit).map_err(|_| ConnectionRejection::MaxConnectionsPerIp)
    }
}

/// Counts the bytes of buffered bodies, or those of the requests that wait for their bodies, across all workers.
#[derive(Clone, Debug, Default)]
pub struct MemoryQuota(Arc<KeyedQuota<AddressKey>>);

/// The amount of one request; released when it is dropped.
#[derive(Debug)]
pub struct MemoryPermit(QuotaPermit<AddressKey>);

impl MemoryQuota {
    /// A permit of zero bytes for a body from `address`.
    pub fn begin(&self, address: IpAddr) -> MemoryPermit {
        MemoryPermit(self.0.begin(Some(AddressKey::of(address))))
    }

    /// The number of bytes that are buffered now.
    pub fn total(&self) -> u64 {
        self.0.total()
    }
}

impl MemoryPermit {
    /// Counts `more` bytes.
    ///
    /// # Errors
    /// [`Exhausted`] if that exceeds `limit` in total, or one address's share of it; nothing more is counted then.
    pub fn grow(&mut self, more: usize, limit: u64) -> Result<(), Exhausted> {
        self.0.grow(amount(more), limit, limit / ADDRESS_SHARE)
    }
}

fn amount(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// The maximum number of responses to endpoint verification challenges per second, over all routes: a provider sends
/// one challenge in hours.
const MAX_CHALLENGES: u32 = 20;

/// Counts the endpoint verification challenges of each second.
#[derive(Debug, Default)]
pub struct ChallengeLimit(Mutex<(UnixTime, u32)>);

impl ChallengeLimit {
    /// Counts one more challenge in this second.
    ///
    /// # Errors
    /// [`Limited`] if the limit of this second is exceeded.
    pub fn admit(&self, now: UnixTime) -> Result<(), Limited> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.0 != now {
            *counted = (now, 0);
        }
        counted.1 = counted.1.saturating_add(1);
        let limited = Limited { limit: "challenges", quota: MAX_CHALLENGES, window: Some(1), retry_after: 10 };
        if counted.1 <= MAX_CHALLENGES { Ok(()) } else { Err(limited) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(connections: usize, connections_per_address: usize) -> ListenerLimits {
        ListenerLimits {
            max_connections: connections,
            max_connections_per_ip: connections_per_address,
            ..ListenerLimits::default()
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn open(
        connections: &Connections,
        from: &str,
        limits: &ListenerLimits,
    ) -> Result<ConnectionPermit, ConnectionRejection> {
        let mut permit = connections.admit(limits)?;
        permit.count_for(address(from), limits)?;
        Ok(permit)
    }

    #[test]
    fn connections_are_bounded_per_address_and_in_total() {
        let connections = Connections::default();
        let limits = limits(3, 2);
        let first = open(&connections, "192.0.2.1", &limits).unwrap();
        let _second = open(&connections, "::ffff:192.0.2.1", &limits).unwrap();
        assert_eq!(open(&connections, "192.0.2.1", &limits).unwrap_err(), ConnectionRejection::MaxConnectionsPerIp);
        let _third = open(&connections, "192.0.2.2", &limits).unwrap();
        assert_eq!(open(&connections, "192.0.2.3", &limits).unwrap_err(), ConnectionRejection::MaxConnections);
        drop(first);
        assert!(open(&connections, "192.0.2.1", &limits).is_ok());
    }

    #[test]
    fn a_network_of_64_bits_counts_as_one_address() {
        let connections = Connections::default();
        let limits = limits(9, 1);
        let _one = open(&connections, "2001:db8::1", &limits).unwrap();
        assert!(open(&connections, "2001:db8::2", &limits).is_err());
        assert!(open(&connections, "2001:db8:0:1::2", &limits).is_ok());
    }

    #[test]
    fn closed_connections_leave_nothing_behind() {
        let connections = Connections::default();
        drop(open(&connections, "192.0.2.1", &limits(9, 9)).unwrap());
        drop(connections.admit(&limits(9, 9)).unwrap());
        assert_eq!((connections.0.total(), connections.0.keys()), (0, 0));
    }

    #[test]
    fn buffered_bodies_are_bounded_in_total_and_per_address() {
        let bodies = MemoryQuota::default();
        let mut one = bodies.begin(address("192.0.2.1"));
        assert_eq!((one.grow(25, 100), one.grow(1, 100)), (Ok(()), Err(Exhausted::Address)));
        let mut others: Vec<_> = (2..6).map(|last| bodies.begin(address(&format!("192.0.2.{last}")))).collect();
        let grown: Vec<_> = others.iter_mut().map(|permit| permit.grow(25, 100)).collect();
        assert_eq!(grown, [Ok(()), Ok(()), Ok(()), Err(Exhausted::Total)]);
        drop((one, others));
        assert_eq!((bodies.total(), bodies.0.keys()), (0, 0));
    }

    #[test]
    fn challenges_are_bounded_per_second() {
        let (challenges, at) = (ChallengeLimit::default(), |seconds| UnixTime::from_seconds(seconds).unwrap());
        let answered = (0..100).filter(|_| challenges.admit(at(1)).is_ok()).count();
        assert_eq!((answered, challenges.admit(at(2))), (20, Ok(())));
    }
}
