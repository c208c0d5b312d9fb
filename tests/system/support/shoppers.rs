//! Customers who register, order and cancel without end, and who know in the end what became of every wish.
//!
//! Every wish carries an `Idempotency-Key`. Where nobody knows whether a wish was granted (the connection was cut, or the
//! answer says so), the shopper asks again under the same key until it is. A refusal, on the other hand, is believed: the
//! shopper lets go, and the [`Ledger`]'s audit shows whether the refusal was true.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use uuid::Uuid;
use warren::harness::eventually;
use warren::http::{Answer, Call, HttpError};

use super::{Door, Ledger};

/// Between two attempts at a wish of unknown outcome, and after a refusal.
const AFTER_TROUBLE: Duration = Duration::from_millis(10);

/// How long a shopper goes on asking what became of a wish.
const PATIENCE: Duration = Duration::from_secs(60);

/// How busy the shoppers are.
#[derive(Clone, Copy)]
pub struct Habits {
    /// How many there are.
    pub shoppers: usize,
    /// How long each waits between two orders.
    pub pause: Duration,
    /// Of so many orders, one is cancelled.
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

/// Shoppers at work.
#[must_use = "shoppers go on until they are sent home"]
pub struct Shoppers {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    habits: Habits,
    is_over: AtomicBool,
    ledger: Mutex<Ledger>,
}

/// What became of a wish.
enum Wish {
    Granted(Value),
    Refused,
}

impl Shoppers {
    /// Lets them in. `rng` decides what each cancels.
    pub fn start(door: &Door, habits: Habits, rng: &mut Rng) -> Self {
        let shared = Arc::new(Shared { habits, is_over: AtomicBool::new(false), ledger: Mutex::default() });
        let tasks = (0..habits.shoppers)
            .map(|_| {
                let shopper =
                    Shopper { door: door.with_own_connections(), shared: shared.clone(), rng: rng.fork() };
                tokio::spawn(shopper.shop())
            })
            .collect();
        Self { shared, tasks }
    }

    /// What they know so far.
    pub fn so_far<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        look(&self.shared.ledger())
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
    /// When a wish is still undecided after a minute.
    pub async fn go_home(mut self) -> Ledger {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for shopper in join_all(self.tasks.drain(..)).await {
            shopper.expect("every wish is decided in the end");
        }
        std::mem::take(&mut *self.shared.ledger())
    }

    fn troubles(&self) -> String {
        self.so_far(|ledger| format!("refused {:?}, unknown {:?}", ledger.refused, ledger.unknown))
    }
}

impl Drop for Shoppers {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

struct Shopper {
    door: Door,
    shared: Arc<Shared>,
    rng: Rng,
}

impl Shopper {
    async fn shop(mut self) {
        while !self.shared.is_over() {
            let Some(user) = self.register().await else { continue };
            for number in 0..self.shared.habits.orders_a_user {
                if self.shared.is_over() {
                    return;
                }
                self.order(&user, number).await;
                sleep(self.shared.habits.pause).await;
            }
        }
    }

    async fn register(&self) -> Option<String> {
        let name = format!("Shopper {}", Uuid::now_v7().simple());
        let body = json!({ "name": name, "email": format!("{}@example.com", Uuid::now_v7().simple()) });
        let Wish::Granted(user) = self.wish(|door| door.post_users("/users").json(&body)).await else {
            return None;
        };
        let id = id_of(&user);
        self.shared.ledger().users.insert(id.clone(), name);
        Some(id)
    }

    async fn order(&mut self, user: &str, number: usize) {
        let body = json!({ "userId": user, "items": [format!("item {number}")] });
        let begun = Instant::now();
        let Wish::Granted(order) = self.wish(|door| door.post_orders("/orders").json(&body)).await else {
            return;
        };
        let id = id_of(&order);
        {
            let mut ledger = self.shared.ledger();
            let before = ledger.placed.insert(id.clone(), user.to_owned());
            assert_eq!(before, None, "two orders have the id {id}");
            ledger.slowest = ledger.slowest.max(begun.elapsed());
        }

        if self.rng.usize(0..self.shared.habits.cancel_one_in) == 0 {
            let path = format!("/orders/{id}/cancel");
            if let Wish::Granted(order) = self.wish(|door| door.post_orders(&path)).await {
                assert_eq!(order["status"], "cancelled", "{order}");
                self.shared.ledger().cancelled.insert(id);
            }
        }
    }

    /// Asks until it is known what became of the wish.
    async fn wish(&self, call: impl Fn(&Door) -> Call) -> Wish {
        let key = Uuid::now_v7().to_string();
        let begun = Instant::now();
        let mut may_be_granted = false;
        loop {
            let answer = call(&self.door).header("Idempotency-Key", &key).send().await;
            let trouble = match answer {
                Ok(answer) if answer.status.is_success() => return Wish::Granted(answer.json()),
                Ok(answer) if is_unknown(&answer) => {
                    may_be_granted = true;
                    in_short(&answer)
                }
                // The first attempt's answer was lost, and it is still at work.
                Ok(answer) if answer.status == StatusCode::CONFLICT && may_be_granted => in_short(&answer),
                Ok(answer) => {
                    count(&mut self.shared.ledger().refused, in_short(&answer));
                    sleep(AFTER_TROUBLE).await;
                    if !may_be_granted {
                        return Wish::Refused;
                    }
                    in_short(&answer)
                }
                Err(error) if is_not_connected(&error) && !may_be_granted => {
                    count(&mut self.shared.ledger().not_connected, error.to_string());
                    sleep(AFTER_TROUBLE).await;
                    return Wish::Refused;
                }
                Err(error) => {
                    may_be_granted = true;
                    error.to_string()
                }
            };
            count(&mut self.shared.ledger().unknown, trouble.clone());
            assert!(
                begun.elapsed() < PATIENCE,
                "after {PATIENCE:?} nobody knows what became of a wish: {trouble}"
            );
            sleep(AFTER_TROUBLE).await;
        }
    }
}

/// Whether the request may have been carried out in spite of its answer.
fn is_unknown(answer: &Answer) -> bool {
    match answer.status {
        StatusCode::SERVICE_UNAVAILABLE => answer.text().contains("outcome unknown"),
        status => status.is_server_error(),
    }
}

/// Whether the request never left, because nobody listens.
fn is_not_connected(error: &HttpError) -> bool {
    matches!(error, HttpError::Exchange(error) if error.is_connect())
}

fn in_short(answer: &Answer) -> String {
    let text = answer.text();
    let error = serde_json::from_str::<Value>(&text).ok().and_then(|problem| {
        let detail = problem["detail"].as_str().unwrap_or_default();
        Some(format!("{}: {detail}", problem["error"].as_str()?))
    });
    format!("{} {}", answer.status.as_u16(), error.unwrap_or(text))
}

fn count(counts: &mut BTreeMap<String, u64>, what: String) {
    *counts.entry(what).or_default() += 1;
}

fn id_of(resource: &Value) -> String {
    resource["id"].as_str().unwrap_or_else(|| panic!("no id in {resource}")).to_owned()
}
