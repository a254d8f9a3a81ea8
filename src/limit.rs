//! Limits on the resources of unauthenticated clients: open connections, buffered bodies and requests that wait for their
//! bodies, in total and per address, and responses to endpoint verification challenges; and the rate and concurrency
//! limits of routes. Called by the server and the gateway.

mod challenges;
mod gcra;
mod gcra_store;
mod keys;
mod pool;
mod prefix_index;
mod progress;
mod quota;
mod requests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::failure::Exhausted;
use crate::metrics::{ConnectionRejection, PoolName};
use crate::snapshot::{ADDRESS_SHARE, ListenerLimits};
pub use challenges::ChallengeLimit;
use keys::AddressKey;
use pool::{AdmissionPool, MayDisplace, PoolBounds, PoolPermit};
use progress::nanoseconds;
pub use progress::{BodyProgress, ConnectionProgress};
pub use requests::{ConcurrencyPermits, RequestLimits, RequestSender, limited};

/// Counts the open connections of one listener, across all workers.
#[derive(Clone, Debug)]
pub struct Connections(Arc<AdmissionPool<ConnectionProgress>>);

/// The permit of a connection, held while it is open.
#[derive(Debug)]
pub struct ConnectionPermit(PoolPermit<ConnectionProgress>);

impl Default for Connections {
    fn default() -> Self {
        Self(AdmissionPool::new(PoolName::Connections))
    }
}

impl Connections {
    /// A permit for one more connection, for which another one may be closed that waits for its client. Without an
    /// address, it counts in total only.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn admit(
        &self,
        address: Option<IpAddr>,
        limits: &ListenerLimits,
        now: Instant,
    ) -> Result<ConnectionPermit, ConnectionRejection> {
        let mut permit = self.0.begin(address.map(AddressKey::of));
        let bounds = PoolBounds {
            total: amount(limits.max_connections),
            address: amount(limits.max_connections_per_ip),
            displaced: MayDisplace::Others,
        };
        match permit.grow(1, bounds, || nanoseconds(now)) {
            Ok(()) => Ok(ConnectionPermit(permit)),
            Err(Exhausted::Address) => Err(ConnectionRejection::MaxConnectionsPerIp),
            Err(Exhausted::Total | Exhausted::Late) => Err(ConnectionRejection::MaxConnections),
        }
    }

    /// The number of open connections.
    pub fn open(&self) -> u64 {
        self.0.total()
    }

    /// Closes one connection that waits for its client; false if there is none.
    pub fn make_room(&self, now: Instant) -> bool {
        self.0.make_room(nanoseconds(now))
    }
}

impl ConnectionPermit {
    /// Counts a connection that has no address yet for `address` as well.
    ///
    /// # Errors
    /// [`ConnectionRejection::MaxConnectionsPerIp`].
    pub fn count_for(
        &mut self,
        address: IpAddr,
        limits: &ListenerLimits,
        now: Instant,
    ) -> Result<(), ConnectionRejection> {
        let limit = amount(limits.max_connections_per_ip);
        self.0
            .assign(AddressKey::of(address), limit, nanoseconds(now))
            .map_err(|_| ConnectionRejection::MaxConnectionsPerIp)
    }

    /// From now on the connection is closed if it has to give way; one without an address never has to.
    pub fn wait_for(&mut self, connection: &Arc<ConnectionProgress>, now: Instant) {
        self.0.wait_for(Arc::clone(connection), nanoseconds(now));
    }
}

/// Counts the bytes of buffered bodies, or those of the requests that wait for their bodies, across all workers.
#[derive(Clone, Debug)]
pub struct MemoryQuota(Arc<AdmissionPool<BodyProgress>>);

/// The amount of one request; released when it is dropped.
#[derive(Debug)]
pub struct MemoryPermit(PoolPermit<BodyProgress>);

/// A part of the memory, 1/`RESERVE`, that only small bodies may use of which bytes have been received: they can then be
/// completed, which releases memory.
const RESERVE: u64 = 8;

/// The size of a small body.
const SMALL_BODY: u64 = 64 * 1024;

impl MemoryQuota {
    /// A quota of which nothing is used.
    pub fn new(name: PoolName) -> Self {
        Self(AdmissionPool::new(name))
    }

    /// A permit of zero bytes for a body from `address`.
    pub fn begin(&self, address: IpAddr) -> MemoryPermit {
        MemoryPermit(self.0.begin(Some(AddressKey::of(address))))
    }

    /// The number of bytes in use now.
    pub fn total(&self) -> u64 {
        self.0.total()
    }
}

impl MemoryPermit {
    /// Counts `more` bytes of at most `limit` in total, and of one address's share of it. Other requests that wait for
    /// their clients may have to give way.
    ///
    /// # Errors
    /// The limit that is reached; nothing more is counted then.
    pub fn grow(&mut self, more: usize, limit: u64, now: impl Fn() -> Instant) -> Result<(), Exhausted> {
        let (more, held) = (amount(more), self.0.amount());
        let may_use_reserve = held > 0 && held.saturating_add(more) <= SMALL_BODY;
        let total = if may_use_reserve { limit } else { without_reserve(limit) };
        let bounds = PoolBounds { total, address: limit / ADDRESS_SHARE, displaced: MayDisplace::Others };
        self.0.grow(more, bounds, || nanoseconds(now()))
    }

    /// Counts the bytes of a request that waits, which may use all of `limit`.
    ///
    /// # Errors
    /// As [`Self::grow`].
    pub fn take(&mut self, bytes: usize, limit: u64, now: Instant) -> Result<(), Exhausted> {
        let bounds = PoolBounds { total: limit, address: limit / ADDRESS_SHARE, displaced: MayDisplace::Others };
        self.0.grow(amount(bytes), bounds, || nanoseconds(now))
    }

    /// Like [`Self::take`], where no request has to give way and an eighth stays free.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn take_if_free(&mut self, bytes: usize, limit: u64) -> Result<(), Exhausted> {
        let total = without_reserve(limit);
        let bounds = PoolBounds { total, address: limit / ADDRESS_SHARE, displaced: MayDisplace::Nobody };
        self.0.grow(amount(bytes), bounds, || 0)
    }

    /// From now on the gateway waits for this body, which may have to give way.
    pub fn wait_for(&mut self, body: &Arc<BodyProgress>, now: Instant) {
        self.0.wait_for(Arc::clone(body), nanoseconds(now));
    }

    /// The body is complete, and its bytes stay; false if it has given way before.
    #[must_use]
    pub fn keep(&mut self) -> bool {
        self.0.keep()
    }
}

fn without_reserve(limit: u64) -> u64 {
    limit.saturating_sub(limit / RESERVE)
}

fn amount(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        connections.admit(Some(address(from)), limits, Instant::now())
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

    /// A connection that waits for its client from `begun` on.
    fn waiting(
        connections: &Connections,
        from: &str,
        limits: &ListenerLimits,
        begun: Instant,
    ) -> (ConnectionPermit, Arc<ConnectionProgress>) {
        let progress = Arc::<ConnectionProgress>::default();
        progress.wait(begun);
        let mut permit = connections.admit(Some(address(from)), limits, begun).unwrap();
        permit.wait_for(&progress, begun);
        (permit, progress)
    }

    /// Silent clients behind the address of a sender would keep it out.
    #[test]
    fn a_late_connection_gives_way_to_a_new_one_of_its_address() {
        let (connections, limits, begun) = (Connections::default(), limits(9, 1), Instant::now());
        let (_first, progress) = waiting(&connections, "192.0.2.1", &limits, begun);
        let another = |now| connections.admit(Some(address("192.0.2.1")), &limits, now).map(drop);
        assert_eq!(another(begun), Err(ConnectionRejection::MaxConnectionsPerIp));
        assert_eq!((another(begun + Duration::from_secs(2)), progress.displaced()), (Ok(()), Some(Exhausted::Late)));
        let (_second, progress) = waiting(&connections, "192.0.2.1", &limits, begun);
        let mut named_later = connections.admit(None, &limits, begun).unwrap();
        let mut name = |now| named_later.count_for(address("192.0.2.1"), &limits, now);
        assert_eq!(name(begun), Err(ConnectionRejection::MaxConnectionsPerIp));
        assert_eq!((name(begun + Duration::from_secs(2)), progress.displaced()), (Ok(()), Some(Exhausted::Late)));
    }

    /// Behind a load balancer, every new connection would otherwise close one of a sender that holds no more.
    #[test]
    fn a_connection_without_an_address_displaces_late_ones_only() {
        let (connections, limits, begun) = (Connections::default(), limits(1, 1), Instant::now());
        let (_first, progress) = waiting(&connections, "192.0.2.1", &limits, begun);
        let unnamed = |now| connections.admit(None, &limits, now).map(drop);
        assert_eq!((unnamed(begun), progress.displaced()), (Err(ConnectionRejection::MaxConnections), None));
        assert_eq!(unnamed(begun + Duration::from_secs(2)), Ok(()));
    }

    #[test]
    fn closed_connections_leave_nothing_behind() {
        let connections = Connections::default();
        drop(open(&connections, "192.0.2.1", &limits(9, 9)).unwrap());
        let mut unnamed = connections.admit(None, &limits(9, 9), Instant::now()).unwrap();
        unnamed.count_for(address("192.0.2.1"), &limits(9, 9), Instant::now()).unwrap();
        unnamed.wait_for(&Arc::default(), Instant::now());
        drop(unnamed);
        assert!(connections.0.total() == 0 && connections.0.is_empty());
    }

    #[test]
    fn buffered_bodies_are_bounded_in_total_and_per_address() {
        let bodies = MemoryQuota::new(PoolName::BufferedBodies);
        let mut one = bodies.begin(address("192.0.2.1"));
        let grow = |permit: &mut MemoryPermit, more| permit.grow(more, 128, Instant::now);
        assert_eq!((grow(&mut one, 32), grow(&mut one, 1)), (Ok(()), Err(Exhausted::Address)));
        let mut others: Vec<_> = (2..5).map(|last| bodies.begin(address(&format!("192.0.2.{last}")))).collect();
        let grown: Vec<_> = others.iter_mut().map(|permit| grow(permit, 28)).collect();
        assert_eq!(grown, [Ok(()), Ok(()), Err(Exhausted::Total)]);
        assert_eq!((grow(&mut others[2], 24), grow(&mut others[2], 1)), (Ok(()), Ok(())));
        drop((one, others));
        assert!(bodies.total() == 0 && bodies.0.is_empty());
    }

    /// Otherwise a gateway with more senders than memory would complete none of their bodies.
    #[test]
    fn a_small_body_in_progress_may_use_the_reserve() {
        let bodies = MemoryQuota::new(PoolName::BufferedBodies);
        let mut permits: Vec<_> = (1..9).map(|last| bodies.begin(address(&format!("192.0.2.{last}")))).collect();
        let limit = 8 * SMALL_BODY;
        let half = usize::try_from(SMALL_BODY / 2).unwrap();
        let begun = permits.iter_mut().map(|permit| permit.grow(half, limit, Instant::now)).collect::<Vec<_>>();
        assert_eq!(begun, [Ok(()); 8]);
        let mut large = bodies.begin(address("203.0.113.1"));
        assert_eq!(large.grow(3 * half, limit, Instant::now), Ok(()));
        assert_eq!(large.grow(4 * half, limit, Instant::now), Err(Exhausted::Address));
        let completed = permits.iter_mut().map(|permit| permit.grow(half, limit, Instant::now));
        assert_eq!(completed.filter(Result::is_ok).count(), 5);
    }
}
