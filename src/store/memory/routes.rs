//! Numbers for route names, so that an entry need not contain the name, and the number of entries of each route.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Numbers and entry counts of routes.
#[derive(Default)]
pub(super) struct Routes {
    numbers: HashMap<Arc<str>, u16>,
    routes: Vec<(Arc<str>, AtomicUsize)>,
}

/// Result of taking one entry from the share of a route.
pub(super) enum ShareClaim {
    /// The entry is counted; the number of the route.
    Claimed(u16),
    /// The share is used up, or no number is free.
    Full,
    /// The route has no number yet.
    Unknown,
}

impl Routes {
    pub(super) fn claim(&self, route: &str, share: usize) -> ShareClaim {
        let Some(number) = self.numbers.get(route) else { return ShareClaim::Unknown };
        match self.routes.get(usize::from(*number)) {
            Some((_, count)) if add(count, 1, share) => ShareClaim::Claimed(*number),
            _ => ShareClaim::Full,
        }
    }

    pub(super) fn name(&self, number: u16) -> Option<Arc<str>> {
        self.routes.get(usize::from(number)).map(|(name, _)| Arc::clone(name))
    }

    /// Gives a route a number. Reloads add and remove routes: once all numbers are used, the number of a route without
    /// entries is reused.
    pub(super) fn register(&mut self, route: &Arc<str>, share: usize) -> ShareClaim {
        if !self.numbers.contains_key(route) {
            let entry = (Arc::clone(route), AtomicUsize::new(0));
            let number = if let Ok(number) = u16::try_from(self.routes.len()) {
                self.routes.push(entry);
                number
            } else {
                let free =
                    self.routes.iter_mut().zip(0..=u16::MAX).find(|((_, count), _)| count.load(Ordering::Relaxed) == 0);
                let Some((old, number)) = free else { return ShareClaim::Full };
                self.numbers.remove(&old.0);
                *old = entry;
                number
            };
            self.numbers.insert(Arc::clone(route), number);
        }
        self.claim(route, share)
    }

    pub(super) fn release(&self, number: u16) {
        if let Some((_, count)) = self.routes.get(usize::from(number)) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Adds `more` to `count` unless the sum exceeds `bound`; returns whether it was added.
pub(super) fn add(count: &AtomicUsize, more: usize, bound: usize) -> bool {
    let sum = |count: usize| count.checked_add(more).filter(|sum| *sum <= bound);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(claim: &ShareClaim) -> Option<u16> {
        match claim {
            ShareClaim::Claimed(number) => Some(*number),
            ShareClaim::Full | ShareClaim::Unknown => None,
        }
    }

    /// Reloads add and remove routes for as long as the process lives.
    #[test]
    fn the_number_of_a_route_without_entries_is_reused() {
        let (mut routes, name) = (Routes::default(), |number: u32| Arc::<str>::from(format!("route {number}")));
        for route in 0..=u32::from(u16::MAX) {
            assert_eq!(number(&routes.register(&name(route), 1)).map(u32::from), Some(route));
        }
        assert!(matches!(routes.register(&name(70_000), 1), ShareClaim::Full));
        routes.release(5);
        assert_eq!(number(&routes.register(&name(70_000), 1)), Some(5));
        assert_eq!(routes.name(5), Some(name(70_000)));
        assert!(matches!(routes.claim(&name(5), 1), ShareClaim::Unknown));
        assert!(matches!(routes.claim(&name(70_000), 1), ShareClaim::Full));
    }
}
