//! Three times as many orders as the system can take, whatever it says to them.
//!
//! Here, other than in the rest of this part, the load has a core to itself, and the system and its broker all others: a
//! customer who insists costs the system its refusal, and not its own work.

use std::error::Error;
use std::time::Duration;

use super::orders;
use super::running::Running;
use crate::bench::cores::{self, Cores};
use crate::bench::load::Outcome;
use crate::bench::say;
use crate::bench::table::{Table, short, thousands, time};
use crate::bench::usage::{family, peak_memory_kib};

/// So many times the orders a second that were taken when each customer waited for its answer.
const TIMES: f64 = 3.0;

/// Orders `TIMES` as fast as `peak`, and says what became of them in a table.
pub(super) async fn measure(system: &Running, duration: Duration) -> Result<String, Box<dyn Error>> {
    let core = Cores::choose().load;
    let (services, broker) = (system.pids(), system.node.pid());
    let all: Vec<u32> = services.iter().copied().chain(broker.into_iter().flat_map(family)).collect();
    cores::keep_off(&all, core)?;
    let at_its_best = orders::as_fast_as_taken(system, duration, false, core).await?;
    system.settle().await?;
    let peak = at_its_best.rate().ok_or("no order was taken")?;

    let before = peak_memory_kib(&services)?;
    let outcome = orders::from_a_crowd(system, duration, TIMES * peak, core).await?;
    let after = peak_memory_kib(&services)?;
    system.settle().await?;
    cores::keep_off(&all, None)?;

    let Outcome { refused, refused_p50, refused_p99, p50, p99, seconds, .. } = outcome;
    let taken = outcome.rate().unwrap_or_default();
    say(format_args!("system: three times as many orders as can be taken: {}/s taken", thousands(taken)));
    let mut table = Table::new(["on all cores but the load's", "per second", "p50", "p99"]);
    let mut add = |what: &str, rate: f64, times: [u64; 2]| {
        let times = times.map(|nanos| time(nanos as f64));
        table.row([what.to_owned(), thousands(rate)].into_iter().chain(times));
    };
    add("as many orders as can be taken, 64 connections", peak, [at_its_best.p50, at_its_best.p99]);
    add("three times as many, 2,000 connections: taken, since they were due", taken, [p50, p99]);
    add(
        "and refused, with a Retry-After, since they were sent",
        refused as f64 / seconds,
        [refused_p50, refused_p99],
    );
    let wrong: String = outcome
        .failed
        .iter()
        .filter(|(what, _)| !["status 503", "status 429"].contains(&what.as_str()))
        .map(|(what, count)| format!("- {what}: {} times\n", thousands(*count as f64)))
        .collect();
    let [before, after] = [before, after].map(|kib| short(kib as f64 / 1024.0));
    Ok(format!(
        "{table}{wrong}\nUnder three times the load {:.2} of the best rate is taken. The most memory that gateway, users and orders ever held \
         together went from {before} to {after} MiB.\n",
        taken / peak
    ))
}
