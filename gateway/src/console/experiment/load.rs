use std::{cell::RefCell, time::Duration};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::json;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::{Outcome, Site, Tally, site::PostError};

/// Orders are placed at this pace, about fifty a second.
const PACE: Duration = Duration::from_millis(20);

/// Most orders under way at once.
const MOST: usize = 32;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Somebody who places orders through the public entry and keeps count of the answers.
pub(super) struct Load {
    site: Site,
    order: Bytes,
    /// Part of every request id.
    name: String,
    /// Part of every key, unlike any of another experiment.
    key: String,
    pub(super) tally: RefCell<Tally>,
}

impl Load {
    /// Places orders for `user`; `name` is in the id of every request.
    pub(super) fn new(site: Site, user: &str, name: &str) -> Self {
        let order = json!({ "userId": user, "items": [name] }).to_string();
        let key = format!("{name}-{}", uuid::Uuid::now_v7());
        Self { site, order: order.into(), name: name.to_owned(), key, tally: RefCell::default() }
    }

    /// Places orders at a steady pace until `stop` says so, and waits for the last answers.
    pub(super) async fn steady(&self, mut stop: watch::Receiver<bool>) {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                // A sender that is gone means the same.
                _ = stop.wait_for(|stop| *stop) => break,
                Some(()) = under_way.next() => {}
                _ = pace.tick(), if under_way.len() < MOST => under_way.push(self.place(self.begin())),
            }
        }
        while under_way.next().await.is_some() {}
    }

    /// Places so many orders as fast as they are answered.
    pub(super) async fn at_once(&self, orders: u64) {
        let placing = futures_util::stream::iter(0..orders).map(|_| self.place(self.begin()));
        placing.buffer_unordered(MOST).collect::<()>().await;
    }

    /// Asks once more for every order of which nobody knows; returns whether all are decided now.
    pub(super) async fn ask_again(&self) -> bool {
        let undecided = self.tally.borrow().undecided();
        let asking = futures_util::stream::iter(undecided).map(|number| self.place(number));
        asking.buffer_unordered(MOST).collect::<()>().await;
        self.tally.borrow().undecided().is_empty()
    }

    fn begin(&self) -> usize {
        self.tally.borrow_mut().begin()
    }

    async fn place(&self, number: usize) {
        let (key, request) = (format!("{}-{number}", self.key), format!("{}-{number}", self.name));
        let outcome = match self.site.post("/api/orders", &self.order, &key, &request, DEADLINE).await {
            Ok(answer) => Outcome::of_answer(answer.status.as_u16(), &answer.body),
            Err(PostError::NotSent) => Outcome::Refused,
            Err(PostError::Unknown) => Outcome::Unknown,
        };
        self.tally.borrow_mut().settle(number, outcome);
    }
}
