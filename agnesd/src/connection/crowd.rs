//! The places of one listener: who has one, and who leaves when there is none.
//!
//! Always true: whoever comes gets a place at once while any connection waits for its client; the one that has waited longest
//! leaves for it, those without a request before those whose request or answer is not through, and who came within the last
//! two seconds after both. A connection that the server
//! works for is never ended. So idle, slow and endless clients, however many, keep nobody out, and probes are answered.
//!
//! Does not: tell one client from another: behind a proxy all of them have one address.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Activity;

/// Who was told to leave is gone by then, or has got something to do; then another one is.
const A_MOMENT: Duration = Duration::from_millis(20);

/// Everybody who has a place.
#[derive(Debug)]
pub(crate) struct Crowd {
    slots: Arc<Semaphore>,
    guests: Mutex<HashMap<u64, Arc<Guest>>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Guest {
    activity: Arc<Activity>,
    leave: Notify,
    told: AtomicBool,
}

/// One connection's place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    number: u64,
    guest: Arc<Guest>,
    _slot: OwnedSemaphorePermit,
}

impl Crowd {
    /// With so many places.
    pub(crate) fn of(places: usize) -> Arc<Self> {
        Arc::new(Self {
            slots: Arc::new(Semaphore::new(places)),
            guests: Mutex::default(),
            next: AtomicU64::new(0),
        })
    }

    /// A place for a connection that begins now. Waits only while the server works for all that have one.
    pub(crate) async fn enter(self: &Arc<Self>) -> Option<Place> {
        let slot = loop {
            if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
                break slot;
            }
            self.make_room();
            if let Ok(slot) = timeout(A_MOMENT, Arc::clone(&self.slots).acquire_owned()).await {
                break slot.ok()?;
            }
        };
        let guest = Arc::new(Guest {
            activity: Activity::new(),
            leave: Notify::new(),
            told: AtomicBool::new(false),
        });
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.guests().insert(number, Arc::clone(&guest));
        Some(Place {
            crowd: Arc::clone(self),
            number,
            guest,
            _slot: slot,
        })
    }

    /// As [`Crowd::make_room`] for some at once: descriptors are looked at again only after a pause.
    pub(crate) fn make_more_room(&self) {
        const SOME: usize = 64;
        for _ in 0..SOME {
            self.make_room();
        }
    }

    /// Tells the connection that has waited longest for its client to leave.
    fn make_room(&self) {
        let guests = self.guests();
        let waiting = guests.values().filter_map(|guest| {
            let waits = guest.activity.waits()?;
            (!guest.told.load(Ordering::Acquire)).then_some((waits, guest))
        });
        if let Some((_, guest)) = waiting.min_by_key(|(waits, _)| *waits) {
            guest.told.store(true, Ordering::Release);
            guest.leave.notify_one();
        }
    }

    fn guests(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Guest>>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// What happens on the connection.
    pub(crate) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.guest.activity)
    }

    /// Comes back when the connection has to make room, which one that was asked something meanwhile does not.
    pub(crate) async fn has_to_leave(&self) {
        loop {
            self.guest.leave.notified().await;
            if self.guest.activity.waits().is_some() {
                return;
            }
            self.guest.told.store(false, Ordering::Release);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.guests().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::super::activity;
    use super::*;

    async fn left(place: &Place) -> bool {
        timeout(A_MOMENT, place.has_to_leave()).await.is_ok()
    }

    #[tokio::test]
    async fn the_longest_idle_leaves_first_and_who_is_worked_for_never() {
        let crowd = Crowd::of(3);
        let worked_for = crowd.enter().await.unwrap();
        let activity = worked_for.activity();
        let asked = activity.begin();
        tokio::time::sleep(Duration::from_millis(5)).await;
        let (first, second) = (crowd.enter().await.unwrap(), crowd.enter().await.unwrap());
        crowd.make_room();
        assert!(left(&first).await && !left(&second).await && !left(&worked_for).await);
        drop(first);
        let third = timeout(A_MOMENT, crowd.enter()).await.unwrap().unwrap();
        tokio::time::sleep(activity::NEW).await;
        // one that sends its body slowly waits too, and leaves after the idle ones
        asked.starves(true);
        crowd.make_room();
        assert!(left(&second).await);
        crowd.make_room();
        assert!(left(&third).await && !left(&worked_for).await);
        crowd.make_room();
        assert!(left(&worked_for).await);
    }

    #[tokio::test]
    async fn who_just_came_is_not_the_first_to_leave_amid_slow_bodies() {
        let crowd = Crowd::of(2);
        let slow = crowd.enter().await.unwrap();
        let activity = slow.activity();
        let asked = activity.begin();
        asked.starves(true);
        let probe = crowd.enter().await.unwrap();
        crowd.make_room();
        assert!(left(&slow).await && !left(&probe).await);
    }

    #[tokio::test]
    async fn one_that_got_work_after_it_was_told_stays_and_the_next_is_told() {
        let crowd = Crowd::of(1);
        let only = crowd.enter().await.unwrap();
        crowd.make_room();
        let activity = only.activity();
        let asked = activity.begin();
        assert!(!left(&only).await);
        assert!(
            timeout(A_MOMENT * 3, crowd.enter()).await.is_err(),
            "no place is free while the server works"
        );
        drop(asked);
        let leaving = async {
            only.has_to_leave().await;
            drop(only);
        };
        let entering = timeout(Duration::from_secs(5), crowd.enter());
        let ((), entered) = tokio::join!(leaving, entering);
        assert!(entered.unwrap().is_some());
    }
}
