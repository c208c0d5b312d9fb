//! Carries out the plan, one group of faults after the other, and measures how long the system takes to recover.

use std::fmt;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::{sleep, sleep_until};

use super::fault::{Fault, Harm, KEEPERS, Kind};
use super::ledgers::Moment;
use super::plan::{Plan, Planned};
use super::probe::{Probe, drained};
use super::resources::{self, Figures};
use super::site::Site;
use crate::broker::faults::{Order, Selection};
use crate::fault_proxy::{BOTH, FaultProxy};
use crate::harness::Child;
use crate::http::HttpError;
use crate::service::Service;

/// A fault that begins this much later than planned, because the one before was not recovered from, is said to.
const LATE: Duration = Duration::from_secs(1);

/// What became of faults that were injected together.
pub(super) struct Struck {
    /// Them, each with why it was not injected as planned, where it was not.
    pub faults: Vec<(Planned, Result<(), Trouble>)>,
    /// What the services held just before, when all was well.
    pub held: Figures,
    /// From the end of the last of them until all was well; `None` where it never was.
    pub recovery: Option<Duration>,
    /// From the link to the broker until the outboxes were empty.
    pub drain: Option<Duration>,
    /// When that was over.
    pub over: Timestamp,
}

/// Why a fault was not injected as it was planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// This machine cannot have it: where there is no small disk, none can be full.
    LeftOut,
    /// Then the run is not the one that was planned.
    Failed(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftOut => f.write_str(NO_DISK),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// When services lost what they were about to write down: they were killed, or their disk was full.
pub(super) fn moments(struck: &[Struck]) -> Vec<Moment> {
    let of_group = |group: &Struck| {
        let injected = group.faults.iter().filter(|(_, injected)| injected.is_ok());
        let over = group.over;
        let moments = injected.filter_map(move |(planned, _)| match planned.fault {
            Fault::Kill(service) if KEEPERS.contains(&service) => {
                Some(Moment { service, is_full_disk: false, over })
            }
            Fault::DiskFull(service) => Some(Moment { service, is_full_disk: true, over }),
            _ => None,
        });
        moments.collect::<Vec<_>>()
    };
    struck.iter().flat_map(of_group).collect()
}

/// Injects everything. A group begins when its time has come and the one before is recovered from.
pub(super) async fn run(plan: &Plan, site: &Site, probe: &mut Probe, say: fn(String)) -> Vec<Struck> {
    let begun = tokio::time::Instant::now();
    let mut struck = Vec::new();
    for group in plan.groups() {
        sleep_until(begun + group[0].at).await;
        let held = resources::now(site);
        let first = group[0].at;
        let injected = join_all(group.iter().map(async |planned| {
            sleep(planned.at - first).await;
            let late = begun.elapsed().saturating_sub(planned.at);
            match late > LATE {
                true => say(format!("{planned}   ({:.1} s late)", late.as_secs_f64())),
                false => say(planned.to_string()),
            }
            strike(&planned.fault, planned.length, site).await
        }))
        .await;
        for trouble in injected.iter().filter_map(|injected| injected.as_ref().err()) {
            say(format!("{:24}{trouble}", ""));
        }

        let over = Instant::now();
        let (recovery, drain) = join(probe.recovered(site, over), drained(site, over)).await;
        let faults = group.iter().cloned().zip(injected).collect();
        struck.push(Struck { faults, held, recovery, drain, over: Timestamp::now() });
    }
    struck
}

/// Injects one fault, and takes it back when its time is over.
async fn strike(fault: &Fault, length: Duration, site: &Site) -> Result<(), Trouble> {
    match fault {
        Fault::Kill(service) => {
            site.take_in_hand(*service, true);
            site.system.child(*service).kill9();
            sleep(length).await;
            site.system.child(*service).start();
            site.take_in_hand(*service, false);
        }
        Fault::Stop(service) => {
            site.signal(*service, Signal::STOP);
            sleep(length).await;
            site.signal(*service, Signal::CONT);
        }
        Fault::Term(service) => {
            site.take_in_hand(*service, true);
            site.terminate(*service).await;
            site.system.child(*service).start();
            site.take_in_hand(*service, false);
        }
        Fault::Actor(service, actor, end) => {
            harm_actor(site.system.child(*service), actor, json!({ "kind": end.name() })).await?;
        }
        Fault::Stall(service, actor) => {
            let stall =
                json!({ "kind": "stall", "ms": u64::try_from(length.as_millis()).unwrap_or(u64::MAX) });
            harm_actor(site.system.child(*service), actor, stall).await?;
            sleep(length).await;
        }
        Fault::DiskFull(service) => {
            let Some(disks) = &site.disks else { return Err(Trouble::LeftOut) };
            let disk = site.disk_of(*service);
            let filled = disks.fill(&disk);
            sleep(length).await;
            let cleared = disks.clear(&disk);
            filled.and(cleared).map_err(|error| format!("the disk of {service}: {error}"))?;
        }
        Fault::BrokerKill => {
            site.take_broker_in_hand(true);
            site.broker.kill9();
            sleep(length).await;
            let started = site.broker.start().await;
            site.take_broker_in_hand(false);
            started.map_err(|error| error.to_string())?;
        }
        Fault::BrokerStop => {
            site.broker.stop();
            sleep(length).await;
            site.broker.cont();
        }
        Fault::BrokerBlock => {
            let blocked = site.broker.block_publishers().await;
            sleep(length).await;
            let freed = site.broker.unblock_publishers().await;
            blocked.and(freed).map_err(|error| error.to_string())?;
        }
        Fault::Network(harm) => harm_connections(&site.network, *harm, length).await,
        Fault::Http(link, harm) => harm_connections(site.link(*link), *harm, length).await,
        Fault::Ordered(kind, order) => ordered(*kind, order, length, site).await?,
    }
    Ok(())
}

/// What is said of a full disk where there is none.
pub(super) const NO_DISK: &str =
    "left out: this machine lets us mount no disk, not even in a namespace of our own";

async fn harm_actor(child: &Child, actor: &str, fault: Value) -> Result<(), String> {
    let is_the_gateways = child.service() == Service::Gateway;
    let call = child.internal.post(&format!("/actors/{actor}/fault")).json(&fault);
    match call.deadline(Duration::from_secs(5)).send().await {
        Ok(answer) if answer.status == 202 => Ok(()),
        Ok(answer) => Err(format!("{} {actor}: {answer}", child.service())),
        // The gateway's actor may take the answer with it.
        Err(HttpError::Body(_)) if is_the_gateways => Ok(()),
        Err(HttpError::Exchange(error)) if is_the_gateways && !error.is_connect() => Ok(()),
        Err(error) => Err(format!("{} {actor}: {error}", child.service())),
    }
}

async fn harm_connections(network: &FaultProxy, harm: Harm, length: Duration) {
    match harm {
        Harm::Cut => network.cut(),
        Harm::Reset => network.reset(),
        Harm::Refuse => network.refuse(),
        Harm::HalfClose(direction) => network.half_close(direction),
        Harm::CutAfter(direction, bytes) => network.cut_after(direction, bytes),
        Harm::Delay(ms) => network.delay(BOTH, Duration::from_millis(ms), Duration::from_millis(ms)),
        Harm::Throttle(bytes_per_s) => network.throttle(BOTH, bytes_per_s),
        Harm::Hold => network.hold(BOTH),
        Harm::Lose => network.lose(BOTH),
    }
    sleep(length).await;
    network.normal();
}

async fn ordered(kind: Kind, order: &Order, length: Duration, site: &Site) -> Result<(), String> {
    let Some(node) = site.broker.embedded() else {
        return Err(format!("{} is for the embedded broker", kind.name()));
    };
    let control = node.control();
    let tell = async |order: &Order| control.order(order).await.map(drop).map_err(|error| error.to_string());

    tell(order).await?;
    if let Order::Refuse { .. } = order {
        tell(&Order::Drop { connections: Selection::all() }).await?;
    }
    sleep(length).await;
    let ends: &[Order] = match order {
        Order::Refuse { .. } => &[Order::Accept],
        Order::Silence { .. } => &[Order::Speak],
        Order::Rule(_) => &[Order::ClearRules, Order::Release],
        _ => &[],
    };
    for end in ends {
        match tell(end).await {
            // It was ended by the rule, and forgets it so.
            Err(_) if kind == Kind::CrashAt => {}
            ended => ended?,
        }
    }
    Ok(())
}
