//! The amounts that clients hold of a pool, summed by address and by the prefixes around it, so that the heaviest client
//! is found without a scan of all of them.

use std::collections::{BTreeSet, HashMap};

use super::keys::{AddressKey, AddressPrefix};

/// Holders of amounts, by the weight of their prefixes, and of one address by their order.
#[derive(Debug, Default)]
pub(super) struct PrefixIndex {
    amounts: HashMap<AddressPrefix, u64>,
    /// Each prefix after the one around it, by its amount.
    children: BTreeSet<(AddressPrefix, u64, AddressPrefix)>,
    /// The holders of each address, by their order.
    holders: BTreeSet<(AddressPrefix, u64, u64)>,
}

impl PrefixIndex {
    /// Adds the holder `id` of `amount`; `order` is its place among those of its address.
    pub(super) fn insert(&mut self, address: AddressKey, order: u64, id: u64, amount: u64) {
        self.holders.insert((address.prefix(), order, id));
        self.add(address, amount);
    }

    /// Removes a holder that was inserted with the same values.
    pub(super) fn remove(&mut self, address: AddressKey, order: u64, id: u64, amount: u64) {
        self.holders.remove(&(address.prefix(), order, id));
        self.subtract(address, amount);
    }

    /// Adds an amount of `address` that has no holder.
    pub(super) fn add(&mut self, address: AddressKey, amount: u64) {
        self.change(address, |sum| sum.saturating_add(amount));
    }

    /// Takes back [`Self::add`].
    pub(super) fn subtract(&mut self, address: AddressKey, amount: u64) {
        self.change(address, |sum| sum.saturating_sub(amount));
    }

    /// The heaviest address: that of the heaviest prefix within the heaviest prefix around it, from the widest down. Among
    /// equal ones it is that of `own`, whose client must not displace a client that holds no more than itself.
    pub(super) fn heaviest(&self, own: Option<AddressKey>) -> Option<AddressPrefix> {
        let mut own: Vec<AddressPrefix> = own.into_iter().flat_map(AddressKey::prefixes).collect();
        own.reverse();
        let mut within = AddressPrefix::All;
        while let Some((amount, mut heaviest)) = self.heaviest_in(within) {
            match own.pop() {
                Some(mine) if self.amounts.get(&mine) == Some(&amount) => heaviest = mine,
                Some(_) | None => own.clear(),
            }
            within = heaviest;
        }
        Some(within).filter(|found| *found != AddressPrefix::All)
    }

    /// The first holder of an address in their order.
    pub(super) fn first_of(&self, address: AddressPrefix) -> Option<u64> {
        let all = (address, 0, 0)..=(address, u64::MAX, u64::MAX);
        self.holders.range(all).next().map(|(.., id)| *id)
    }

    fn heaviest_in(&self, prefix: AddressPrefix) -> Option<(u64, AddressPrefix)> {
        let all = (prefix, 0, AddressPrefix::All)..=(prefix, u64::MAX, AddressPrefix::MAX);
        self.children.range(all).next_back().map(|(_, amount, child)| (*amount, *child))
    }

    fn change(&mut self, address: AddressKey, change: impl Fn(u64) -> u64) {
        let mut within = AddressPrefix::All;
        for prefix in address.prefixes() {
            let before = self.amounts.get(&prefix).copied().unwrap_or_default();
            let after = change(before);
            self.children.remove(&(within, before, prefix));
            if after == 0 {
                self.amounts.remove(&prefix);
            } else {
                self.amounts.insert(prefix, after);
                self.children.insert((within, after, prefix));
            }
            within = prefix;
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.amounts.is_empty() && self.children.is_empty() && self.holders.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(address: &str) -> AddressKey {
        AddressKey::of(address.parse().unwrap())
    }

    fn heaviest(holders: &[(&str, u64)], own: Option<&str>) -> AddressPrefix {
        let mut index = PrefixIndex::default();
        for (id, (address, amount)) in (0..).zip(holders) {
            index.insert(key(address), 0, id, *amount);
        }
        let found = index.heaviest(own.map(key)).unwrap();
        for (id, (address, amount)) in (0..).zip(holders) {
            index.remove(key(address), 0, id, *amount);
        }
        assert!(index.is_empty());
        found
    }

    /// Otherwise an attacker with the addresses of one network would hold as much for each of them as a sender does.
    #[test]
    fn the_heaviest_network_is_compared_before_its_addresses() {
        let v4 = [("192.0.2.1", 5), ("198.51.100.1", 3), ("198.51.100.2", 4)];
        assert_eq!(heaviest(&v4, None), key("198.51.100.2").prefix());
        let v6 = [("2001:db8:1::", 5), ("2001:db8:2:100::", 2), ("2001:db8:2:101::", 2), ("2001:db8:2:200::", 3)];
        assert_eq!(heaviest(&v6, None), key("2001:db8:2:101::").prefix());
        assert_eq!(heaviest(&[("::ffff:192.0.2.1", 1)], None), key("192.0.2.1").prefix());
    }

    #[test]
    fn among_equals_it_is_the_address_of_the_newcomer() {
        let equal = [("192.0.2.1", 2), ("192.0.2.7", 2), ("198.51.100.9", 4)];
        for own in ["192.0.2.1", "192.0.2.7", "198.51.100.9"] {
            assert_eq!(heaviest(&equal, Some(own)), key(own).prefix());
        }
        assert_eq!(heaviest(&equal, Some("203.0.113.5")), key("198.51.100.9").prefix());
    }

    #[test]
    fn holders_of_one_address_have_an_order() {
        let mut index = PrefixIndex::default();
        for (order, id) in [(7, 1), (5, 2), (6, 3)] {
            index.insert(key("192.0.2.1"), order, id, 1);
        }
        assert_eq!(index.first_of(key("192.0.2.1").prefix()), Some(2));
        assert_eq!(index.first_of(key("192.0.2.2").prefix()), None);
    }
}
