//! A customer who wants to know when everything works again.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use super::site::Site;
use crate::load::Shopper;

/// How often one looks.
const LOOK: Duration = Duration::from_millis(50);

/// After that it is not waited for any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fewer waiting events than this are under load what comes and goes.
const A_MOMENTS: u64 = 64;

/// Orders once after every fault.
pub(super) struct Probe {
    shopper: Shopper,
    user: String,
    ordered: i64,
}

impl Probe {
    /// Registers; `None` where that is refused.
    pub async fn register(shopper: Shopper) -> Option<Self> {
        let user = shopper.register().await?;
        Some(Self { shopper, user, ordered: 0 })
    }

    /// Waits until all services are ready, an order is accepted, and its user shows it; returns how long after `since` that
    /// was. `None` where it is not so in time.
    pub async fn recovered(&mut self, site: &Site, since: Instant) -> Option<Duration> {
        let is_late = || since.elapsed() > PATIENCE;
        let mut is_ordered = false;
        while !is_late() {
            if !is_ordered && site.is_ready().await {
                is_ordered = self.shopper.order(&self.user, 0).await.is_some();
                self.ordered += i64::from(is_ordered);
            }
            if is_ordered && self.counted(site).await == Some(self.ordered) && site.is_ready().await {
                return Some(since.elapsed());
            }
            sleep(LOOK).await;
        }
        None
    }

    async fn counted(&self, site: &Site) -> Option<i64> {
        let users = &site.system.users.http;
        let answer =
            users.get(&format!("/users/{}", self.user)).deadline(Duration::from_secs(2)).send().await.ok()?;
        let user: Value = serde_json::from_slice(&answer.body).ok()?;
        user["orderCount"].as_i64()
    }
}

/// Waits until both services are linked to the broker, then until hardly an event waits in their outboxes; returns how long
/// the latter took. `None` where it is not so in time.
pub(super) async fn drained(site: &Site, since: Instant) -> Option<Duration> {
    let is_late = || since.elapsed() > PATIENCE;
    while !site.is_linked().await {
        if is_late() {
            return None;
        }
        sleep(LOOK).await;
    }
    let linked = Instant::now();
    while site.waiting().await.is_none_or(|waiting| waiting > A_MOMENTS) {
        if is_late() {
            return None;
        }
        sleep(LOOK).await;
    }
    Some(linked.elapsed())
}
