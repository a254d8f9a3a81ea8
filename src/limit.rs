//! Bounds on what strangers may hold: open connections, and bodies that wait to be judged, in all and by address;
//! how often we answer what nobody has signed; and the limits of routes. Called by the server and the gateway.

mod budgets;
mod gcra;
mod in_flight;
mod keys;
mod requests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::UnixTime;
use crate::failure::{Exhausted, Limited};
use crate::snapshot::{ADDRESS_SHARE, ListenerLimits};
pub use requests::{Places, RequestLimits, Sender, limited};

/// Which bound a new connection met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionRefused {
    /// `connections`
    Total,
    /// `connections_per_address`
    Address,
}

/// Counts the open connections of one listener, over all workers.
#[derive(Debug, Default)]
pub struct Connections(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_address: HashMap<AddressKey, usize>,
}

/// An IPv6 customer has a /64 at least: one address of it is no more than one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum AddressKey {
    V4([u8; 4]),
    V6(u64),
}

impl AddressKey {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.octets()),
            IpAddr::V6(v6) => Self::V6(u64::try_from(v6.to_bits() >> 64).unwrap_or(u64::MAX)),
        }
    }
}

/// Held as long as the connection is open.
#[derive(Debug)]
pub struct ConnectionPermit {
    connections: Arc<Connections>,
    /// Whose it is, once that is known.
    key: Option<AddressKey>,
}

impl Connections {
    /// A permit for one more connection, of nobody yet.
    ///
    /// # Errors
    /// `Total`.
    pub fn admit(self: &Arc<Self>, limits: &ListenerLimits) -> Result<ConnectionPermit, ConnectionRefused> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.total >= limits.connections {
            return Err(ConnectionRefused::Total);
        }
        counts.total += 1;
        Ok(ConnectionPermit { connections: Arc::clone(self), key: None })
    }

    /// Open connections now.
    pub fn open(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

impl ConnectionPermit {
    /// Counts the connection for `address` too.
    ///
    /// # Errors
    /// `Address`.
    pub fn belongs_to(&mut self, address: IpAddr, limits: &ListenerLimits) -> Result<(), ConnectionRefused> {
        let key = AddressKey::of(address);
        let mut counts = self.connections.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = counts.by_address.entry(key).or_default();
        if *of_address >= limits.connections_per_address {
            return Err(ConnectionRefused::Address);
        }
        *of_address += 1;
        self.key = Some(key);
        Ok(())
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut counts = self.connections.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total = counts.total.saturating_sub(1);
        let Some(key) = &self.key else { return };
        if let Some(of_address) = counts.by_address.get_mut(key) {
            *of_address = of_address.saturating_sub(1);
            if *of_address == 0 {
                counts.by_address.remove(key);
            }
        }
    }
}

/// Counts the bytes of bodies that are held until they are judged, over all workers.
#[derive(Debug, Default)]
pub struct HeldBodies(Mutex<Bytes>);

#[derive(Debug, Default)]
struct Bytes {
    total: u64,
    by_address: HashMap<AddressKey, u64>,
}

/// Bytes held for one body; given back when it is dropped.
#[derive(Debug)]
pub struct Holding {
    bodies: Arc<HeldBodies>,
    key: AddressKey,
    bytes: u64,
}

impl HeldBodies {
    /// Nothing yet, for a body from `address`.
    pub fn begin(self: &Arc<Self>, address: IpAddr) -> Holding {
        Holding { bodies: Arc::clone(self), key: AddressKey::of(address), bytes: 0 }
    }

    /// Bytes held now.
    pub fn total(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

impl Holding {
    /// Holds `more` bytes.
    ///
    /// # Errors
    /// Beyond `limit` in total, or beyond one address's share of it; nothing more is held then.
    pub fn grow(&mut self, more: usize, limit: u64) -> Result<(), Exhausted> {
        let more = u64::try_from(more).map_err(|_| Exhausted::Total)?;
        let mut held = self.bodies.0.lock().unwrap_or_else(PoisonError::into_inner);
        let total = held.total.checked_add(more).filter(|total| *total <= limit).ok_or(Exhausted::Total)?;
        let of_address = held.by_address.entry(self.key).or_default();
        let grown = of_address.checked_add(more).filter(|bytes| *bytes <= limit / ADDRESS_SHARE);
        *of_address = grown.ok_or(Exhausted::Address)?;
        held.total = total;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut held = self.bodies.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.total = held.total.saturating_sub(self.bytes);
        if let Some(of_address) = held.by_address.get_mut(&self.key) {
            *of_address = of_address.saturating_sub(self.bytes);
            if *of_address == 0 {
                held.by_address.remove(&self.key);
            }
        }
    }
}

/// Answers to handshakes a second, over all routes: providers ask once in hours.
const HANDSHAKES: u32 = 20;

/// Counts handshakes by the second.
#[derive(Debug, Default)]
pub struct Handshakes(Mutex<(UnixTime, u32)>);

impl Handshakes {
    /// Whether one more may be answered in this second.
    ///
    /// # Errors
    /// None may.
    pub fn admit(&self, now: UnixTime) -> Result<(), Limited> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.0 != now {
            *counted = (now, 0);
        }
        counted.1 = counted.1.saturating_add(1);
        let limited = Limited { limit: "challenges", quota: HANDSHAKES, window: Some(1), retry_after: 10 };
        if counted.1 <= HANDSHAKES { Ok(()) } else { Err(limited) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(connections: usize, connections_per_address: usize) -> ListenerLimits {
        ListenerLimits { connections, connections_per_address, ..ListenerLimits::default() }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn open(
        connections: &Arc<Connections>,
        from: &str,
        limits: &ListenerLimits,
    ) -> Result<ConnectionPermit, ConnectionRefused> {
        let mut permit = connections.admit(limits)?;
        permit.belongs_to(address(from), limits)?;
        Ok(permit)
    }

    #[test]
    fn each_address_has_its_bound_and_all_have_one() {
        let connections = Arc::new(Connections::default());
        let limits = limits(3, 2);
        let first = open(&connections, "192.0.2.1", &limits).unwrap();
        let _second = open(&connections, "::ffff:192.0.2.1", &limits).unwrap();
        assert_eq!(open(&connections, "192.0.2.1", &limits).unwrap_err(), ConnectionRefused::Address);
        let _third = open(&connections, "192.0.2.2", &limits).unwrap();
        assert_eq!(open(&connections, "192.0.2.3", &limits).unwrap_err(), ConnectionRefused::Total);
        drop(first);
        assert!(open(&connections, "192.0.2.1", &limits).is_ok());
    }

    #[test]
    fn a_network_of_64_bits_counts_as_one_address() {
        let connections = Arc::new(Connections::default());
        let limits = limits(9, 1);
        let _one = open(&connections, "2001:db8::1", &limits).unwrap();
        assert!(open(&connections, "2001:db8::2", &limits).is_err());
        assert!(open(&connections, "2001:db8:0:1::2", &limits).is_ok());
    }

    #[test]
    fn closed_connections_leave_nothing_behind() {
        let connections = Arc::new(Connections::default());
        drop(open(&connections, "192.0.2.1", &limits(9, 9)).unwrap());
        drop(connections.admit(&limits(9, 9)).unwrap());
        let counts = connections.0.lock().unwrap();
        assert!(counts.total == 0 && counts.by_address.is_empty());
    }

    #[test]
    fn held_bodies_are_bounded_in_all_and_by_address() {
        let bodies = Arc::new(HeldBodies::default());
        let mut one = bodies.begin(address("192.0.2.1"));
        assert_eq!((one.grow(25, 100), one.grow(1, 100)), (Ok(()), Err(Exhausted::Address)));
        let mut others: Vec<_> = (2..6).map(|last| bodies.begin(address(&format!("192.0.2.{last}")))).collect();
        let grown: Vec<_> = others.iter_mut().map(|held| held.grow(25, 100)).collect();
        assert_eq!(grown, [Ok(()), Ok(()), Ok(()), Err(Exhausted::Total)]);
        drop((one, others));
        assert!(bodies.total() == 0 && bodies.0.lock().unwrap().by_address.is_empty());
    }

    #[test]
    fn handshakes_are_bounded_by_the_second() {
        let (handshakes, at) = (Handshakes::default(), |seconds| UnixTime::from_seconds(seconds).unwrap());
        let answered = (0..100).filter(|_| handshakes.admit(at(1)).is_ok()).count();
        assert_eq!((answered, handshakes.admit(at(2))), (20, Ok(())));
    }
}
