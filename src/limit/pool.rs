//! A bounded pool that unauthenticated clients can fill. When it is full, a newcomer is not rejected: the client that
//! has made the gateway wait gives way.
//!
//! The order: first clients that are late, of these the heaviest prefix and address, and its latest client. Only where
//! none is late, the heaviest address gives way, unless it is the newcomer's own. So clients that stall or trickle lose
//! their places to a sender whose request arrives, and the addresses of an attacker who is fast lose theirs to a sender
//! who holds less. Amounts that do not wait for a client are counted, and never taken away.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::keys::AddressKey;
use super::prefix_index::PrefixIndex;
use crate::failure::Exhausted;
use crate::metrics::PoolName;

/// How many clients one newcomer may move to another list: their number is bounded by the pool alone, and the lock is
/// held meanwhile.
const MAX_MOVES: usize = 1_000;

/// The minimum time after which a client that was not late is looked at again, in nanoseconds. It bounds the work that
/// clients cause whose bytes arrive just in time.
const LOOK_AGAIN: u64 = 100_000_000;

/// A client that the gateway waits for. Its state changes without the pool's lock.
pub(super) trait WaitingClient {
    /// The time from which it is late, in nanoseconds; `None` while the gateway does not wait for it.
    fn late_from(&self) -> Option<u64>;

    /// Ends what the gateway waits for.
    fn displace(&self, pool: PoolName, why: Exhausted);
}

/// The bounds of a pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoolBounds {
    /// Of all amounts.
    pub(super) total: u64,
    /// Of the amounts of one address.
    pub(super) address: u64,
    /// The clients that may have to give way.
    pub(super) displaced: MayDisplace,
}

/// The clients that may have to give way to a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MayDisplace {
    Nobody,
    /// Any client where the pool is full, and a late client of the newcomer's address where the share of that is full.
    Others,
}

/// A pool, shared by all workers.
#[derive(Debug)]
pub(super) struct AdmissionPool<W> {
    name: PoolName,
    amounts: Mutex<PoolAmounts<W>>,
}

/// An amount of a pool, released when it is dropped.
#[derive(Debug)]
pub(super) struct PoolPermit<W: WaitingClient> {
    pool: Arc<AdmissionPool<W>>,
    address: Option<AddressKey>,
    amount: u64,
    /// Its id among the clients that the gateway waits for.
    id: Option<u64>,
}

#[derive(Debug)]
struct PoolAmounts<W> {
    total: u64,
    by_address: HashMap<AddressKey, u64>,
    clients: HashMap<u64, PoolClient<W>>,
    last_id: u64,
    /// The clients that are not late, by the time at which each is looked at again.
    look_at: BTreeSet<(u64, u64)>,
    in_time: PrefixIndex,
    late: PrefixIndex,
}

#[derive(Debug)]
struct PoolClient<W> {
    client: Arc<W>,
    address: AddressKey,
    amount: u64,
    /// Its key in the lists.
    order: u64,
    list: ClientList,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientList {
    /// It has nothing to give, because the gateway does not wait for it, or it holds nothing yet.
    Unavailable,
    InTime,
    Late,
}

impl<W: WaitingClient> AdmissionPool<W> {
    pub(super) fn new(name: PoolName) -> Arc<Self> {
        let amounts = PoolAmounts {
            total: 0,
            by_address: HashMap::new(),
            clients: HashMap::new(),
            last_id: 0,
            look_at: BTreeSet::new(),
            in_time: PrefixIndex::default(),
            late: PrefixIndex::default(),
        };
        Arc::new(Self { name, amounts: Mutex::new(amounts) })
    }

    /// A permit of amount zero; without an address, it counts in total only and never gives way.
    pub(super) fn begin(self: &Arc<Self>, address: Option<AddressKey>) -> PoolPermit<W> {
        PoolPermit { pool: Arc::clone(self), address, amount: 0, id: None }
    }

    /// The amount in use.
    pub(super) fn total(&self) -> u64 {
        self.lock().total
    }

    /// Makes one client give way; false if there is none.
    pub(super) fn make_room(&self, now: u64) -> bool {
        let mut amounts = self.lock();
        let victim = amounts.victim(None, None, 0, now);
        victim.inspect(|(id, why)| amounts.displace(self.name, *id, *why)).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, PoolAmounts<W>> {
        self.amounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let amounts = self.lock();
        let lists = amounts.clients.is_empty() && amounts.look_at.is_empty();
        amounts.by_address.is_empty() && lists && amounts.in_time.is_empty() && amounts.late.is_empty()
    }
}

impl<W: WaitingClient> PoolPermit<W> {
    pub(super) fn amount(&self) -> u64 {
        self.amount
    }

    /// Adds `more`, for which other clients may have to give way.
    ///
    /// # Errors
    /// The bound that is reached; nothing is added then. A client that has given way itself gets any of them.
    pub(super) fn grow(&mut self, more: u64, bounds: PoolBounds, now: impl Fn() -> u64) -> Result<(), Exhausted> {
        if more == 0 {
            return Ok(());
        }
        let mut amounts = self.pool.lock();
        if self.id.is_some_and(|id| !amounts.clients.contains_key(&id)) || more > bounds.total {
            return Err(Exhausted::Total);
        }
        if let Some(address) = self.address {
            if self.amount.saturating_add(more) > bounds.address {
                return Err(Exhausted::Address);
            }
            while amounts.of(address).saturating_add(more) > bounds.address {
                let own = bounds.displaced == MayDisplace::Others;
                let late = if own { amounts.late_of(address, now()) } else { None };
                let late = late.filter(|id| Some(*id) != self.id).ok_or(Exhausted::Address)?;
                amounts.displace(self.pool.name, late, Exhausted::Late);
            }
        }
        while amounts.total.saturating_add(more) > bounds.total {
            if bounds.displaced == MayDisplace::Nobody {
                return Err(Exhausted::Total);
            }
            // A newcomer without an address cannot be compared with others, and displaces late clients only.
            let victim = match self.address {
                Some(_) => amounts.victim(self.address, self.id, more, now()),
                None => amounts.latest(now()),
            };
            let (victim, why) = victim.ok_or(Exhausted::Total)?;
            if Some(victim) == self.id {
                return Err(why);
            }
            amounts.displace(self.pool.name, victim, why);
        }
        amounts.total = amounts.total.saturating_add(more);
        self.amount = self.amount.saturating_add(more);
        if let Some(address) = self.address {
            let amount = amounts.by_address.entry(address).or_default();
            *amount = amount.saturating_add(more);
        }
        if let Some(id) = self.id {
            amounts.relist(id, now(), |client| client.amount = client.amount.saturating_add(more));
        }
        Ok(())
    }

    /// Counts the amount of a permit without an address for `address` as well, at most up to `limit`, for which late
    /// clients of that address have to give way.
    ///
    /// # Errors
    /// [`Exhausted::Address`]; the permit still counts in total then.
    pub(super) fn assign(&mut self, address: AddressKey, limit: u64, now: u64) -> Result<(), Exhausted> {
        let mut amounts = self.pool.lock();
        while amounts.of(address).saturating_add(self.amount) > limit {
            let late = amounts.late_of(address, now).ok_or(Exhausted::Address)?;
            amounts.displace(self.pool.name, late, Exhausted::Late);
        }
        let sum = amounts.of(address).saturating_add(self.amount);
        amounts.by_address.insert(address, sum);
        self.address = Some(address);
        Ok(())
    }

    /// From now on the gateway may wait for this client, which may have to give way.
    pub(super) fn wait_for(&mut self, client: Arc<W>, now: u64) {
        let (Some(address), None) = (self.address, self.id) else { return };
        let mut amounts = self.pool.lock();
        amounts.last_id = amounts.last_id.wrapping_add(1);
        let id = amounts.last_id;
        let list = ClientList::Unavailable;
        amounts.clients.insert(id, PoolClient { client, address, amount: self.amount, order: now, list });
        amounts.list(id, now);
        self.id = Some(id);
    }

    /// The gateway no longer waits for this client: its amount stays until the permit is dropped. False if the client
    /// has given way.
    #[must_use]
    pub(super) fn keep(&mut self) -> bool {
        let Some(id) = self.id.take() else { return true };
        let kept = self.pool.lock().remove(id).is_some();
        if !kept {
            self.amount = 0;
        }
        kept
    }
}

impl<W: WaitingClient> Drop for PoolPermit<W> {
    fn drop(&mut self) {
        if self.keep() && self.amount > 0 {
            self.pool.lock().release(self.address, self.amount);
        }
    }
}

impl<W: WaitingClient> PoolAmounts<W> {
    fn of(&self, address: AddressKey) -> u64 {
        self.by_address.get(&address).copied().unwrap_or_default()
    }

    /// The client that gives way to `more` of a newcomer; the newcomer itself where it is the first of its address.
    fn victim(
        &mut self,
        address: Option<AddressKey>,
        own: Option<u64>,
        more: u64,
        now: u64,
    ) -> Option<(u64, Exhausted)> {
        if let Some(late) = self.latest(now) {
            return Some(late);
        }
        // As heavy as it is with what it asks for: a newcomer displaces only those who hold more than itself.
        let weigh = |index: &mut PrefixIndex, change: fn(&mut PrefixIndex, AddressKey, u64)| {
            if let Some(address) = address {
                change(index, address, more);
            }
        };
        weigh(&mut self.in_time, PrefixIndex::add);
        let heaviest = self.heaviest(address, own, now);
        weigh(&mut self.in_time, PrefixIndex::subtract);
        heaviest.map(|id| (id, Exhausted::Total))
    }

    /// The latest client of the heaviest address that has late ones.
    fn latest(&mut self, now: u64) -> Option<(u64, Exhausted)> {
        self.look(now);
        for _ in 0..MAX_MOVES {
            let id = self.late.first_of(self.late.heaviest(None)?)?;
            if self.list(id, now) == ClientList::Late {
                return Some((id, Exhausted::Late));
            }
        }
        None
    }

    fn heaviest(&mut self, address: Option<AddressKey>, own: Option<u64>, now: u64) -> Option<u64> {
        for _ in 0..MAX_MOVES {
            let prefix = self.in_time.heaviest(address)?;
            if own.is_none() && address.is_some_and(|address| address.prefix() == prefix) {
                return None;
            }
            let id = self.in_time.first_of(prefix)?;
            if self.list(id, now) != ClientList::Unavailable {
                return Some(id);
            }
        }
        None
    }

    /// The latest client of an address, if one is late.
    fn late_of(&mut self, address: AddressKey, now: u64) -> Option<u64> {
        self.look(now);
        for _ in 0..MAX_MOVES {
            let id = self.late.first_of(address.prefix())?;
            if self.list(id, now) == ClientList::Late {
                return Some(id);
            }
        }
        None
    }

    /// Looks at the clients whose time has come.
    fn look(&mut self, now: u64) {
        for _ in 0..MAX_MOVES {
            match self.look_at.first() {
                Some((at, id)) if *at <= now => self.list(*id, now),
                Some(_) | None => return,
            };
        }
    }

    fn displace(&mut self, pool: PoolName, id: u64, why: Exhausted) {
        if let Some(victim) = self.remove(id) {
            self.release(Some(victim.address), victim.amount);
            victim.client.displace(pool, why);
        }
    }

    fn release(&mut self, address: Option<AddressKey>, amount: u64) {
        self.total = self.total.saturating_sub(amount);
        if let Some(address) = address {
            let left = self.of(address).saturating_sub(amount);
            if left == 0 {
                self.by_address.remove(&address);
            } else {
                self.by_address.insert(address, left);
            }
        }
    }

    fn remove(&mut self, id: u64) -> Option<PoolClient<W>> {
        let client = self.clients.remove(&id)?;
        unlist(&mut self.look_at, &mut self.in_time, &mut self.late, id, &client);
        Some(client)
    }

    /// Puts a client into the list where it belongs now.
    fn list(&mut self, id: u64, now: u64) -> ClientList {
        self.relist(id, now, |_| {})
    }

    fn relist(&mut self, id: u64, now: u64, change: impl FnOnce(&mut PoolClient<W>)) -> ClientList {
        let Some(client) = self.clients.get_mut(&id) else { return ClientList::Unavailable };
        unlist(&mut self.look_at, &mut self.in_time, &mut self.late, id, client);
        change(client);
        (client.list, client.order) = match client.client.late_from() {
            Some(at) if client.amount > 0 && at <= now => (ClientList::Late, at),
            Some(at) if client.amount > 0 => (ClientList::InTime, at.max(now.saturating_add(LOOK_AGAIN))),
            Some(_) | None => (ClientList::Unavailable, now.saturating_add(LOOK_AGAIN)),
        };
        let PoolClient { address, amount, order, list, .. } = *client;
        if list != ClientList::Late {
            self.look_at.insert((order, id));
        }
        match list {
            ClientList::Unavailable => {}
            ClientList::InTime => self.in_time.insert(address, order, id, amount),
            ClientList::Late => self.late.insert(address, order, id, amount),
        }
        list
    }
}

fn unlist<W>(
    look_at: &mut BTreeSet<(u64, u64)>,
    in_time: &mut PrefixIndex,
    late: &mut PrefixIndex,
    id: u64,
    client: &PoolClient<W>,
) {
    look_at.remove(&(client.order, id));
    match client.list {
        ClientList::Unavailable => {}
        ClientList::InTime => in_time.remove(client.address, client.order, id, client.amount),
        ClientList::Late => late.remove(client.address, client.order, id, client.amount),
    }
}

#[cfg(test)]
mod tests;
