//! Who watches: the board asks the services only as long as somebody does.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// How many may watch at once.
pub const MOST_VIEWERS: usize = 64;

/// How long a single question counts as watching.
const ASKED_LATELY: Duration = Duration::from_secs(5);

/// Everybody who watches. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Audience(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    seats: AtomicUsize,
    asked: Mutex<Option<Instant>>,
    came: Notify,
}

/// One viewer's place; free again when dropped.
#[derive(Debug)]
pub struct Seat(Audience);

impl Audience {
    /// Takes a place for somebody who stays; `None` where none is free.
    pub fn take_seat(&self) -> Option<Seat> {
        let free = |taken: usize| (taken < MOST_VIEWERS).then_some(taken + 1);
        self.0.seats.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).ok()?;
        self.0.came.notify_waiters();
        Some(Seat(self.clone()))
    }

    /// Notes that somebody looked in.
    pub fn looked_in(&self) {
        *self.0.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.0.came.notify_waiters();
    }

    /// How many stay.
    pub fn seats(&self) -> usize {
        self.0.seats.load(Ordering::Relaxed)
    }

    /// Returns as soon as somebody watches.
    pub async fn there(&self) {
        loop {
            let came = self.0.came.notified();
            tokio::pin!(came);
            // Whoever comes between the look and the wait is not missed.
            came.as_mut().enable();
            if self.is_there(Instant::now()) {
                return;
            }
            came.await;
        }
    }

    fn is_there(&self, now: Instant) -> bool {
        let asked = *self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        self.seats() > 0 || asked.is_some_and(|at| now < at + ASKED_LATELY)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.seats.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_bounded_and_free_again_when_their_viewers_leave() {
        let audience = Audience::default();

        let mut seats: Vec<_> = (0..MOST_VIEWERS).filter_map(|_| audience.take_seat()).collect();

        assert_eq!(seats.len(), MOST_VIEWERS);
        assert!(audience.take_seat().is_none());
        seats.pop();
        assert!(audience.take_seat().is_some());
    }

    #[test]
    fn nobody_watches_until_somebody_does_and_a_look_counts_for_a_while() {
        let (audience, now) = (Audience::default(), Instant::now());

        assert!(!audience.is_there(now));
        audience.looked_in();
        assert!(audience.is_there(now + Duration::from_secs(4)));
        assert!(!audience.is_there(Instant::now() + ASKED_LATELY));
        let seat = audience.take_seat();
        assert!(audience.is_there(Instant::now() + ASKED_LATELY));
        drop(seat);
        assert!(!audience.is_there(Instant::now() + ASKED_LATELY));
    }

    #[tokio::test]
    async fn whoever_comes_wakes_the_board() {
        let audience = Audience::default();
        let waiting = audience.clone();
        let woken = tokio::spawn(async move { waiting.there().await });
        tokio::task::yield_now().await;

        let _seat = audience.take_seat();

        tokio::time::timeout(Duration::from_secs(10), woken).await.expect("woken").expect("no panic");
    }
}
