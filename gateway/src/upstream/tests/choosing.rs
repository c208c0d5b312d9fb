//! Which endpoint takes a request.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use common::{telemetry::metrics::Registry, timeline::Timeline};
use proptest::prelude::*;

use super::{SECOND, choose, eject, find, is_closed, settings, upstream};
use crate::{
    settings::UpstreamSettings,
    upstream::{Choice, EndpointFailure, EndpointId, Health, UnavailableReason, Upstreams, breaker::Gate},
};

#[test]
fn requests_that_wait_are_spread_evenly() {
    let (upstream, now) = (upstream(3), Instant::now());

    let waiting: Vec<Choice> = (0..30).map(|_| choose(&upstream, now)).collect();

    assert_eq!(waiting.len(), 30);
    assert!(upstream.endpoints().iter().all(|endpoint| endpoint.in_flight() == 10));
    drop(waiting);
    assert!(upstream.endpoints().iter().all(|endpoint| endpoint.in_flight() == 0));
}

#[test]
fn idle_endpoints_take_turns_also_where_one_is_away() {
    let (upstream, now) = (upstream(3), Instant::now());
    let away = upstream.endpoints()[1].id();
    eject(&upstream, away, now);
    let mut taken: HashMap<EndpointId, usize> = HashMap::new();

    for _ in 0..100 {
        let choice = choose(&upstream, now);
        choice.succeeded(now);
        *taken.entry(choice.endpoint().id()).or_default() += 1;
    }

    assert_eq!(taken.len(), 2);
    assert!(!taken.contains_key(&away));
    assert!(taken.values().all(|&taken| taken == 50), "{taken:?}");
}

#[test]
fn the_endpoint_that_has_just_failed_is_avoided_unless_it_is_the_only_one() {
    let now = Instant::now();
    let two = upstream(2);
    for _ in 0..10 {
        let first = choose(&two, now);
        let second = two.choose(Some(first.endpoint().id()), now).expect("another one");

        assert_ne!(first.endpoint().id(), second.endpoint().id());
    }

    let one = upstream(1);
    let first = choose(&one, now);
    assert!(one.choose(Some(first.endpoint().id()), now).is_ok());
}

#[test]
fn where_every_endpoint_fails_the_answer_says_when_to_come_back() {
    let (upstream, now) = (upstream(1), Instant::now());
    eject(&upstream, upstream.endpoints()[0].id(), now);

    let refused = upstream.choose(None, now + 2 * SECOND).expect_err("left alone");

    assert_eq!(refused.retry_after, 3 * SECOND);
    assert_eq!(refused.why, UnavailableReason::EveryEndpointFails);
    assert!(choose(&upstream, now + 5 * SECOND).is_probe());
}

#[test]
fn one_request_at_a_time_probes_also_after_one_that_told_nothing() {
    let (upstream, now) = (upstream(2), Instant::now());
    let away = upstream.endpoints()[0].id();
    eject(&upstream, away, now);
    let later = now + 5 * SECOND;

    let probe = choose(&upstream, later);
    assert!(probe.is_probe());
    assert_eq!(probe.endpoint().id(), away);
    assert!((0..10).all(|_| choose(&upstream, later).endpoint().id() != away), "others do not wait for it");
    drop(probe);
    let probe = choose(&upstream, later);
    assert!(probe.is_probe());
    probe.succeeded(later);

    assert!(is_closed(&find(&upstream, away)));
}

#[test]
fn workers_that_choose_at_the_same_moment_send_one_probe() {
    let upstream = upstream(2);
    let away = upstream.endpoints()[0].clone();
    let mut now = Instant::now();

    for _ in 0..200 {
        eject(&upstream, away.id(), now);
        now += 5 * SECOND;
        let ready = AtomicUsize::new(0);
        let worker = || {
            ready.fetch_add(1, Ordering::SeqCst);
            while ready.load(Ordering::SeqCst) < 2 {
                std::hint::spin_loop();
            }
            choose(&upstream, now)
        };
        let (one, other) = std::thread::scope(|scope| {
            let other = scope.spawn(worker);
            (worker(), other.join().expect("no panic"))
        });

        assert!(one.is_probe() != other.is_probe());
        assert_eq!(away.in_flight(), 1);
        let probe = if one.is_probe() { one } else { other };
        probe.succeeded(now);
        now += 10 * SECOND;
    }
}

#[test]
fn only_good_news_of_an_endpoint_brings_it_back() {
    let (upstream, now) = (upstream(1), Instant::now());
    let away = upstream.endpoints()[0].clone();
    eject(&upstream, away.id(), now);
    let heard = |health| upstream.heard(&away, health, now, now);

    heard(Health::Unready("away".to_owned()));
    heard(Health::Unready("still away".to_owned()));
    assert!(!is_closed(&away));
    heard(Health::Degraded("broker: away".to_owned()));

    assert!(is_closed(&away));
}

#[test]
fn a_retry_does_not_probe_while_there_is_another() {
    let (upstream, now) = (upstream(3), Instant::now());
    let away = upstream.endpoints()[0].id();
    eject(&upstream, away, now);
    let failed = upstream.endpoints()[1].id();

    let retry = upstream.choose(Some(failed), now + 5 * SECOND).expect("one is usable");

    assert_eq!(retry.endpoint().id(), upstream.endpoints()[2].id());
}

#[test]
fn an_endpoint_that_came_back_gets_its_share_little_by_little() {
    let (upstream, now) = (upstream(2), Instant::now());
    let away = upstream.endpoints()[0].id();
    eject(&upstream, away, now);
    let back = now + 5 * SECOND;
    choose(&upstream, back).succeeded(back);
    let share = |at: Instant| {
        let choices = (0..1000).map(|_| choose(&upstream, at));
        choices.filter(|choice| choice.endpoint().id() == away).count()
    };

    // Of 1000 requests, one after the other; its full share is a half.
    let (first, middle, last) = (share(back), share(back + 5 * SECOND), share(back + 10 * SECOND));

    assert!((40..=60).contains(&first), "{first}");
    assert!((250..=300).contains(&middle), "{middle}");
    assert_eq!(last, 500);
}

#[test]
fn an_endpoint_that_came_back_gets_its_share_little_by_little_also_under_load() {
    let (upstream, now) = (upstream(2), Instant::now());
    let away = upstream.endpoints()[0].id();
    eject(&upstream, away, now);
    let back = now + 5 * SECOND;
    choose(&upstream, back).succeeded(back);
    let share = |at: Instant| {
        let waiting: Vec<Choice> = (0..200).map(|_| choose(&upstream, at)).collect();
        waiting.iter().filter(|choice| choice.endpoint().id() == away).count()
    };

    // Of 200 requests, all at once: a tenth, and then about half, of what the other one has.
    let (first, middle, last) = (share(back), share(back + 5 * SECOND), share(back + 10 * SECOND));

    assert!((15..=20).contains(&first), "{first}");
    assert!((65..=75).contains(&middle), "{middle}");
    assert_eq!(last, 100);
}

#[test]
fn a_single_endpoint_that_came_back_takes_everything_at_once() {
    let (upstream, now) = (upstream(1), Instant::now());
    eject(&upstream, upstream.endpoints()[0].id(), now);
    let back = now + 5 * SECOND;
    choose(&upstream, back).succeeded(back);

    assert!((0..100).all(|_| upstream.choose(None, back).is_ok()));
}

#[test]
fn an_answer_that_breaks_off_after_its_head_still_counts_as_a_failure() {
    let (upstream, now) = (upstream(1), Instant::now());

    for _ in 0..10 {
        let choice = choose(&upstream, now);
        choice.succeeded(now);
        choice.failed(EndpointFailure::Answer, now);
        choice.failed(EndpointFailure::Answer, now);
        choice.succeeded(now);
    }

    let refused = upstream.choose(None, now).expect_err("half of twenty failed");
    assert_eq!(refused.why, UnavailableReason::EveryEndpointFails);
}

#[test]
fn at_most_so_many_requests_are_on_their_way() {
    let upstreams = Upstreams::new(&mut Registry::default(), Timeline::open("gateway", None));
    upstreams.apply(&[UpstreamSettings { in_flight: 2, ..settings("users", &["http://127.0.0.1:1"]) }]);
    let upstream = upstreams.get("users").expect("applied");

    let (first, _second) = (upstream.admit().expect("free"), upstream.admit().expect("free"));
    assert!(upstream.admit().is_none());
    assert_eq!(upstream.in_flight(), 2);
    drop(first);

    assert!(upstream.admit().is_some());
}

#[derive(Clone, Debug)]
enum Step {
    Choose { avoid: Option<usize> },
    Succeed(usize),
    Fail(usize),
    Drop(usize),
    Pass(u64),
    Hear(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::option::weighted(0.2, 0..4_usize).prop_map(|avoid| Step::Choose { avoid }),
        1 => (0..64_usize).prop_map(Step::Succeed),
        3 => (0..64_usize).prop_map(Step::Fail),
        1 => (0..64_usize).prop_map(Step::Drop),
        1 => (0..3_000_u64).prop_map(Step::Pass),
        1 => (0..4_usize, any::<bool>()).prop_map(|(endpoint, well)| Step::Hear(endpoint, well)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whoever_is_left_alone_gets_nothing_and_the_worse_nothing_while_there_is_better(
        count in 1..4_u8,
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let upstream = upstream(count);
        let endpoints = upstream.endpoints();
        let of = |n: usize| &endpoints[n % endpoints.len()];
        let mut now = Instant::now();
        let mut waiting: Vec<Choice> = Vec::new();

        for step in steps {
            match step {
                Step::Choose { avoid } => {
                    let before: Vec<(EndpointId, Gate, bool)> = endpoints
                        .iter()
                        .map(|endpoint| (endpoint.id(), endpoint.gate(), endpoint.is_unready()))
                        .collect();
                    let left_alone = |gate: &Gate| match gate {
                        Gate::Closed { .. } => false,
                        Gate::Open { until } => now < *until,
                        Gate::Probing => true,
                    };
                    let avoid = avoid.map(|n| of(n).id());
                    match upstream.choose(avoid, now) {
                        Ok(choice) => {
                            let id = choice.endpoint().id();
                            let (_, gate, unready) = before.iter().find(|(other, ..)| *other == id).expect("known");
                            let better = |(other, gate, unready): &&(EndpointId, Gate, bool)| {
                                *other != id && matches!(gate, Gate::Closed { .. }) && !unready
                            };
                            let is_better = before.iter().find(better);
                            prop_assert!(!left_alone(gate), "{gate:?}");
                            prop_assert_eq!(choice.is_probe(), !matches!(gate, Gate::Closed { .. }));
                            prop_assert!(!unready || is_better.is_none(), "unready, with {:?}", is_better);
                            prop_assert!(avoid != Some(id) || is_better.is_none(), "avoided, with {:?}", is_better);
                            waiting.push(choice);
                        }
                        Err(_) => prop_assert!(before.iter().all(|(_, gate, _)| left_alone(gate))),
                    }
                }
                Step::Succeed(n) if !waiting.is_empty() => {
                    let n = n % waiting.len();
                    waiting.swap_remove(n).succeeded(now);
                }
                Step::Fail(n) if !waiting.is_empty() => {
                    let n = n % waiting.len();
                    waiting.swap_remove(n).failed(EndpointFailure::Status(500), now);
                }
                Step::Drop(n) if !waiting.is_empty() => {
                    let n = n % waiting.len();
                    drop(waiting.swap_remove(n));
                }
                Step::Pass(millis) => now += Duration::from_millis(millis),
                Step::Hear(n, true) => upstream.heard(of(n), Health::Ready, now, now),
                Step::Hear(n, false) => upstream.heard(of(n), Health::Unready("away".to_owned()), now, now),
                Step::Succeed(_) | Step::Fail(_) | Step::Drop(_) => {}
            }
            for endpoint in endpoints.iter() {
                let with_it = || waiting.iter().filter(|choice| choice.endpoint().id() == endpoint.id());
                prop_assert_eq!(with_it().count() as u64, endpoint.in_flight());
                if endpoint.gate() == Gate::Probing {
                    prop_assert!(with_it().any(Choice::is_probe), "nobody could ever end the probing");
                }
            }
        }
    }
}
