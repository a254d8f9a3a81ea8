//! Concurrency limits. There are no more entries than requests in flight, which the listeners' limits bound.

use std::collections::HashMap;
use std::sync::Arc;

use super::keys::{Id, Sharded};

/// Counts the requests in flight of each key.
#[derive(Debug, Default)]
pub(super) struct ConcurrencyQuota(Sharded<HashMap<Id, u32>>);

/// One concurrency permit; released when it is dropped.
#[derive(Debug)]
pub(super) struct ConcurrencyPermit {
    of: Arc<ConcurrencyQuota>,
    id: Id,
}

impl ConcurrencyQuota {
    /// Counts one more request of `id`; `None` if `most` are in flight.
    pub(super) fn enter(self: &Arc<Self>, id: Id, most: u32) -> Option<ConcurrencyPermit> {
        let mut counts = self.0.lock(id);
        let count = counts.entry(id).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(ConcurrencyPermit { of: Arc::clone(self), id })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.sum(HashMap::len)
    }
}

impl Drop for ConcurrencyPermit {
    fn drop(&mut self) {
        let mut counts = self.of.0.lock(self.id);
        if let Some(count) = counts.get_mut(&self.id) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.id);
            }
        }
    }
}
