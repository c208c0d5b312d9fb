//! `warren chaos`: the system under load, with faults of all kinds at random, and a receipt of what came of it.
//!
//! Shoppers order through the gateway, a [`Plan`] that is made of a seed alone says what fails when, and after each fault a
//! probe waits until all is well again. In the end everybody goes home, and the audit compares what clients were told with
//! what the services hold, with the events that the broker passed on, with the way of each in the services' ledgers, and what
//! the processes hold with what fresh ones need.

mod options;
pub use options::Options;

mod fault;
pub use fault::{BrokerChoice, End, Fault, Harm, Kind, Link, Target};

mod plan;
pub use plan::{Plan, Planned};

mod disks;
mod site;

mod inject;
mod probe;
mod seen;

mod audit;
mod ledgers;
pub use ledgers::Ways;
mod resources;

mod receipt;
pub use receipt::Receipt;

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use common::broker::BrokerConfig;
use fastrand::Rng;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};

use crate::load::{Door, Habits, Shoppers};
use crate::rabbit::unregistered;
use probe::Probe;
use seen::Seen;
use site::Site;

/// Something was lost, doubled, or is otherwise not as it was promised.
const FOUND: u8 = 1;

/// There is no receipt.
const NOT_RUN: u8 = 2;

/// Only after runs of this length one waits until the processes have given back what they held.
const A_MINUTE: Duration = Duration::from_secs(60);

/// What one shopper orders a second.
const ORDERS_A_SHOPPER: u32 = 12;

/// What a RabbitMQ that is killed early would not find again.
const QUEUES: [&str; 5] =
    ["users.order-created", "users.order-cancelled", "orders.user-created", "events.dead", seen::QUEUE];

/// Runs the system, its load and the faults, and prints the receipt.
pub fn main(options: &Options) -> ExitCode {
    if let Err(mistake) = options.check() {
        say(format_args!("error: {mistake}"));
        return ExitCode::from(NOT_RUN);
    }
    let seed = options.seed.unwrap_or_else(|| fastrand::u32(..).into());
    let plan = Plan::new(seed, options.minutes, options.broker, &options.only);
    if options.plan {
        // Whoever reads only the beginning, such as `head`, has what it wants.
        let _ = write!(io::stdout(), "{plan}");
        return ExitCode::SUCCESS;
    }

    let result = catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(until_told_to_end(options, seed, &plan))
    }));
    match result {
        Ok(Ok(receipt)) => print(&receipt, options),
        Ok(Err(error)) => {
            say(format_args!("error: {error}"));
            ExitCode::from(NOT_RUN)
        }
        // What the panic said is printed already.
        Err(_) => ExitCode::from(NOT_RUN),
    }
}

fn print(receipt: &Receipt, options: &Options) -> ExitCode {
    let _ = write!(io::stdout(), "{receipt}");
    if let Some(file) = &options.json
        && let Err(error) = write_json(receipt, file)
    {
        say(format_args!("error: cannot write {}: {error}", file.display()));
        return ExitCode::from(NOT_RUN);
    }
    match receipt.is_clear() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FOUND),
    }
}

fn write_json(receipt: &Receipt, file: &std::path::Path) -> io::Result<()> {
    fs::write(file, serde_json::to_vec_pretty(receipt)?)
}

/// A signal drops what runs, and with it every process and folder.
async fn until_told_to_end(options: &Options, seed: u64, plan: &Plan) -> Result<Receipt, Box<dyn Error>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        receipt = run(options, seed, plan) => receipt,
        _ = interrupt.recv() => Err("told to end, so there is no receipt".into()),
        _ = terminate.recv() => Err("told to end, so there is no receipt".into()),
    }
}

async fn run(options: &Options, seed: u64, plan: &Plan) -> Result<Receipt, Box<dyn Error>> {
    say(format_args!(
        "chaos: seed {seed}, {} faults in {:.0} s",
        plan.faults.len(),
        options.minutes.as_secs_f64()
    ));
    let site = Site::start(options).await?;
    say(format_args!("chaos: {} at {}", site.product, site.system.amqp_url));
    if site.disks.is_none() {
        say(format_args!("chaos: full disks are {}", inject::NO_DISK));
    }
    let seen = Seen::open(BrokerConfig::for_url(&site.system.amqp_url)?).await?;
    until_registered(&site).await;

    let receipt = tokio::select! {
        receipt = story(options, seed, plan, &site, &seen) => receipt?,
        () = site.keep() => return Err("nobody keeps the system running".into()),
        () = seen.watch() => return Err("nobody sees the events".into()),
    };
    if !receipt.is_clear() {
        match site.leave() {
            Ok(()) => say(format_args!("chaos: data and logs are kept in {}", site.folder().display())),
            Err(error) => say(format_args!(
                "error: not all data could be kept ({error}); the rest and the logs are in {}",
                site.folder().display()
            )),
        }
    }
    Ok(receipt)
}

async fn story(
    options: &Options,
    seed: u64,
    plan: &Plan,
    site: &Site,
    seen: &Seen,
) -> Result<Receipt, Box<dyn Error>> {
    let before = resources::now(site);
    let begun = Instant::now();
    let mut rng = Rng::with_seed(seed);
    let door = Door::public(&site.system);
    let shoppers = Shoppers::start(&door, habits(options.rate), &mut rng);
    let mut probe = Probe::register(shoppers.one_more(&door, &mut rng)).await.ok_or("nobody can register")?;

    let struck = inject::run(plan, site, &mut probe, say).await;
    sleep_until(begun + options.minutes).await;
    let took = begun.elapsed();
    drop(probe);
    say("chaos: it is over, everybody goes home");
    let ledger = shoppers.go_home_with_all_they_know().await;
    // The audit reads every order, and what it reads stays in the store's cache.
    let most = resources::most(struck.iter().map(|group| group.held.clone()).chain([resources::now(site)]));
    let has_time = options.minutes >= A_MINUTE;
    let audited = audit::run(&ledger, seen, site, &before, &most, has_time, &inject::moments(&struck)).await;

    let mut receipt = Receipt {
        seed,
        broker: site.product.clone(),
        seconds: took.as_secs_f64(),
        events: seen.count(),
        findings: audited.findings,
        ways: audited.ways,
        audit_seconds: audited.took.as_secs_f64(),
        audit_after_kill_seconds: audited.after_kill.as_secs_f64(),
        ended: site.ended.borrow().clone(),
        ..Receipt::default()
    };
    receipt.told(&ledger);
    receipt.struck(&struck);
    receipt.held(&before, &audited.after, &audited.fresh);
    Ok(receipt)
}

/// Shoppers who together wish for so many orders a second.
fn habits(rate: u32) -> Habits {
    let shoppers = rate.div_ceil(ORDERS_A_SHOPPER).max(4);
    Habits {
        shoppers: shoppers as usize,
        pause: Duration::from_secs_f64(f64::from(shoppers) / f64::from(rate)),
        orders_a_user: 200,
        ..Habits::default()
    }
}

/// Waits until RabbitMQ will find its queues again; the embedded broker always does.
async fn until_registered(site: &Site) {
    let begun = Instant::now();
    while site.broker.embedded().is_none()
        && unregistered(&site.folder().join("broker"), &QUEUES).is_some()
        && begun.elapsed() < Duration::from_secs(30)
    {
        sleep(Duration::from_millis(100)).await;
    }
}

/// Tells the one who waits what happens.
fn say(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
