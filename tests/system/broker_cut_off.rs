//! The connection to the broker is cut, again and again, or goes dead without a word, or is slow, while the broker itself is
//! well.

use std::time::{Duration, Instant};

use warren::fault_proxy::{BOTH, Direction, FaultProxy};
use warren::harness::{Child, System, eventually, shared_vhost};
use warren::note;

use crate::support::{
    Actors, Door, Habits, Holds, Ledger, Shoppers, seeded, start_services, system, wait_next_generation,
};

/// Enough to meet a publish between write and confirm, and a delivery between commit and acknowledgement.
const CUTS: usize = 25;

/// Within this a silent link is given up: two heartbeats and a half, and some for a busy machine.
const NOTICED_WITHIN: Duration = Duration::from_millis(12_500 + 5_000);

/// Within this a connection that was ended is replaced, on a busy machine or a slow link, where each of some forty questions
/// and answers takes its time.
const BACK_WITHIN: Duration = Duration::from_secs(100);

async fn a_connection_cut_at_random_moments_loses_and_doubles_nothing_and_leaks_nothing() {
    let (system, link) = linked().await;
    let mut rng = seeded("broker cut off");
    let shoppers = Shoppers::start(&Door::internal(&system), Habits::default(), &mut rng);
    shoppers.wait_placed(50).await;

    // Once, so that everything that is made on first use is there.
    end(&system, || link.cut()).await;
    let warm = services(&system).map(Holds::now);
    for _ in 0..CUTS {
        shoppers.wait_placed(rng.usize(1..15)).await;
        end(&system, || link.cut()).await;
    }
    let ledger = shoppers.go_home().await;

    ledger.print("broker cut off");
    ledger.assert_untroubled();
    audit_with_redeliveries(&ledger, &system).await;
    for warm in warm {
        warm.still().await;
    }
    system.finish().await;
}

async fn an_outage_of_one_second_is_over_soon_after_it() {
    let (system, link) = linked().await;
    let shoppers = Shoppers::start(&Door::internal(&system), Habits::default(), &mut seeded("one second"));
    shoppers.wait_placed(20).await;

    link.refuse();
    shoppers.shop_for(Duration::from_secs(1)).await;
    link.normal();

    let back = Instant::now();
    for child in services(&system) {
        child.wait_not_degraded().await;
    }
    note!("one second: the link works {:?} after the outage", back.elapsed());
    assert!(back.elapsed() < Duration::from_secs(20), "{:?}", back.elapsed());
    let ledger = shoppers.go_home().await;
    ledger.assert_untroubled();
    ledger.audit(&system).await;
    system.finish().await;
}

async fn a_link_that_is_only_silent_is_given_up_in_time_and_replaced() {
    let (system, link) = linked().await;
    let shoppers = Shoppers::start(&Door::internal(&system), Habits::default(), &mut seeded("silent cable"));
    shoppers.wait_placed(50).await;

    link.hold(BOTH);
    let silent_since = Instant::now();
    for child in services(&system) {
        let first = Actors::of(child).await.generation("broker");
        eventually(NOTICED_WITHIN, "the silence is noticed", async || {
            let actors = Actors::of(child).await;
            if actors.generation("broker") > first || !actors.is_running("broker") {
                Ok(())
            } else {
                Err("not yet")
            }
        })
        .await;
        note!("{}: silence noticed within {:?}", child.service(), silent_since.elapsed());
    }
    shoppers.wait_placed(20).await;
    // What was held back comes through now, long after it was given up: published twice, counted once.
    link.normal();
    for child in services(&system) {
        child.wait_not_degraded().await;
    }
    shoppers.wait_placed(20).await;
    let ledger = shoppers.go_home().await;

    ledger.print("silent cable");
    ledger.assert_untroubled();
    ledger.audit(&system).await;
    system.finish().await;
}

async fn a_connection_that_is_reset_or_ends_in_one_direction_only_is_replaced() {
    let (system, link) = linked().await;
    let shoppers = Shoppers::start(&Door::internal(&system), Habits::default(), &mut seeded("half open"));
    shoppers.wait_placed(20).await;

    end(&system, || link.reset()).await;
    shoppers.wait_placed(20).await;
    // The broker seems to hang up, and goes on talking.
    end(&system, || link.half_close(Direction::ToClient)).await;
    shoppers.wait_placed(20).await;
    // The services seem to hang up, and go on talking.
    end(&system, || link.half_close(Direction::ToServer)).await;
    shoppers.wait_placed(20).await;
    let ledger = shoppers.go_home().await;

    ledger.print("half open");
    ledger.assert_untroubled();
    ledger.audit(&system).await;
    system.finish().await;
}

async fn a_connection_cut_within_a_frame_loses_and_doubles_nothing() {
    let (system, link) = linked().await;
    let mut rng = seeded("within a frame");
    let shoppers = Shoppers::start(&Door::internal(&system), Habits::default(), &mut rng);
    shoppers.wait_placed(20).await;

    for _ in 0..CUTS {
        let direction = *rng.choice(BOTH).expect("there are two");
        // From within the first frame to some orders later: an event is about a kilobyte on its way.
        link.cut_after(direction, rng.u64(1..5_000));
        eventually(Duration::from_secs(20), "so many bytes have passed", async || match link.will_cut() {
            false => Ok(()),
            true => Err(link.describe()),
        })
        .await;
        shoppers.wait_placed(5).await;
    }
    for child in services(&system) {
        child.wait_not_degraded().await;
    }
    let restarts = generations(&system).await;
    let ledger = shoppers.go_home().await;

    ledger.print("within a frame");
    assert!(
        restarts.iter().sum::<u64>() > CUTS as u64 / 2,
        "the cuts have hardly met anything: {restarts:?}"
    );
    ledger.assert_untroubled();
    ledger.audit(&system).await;
    system.finish().await;
}

async fn a_slow_link_is_kept_and_can_be_made_anew() {
    const LATENCY: Duration = Duration::from_millis(200);
    let (system, link) = linked().await;
    let shoppers = Shoppers::start(&Door::internal(&system), Habits::default(), &mut seeded("slow link"));
    shoppers.wait_placed(20).await;

    let first = generations(&system).await;
    link.delay(BOTH, LATENCY, LATENCY / 4);
    // Longer than two heartbeats.
    shoppers.shop_for(Duration::from_secs(11)).await;
    assert_eq!(generations(&system).await, first, "slow is not dead");

    let ended = Instant::now();
    end(&system, || link.cut()).await;
    for child in services(&system) {
        child.wait_not_degraded().await;
    }
    note!("slow link: made anew within {:?}", ended.elapsed());
    let ledger = shoppers.go_home().await;

    ledger.print("slow link");
    ledger.assert_untroubled();
    ledger.audit(&system).await;
    system.finish().await;
}

/// Users and orders, whose links to the broker go through a proxy.
async fn linked() -> (System, FaultProxy) {
    let url = shared_vhost().await;
    let link = FaultProxy::before(&url).await.expect("a port is free");
    // The default waits up to two seconds, which is kind to a broker and slow in a test of many cuts.
    let setup = system().broker(link.url()).env_of_all("BROKER_RECONNECT_MAX_MS", "100");
    let mut system = start_services(setup).await;
    // The test itself looks at the broker past the proxy.
    system.amqp_url = url;
    (system, link)
}

/// Ends the connections and waits until both services have new ones.
async fn end(system: &System, how: impl FnOnce()) {
    let generations = generations(system).await;
    how();
    for (child, generation) in services(system).into_iter().zip(generations) {
        wait_next_generation(child, "broker", generation, BACK_WITHIN).await;
    }
}

async fn generations(system: &System) -> [u64; 2] {
    [
        Actors::of(&system.users).await.generation("broker"),
        Actors::of(&system.orders).await.generation("broker"),
    ]
}

/// An audit, and the proof that it audited something: events did come twice, and were known again.
async fn audit_with_redeliveries(ledger: &Ledger, system: &System) {
    ledger.audit(system).await;
    let mut seen_before = 0;
    for (child, consumer) in [
        (&system.users, "consumer:users.order-created"),
        (&system.users, "consumer:users.order-cancelled"),
        (&system.orders, "consumer:orders.user-created"),
    ] {
        let observed = Actors::of(child).await.observed(consumer);
        seen_before += observed["seenBefore"].as_u64().expect("a count");
    }
    note!("broker cut off: {seen_before} events came more than once");
    assert!(seen_before > 0, "no event came twice: the cuts met nothing on its way");
}

fn services(system: &System) -> [&Child; 2] {
    [&system.users, &system.orders]
}

warren::stories! {
    on both brokers:
        a_connection_cut_at_random_moments_loses_and_doubles_nothing_and_leaks_nothing,
        an_outage_of_one_second_is_over_soon_after_it,
        a_link_that_is_only_silent_is_given_up_in_time_and_replaced,
        a_connection_that_is_reset_or_ends_in_one_direction_only_is_replaced,
        a_connection_cut_within_a_frame_loses_and_doubles_nothing,
        a_slow_link_is_kept_and_can_be_made_anew;
}
