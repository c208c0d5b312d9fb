//! One experiment from its beginning to its receipt.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    convert::Infallible,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    Breaking, Experiment, Findings, Notebook, Outcome, Phase, Plan, Receipt, Site, Stores, Tally,
    audit::audit, load::Load, outlook::Outlook, recovery::is_healed,
};

/// How long orders are placed before anything is broken, to see how much usually waits.
const AS_USUAL: Duration = Duration::from_secs(1);

/// So many orders are accepted before anything is broken.
const BEFORE: usize = 10;

/// How long that, and registering, may take.
const BEGIN_DEADLINE: Duration = Duration::from_secs(15);

/// How long it may take until everything works again: a launcher waits up to 10 s before it starts a process again.
const RECOVER_DEADLINE: Duration = Duration::from_secs(90);

/// How long orders go on being placed when everything works again.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// How long the outboxes may take to empty, and open answers to be decided.
const DRAIN_DEADLINE: Duration = Duration::from_secs(60);

/// How long the count may be behind: an event that could not be applied waits 1, 5 and 25 s before its next attempts.
const COUNT_DEADLINE: Duration = Duration::from_secs(60);

/// How long a count that is right has to stand still: what is applied twice would show.
const STILL: Duration = Duration::from_secs(1);

/// How long one attempt to register may take.
const REGISTER_DEADLINE: Duration = Duration::from_secs(5);

/// How long a store is asked again that does not answer.
const ASK_DEADLINE: Duration = Duration::from_secs(10);

/// How often it is looked whether something is so by now.
const TICK: Duration = Duration::from_millis(100);

/// Runs an experiment to its end.
pub(super) async fn run(experiment: Experiment, plan: Plan, site: Site, notebook: Notebook) -> Receipt {
    let began = Instant::now();
    let name = format!("experiment-{}", experiment.number);
    let user = match register(&site, &name).await {
        Ok(user) => user,
        Err(why) => {
            let outlook = Outlook::default();
            outlook.fail(why);
            return outlook.receipt(
                experiment,
                began,
                &Tally::default(),
                audit(&Tally::default(), &Stores::default()),
            );
        }
    };
    let course = Course {
        load: Load::new(site.clone(), &user, &name),
        site,
        user,
        phase: Cell::new(Phase::Loading),
        outlook: Outlook::default(),
    };
    let findings = tokio::select! {
        findings = course.take(&plan) => findings,
        never = course.watch(&notebook) => match never {},
    };
    let tally = course.load.tally.into_inner();
    course.outlook.receipt(experiment, began, &tally, findings)
}

struct Course {
    load: Load,
    site: Site,
    user: String,
    phase: Cell<Phase>,
    outlook: Outlook,
}

impl Course {
    async fn take(&self, plan: &Plan) -> Findings {
        match plan {
            Plan::PlaceOrders(orders) => {
                self.load.at_once(*orders).await;
                self.outlook.fault_ends(Instant::now());
                self.outlook.drains();
            }
            Plan::Break(breaking) => {
                let (stop, stopped) = watch::channel(false);
                let breaking = async {
                    if let Err(why) = self.break_and_heal(breaking).await {
                        self.outlook.fail(why);
                    }
                    self.outlook.drains();
                    stop.send_replace(true);
                };
                join(breaking, self.load.steady(stopped)).await;
            }
        }
        self.phase.set(Phase::Draining);
        if !until(DRAIN_DEADLINE, async || self.load.ask_again().await).await {
            self.outlook.fail("open answers could not be decided within a minute");
        }
        if !until(DRAIN_DEADLINE, async || self.outlook.is_empty()).await {
            self.outlook.fail("the outboxes were not seen empty within a minute");
        }
        self.phase.set(Phase::Auditing);
        let stores = self.ask_the_stores().await;
        audit(&self.load.tally.borrow(), &stores)
    }

    /// # Errors
    /// Says what did not happen.
    async fn break_and_heal(&self, breaking: &Breaking) -> Result<(), String> {
        sleep(AS_USUAL).await;
        let loaded = async || self.load.tally.borrow().accepted() >= BEFORE;
        if !until(BEGIN_DEADLINE, loaded).await {
            return Err("nothing was broken: too few orders were accepted before".to_owned());
        }
        let service = &breaking.service;
        let before = self.site.look(service).await;
        let before = before.ok_or_else(|| format!("nothing was broken: {service} does not answer"))?;
        self.phase.set(Phase::Fault);
        self.outlook.fault_begins();
        self.site.inject(breaking).await?;
        let struck = Instant::now();
        sleep(Duration::from_millis(breaking.ms)).await;
        // Of what is over as soon as it has begun nobody knows whether it has struck, until it is healed.
        if breaking.ms > 0 {
            self.outlook.fault_ends(struck);
            self.outlook.drains();
        } else {
            self.outlook.fault_ends(Instant::now());
        }
        self.phase.set(Phase::Recovering);
        let well = async || {
            let now = self.site.look(service).await.unwrap_or(Value::Null);
            is_healed(breaking, &before, &now) && self.site.is_ready().await
        };
        if !until(RECOVER_DEADLINE, well).await {
            return Err(format!("not everything was ready again within {} s", RECOVER_DEADLINE.as_secs()));
        }
        self.outlook.recovers();
        self.outlook.drains();
        sleep(AFTERWARDS).await;
        Ok(())
    }

    /// Looks at the outboxes again and again, and shows how far the experiment is.
    async fn watch(&self, notebook: &Notebook) -> Infallible {
        loop {
            notebook.note(self.phase.get(), &self.load.tally.borrow());
            let asked = Instant::now();
            self.outlook.sees(self.site.waiting().await, asked);
            sleep(TICK).await;
        }
    }

    async fn ask_the_stores(&self) -> Stores {
        let mut stores = Stores { listed: self.list().await, ..Stores::default() };
        if let Some(listed) = &stores.listed {
            let listed: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
            let absent: Vec<String> = {
                let tally = self.load.tally.borrow();
                tally.ids().difference(&listed).map(|&id| id.to_owned()).collect()
            };
            for id in absent {
                match again(async || self.site.has_order(&id).await).await {
                    Some(true) => drop(stores.found.insert(id)),
                    Some(false) => {}
                    None => stores.unasked += 1,
                }
            }
        }
        let stored = stores.listed.as_ref().map_or(0, Vec::len) + stores.found.len();
        stores.counted = self.count(stored as u64).await;
        stores
    }

    /// The ids of all orders of the user; `None` where a page of them cannot be read.
    async fn list(&self) -> Option<Vec<String>> {
        let (mut all, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let (ids, next) = again(async || self.site.page(&self.user, cursor.as_deref()).await).await?;
            all.extend(ids);
            match next {
                Some(next) => cursor = Some(next),
                None => return Some(all),
            }
        }
    }

    /// The user's count of orders, once it has been `expected` for a while, or could have been long ago.
    async fn count(&self, expected: u64) -> Option<u64> {
        let begun = Instant::now();
        let mut right_since = None;
        loop {
            let counted = again(async || self.site.counted(&self.user).await).await;
            if counted == Some(expected) {
                let since = *right_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= STILL {
                    return counted;
                }
            } else {
                right_since = None;
            }
            if begun.elapsed() >= COUNT_DEADLINE {
                return counted;
            }
            sleep(TICK).await;
        }
    }
}

/// Registers a user that no other order is placed for; returns its id.
async fn register(site: &Site, name: &str) -> Result<String, String> {
    let id = uuid::Uuid::now_v7();
    let user = json!({ "name": name, "email": format!("{name}-{id}@example.com") }).to_string();
    let (user, key, request) = (Bytes::from(user), format!("{name}-{id}"), format!("{name}-user"));
    let registered = RefCell::new(Err("no answer".to_owned()));
    let attempt = async || {
        let posted = site.post("/api/users", &user, &key, &request, REGISTER_DEADLINE).await;
        *registered.borrow_mut() = match posted {
            Ok(answer) => match Outcome::of_answer(answer.status.as_u16(), &answer.body) {
                Outcome::Accepted(id) => Ok(id),
                Outcome::Refused | Outcome::Unknown => Err(answer.status.to_string()),
            },
            Err(_) => Err("no answer".to_owned()),
        };
        registered.borrow().is_ok()
    };
    until(BEGIN_DEADLINE, attempt).await;
    registered.into_inner().map_err(|why| format!("no user could be registered: {why}"))
}

/// Checks again and again until it is so; returns whether it was within `deadline`.
async fn until(deadline: Duration, is_so: impl AsyncFn() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if is_so().await {
            return true;
        }
        if begun.elapsed() >= deadline {
            return false;
        }
        sleep(TICK).await;
    }
}

/// Asks again where there is no answer, for a while.
async fn again<T>(ask: impl AsyncFn() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        match ask().await {
            None if begun.elapsed() < ASK_DEADLINE => sleep(TICK).await,
            answer => return answer,
        }
    }
}
