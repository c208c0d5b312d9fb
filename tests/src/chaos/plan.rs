//! Which fault begins when, and how long it lasts: by the seed alone.
//!
//! The kinds are dealt like cards, from a shuffled pack that is shuffled anew when it is empty, so that each occurs as often as
//! any other. After a fault there is room to recover in, before the next one. Now and then a second fault, of something
//! else, begins while the first lasts.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use fastrand::Rng;

use super::fault::{BrokerChoice, Fault, Kind};

/// Before the first fault: what runs is warm, and RabbitMQ has written down which queues it has.
const BEFORE: u64 = 4_000;

/// Between the end of a fault and the next one.
const ROOM: std::ops::Range<u64> = 4_000..7_000;

/// One in so many faults gets another one beside it.
const COMPANY: u32 = 6;

/// A fault with its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// When it begins, from the beginning of the run.
    pub at: Duration,
    /// How long it lasts; nothing for what happens once.
    pub length: Duration,
    /// What.
    pub fault: Fault,
}

/// All that is going to happen, in the order in which it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Its faults.
    pub faults: Vec<Planned>,
}

impl Planned {
    /// When it is over.
    pub fn end(&self) -> Duration {
        self.at + self.length
    }
}

impl Plan {
    /// The plan of a seed, for a run of this length on such a broker, with these kinds of faults: all that the broker has,
    /// where none is named.
    pub fn new(seed: u64, time: Duration, broker: BrokerChoice, only: &[Kind]) -> Self {
        let mut rng = Rng::with_seed(seed);
        let kinds: Vec<Kind> = Kind::value_variants()
            .iter()
            .copied()
            .filter(|kind| kind.is_possible_on(broker) && (only.is_empty() || only.contains(kind)))
            .collect();
        let mut pack = Vec::new();
        let mut faults: Vec<Planned> = Vec::new();
        let mut at = BEFORE;
        let end = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);

        while let Some(first) = deal(&mut pack, &kinds, &mut rng, at) {
            let mut over = first.end();
            let has_company = rng.u32(0..COMPANY) == 0 && !first.length.is_zero();
            if first.end() + Duration::from_millis(ROOM.start) > time {
                break;
            }
            let (target, length) = (first.fault.target(), first.length);
            faults.push(first);
            if has_company {
                let begins = at + rng.u64(0..=u64::try_from(length.as_millis()).unwrap_or(0));
                if let Some(second) = deal(&mut pack, &kinds, &mut rng, begins) {
                    let fits = second.end() + Duration::from_millis(ROOM.start) <= time;
                    if fits && second.fault.target() != target {
                        over = over.max(second.end());
                        faults.push(second);
                    } else {
                        // Its turn comes alone.
                        pack.push(second.fault.kind());
                    }
                }
            }
            at = u64::try_from(over.as_millis()).unwrap_or(end) + rng.u64(ROOM);
        }
        Self { faults }
    }

    /// The faults that are measured together, because one begins before the other is over.
    pub fn groups(&self) -> Vec<&[Planned]> {
        let mut over = Duration::ZERO;
        let mut groups = Vec::new();
        let mut begun = 0;
        for (index, fault) in self.faults.iter().enumerate() {
            if index > begun && fault.at > over {
                groups.push(&self.faults[begun..index]);
                begun = index;
            }
            over = over.max(fault.end());
        }
        if begun < self.faults.len() {
            groups.push(&self.faults[begun..]);
        }
        groups
    }
}

fn deal(pack: &mut Vec<Kind>, kinds: &[Kind], rng: &mut Rng, at: u64) -> Option<Planned> {
    if pack.is_empty() {
        pack.extend_from_slice(kinds);
        rng.shuffle(pack);
    }
    let kind = pack.pop()?;
    let length = rng.u64(kind.length());
    let fault = Fault::draw(kind, rng);
    Some(Planned { at: Duration::from_millis(at), length: Duration::from_millis(length), fault })
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.faults.iter().try_for_each(|planned| writeln!(f, "{planned}"))
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, length) = (self.at.as_secs_f64(), self.length.as_secs_f64());
        match self.length.is_zero() {
            true => write!(f, "{at:8.3} s            {}", self.fault),
            false => write!(f, "{at:8.3} s {length:6.3} s   {}", self.fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const TEN_MINUTES: Duration = Duration::from_secs(600);

    fn any_broker() -> impl Strategy<Value = BrokerChoice> {
        prop_oneof![Just(BrokerChoice::Embedded), Just(BrokerChoice::RabbitMq)]
    }

    proptest! {
        #[test]
        fn a_seed_has_one_plan(seed: u64, seconds in 0_u64..900, broker in any_broker()) {
            let time = Duration::from_secs(seconds);
            prop_assert_eq!(Plan::new(seed, time, broker, &[]), Plan::new(seed, time, broker, &[]));
            if seconds > 60 {
                prop_assert_ne!(Plan::new(seed, time, broker, &[]), Plan::new(!seed, time, broker, &[]));
            }
        }

        #[test]
        fn every_kind_of_the_broker_occurs_within_ten_minutes(seed: u64, broker in any_broker()) {
            let plan = Plan::new(seed, TEN_MINUTES, broker, &[]);
            let found: BTreeSet<Kind> = plan.faults.iter().map(|planned| planned.fault.kind()).collect();
            let possible: BTreeSet<Kind> =
                Kind::value_variants().iter().copied().filter(|kind| kind.is_possible_on(broker)).collect();
            prop_assert_eq!(found, possible);
        }

        #[test]
        fn there_is_room_to_recover_in(seed: u64, seconds in 0_u64..900, broker in any_broker()) {
            let time = Duration::from_secs(seconds);
            let plan = Plan::new(seed, time, broker, &[]);
            let groups = plan.groups();
            prop_assert_eq!(groups.iter().map(|group| group.len()).sum::<usize>(), plan.faults.len());
            for group in &groups {
                prop_assert!(group.len() <= 2);
                prop_assert!(group.len() < 2 || group[0].fault.target() != group[1].fault.target(), "{:?}", group);
                let over = group.iter().map(Planned::end).max().unwrap_or_default();
                prop_assert!(over + Duration::from_millis(ROOM.start) <= time);
            }
            for pair in groups.windows(2) {
                let over = pair[0].iter().map(Planned::end).max().unwrap_or_default();
                prop_assert!(pair[1][0].at >= over + Duration::from_millis(ROOM.start));
            }
        }

        #[test]
        fn only_what_is_asked_for_happens(seed: u64, broker in any_broker()) {
            let plan = Plan::new(seed, TEN_MINUTES, broker, &[Kind::Kill, Kind::Actor]);
            prop_assert!(plan.faults.len() > 20);
            prop_assert!(plan.faults.iter().all(|it| [Kind::Kill, Kind::Actor].contains(&it.fault.kind())));
        }
    }

    #[test]
    fn now_and_then_two_faults_last_at_the_same_time() {
        let plan = Plan::new(1, TEN_MINUTES * 10, BrokerChoice::RabbitMq, &[]);
        let groups = plan.groups();
        let pairs = groups.iter().filter(|group| group.len() == 2).count();

        assert!(pairs > 5 && pairs < groups.len() / 3, "{pairs} of {}", groups.len());
    }

    #[test]
    fn a_run_without_time_has_no_faults() {
        assert_eq!(Plan::new(1, Duration::ZERO, BrokerChoice::RabbitMq, &[]).faults, []);
    }
}
