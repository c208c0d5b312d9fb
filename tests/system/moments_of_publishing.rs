//! The life of an event at its publisher, and what harms it there: between commit and publish, between publish and the
//! broker's disk, between that disk and the confirm, between the confirm and the mark in the outbox. At each moment the
//! service is killed, the link is cut, and the broker is killed.

use std::time::Duration;

use warren::broker::faults::{Effect, Moment, Order, Rule, Selection};

use crate::support::{PUBLISHING, Stage, end_stall, stall, wait_next_generation};

/// Within this a link is made anew.
const BACK_WITHIN: Duration = Duration::from_secs(20);

async fn killed_between_commit_and_publish_orders_publishes_when_it_is_back() {
    let stage = committed_and_not_published().await;

    stage.system.orders.kill9();
    stage.system.orders.restart().await;

    stage.finish(1, 0..=0).await;
}

async fn a_link_cut_between_commit_and_publish_delays_the_event_and_no_more() {
    let stage = committed_and_not_published().await;

    cut_the_link(&stage).await;
    end_stall(&stage.system.orders, "relay").await;

    stage.finish(1, 0..=0).await;
}

async fn a_broker_killed_between_commit_and_publish_gets_the_event_when_it_is_back() {
    let stage = committed_and_not_published().await;

    stage.node.kill9();
    end_stall(&stage.system.orders, "relay").await;
    stage.pending(1).await;
    stage.node.start().await.expect("it starts on the same port and data");

    stage.finish(1, 0..=0).await;
}

/// The order is accepted, its event is in the outbox, and the relay does nothing about it.
async fn committed_and_not_published() -> Stage {
    let mut stage = Stage::set().await;
    let met = stage.times(1, Moment::PublishReceived, Effect::Drop).await;
    stall(&stage.system.orders, "relay").await;

    stage.place().await;

    stage.pending(1).await;
    let rules = stage.broker().rules().await.expect("the broker answers");
    assert!(rules.iter().any(|rule| rule.id == met && rule.met == 0), "it was published: {rules:?}");
    stage.broker().clear_rules().await.expect("the broker answers");
    stage
}

async fn a_link_cut_between_publish_and_the_brokers_disk_takes_the_event_again() {
    let mut stage = Stage::set().await;
    let link = stage.link(&stage.system.orders).await;
    let cut = stage.at(Moment::PublishReceived, Effect::Drop).await;

    stage.place().await;
    stage.hit(cut).await;
    wait_next_generation(&stage.system.orders, "broker", link, BACK_WITHIN).await;

    stage.finish(1, 0..=0).await;
}

async fn a_broker_killed_between_publish_and_its_disk_gets_the_event_again() {
    let mut stage = Stage::set().await;
    stage.at(Moment::PublishReceived, Effect::Crash).await;

    stage.place().await;
    stage.crashed().await;

    stage.finish(1, 0..=0).await;
}

async fn killed_between_publish_and_the_brokers_disk_orders_publishes_again_and_the_late_first_is_known() {
    let mut stage = Stage::set().await;
    let held = stage.at(Moment::PublishReceived, Effect::Hold).await;

    stage.place().await;
    stage.hit(held).await;
    stage.system.orders.kill9();
    stage.system.orders.restart().await;
    stage.arrived(1, 0..=0).await;
    // What the dead process had sent was in the broker's hands all the time.
    stage.broker().release().await.expect("the broker answers");

    stage.finish(1, 1..=1).await;
}

async fn a_link_cut_between_the_brokers_disk_and_the_confirm_brings_the_event_twice_and_it_counts_once() {
    let mut stage = Stage::set().await;
    let link = stage.link(&stage.system.orders).await;
    let cut = stage.at(Moment::PublishStored, Effect::Drop).await;

    stage.place().await;
    stage.hit(cut).await;
    wait_next_generation(&stage.system.orders, "broker", link, BACK_WITHIN).await;

    stage.finish(1, 1..=1).await;
}

async fn a_broker_killed_between_its_disk_and_the_confirm_has_the_event_twice_and_it_counts_once() {
    let mut stage = Stage::set().await;
    stage.at(Moment::BeforeDelivery, Effect::Silence).await;
    stage.at(Moment::PublishStored, Effect::Crash).await;

    stage.place().await;
    stage.crashed().await;

    stage.finish(1, 1..=1).await;
}

async fn killed_between_the_brokers_disk_and_the_confirm_orders_publishes_again_and_it_counts_once() {
    let mut stage = Stage::set().await;
    let held = stage.at(Moment::PublishStored, Effect::Hold).await;

    stage.place().await;
    stage.hit(held).await;
    stage.arrived(1, 0..=0).await;
    stage.pending(1).await;
    assert_eq!(stage.sent().await, 0, "the confirm is on its way");
    stage.system.orders.kill9();
    stage.system.orders.restart().await;

    stage.finish(1, 1..=1).await;
}

async fn killed_between_confirm_and_mark_orders_publishes_again_and_it_counts_once() {
    let mut stage = Stage::set().await;
    confirmed_and_not_marked(&mut stage).await;

    stage.system.orders.kill9();
    stage.system.orders.restart().await;

    stage.finish(1, 1..=1).await;
}

async fn a_link_cut_between_confirm_and_mark_does_no_harm() {
    let mut stage = Stage::set().await;
    confirmed_and_not_marked(&mut stage).await;

    cut_the_link(&stage).await;
    end_stall(&stage.system.orders, "repository").await;

    stage.finish(1, 0..=0).await;
}

async fn a_broker_killed_between_confirm_and_mark_has_kept_what_it_confirmed() {
    let mut stage = Stage::set().await;
    // Nobody has the event but the broker.
    stage.at(Moment::BeforeDelivery, Effect::Silence).await;
    confirmed_and_not_marked(&mut stage).await;

    stage.node.kill9();
    end_stall(&stage.system.orders, "repository").await;
    stage.system.wait_outboxes_empty().await;
    stage.node.start().await.expect("it starts on the same port and data");

    stage.finish(1, 0..=0).await;
}

/// The confirm is held until the repository of orders is stalled, and arrives then.
async fn confirmed_and_not_marked(stage: &mut Stage) {
    let held = stage.at(Moment::PublishStored, Effect::Hold).await;
    stage.place().await;
    stage.hit(held).await;
    stall(&stage.system.orders, "repository").await;

    stage.broker().release().await.expect("the broker answers");
    stage.confirmed_and_not_marked().await;
}

async fn cut_the_link(stage: &Stage) {
    let link = stage.link(&stage.system.orders).await;
    stage.broker().drop_connections(Selection::named(PUBLISHING)).await.expect("the broker answers");
    wait_next_generation(&stage.system.orders, "broker", link, BACK_WITHIN).await;
}

async fn an_event_that_the_broker_refuses_is_published_until_it_takes_it() {
    let mut stage = Stage::set().await;
    let link = stage.link(&stage.system.orders).await;
    let refused = stage.times(3, Moment::PublishReceived, Effect::Nack).await;

    stage.place().await;
    stage.hit_times(refused, 3).await;
    stage.system.wait_outboxes_empty().await;

    assert_eq!((stage.outcomes("refused").await, stage.outcomes("confirmed").await), (3, 1));
    assert_eq!(stage.link(&stage.system.orders).await, link, "a refusal is no reason to hang up");
    stage.finish(1, 0..=0).await;
}

async fn an_event_that_no_queue_wanted_is_published_until_one_does() {
    let mut stage = Stage::set().await;
    let returned = stage.times(2, Moment::PublishReceived, Effect::Return).await;

    stage.place().await;
    stage.hit_times(returned, 2).await;
    stage.system.wait_outboxes_empty().await;

    assert_eq!((stage.outcomes("unroutable").await, stage.outcomes("confirmed").await), (2, 1));
    stage.finish(1, 0..=0).await;
}

async fn a_return_among_other_events_costs_some_a_second_publish_and_no_event() {
    let mut stage = Stage::set().await;
    // All leave at once, and the third comes back.
    stall(&stage.system.orders, "relay").await;
    for _ in 0..5 {
        stage.place().await;
    }
    let rule = Rule::new(Moment::PublishReceived, Effect::Return);
    let rule = stage.broker().rule(rule.skip(2).connection(PUBLISHING)).await.expect("it makes sense");
    end_stall(&stage.system.orders, "relay").await;
    stage.hit(rule).await;
    stage.system.wait_outboxes_empty().await;

    // Whose confirm it was is not said, so all that were under way on the same route are published again.
    let unroutable = stage.outcomes("unroutable").await;
    assert!((1..=5).contains(&unroutable), "{unroutable} were unroutable");
    assert_eq!(stage.outcomes("confirmed").await, 5);
    stage.finish(5, unroutable - 1..=unroutable - 1).await;
}

async fn confirms_that_come_late_are_waited_for() {
    let mut stage = Stage::set().await;
    let late = stage.times(3, Moment::PublishStored, Effect::Delay { ms: 400 }).await;

    for _ in 0..3 {
        stage.place().await;
    }
    stage.hit_times(late, 3).await;
    stage.arrived(3, 0..=0).await;
    stage.system.wait_outboxes_empty().await;

    assert_eq!(stage.outcomes("confirmed").await, 3);
    stage.finish(3, 0..=0).await;
}

async fn a_confirm_that_comes_too_late_costs_the_link_and_the_event_counts_once() {
    let mut stage = Stage::set_with(|setup| setup.env_of_all("BROKER_CONFIRM_TIMEOUT_MS", "300")).await;
    let link = stage.link(&stage.system.orders).await;
    let held = stage.at(Moment::PublishStored, Effect::Hold).await;

    stage.place().await;
    stage.hit(held).await;
    wait_next_generation(&stage.system.orders, "broker", link, BACK_WITHIN).await;
    stage.system.wait_outboxes_empty().await;
    stage.broker().release().await.expect("the broker answers");

    assert!(stage.outcomes("unknown").await >= 1);
    stage.finish(1, 1..=1).await;
}

async fn confirms_in_another_order_settle_each_its_own_event() {
    const EVENTS: u32 = 5;
    let mut stage = Stage::set().await;
    let turned = stage.at(Moment::PublishStored, Effect::Reorder { count: EVENTS }).await;
    stall(&stage.system.orders, "relay").await;
    for _ in 0..EVENTS {
        stage.place().await;
    }

    end_stall(&stage.system.orders, "relay").await;
    stage.hit(turned).await;
    stage.system.wait_outboxes_empty().await;

    assert_eq!(stage.outcomes("confirmed").await, u64::from(EVENTS));
    stage.finish(u64::from(EVENTS), 0..=0).await;
}

async fn a_channel_closed_at_a_publish_costs_the_link_and_not_the_event() {
    let mut stage = Stage::set().await;
    let link = stage.link(&stage.system.orders).await;
    let closed = Effect::CloseChannel { code: 541, text: "INTERNAL_ERROR - on purpose".to_owned() };
    let closed = stage.at(Moment::PublishReceived, closed).await;

    stage.place().await;
    stage.hit(closed).await;
    wait_next_generation(&stage.system.orders, "broker", link, BACK_WITHIN).await;

    assert!(stage.system.orders.log_contains("INTERNAL_ERROR - on purpose"));
    stage.finish(1, 0..=0).await;
}

async fn a_broker_that_closes_every_channel_finds_new_ones_at_once() {
    let mut stage = Stage::set().await;
    let links = [stage.link(&stage.system.users).await, stage.link(&stage.system.orders).await];
    let close = Order::CloseChannels {
        connections: Selection::all(),
        code: 406,
        text: "PRECONDITION_FAILED - on purpose".to_owned(),
    };

    stage.broker().order(&close).await.expect("the broker answers");
    stage.place().await;

    for (child, link) in [&stage.system.users, &stage.system.orders].into_iter().zip(links) {
        wait_next_generation(child, "broker", link, BACK_WITHIN).await;
    }
    stage.finish(1, 0..=0).await;
}

async fn a_blocked_publisher_waits_with_its_link_and_says_so() {
    let mut stage = Stage::set().await;
    let link = stage.link(&stage.system.orders).await;
    stage.broker().order(&Order::Block).await.expect("the broker answers");

    for _ in 0..3 {
        stage.place().await;
    }
    stage.blocked().await;
    stage.pending(3).await;
    stage.broker().order(&Order::Unblock).await.expect("the broker answers");
    stage.system.wait_outboxes_empty().await;

    assert_eq!(stage.link(&stage.system.orders).await, link, "a block is no reason to hang up");
    stage.finish(3, 0..=0).await;
}

warren::stories! {
    on the embedded broker:
        killed_between_commit_and_publish_orders_publishes_when_it_is_back,
        a_link_cut_between_commit_and_publish_delays_the_event_and_no_more,
        a_broker_killed_between_commit_and_publish_gets_the_event_when_it_is_back,
        a_link_cut_between_publish_and_the_brokers_disk_takes_the_event_again,
        a_broker_killed_between_publish_and_its_disk_gets_the_event_again,
        killed_between_publish_and_the_brokers_disk_orders_publishes_again_and_the_late_first_is_known,
        a_link_cut_between_the_brokers_disk_and_the_confirm_brings_the_event_twice_and_it_counts_once,
        a_broker_killed_between_its_disk_and_the_confirm_has_the_event_twice_and_it_counts_once,
        killed_between_the_brokers_disk_and_the_confirm_orders_publishes_again_and_it_counts_once,
        killed_between_confirm_and_mark_orders_publishes_again_and_it_counts_once,
        a_link_cut_between_confirm_and_mark_does_no_harm,
        a_broker_killed_between_confirm_and_mark_has_kept_what_it_confirmed,
        an_event_that_the_broker_refuses_is_published_until_it_takes_it,
        an_event_that_no_queue_wanted_is_published_until_one_does,
        a_return_among_other_events_costs_some_a_second_publish_and_no_event,
        confirms_that_come_late_are_waited_for,
        a_confirm_that_comes_too_late_costs_the_link_and_the_event_counts_once,
        confirms_in_another_order_settle_each_its_own_event,
        a_channel_closed_at_a_publish_costs_the_link_and_not_the_event,
        a_broker_that_closes_every_channel_finds_new_ones_at_once,
        a_blocked_publisher_waits_with_its_link_and_says_so;
}
