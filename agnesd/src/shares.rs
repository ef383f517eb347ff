//! Places that many share, of which nobody has more than a share.
//!
//! Always true: a place is free again when it is dropped; whoever has their share takes none from others.
//!
//! Does not: wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use agnes_store::Id;

/// How many of its places each has.
#[derive(Debug)]
pub(crate) struct Shares {
    most: usize,
    taken: Arc<Mutex<HashMap<Id, usize>>>,
}

/// One place of somebody's share.
#[derive(Debug)]
pub(crate) struct Share {
    of: Id,
    taken: Arc<Mutex<HashMap<Id, usize>>>,
}

impl Shares {
    /// So many for each.
    pub(crate) fn of(most: usize) -> Self {
        Self {
            most,
            taken: Arc::default(),
        }
    }

    /// One more; `None`: all of the share is taken.
    pub(crate) fn take(&self, id: Id) -> Option<Share> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(id).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share {
            of: id,
            taken: Arc::clone(&self.taken),
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_more_than_a_share_and_what_is_dropped_is_free() {
        let shares = Shares::of(2);
        let (one, other) = (Id::new(), Id::new());
        let first = shares.take(one).unwrap();
        let _second = shares.take(one).unwrap();
        assert!(shares.take(one).is_none());
        assert!(shares.take(other).is_some());
        drop(first);
        assert!(shares.take(one).is_some());
        assert_eq!(shares.taken.lock().unwrap().len(), 1);
    }
}
