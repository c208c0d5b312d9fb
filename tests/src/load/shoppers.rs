//! Customers who register, order and cancel without end, and who know in the end what became of every wish.
//!
//! Every wish carries an `Idempotency-Key`. Where nobody knows whether a wish was granted (the connection was cut, or the
//! answer says so), the shopper asks again under the same key until it is. A refusal, on the other hand, is believed: the
//! shopper lets go, and the [`Ledger`]'s audit shows whether the refusal was true.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::ledger::SharedLedger;
use super::{Door, Ledger, Shopper};
use crate::harness::eventually;

/// How busy the shoppers are.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// How many there are.
    pub shoppers: usize,
    /// How long each waits between two orders.
    pub pause: Duration,
    /// Of so many orders of a user who cancels at all, one is cancelled. Every second user never does: where orders are only
    /// added, an event that is lost cannot make up for another one, and the count shows each.
    pub cancel_one_in: usize,
    /// After so many orders, a shopper registers anew.
    pub orders_a_user: usize,
}

impl Default for Habits {
    /// Some hundred orders a second.
    fn default() -> Self {
        Self { shoppers: 6, pause: Duration::from_millis(5), cancel_one_in: 4, orders_a_user: 40 }
    }
}

/// Whether a shopper cancels as this one of its users. In a short run each has only one, so half of them begin with either.
fn may_cancel(shopper: usize, user: usize) -> bool {
    (shopper + user).is_multiple_of(2)
}

/// Shoppers at work.
#[must_use = "shoppers go on until they are sent home"]
pub struct Shoppers {
    is_over: Arc<AtomicBool>,
    ledger: SharedLedger,
    tasks: Vec<JoinHandle<()>>,
}

impl Shoppers {
    /// Lets them in. `rng` decides what each cancels.
    pub fn start(door: &Door, habits: Habits, rng: &mut Rng) -> Self {
        let mut shoppers =
            Self { is_over: Arc::default(), ledger: SharedLedger::default(), tasks: Vec::new() };
        shoppers.ledger.lock().ends_gap(Instant::now());
        for number in 0..habits.shoppers {
            let shopper = shoppers.one_more(door, rng);
            shoppers.tasks.push(tokio::spawn(shop(shopper, number, habits, shoppers.is_over.clone())));
        }
        shoppers
    }

    /// Another one of the same ledger, who does only what the caller says.
    pub fn one_more(&self, door: &Door, rng: &mut Rng) -> Shopper {
        Shopper { door: door.with_own_connections(), ledger: self.ledger.clone(), rng: rng.fork() }
    }

    /// What they know so far.
    pub fn so_far<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        look(&self.ledger.lock())
    }

    /// How many orders were placed so far.
    pub fn placed(&self) -> usize {
        self.so_far(|ledger| ledger.placed.len())
    }

    /// Waits until so many more orders were placed.
    ///
    /// # Panics
    ///
    /// When they are not within 30 s.
    pub async fn wait_placed(&self, more: usize) {
        let goal = self.placed() + more;
        eventually(Duration::from_secs(30), "orders are placed", async || {
            let placed = self.placed();
            if placed >= goal { Ok(()) } else { Err(format!("{placed} of {goal}; {}", self.troubles())) }
        })
        .await;
    }

    /// Waits for a time during which orders go on being placed.
    ///
    /// # Panics
    ///
    /// When a single order takes longer than 30 s.
    pub async fn shop_for(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.wait_placed(1).await;
        }
    }

    /// Sends them home and returns what they know, once the last wish is decided.
    ///
    /// # Panics
    ///
    /// When a wish is still undecided after a minute, or an answer contradicts another.
    pub async fn go_home(self) -> Ledger {
        let ledger = self.go_home_with_all_they_know().await;
        assert!(ledger.undecided.is_empty(), "nobody knows what became of {:?}", ledger.undecided);
        assert!(ledger.contradictions.is_empty(), "{:?}", ledger.contradictions);
        ledger
    }

    /// Sends them home and returns what they know, undecided wishes and contradictions among it.
    pub async fn go_home_with_all_they_know(mut self) -> Ledger {
        self.is_over.store(true, Ordering::Relaxed);
        self.ledger.lock().ends_gap(Instant::now());
        let ends = join_all(self.tasks.drain(..)).await;
        let mut ledger = std::mem::take(&mut *self.ledger.lock());
        ledger.contradictions.extend(ends.into_iter().filter_map(Result::err).map(|error| error.to_string()));
        ledger
    }

    fn troubles(&self) -> String {
        self.so_far(|ledger| format!("refused {:?}, unknown {:?}", ledger.refused, ledger.unknown))
    }
}

impl Drop for Shoppers {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

async fn shop(mut shopper: Shopper, own_number: usize, habits: Habits, is_over: Arc<AtomicBool>) {
    let is_over = || is_over.load(Ordering::Relaxed);
    let mut users = 0;
    while !is_over() {
        let Some(user) = shopper.register().await else { continue };
        let may_cancel = may_cancel(own_number, users);
        users += 1;
        for number in 0..habits.orders_a_user {
            if is_over() {
                return;
            }
            if let Some(order) = shopper.order(&user, number).await
                && may_cancel
                && shopper.rng.usize(0..habits.cancel_one_in) == 0
            {
                shopper.cancel(order).await;
            }
            sleep(habits.pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_users_of_a_shopper_one_never_cancels_and_so_of_the_first_users_of_two_shoppers() {
        for number in 0..10 {
            assert_ne!(may_cancel(3, number), may_cancel(3, number + 1));
            assert_ne!(may_cancel(number, 0), may_cancel(number + 1, 0));
        }
    }
}
