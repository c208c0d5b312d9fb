//! The embedded broker beside RabbitMQ: what confirmed messages cost, and what it takes to keep many.
//!
//! Nothing is pinned: the broker and its one publisher share the machine. They say what the embedded broker is good for,
//! and not which of the two is better: RabbitMQ does much more.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use common::broker::{BrokerConfig, Yardstick};
use serde_json::json;

use super::say;
use super::table::{Table, short, thousands};
use super::usage;
use crate::Keep;
use crate::harness::BrokerKind;
use crate::own_broker::Broker;
use crate::rabbit::Installation;

/// How many messages may be unconfirmed at a time.
const WINDOW: usize = 1000;

/// What each broker is asked to keep.
#[derive(Clone, Copy, Debug)]
pub struct Stock {
    /// So many small messages, published as fast as they are confirmed and consumed by nobody.
    pub messages: usize,
}

/// What a broker did.
struct Figures {
    ready: Duration,
    filled: Duration,
    memory_kib: u64,
    ready_again: Duration,
}

impl Stock {
    /// Measures the embedded broker, and RabbitMQ where it is installed, with the data below `folder`.
    ///
    /// # Errors
    ///
    /// A broker did not start, or did not confirm.
    pub async fn run(&self, folder: &Path) -> Result<String, Box<dyn Error>> {
        let messages = thousands(self.messages as f64);
        let head = ["", "started in", "confirmed/s", "memory", "started again after kill -9"];
        let mut table = Table::new(head);
        let kinds = [BrokerKind::Embedded, BrokerKind::RabbitMq];
        for kind in
            kinds.into_iter().filter(|kind| *kind == BrokerKind::Embedded || Installation::find().is_ok())
        {
            say(format_args!("brokers: {kind} keeps {messages} messages"));
            let folder = folder.join(if kind == BrokerKind::Embedded { "embedded" } else { "rabbitmq" });
            let broker = kind.prepare(&env::current_exe()?, &folder, Keep::Nothing, &[])?;
            let figures = self.measure(&broker).await?;
            let ms = |time: Duration| format!("{} ms", short(time.as_secs_f64() * 1000.0));
            table.row([
                kind.to_string(),
                ms(figures.ready),
                thousands(self.messages as f64 / figures.filled.as_secs_f64()),
                format!("{} MB", short(figures.memory_kib as f64 * 1024.0 / 1e6)),
                ms(figures.ready_again),
            ]);
        }
        Ok(format!(
            "{messages} messages of 170 bytes and their properties, published by one lapin connection with {WINDOW} \
             unconfirmed, persistent and mandatory, to a quorum queue that nobody consumes. The memory is the resident \
             one with all of them waiting.\n\n{table}"
        ))
    }

    async fn measure(&self, broker: &Broker) -> Result<Figures, Box<dyn Error>> {
        let begun = Instant::now();
        broker.start().await?;
        let ready = begun.elapsed();

        let order = json!({
            "id": "01929d3e-0000-7000-8000-000000000000",
            "userId": "01929d3e-0000-7000-8000-000000000001",
            "items": ["item 0000000000000000"],
            "status": "created",
            "createdAt": "2026-01-01T00:00:00.000000Z",
        });
        let body = serde_json::value::to_raw_value(&order)?;
        let yardstick = Yardstick { messages: self.messages, window: WINDOW, body };
        let config = BrokerConfig::for_url(&broker.url("/"))?;
        let filled = yardstick.fill(&config).await?;
        let memory_kib = memory_kib(broker)?;

        broker.kill9();
        let killed = Instant::now();
        broker.start().await?;
        Ok(Figures { ready, filled, memory_kib, ready_again: killed.elapsed() })
    }
}

/// The resident memory of a broker and its children.
fn memory_kib(broker: &Broker) -> Result<u64, Box<dyn Error>> {
    let pid = broker.pid().ok_or("the broker has ended")?;
    let mut sum = 0;
    for pid in usage::family(pid) {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        sum += line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(sum)
}
