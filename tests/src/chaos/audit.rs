//! After the storm: waits until all is quiet, and looks whether anything is missing or there twice.

use std::time::Duration;

use common::broker::{BrokerConfig, DeadLetters, Queues};
use tokio::time::{Instant, sleep};

use super::fault::KEEPERS;
use super::ledgers::{Moment, Ways};
use super::resources::{self, Figures};
use super::seen::{self, Seen};
use super::site::Site;
use crate::load::Ledger;
use crate::load::audit::{self, Findings};
use crate::service::Service;

/// How long events may still be on their way.
const QUIET: Duration = Duration::from_secs(120);

/// How long the tap may take to see the last of them.
const SIGHT: Duration = Duration::from_secs(30);

/// How often one looks.
const LOOK: Duration = Duration::from_millis(200);

/// So often in a row nothing must wait for it: what it has in hand is in no queue.
const LOOKS_AT_REST: usize = 5;

/// So many dead letters are read.
const LETTERS: usize = 1_000;

/// How long the services' ledgers are read.
const LEDGERS: Duration = Duration::from_secs(180);

/// What was found.
pub(super) struct Audited {
    pub findings: Findings,
    /// What the services' ledgers know of all that.
    pub ways: Ways,
    /// What the services held: the most memory at any quiet moment of the run, threads and descriptors at rest.
    pub after: Figures,
    /// What fresh processes held on the same data.
    pub fresh: Figures,
    /// Until all was quiet and compared.
    pub took: Duration,
    /// The same again, from the kill of those who hold it.
    pub after_kill: Duration,
}

/// Compares what clients were told with what the services hold, what the broker passed on, and what is left behind; and again
/// with what they hold when they are killed and started again, because what a process tells may not be on its disk. At the end
/// the services have been started afresh. Whether they give back what they held takes over a minute, for which not everybody
/// `has_time`; the `most` that they held is known already. What happened at some `moments` may be missing in the services'
/// ledgers.
pub(super) async fn run(
    ledger: &Ledger,
    seen: &Seen,
    site: &Site,
    before: &Figures,
    most: &Figures,
    has_time: bool,
    moments: &[Moment],
) -> Audited {
    let begun = Instant::now();
    let mut findings = Findings::default();
    if let Err(error) = site.until_ready().await {
        findings.wrong.add(1, || error);
    }

    findings.extend(audit::run(ledger, &site.system, QUIET).await);
    let took = begun.elapsed();

    let mut after = match has_time {
        true => resources::at_rest(site, before).await,
        false => resources::now(site),
    };
    for (service, held) in &mut after {
        held.memory_kib = most.get(service).map_or(held.memory_kib, |most| most.memory_kib);
    }

    let killed = Instant::now();
    findings.confirm(after_kill(ledger, site).await);
    until_all_is_seen(ledger, seen, site, &mut findings).await;
    seen.compare(ledger, &mut findings);
    let patience = if has_time { LEDGERS } else { LEDGERS / 6 };
    let ways = Ways::ask(ledger, seen, site, moments, patience).await;
    ways.compare(&mut findings);
    dead_letters(site, &mut findings).await;
    let told = [("undecided", &ledger.undecided), ("contradiction", &ledger.contradictions)];
    for (what, all) in told {
        all.iter().for_each(|one| findings.wrong.add(1, || format!("{what}: {one}")));
    }
    let after_kill = killed.elapsed();

    let fresh = start_afresh(site, &mut findings).await;
    if has_time {
        resources::compare(before, &after, &fresh, &mut findings);
    }
    site.wrong.borrow().iter().for_each(|wrong| findings.wrong.add(1, || wrong.clone()));
    Audited { findings, ways, after, fresh, took, after_kill }
}

/// What is found where nobody remembers anything but the disks.
async fn after_kill(ledger: &Ledger, site: &Site) -> Findings {
    for service in KEEPERS {
        site.take_in_hand(service, true);
        site.system.child(service).kill9();
    }
    for service in KEEPERS {
        site.system.child(service).start();
        site.take_in_hand(service, false);
    }
    let mut findings = Findings::default();
    if let Err(error) = site.until_ready().await {
        findings.wrong.add(1, || error);
    }
    findings.extend(audit::run(ledger, &site.system, QUIET).await);
    findings
}

/// Waits until the tap has seen what it should have, and nothing more waits for it: what was published twice may come last.
async fn until_all_is_seen(ledger: &Ledger, seen: &Seen, site: &Site, findings: &mut Findings) {
    let begun = Instant::now();
    let (mut at_rest, mut count) = (0, seen.count());
    while at_rest < LOOKS_AT_REST {
        let waiting = waiting_for_the_tap(site).await;
        if begun.elapsed() > SIGHT {
            if waiting != Ok(Some(0)) {
                findings
                    .wrong
                    .add(1, || format!("after {SIGHT:?} the tap has not seen everything: {waiting:?}"));
            }
            return;
        }
        let is_at_rest = waiting == Ok(Some(0)) && seen.count() == count && seen.has_all_of(ledger);
        at_rest = if is_at_rest { at_rest + 1 } else { 0 };
        count = seen.count();
        sleep(LOOK).await;
    }
}

async fn waiting_for_the_tap(site: &Site) -> Result<Option<u32>, String> {
    let config = BrokerConfig::for_url(&site.system.amqp_url)?;
    let queues = Queues::connect(&config).await.map_err(|error| error.to_string())?;
    queues.waiting(seen::QUEUE).await.map_err(|error| error.to_string())
}

/// No fault makes an event that cannot be handled, so every dead letter is one too many.
async fn dead_letters(site: &Site, findings: &mut Findings) {
    let listed = match BrokerConfig::for_url(&site.system.amqp_url) {
        Ok(config) => DeadLetters::new(config).list(LETTERS).await.map_err(|error| error.to_string()),
        Err(mistake) => Err(mistake),
    };
    match listed {
        Ok(letters) => letters.iter().for_each(|letter| {
            findings.wrong.add(1, || {
                let (queue, reason) = (letter.queue.as_deref(), letter.reason.as_deref());
                format!("a dead letter of {}: {}", queue.unwrap_or("unknown"), reason.unwrap_or("no reason"))
            });
        }),
        Err(error) => findings.wrong.add(1, || format!("the dead letters cannot be read: {error}")),
    }
}

async fn start_afresh(site: &Site, findings: &mut Findings) -> Figures {
    for service in Service::ALL.into_iter().rev() {
        site.take_in_hand(service, true);
        site.terminate(service).await;
    }
    for service in Service::ALL {
        site.system.child(service).start();
        site.take_in_hand(service, false);
    }
    if let Err(error) = site.until_ready().await {
        findings.wrong.add(1, || error);
    }
    resources::now(site)
}
