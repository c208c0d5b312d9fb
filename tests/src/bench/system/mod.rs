//! What the whole system does: how many orders it takes and how soon the users service knows of them.
//!
//! Nothing is pinned here, but under overload. Three services, their broker and the load share the machine, as they would in a demo.

mod running;

mod backlog;
mod delay;
mod orders;
mod overload;

use std::env;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

use super::load::Outcome;
use super::say;
use super::table::{Table, short, thousands, time};
use crate::rabbit::Server;
use running::Running;

/// How long each part takes.
#[derive(Clone, Copy, Debug)]
pub struct Exercise {
    /// Orders as fast as they are taken, with keys and without.
    pub orders: Duration,
    /// Orders at a fixed rate, while the delay is measured.
    pub delay: Duration,
    /// Three times as many orders as can be taken.
    pub overload: Duration,
    /// Orders while the broker is away.
    pub outage: Duration,
}

impl Exercise {
    /// Does all parts, with the data below `folder`; returns the broker and the table.
    ///
    /// # Errors
    ///
    /// Something did not start or did not answer.
    pub async fn run(&self, folder: &Path) -> Result<(Server, String), Box<dyn Error>> {
        say("system: starting a private broker and the services");
        let mut system = Running::start(&env::current_exe()?, folder).await?;
        let mut table = Table::new(["", "per second", "p50", "p99", "p99.9", "slowest", "failed"]);

        let mut troubles = String::new();
        let mut add = |what: &str, outcome: &Outcome| {
            say(format_args!("system: {what}: {}/s", outcome.rate().map_or("0".to_owned(), thousands)));
            let times =
                [outcome.p50, outcome.p99, outcome.p999, outcome.slowest].map(|nanos| time(nanos as f64));
            let mut row = vec![what.to_owned(), outcome.rate().map_or("–".to_owned(), thousands)];
            row.extend(times);
            row.push(thousands(outcome.failures() as f64));
            table.row(row);
            for (trouble, count) in &outcome.failed {
                troubles += &format!("- {what}: {trouble} ({} times)\n", thousands(*count as f64));
            }
        };
        for (what, has_key) in [
            ("durable orders through the gateway, 64 connections", false),
            ("the same, each with an Idempotency-Key", true),
        ] {
            add(what, &orders::as_fast_as_taken(&system, self.orders, has_key, None).await?);
            system.settle().await?;
        }
        let (orders, delays) = delay::measure(&system, self.delay).await?;
        add("at 1,000 orders a second: until the 201", &orders);
        add("and from the 201 until the user's orderCount shows it", &delays);

        let overload = overload::measure(&system, self.overload).await?;
        let backlog = backlog::measure(&mut system, self.outage).await?;
        let mut second = Table::new(["the broker was away, and is back", "events", "took", "per second"]);
        let mut add = |what: &str, events: u64, took: Duration| {
            let seconds = took.as_secs_f64();
            say(format_args!("system: {what}: {} events in {seconds:.2} s", thousands(events as f64)));
            let rate = thousands(events as f64 / seconds);
            second.row([what.to_owned(), thousands(events as f64), format!("{} s", short(seconds)), rate]);
        };
        add("from the link to an empty outbox", backlog.events, backlog.drained);
        add("then until the users service, started again, has counted all", backlog.events, backlog.counted);
        add("a bare lapin publisher beside, the same messages and window", backlog.events, backlog.bare);
        let ratio = backlog.bare.as_secs_f64() / backlog.drained.as_secs_f64();

        let server = system.server.clone();
        let report = format!(
            "{table}{troubles}\n{overload}\n{second}\nThe outbox drains at {ratio:.2} of the bare publisher's speed.\n"
        );
        Ok((server, report))
    }
}
