//! Rules at the moments of a delivery: before it, and when it was sent.

use std::time::Duration;

use amq_protocol::protocol::{AMQPClass, basic};
use warren::broker::faults::Moment::{BeforeDelivery, DeliverySent};
use warren::broker::faults::{Effect, Order, Rule};
use warren::harness::eventually_equal;

use crate::support::{Answer, Channel, Message, Own, Queue};

fn closing() -> Effect {
    Effect::CloseChannel { code: 406, text: "by a rule".into() }
}

fn kept(body: &str) -> Message {
    Message::new(body).persistent()
}

/// A broker with the queue `q`, where these messages wait, a consumer to be, and another client.
async fn scene(bodies: &[&str]) -> (Own, Channel, Channel) {
    let own = Own::new().await;
    let (consumer, other) = (own.channel("consumer").await, own.channel("other").await);
    other.declare(&Queue::named("q")).await.done();
    for body in bodies {
        assert!(other.put("q", kept(body)).await);
    }
    (own, consumer, other)
}

async fn texts(consumer: &Channel, count: usize) -> Vec<String> {
    consumer.deliveries(count).await.iter().map(|delivery| delivery.text()).collect()
}

async fn is_cancelled(consumer: &Channel) -> bool {
    let event = consumer.next().await.done();
    matches!(event.method, AMQPClass::Basic(basic::AMQPMethod::Cancel(_)))
}

async fn a_message_comes_twice_and_is_gone_when_it_is_acknowledged() {
    for no_ack in [false, true] {
        let (own, consumer, other) = scene(&["twice", "once"]).await;
        own.rule(Rule::new(BeforeDelivery, Effect::Twice)).await;

        let consume = basic::Consume { queue: "q".into(), no_ack, ..Default::default() };
        consumer.consume_as(consume).await.done();

        let all = consumer.deliveries(3).await;
        let told: Vec<_> = all.iter().map(|delivery| (delivery.text(), delivery.tag)).collect();
        assert_eq!(told, [("twice".into(), 1), ("twice".into(), 2), ("once".into(), 3)]);
        if !no_ack {
            for delivery in all {
                consumer.ack(delivery.tag).await;
            }
        }
        consumer.settle().await;
        assert_eq!(own.of_queue("q", "unacknowledged").await, 0);
        other.wait_ready("q", 0).await;
    }
}

async fn who_is_dropped_before_a_delivery_hears_nothing_of_it() {
    let (own, consumer, other) = scene(&["x"]).await;
    own.rule(Rule::new(BeforeDelivery, Effect::Drop)).await;

    consumer.consume("q").await.done();

    assert_eq!(consumer.delivery().await.err().map(|closed| closed.code), Some(0));
    assert_eq!(other.take("q").await.text(), "x");
}

async fn who_is_dropped_after_a_delivery_has_it_and_others_get_it_again() {
    let (own, consumer, other) = scene(&["first", "second"]).await;
    own.rule(Rule::new(DeliverySent, Effect::Drop)).await;

    consumer.consume("q").await.done();

    assert_eq!(consumer.delivery().await.done().text(), "first");
    assert_eq!(consumer.delivery().await.err().map(|closed| closed.code), Some(0));
    other.wait_ready("q", 2).await;
    let again = other.take("q").await;
    assert_eq!((again.text().as_str(), again.redelivered), ("first", true));
    assert!(!other.take("q").await.redelivered);
}

async fn a_consumer_is_cancelled_before_a_delivery_and_the_message_stays() {
    let (own, consumer, other) = scene(&["x"]).await;
    own.rule(Rule::new(BeforeDelivery, Effect::Cancel)).await;

    consumer.consume("q").await.done();

    assert!(is_cancelled(&consumer).await);
    let x = other.take("q").await;
    assert_eq!((x.text().as_str(), x.redelivered), ("x", false));
    assert_eq!(own.of_queue("q", "consumers").await, 0);
}

async fn a_consumer_is_cancelled_after_a_delivery_and_can_acknowledge_it() {
    let (own, consumer, other) = scene(&["first", "second"]).await;
    own.rule(Rule::new(DeliverySent, Effect::Cancel)).await;

    consumer.consume("q").await.done();

    let first = consumer.delivery().await.done();
    assert_eq!(first.text(), "first");
    assert!(is_cancelled(&consumer).await);
    consumer.ack(first.tag).await;
    consumer.settle().await;
    assert_eq!(own.of_queue("q", "unacknowledged").await, 0);
    assert_eq!(other.take_texts("q", 1).await, ["second"]);
}

async fn a_queue_goes_with_the_last_consumer_that_a_rule_cancels() {
    for at in [BeforeDelivery, DeliverySent] {
        let (own, consumer, other) = scene(&[]).await;
        other.declare(&Queue::named("fleeting").auto_delete()).await.done();
        own.rule(Rule::new(at, Effect::Cancel).queue("fleeting")).await;
        assert!(other.put("fleeting", "x").await);

        consumer.consume("fleeting").await.done();

        consumer.connection().has_heard(1).await;
        other.ask("fleeting").await.map(drop).closes_channel(404, "NOT_FOUND");
    }
}

async fn a_channel_is_closed_at_a_delivery() {
    for at in [BeforeDelivery, DeliverySent] {
        let (own, consumer, other) = scene(&["x", "y"]).await;
        own.rule(Rule::new(at, closing())).await;

        consumer.consume("q").await.done();

        if at == DeliverySent {
            assert_eq!(consumer.delivery().await.done().text(), "x");
        }
        consumer.delivery().await.map(drop).closes_channel(406, "by a rule");
        let again = other.take("q").await;
        assert_eq!((again.text().as_str(), again.redelivered), ("x", at == DeliverySent));
    }
}

async fn a_delivery_that_is_held_comes_when_it_is_released() {
    let (own, consumer, other) = scene(&["x"]).await;
    let rule = own.rule(Rule::new(BeforeDelivery, Effect::Hold)).await;

    consumer.consume("q").await.done();
    own.fired(rule, 1).await;
    assert!(!consumer.connection().has_heard(1).await);
    other.consume("q").await.done();
    assert!(!other.connection().has_heard(1).await, "it was taken from its queue");

    own.order(Order::Release).await;

    assert_eq!(consumer.delivery().await.done().text(), "x");
}

async fn a_rule_holds_as_many_deliveries_as_it_says() {
    let (own, consumer, _other) = scene(&["a", "b", "c"]).await;
    let rule = own.rule(Rule::new(BeforeDelivery, Effect::Hold).times(2)).await;

    consumer.consume("q").await.done();
    for (number, body) in [(1, "a"), (2, "b")] {
        own.fired(rule, number).await;
        own.order(Order::Release).await;
        assert_eq!(consumer.delivery().await.done().text(), body);
    }
    assert_eq!(consumer.delivery().await.done().text(), "c");
}

async fn after_a_delivery_nothing_is_said_until_the_release() {
    let (own, consumer, _other) = scene(&["first", "second"]).await;
    own.rule(Rule::new(DeliverySent, Effect::Hold)).await;

    consumer.consume("q").await.done();
    let first = consumer.delivery().await.done();
    consumer.ack(first.tag).await;
    assert!(!consumer.connection().has_heard(1).await);
    assert_eq!(own.of_queue("q", "unacknowledged").await, 1, "nothing is read");

    own.order(Order::Release).await;

    assert_eq!(consumer.delivery().await.done().text(), "second");
    consumer.settle().await;
    assert_eq!(own.of_queue("q", "unacknowledged").await, 1);
}

async fn who_gives_up_at_a_silence_gives_the_message_back() {
    for at in [BeforeDelivery, DeliverySent] {
        let (own, consumer, other) = scene(&["x"]).await;
        let rule = own.rule(Rule::new(at, Effect::Silence)).await;
        consumer.consume("q").await.done();
        own.fired(rule, 1).await;
        assert_eq!(consumer.connection().has_heard(1).await, at == DeliverySent);
        assert_eq!(own.of_queue("q", "unacknowledged").await, 1);

        drop(consumer);

        assert_eq!(other.take("q").await.text(), "x");
    }
}

async fn a_delivery_that_is_late_is_overtaken() {
    for no_ack in [false, true] {
        let (own, consumer, other) = scene(&["late", "early"]).await;
        own.rule(Rule::new(BeforeDelivery, Effect::Delay { ms: 300 })).await;

        let consume = basic::Consume { queue: "q".into(), no_ack, ..Default::default() };
        consumer.consume_as(consume).await.done();

        let both = consumer.deliveries(2).await;
        let told: Vec<_> = both.iter().map(|delivery| (delivery.text(), delivery.tag)).collect();
        assert_eq!(told, [("early".into(), 1), ("late".into(), 2)]);
        if !no_ack {
            consumer.ack_up_to(2).await;
        }
        consumer.settle().await;
        assert_eq!(own.of_queue("q", "unacknowledged").await, 0);
        other.wait_ready("q", 0).await;
    }
}

async fn a_late_delivery_counts_for_the_prefetch() {
    let (own, consumer, _other) = scene(&["late", "later"]).await;
    own.rule(Rule::new(BeforeDelivery, Effect::Delay { ms: 300 })).await;

    consumer.qos(1).await.done();
    consumer.consume("q").await.done();

    let late = consumer.delivery().await.done();
    assert_eq!(late.text(), "late");
    assert!(!consumer.connection().has_heard(1).await);
    consumer.ack(late.tag).await;
    assert_eq!(consumer.delivery().await.done().text(), "later");
}

async fn a_late_delivery_to_who_is_gone_goes_to_the_next() {
    let (own, consumer, other) = scene(&["late", "early"]).await;
    // Ten minutes: it comes back because its consumer goes.
    let rule = own.rule(Rule::new(BeforeDelivery, Effect::Delay { ms: 600_000 })).await;
    consumer.consume("q").await.done();
    own.fired(rule, 1).await;
    assert_eq!(consumer.delivery().await.done().text(), "early");

    drop(consumer);

    assert_eq!(other.take_texts("q", 2).await, ["late", "early"]);
}

async fn a_late_delivery_to_a_consumer_that_is_cancelled_goes_to_the_next() {
    let (own, consumer, other) = scene(&["late"]).await;
    let rule = own.rule(Rule::new(BeforeDelivery, Effect::Delay { ms: 600_000 })).await;
    let tag = consumer.consume("q").await.done();
    own.fired(rule, 1).await;

    consumer.cancel(&tag).await.done();

    let late = other.take("q").await;
    assert_eq!((late.text().as_str(), late.redelivered), ("late", false));
}

async fn deliveries_come_in_reverse() {
    for queue in [Queue::named("p"), Queue::named("p").quorum()] {
        let (own, consumer, other) = scene(&[]).await;
        other.declare(&queue).await.done();
        for body in ["1", "2", "3", "4", "5", "6", "7"] {
            assert!(other.put("p", kept(body)).await);
        }
        own.rule(Rule::new(BeforeDelivery, Effect::Reorder { count: 3 }).times(2)).await;

        consumer.consume("p").await.done();

        assert_eq!(texts(&consumer, 7).await, ["3", "2", "1", "6", "5", "4", "7"]);
    }
}

async fn fewer_deliveries_than_were_wanted_come_in_reverse_as_well() {
    let (own, consumer, _other) = scene(&["1", "2"]).await;
    own.rule(Rule::new(BeforeDelivery, Effect::Reorder { count: 9 })).await;

    consumer.consume("q").await.done();

    assert_eq!(texts(&consumer, 2).await, ["2", "1"]);
}

async fn a_broker_whose_consumer_went_before_its_deliveries_were_collected_is_at_rest() {
    let (own, consumer, other) = scene(&["1"]).await;
    let rule = own.rule(Rule::new(BeforeDelivery, Effect::Reorder { count: 9 })).await;
    consumer.consume("q").await.done();
    own.fired(rule, 1).await;
    drop(consumer);
    eventually_equal(Duration::from_secs(10), "consumers", 0, async || own.of_queue("q", "consumers").await)
        .await;

    let before = own.processor_time();
    for _ in 0..15 {
        other.connection().has_heard(1).await;
    }

    let used = own.processor_time() - before;
    assert!(used < 50, "it has used {used} of a hundred and fifty hundredths of a second");
}

async fn what_was_delivered_before_a_crash_comes_again() {
    for (at, queue) in [
        (BeforeDelivery, Queue::named("p")),
        (DeliverySent, Queue::named("p")),
        (DeliverySent, Queue::named("p").quorum()),
    ] {
        let (own, consumer, other) = scene(&[]).await;
        other.declare(&queue).await.done();
        assert!(other.put("p", kept("x")).await);
        own.rule(Rule::new(at, Effect::Crash)).await;

        // A crash before a delivery comes before the answer is written.
        let consume = basic::Consume { queue: "p".into(), nowait: true, ..Default::default() };
        consumer.say(basic::AMQPMethod::Consume(consume)).await;
        assert_eq!(consumer.delivery().await.is_ok(), at == DeliverySent);
        own.crashes_and_starts_again().await;

        assert_eq!(own.channel("consumer").await.take("p").await.text(), "x");
    }
}

async fn a_rule_about_one_queue_is_about_no_other() {
    for at in [BeforeDelivery, DeliverySent] {
        let (own, consumer, other) = scene(&["passes"]).await;
        other.declare(&Queue::named("p")).await.done();
        own.rule(Rule::new(at, Effect::Drop).queue("p").exchange("").routing_key("p")).await;

        consumer.consume("q").await.done();
        assert_eq!(consumer.delivery().await.done().text(), "passes");
        consumer.consume("p").await.done();
        assert!(other.put("p", "meets it").await);

        assert_eq!(consumer.connection().closed().await.code, 0);
    }
}

warren::stories! {
    on the embedded broker:
        a_message_comes_twice_and_is_gone_when_it_is_acknowledged,
        who_is_dropped_before_a_delivery_hears_nothing_of_it,
        who_is_dropped_after_a_delivery_has_it_and_others_get_it_again,
        a_consumer_is_cancelled_before_a_delivery_and_the_message_stays,
        a_consumer_is_cancelled_after_a_delivery_and_can_acknowledge_it,
        a_queue_goes_with_the_last_consumer_that_a_rule_cancels,
        a_channel_is_closed_at_a_delivery,
        a_delivery_that_is_held_comes_when_it_is_released,
        a_rule_holds_as_many_deliveries_as_it_says,
        after_a_delivery_nothing_is_said_until_the_release,
        who_gives_up_at_a_silence_gives_the_message_back,
        a_delivery_that_is_late_is_overtaken,
        a_late_delivery_counts_for_the_prefetch,
        a_late_delivery_to_who_is_gone_goes_to_the_next,
        a_late_delivery_to_a_consumer_that_is_cancelled_goes_to_the_next,
        deliveries_come_in_reverse,
        fewer_deliveries_than_were_wanted_come_in_reverse_as_well,
        a_broker_whose_consumer_went_before_its_deliveries_were_collected_is_at_rest,
        what_was_delivered_before_a_crash_comes_again,
        a_rule_about_one_queue_is_about_no_other;
}
