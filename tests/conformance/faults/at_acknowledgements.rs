//! Rules at the moments of an acknowledgement: received, and stored.

use warren::broker::faults::Moment::{AckReceived, AckStored};
use warren::broker::faults::{Effect, Order, Rule};

use crate::support::{Answer, Channel, Message, Own, Queue};

fn kept(body: &str) -> Message {
    Message::new(body).persistent()
}

/// A broker with this queue as `q`, the tag of a message that a consumer has from it, the consumer, and another client.
async fn scene(queue: Queue) -> (Own, Channel, u64, Channel) {
    let own = Own::new().await;
    let (consumer, other) = (own.channel("consumer").await, own.channel("other").await);
    other.declare(&queue).await.done();
    assert!(other.put("q", kept("x")).await);
    consumer.consume("q").await.done();
    let tag = consumer.delivery().await.done().tag;
    // Answered when all before it is on disk, and so that the message was delivered.
    consumer.declare(&Queue::named("marker")).await.done();
    (own, consumer, tag, other)
}

async fn an_acknowledgement_that_is_held_counts_when_it_is_released() {
    let (own, consumer, tag, _other) = scene(Queue::named("q")).await;
    let rule = own.rule(Rule::new(AckReceived, Effect::Hold).queue("q")).await;

    consumer.ack(tag).await;
    own.fired(rule, 1).await;
    assert_eq!(own.of_queue("q", "unacknowledged").await, 1);

    own.order(Order::Release).await;

    consumer.settle().await;
    assert_eq!(own.of_queue("q", "unacknowledged").await, 0);
}

async fn who_is_dropped_at_an_acknowledgement_gets_the_message_again_unless_it_was_stored() {
    for (at, comes_again) in [(AckReceived, true), (AckStored, false)] {
        let (own, consumer, tag, other) = scene(Queue::named("q")).await;
        own.rule(Rule::new(at, Effect::Drop)).await;

        consumer.ack(tag).await;

        assert_eq!(consumer.connection().closed().await.code, 0);
        other.wait_ready("q", u32::from(comes_again)).await;
        let again = other.get("q").await.done();
        assert_eq!(again.map(|again| again.redelivered), comes_again.then_some(true));
    }
}

async fn after_a_crash_what_was_acknowledged_comes_again_unless_it_was_stored() {
    for queue in [Queue::named("q"), Queue::named("q").quorum()] {
        for (at, comes_again) in [(AckReceived, true), (AckStored, false)] {
            let (own, consumer, tag, _other) = scene(queue.clone()).await;
            own.rule(Rule::new(at, Effect::Crash)).await;

            consumer.ack(tag).await;
            own.crashes_and_starts_again().await;

            let again = own.channel("consumer").await.get("q").await.done();
            assert_eq!(again.map(|again| again.redelivered), comes_again.then_some(true), "{at}");
        }
    }
}

async fn a_channel_is_closed_at_an_acknowledgement() {
    for (at, comes_again) in [(AckReceived, true), (AckStored, false)] {
        let (own, consumer, tag, other) = scene(Queue::named("q")).await;
        own.rule(Rule::new(at, Effect::CloseChannel { code: 406, text: "by a rule".into() })).await;

        consumer.ack(tag).await;

        consumer.closed().await.closes_channel(406, "by a rule");
        other.wait_ready("q", u32::from(comes_again)).await;
    }
}

async fn when_an_acknowledgement_is_stored_nothing_more_is_said_until_the_release() {
    let (own, consumer, tag, other) = scene(Queue::named("q")).await;
    let rule = own.rule(Rule::new(AckStored, Effect::Hold)).await;

    consumer.ack(tag).await;
    own.fired(rule, 1).await;
    assert!(other.put("q", kept("y")).await);
    assert!(!consumer.connection().has_heard(1).await);

    own.order(Order::Release).await;
    assert_eq!(consumer.delivery().await.done().text(), "y");
}

async fn a_rule_about_one_queue_is_about_no_other_at_both_moments() {
    for at in [AckReceived, AckStored] {
        let (own, consumer, tag, other) = scene(Queue::named("q")).await;
        other.declare(&Queue::named("p")).await.done();
        own.rule(Rule::new(at, Effect::Drop).queue("p")).await;
        consumer.ack(tag).await;
        consumer.settle().await;
        assert!(other.put("p", kept("x")).await);
        consumer.consume("p").await.done();

        consumer.ack(consumer.delivery().await.done().tag).await;

        assert_eq!(consumer.connection().closed().await.code, 0, "{at}");
    }
}

async fn refusals_are_met_and_so_is_what_was_never_to_be_kept() {
    let (own, consumer, tag, other) = scene(Queue::named("q")).await;
    let rule = own.rule(Rule::new(AckStored, Effect::Drop).skip(2)).await;
    consumer.reject(tag, false).await;
    assert!(other.put("q", "volatile").await);
    consumer.nack(consumer.delivery().await.done().tag, true).await;
    let volatile = consumer.delivery().await.done();

    consumer.ack(volatile.tag).await;

    assert_eq!(consumer.connection().closed().await.code, 0);
    own.fired(rule, 1).await;
}

warren::stories! {
    on the embedded broker:
        an_acknowledgement_that_is_held_counts_when_it_is_released,
        who_is_dropped_at_an_acknowledgement_gets_the_message_again_unless_it_was_stored,
        after_a_crash_what_was_acknowledged_comes_again_unless_it_was_stored,
        a_channel_is_closed_at_an_acknowledgement,
        when_an_acknowledgement_is_stored_nothing_more_is_said_until_the_release,
        a_rule_about_one_queue_is_about_no_other_at_both_moments,
        refusals_are_met_and_so_is_what_was_never_to_be_kept;
}
