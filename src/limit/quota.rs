//! A quota that several requests share: amounts in use, in total and per key. A permit holds an amount
//! and releases it when it is dropped.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::failure::Exhausted;

/// The amounts in use. A key without one is not stored: memory is bounded by the number of permits.
#[derive(Debug)]
pub(super) struct KeyedQuota<K>(Mutex<Amounts<K>>);

#[derive(Debug)]
struct Amounts<K> {
    total: u64,
    by_key: HashMap<K, u64>,
}

/// An amount of a quota, released when it is dropped.
#[derive(Debug)]
pub(super) struct QuotaPermit<K: Copy + Eq + Hash> {
    quota: Arc<KeyedQuota<K>>,
    key: Option<K>,
    amount: u64,
}

impl<K> Default for KeyedQuota<K> {
    fn default() -> Self {
        Self(Mutex::new(Amounts { total: 0, by_key: HashMap::new() }))
    }
}

impl<K: Copy + Eq + Hash> KeyedQuota<K> {
    /// A permit of amount zero; without a key, it counts in total only.
    pub(super) fn begin(self: &Arc<Self>, key: Option<K>) -> QuotaPermit<K> {
        QuotaPermit { quota: Arc::clone(self), key, amount: 0 }
    }

    /// The number of keys with an amount in use.
    #[cfg(test)]
    pub(super) fn keys(&self) -> usize {
        self.lock().by_key.len()
    }

    fn lock(&self) -> MutexGuard<'_, Amounts<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash> QuotaPermit<K> {
    /// Adds `more`, at most up to `limit` in total and `key_limit` for the key.
    ///
    /// # Errors
    /// [`Exhausted::Total`], or [`Exhausted::Address`] for the key; nothing is added then.
    pub(super) fn grow(&mut self, more: u64, limit: u64, key_limit: u64) -> Result<(), Exhausted> {
        if more == 0 {
            return Ok(());
        }
        let mut amounts = self.quota.lock();
        let total = sum(amounts.total, more, limit).ok_or(Exhausted::Total)?;
        if let Some(key) = self.key {
            amounts.add(key, more, key_limit)?;
        }
        amounts.total = total;
        self.amount += more;
        Ok(())
    }
}

impl<K: Copy + Eq + Hash> Amounts<K> {
    fn add(&mut self, key: K, more: u64, limit: u64) -> Result<(), Exhausted> {
        // Checked first, so that a rejected key is not stored.
        sum(0, more, limit).ok_or(Exhausted::Address)?;
        let amount = self.by_key.entry(key).or_default();
        *amount = sum(*amount, more, limit).ok_or(Exhausted::Address)?;
        Ok(())
    }
}

impl<K: Copy + Eq + Hash> Drop for QuotaPermit<K> {
    fn drop(&mut self) {
        if self.amount == 0 {
            return;
        }
        let mut amounts = self.quota.lock();
        amounts.total = amounts.total.saturating_sub(self.amount);
        if let Some(Entry::Occupied(mut amount)) = self.key.map(|key| amounts.by_key.entry(key)) {
            *amount.get_mut() = amount.get().saturating_sub(self.amount);
            if *amount.get() == 0 {
                amount.remove();
            }
        }
    }
}

fn sum(amount: u64, more: u64, limit: u64) -> Option<u64> {
    amount.checked_add(more).filter(|sum| *sum <= limit)
}
