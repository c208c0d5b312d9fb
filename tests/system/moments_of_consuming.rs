//! The life of an event at its consumer, and what harms it there: between delivery and effect, between effect and
//! acknowledgement, between that and the broker's disk. At each moment the service is killed, the link is cut, and the broker
//! is killed.

use std::time::Duration;

use warren::broker::faults::{Effect, Moment, Order, Selection};

use crate::support::{CONSUMING, Stage, end_stall, stall, wait_next_generation};

/// Within this a link is made anew.
const BACK_WITHIN: Duration = Duration::from_secs(20);

async fn killed_between_delivery_and_effect_users_gets_the_event_again_and_applies_it_then() {
    let stage = delivered_and_not_applied().await;

    stage.system.users.kill9();
    stage.system.users.restart().await;

    stage.finish(1, 0..=0).await;
}

async fn a_link_cut_between_delivery_and_effect_brings_the_event_again_and_it_counts_once() {
    let stage = delivered_and_not_applied().await;
    let link = stage.link(&stage.system.users).await;

    stage.broker().drop_connections(Selection::named(CONSUMING)).await.expect("the broker answers");
    wait_next_generation(&stage.system.users, "broker", link, BACK_WITHIN).await;
    stage.in_hand(1).await;
    end_stall(&stage.system.users, "repository").await;

    // What was begun for the old link is done all the same.
    stage.finish(1, 1..=1).await;
}

async fn a_broker_killed_between_delivery_and_effect_delivers_again_and_it_counts_once() {
    let stage = delivered_and_not_applied().await;

    stage.node.kill9();
    stage.node.start().await.expect("it starts on the same port and data");
    stage.in_hand(1).await;
    end_stall(&stage.system.users, "repository").await;

    stage.finish(1, 1..=1).await;
}

/// The delivery is held until the repository of users is stalled, and arrives then.
async fn delivered_and_not_applied() -> Stage {
    let mut stage = Stage::set().await;
    let held = stage.at(Moment::BeforeDelivery, Effect::Hold).await;
    stage.place().await;
    stage.hit(held).await;
    stage.system.wait_outboxes_empty().await;
    stall(&stage.system.users, "repository").await;

    stage.broker().release().await.expect("the broker answers");
    stage.in_hand(1).await;
    stage.arrived(0, 0..=0).await;
    stage
}

async fn killed_between_effect_and_ack_users_gets_the_event_again_and_knows_it() {
    let mut stage = Stage::set().await;
    let held = stage.at(Moment::AckReceived, Effect::Hold).await;
    stage.place().await;
    stage.hit(held).await;
    stage.arrived(1, 0..=0).await;

    stage.system.users.kill9();
    // The acknowledgement dies with its connection.
    stage.broker().drop_connections(Selection::named(CONSUMING)).await.expect("the broker answers");
    stage.system.users.restart().await;

    stage.finish(0, 1..=1).await;
}

async fn an_ack_that_outlives_its_process_ends_the_event() {
    let mut stage = Stage::set().await;
    let held = stage.at(Moment::AckReceived, Effect::Hold).await;
    stage.place().await;
    stage.hit(held).await;
    stage.arrived(1, 0..=0).await;

    stage.system.users.kill9();
    stage.broker().release().await.expect("the broker answers");
    stage.system.users.restart().await;

    stage.finish(0, 0..=0).await;
}

async fn a_link_cut_between_effect_and_ack_brings_the_event_again_and_it_is_known() {
    let mut stage = Stage::set().await;
    let link = stage.link(&stage.system.users).await;
    let cut = stage.at(Moment::AckReceived, Effect::Drop).await;

    stage.place().await;
    stage.hit(cut).await;
    wait_next_generation(&stage.system.users, "broker", link, BACK_WITHIN).await;

    stage.finish(1, 1..=1).await;
}

async fn a_broker_killed_between_effect_and_ack_delivers_again_and_it_is_known() {
    let mut stage = Stage::set().await;
    stage.at(Moment::AckReceived, Effect::Crash).await;

    stage.place_and_publish().await;
    stage.crashed().await;

    stage.finish(1, 1..=1).await;
}

async fn a_broker_killed_while_it_writes_an_ack_down_doubles_nothing() {
    let mut stage = Stage::set().await;
    let held = stage.at(Moment::AckReceived, Effect::Hold).await;
    stage.place_and_publish().await;
    stage.hit(held).await;

    // The disk takes longer than the way from one order to the next; where it did not, the event is gone for good.
    let broker = stage.broker();
    broker.release().await.expect("the broker answers");
    broker.order(&Order::Crash).await.expect("the broker crashes");
    stage.crashed().await;

    stage.finish(1, 0..=1).await;
}

async fn a_broker_killed_when_an_ack_is_on_disk_has_forgotten_the_event_for_good() {
    let mut stage = Stage::set().await;
    stage.at(Moment::AckStored, Effect::Crash).await;

    stage.place_and_publish().await;
    stage.crashed().await;

    stage.finish(1, 0..=0).await;
}

async fn killed_after_its_ack_is_on_the_brokers_disk_users_hears_no_more_of_the_event() {
    let mut stage = Stage::set().await;
    let held = stage.at(Moment::AckStored, Effect::Hold).await;
    stage.place().await;
    stage.hit(held).await;

    stage.system.users.kill9();
    stage.system.users.restart().await;
    stage.broker().release().await.expect("the broker answers");

    stage.finish(0, 0..=0).await;
}

async fn a_link_cut_when_an_ack_is_on_disk_brings_nothing_again() {
    let mut stage = Stage::set().await;
    let link = stage.link(&stage.system.users).await;
    let cut = stage.at(Moment::AckStored, Effect::Drop).await;

    stage.place().await;
    stage.hit(cut).await;
    wait_next_generation(&stage.system.users, "broker", link, BACK_WITHIN).await;

    stage.finish(1, 0..=0).await;
}

async fn deliveries_that_come_twice_are_known_the_second_time() {
    let mut stage = Stage::set().await;
    let twice = stage.times(3, Moment::BeforeDelivery, Effect::Twice).await;

    for _ in 0..3 {
        stage.place().await;
    }
    stage.hit_times(twice, 3).await;

    stage.finish(3, 3..=3).await;
}

async fn deliveries_in_another_order_count_the_same() {
    let mut stage = Stage::set().await;
    let turned = stage.at(Moment::BeforeDelivery, Effect::Reorder { count: 4 }).await;

    for _ in 0..4 {
        stage.place().await;
    }
    stage.hit(turned).await;

    stage.finish(4, 0..=0).await;
}

async fn a_cancellation_that_overtakes_its_order_counts_the_same() {
    let mut stage = Stage::set().await;
    stall(&stage.system.users, "consumer:users.order-created").await;
    let order = stage.place().await;
    stage.in_hand(1).await;
    stage.cancel(&order).await;
    stage.arrived_in("users.order-cancelled", 1, 0..=0).await;

    end_stall(&stage.system.users, "consumer:users.order-created").await;

    stage.finish(1, 0..=0).await;
}

async fn a_consumer_that_the_broker_cancels_is_there_again_and_misses_nothing() {
    let mut stage = Stage::set().await;
    let link = stage.link(&stage.system.users).await;
    let cancelled = stage.at(Moment::BeforeDelivery, Effect::Cancel).await;

    stage.place().await;
    stage.hit(cancelled).await;
    wait_next_generation(&stage.system.users, "broker", link, BACK_WITHIN).await;

    assert!(
        stage.system.users.log_contains("the broker cancelled the consumer of queue users.order-created")
    );
    stage.finish(1, 0..=0).await;
}

async fn a_channel_closed_with_a_delivery_on_it_brings_the_event_again() {
    let mut stage = Stage::set().await;
    let link = stage.link(&stage.system.users).await;
    let closed = Effect::CloseChannel { code: 406, text: "PRECONDITION_FAILED - on purpose".to_owned() };
    let closed = stage.at(Moment::AckReceived, closed).await;

    stage.place().await;
    stage.hit(closed).await;
    wait_next_generation(&stage.system.users, "broker", link, BACK_WITHIN).await;

    assert!(stage.system.users.log_contains("PRECONDITION_FAILED - on purpose"));
    stage.finish(1, 1..=1).await;
}

async fn queues_that_the_broker_forgot_are_declared_anew_at_once() {
    let mut stage = Stage::set().await;
    let links = [stage.link(&stage.system.users).await, stage.link(&stage.system.orders).await];

    stage.broker().order(&Order::ForgetQueues).await.expect("the broker answers");
    for (child, link) in [&stage.system.users, &stage.system.orders].into_iter().zip(links) {
        wait_next_generation(child, "broker", link, BACK_WITHIN).await;
    }
    stage.place().await;

    stage.finish(1, 0..=0).await;
}

warren::stories! {
    on the embedded broker:
        killed_between_delivery_and_effect_users_gets_the_event_again_and_applies_it_then,
        a_link_cut_between_delivery_and_effect_brings_the_event_again_and_it_counts_once,
        a_broker_killed_between_delivery_and_effect_delivers_again_and_it_counts_once,
        killed_between_effect_and_ack_users_gets_the_event_again_and_knows_it,
        an_ack_that_outlives_its_process_ends_the_event,
        a_link_cut_between_effect_and_ack_brings_the_event_again_and_it_is_known,
        a_broker_killed_between_effect_and_ack_delivers_again_and_it_is_known,
        a_broker_killed_while_it_writes_an_ack_down_doubles_nothing,
        a_broker_killed_when_an_ack_is_on_disk_has_forgotten_the_event_for_good,
        killed_after_its_ack_is_on_the_brokers_disk_users_hears_no_more_of_the_event,
        a_link_cut_when_an_ack_is_on_disk_brings_nothing_again,
        deliveries_that_come_twice_are_known_the_second_time,
        deliveries_in_another_order_count_the_same,
        a_cancellation_that_overtakes_its_order_counts_the_same,
        a_consumer_that_the_broker_cancels_is_there_again_and_misses_nothing,
        a_channel_closed_with_a_delivery_on_it_brings_the_event_again,
        queues_that_the_broker_forgot_are_declared_anew_at_once;
}
