//! Rules at the moments of a publish: received, stored, confirmed.

use amq_protocol::protocol::{AMQPClass, basic};
use warren::broker::faults::Moment::{ConfirmSent, PublishReceived, PublishStored};
use warren::broker::faults::{Effect, Order, Rule};

use crate::support::{Answer, Channel, Confirm, Message, Own, Queue};

fn closing() -> Effect {
    Effect::CloseChannel { code: 406, text: "by a rule".into() }
}

fn kept(body: &str) -> Message {
    Message::new(body).persistent()
}

const fn ack(tag: u64) -> Confirm {
    Confirm::Ack { tag, multiple: false }
}

/// A broker with the queue `q`, a publisher with confirms, and another client.
async fn scene() -> (Own, Channel, Channel) {
    let own = Own::new().await;
    let (publisher, other) = (own.publisher("publisher").await, own.channel("other").await);
    other.declare(&Queue::named("q")).await.done();
    (own, publisher, other)
}

fn number(confirm: &Confirm) -> u64 {
    let (Confirm::Ack { tag, .. } | Confirm::Nack { tag, .. }) = confirm;
    *tag
}

/// The answers to the first messages, one for each, however few words they came in.
async fn confirms(publisher: &Channel, count: usize) -> Vec<Confirm> {
    let mut confirms = Vec::new();
    while confirms.len() < count {
        match publisher.confirm().await.done() {
            Confirm::Ack { tag: last, multiple: true } => {
                let before: Vec<u64> = confirms.iter().map(number).collect();
                let is_new = |tag: &u64| !before.contains(tag);
                confirms.extend((1..=last).filter(is_new).map(ack));
            }
            confirm => confirms.push(confirm),
        }
    }
    confirms
}

async fn a_nacked_message_is_nowhere() {
    let (own, publisher, other) = scene().await;
    own.rule(Rule::new(PublishReceived, Effect::Nack)).await;

    publisher.publish("", "q", kept("refused")).await;
    publisher.publish("", "q", kept("taken")).await;

    assert_eq!(confirms(&publisher, 2).await, [Confirm::Nack { tag: 1, multiple: false }, ack(2)]);
    assert_eq!(other.take_texts("q", 1).await, ["taken"]);
    assert_eq!(other.get("q").await.done(), None);
}

async fn a_message_is_returned_and_confirmed_as_if_nobody_wanted_it() {
    let (own, publisher, other) = scene().await;
    own.rule(Rule::new(PublishReceived, Effect::Return)).await;

    publisher.publish("", "q", kept("back")).await;

    let event = publisher.next().await.done();
    let AMQPClass::Basic(basic::AMQPMethod::Return(returned)) = &event.method else { panic!("{event:?}") };
    assert_eq!((returned.reply_code, &event.body[..]), (312, &b"back"[..]));
    assert_eq!(publisher.confirm().await.done(), ack(1));
    assert_eq!(other.get("q").await.done(), None);
}

async fn a_rule_lets_pass_what_it_is_not_for_and_fires_so_often() {
    let (own, publisher, other) = scene().await;
    other.declare(&Queue::named("p")).await.done();
    own.rule(Rule::new(PublishReceived, Effect::Nack).skip(1).times(2).connection("publ").routing_key("q"))
        .await;

    assert!(other.put("q", kept("of another")).await);
    for key in ["q", "p", "q", "p", "q", "q"] {
        publisher.publish("", key, kept(key)).await;
    }

    let nacked: Vec<u64> = confirms(&publisher, 6)
        .await
        .into_iter()
        .filter_map(|confirm| match confirm {
            Confirm::Nack { tag, .. } => Some(tag),
            Confirm::Ack { .. } => None,
        })
        .collect();
    assert_eq!(nacked, [3, 5]);
    other.wait_ready("q", 3).await;
    other.wait_ready("p", 2).await;
}

async fn who_is_dropped_at_a_publish_has_published_nothing() {
    let (own, publisher, other) = scene().await;
    own.rule(Rule::new(PublishReceived, Effect::Drop).skip(1)).await;

    publisher.publish("", "q", kept("first")).await;
    publisher.confirm().await.done();
    publisher.publish("", "q", kept("second")).await;

    assert_eq!(publisher.connection().closed().await.code, 0);
    assert_eq!(other.take_texts("q", 1).await, ["first"]);
    assert_eq!(other.get("q").await.done(), None);
}

async fn who_is_dropped_before_the_confirm_has_published_all_the_same() {
    let (own, publisher, other) = scene().await;
    own.rule(Rule::new(PublishStored, Effect::Drop)).await;

    publisher.publish("", "q", kept("there")).await;

    assert_eq!(publisher.closed().await.code, 0);
    assert_eq!(other.take("q").await.text(), "there");
}

async fn who_is_dropped_after_a_confirm_hears_that_one_and_no_other() {
    let (own, publisher, _other) = scene().await;
    own.rule(Rule::new(ConfirmSent, Effect::Drop)).await;

    for body in ["first", "second", "third"] {
        publisher.publish("", "q", kept(body)).await;
    }

    assert_eq!(publisher.confirm().await.done(), ack(1));
    assert_eq!(publisher.confirm().await.err().map(|closed| closed.code), Some(0));
}

async fn a_publish_that_is_held_is_routed_when_it_is_released() {
    let (own, publisher, other) = scene().await;
    let rule = own.rule(Rule::new(PublishReceived, Effect::Hold)).await;

    publisher.publish("", "q", kept("held")).await;
    publisher.publish("", "q", kept("behind it")).await;
    own.fired(rule, 1).await;
    assert_eq!(other.get("q").await.done(), None);
    assert!(!publisher.connection().has_heard(1).await);

    own.order(Order::Release).await;

    publisher.confirm().await.done();
    assert_eq!(other.take_texts("q", 2).await, ["held", "behind it"]);
}

async fn a_confirm_that_is_held_comes_when_it_is_released() {
    let (own, publisher, other) = scene().await;
    let rule = own.rule(Rule::new(PublishStored, Effect::Hold)).await;

    publisher.publish("", "q", kept("there")).await;
    own.fired(rule, 1).await;
    assert_eq!(other.take("q").await.text(), "there");
    assert!(!publisher.connection().has_heard(1).await);

    own.order(Order::Release).await;

    assert_eq!(publisher.confirm().await.done(), ack(1));
    publisher.settle().await;
}

async fn after_a_confirm_nothing_is_said_until_the_release() {
    let (own, publisher, other) = scene().await;
    own.rule(Rule::new(ConfirmSent, Effect::Hold)).await;

    publisher.publish("", "q", kept("first")).await;
    assert_eq!(publisher.confirm().await.done(), ack(1));
    publisher.publish("", "q", kept("second")).await;
    assert!(!publisher.connection().has_heard(1).await);
    other.wait_ready("q", 1).await;

    own.order(Order::Release).await;

    assert_eq!(publisher.confirm().await.done(), ack(2));
}

async fn a_release_that_comes_at_once_is_not_forgotten() {
    let (own, publisher, _other) = scene().await;
    let rule = own.rule(Rule::new(ConfirmSent, Effect::Hold).times(100)).await;

    for number in 1..=100 {
        publisher.publish("", "q", kept("x")).await;
        own.fired(rule, number).await;
        own.order(Order::Release).await;
        assert_eq!(publisher.confirm().await.done(), ack(number));
    }
}

async fn a_silence_at_a_publish_lasts_until_the_client_gives_up() {
    for at in [PublishReceived, PublishStored, ConfirmSent] {
        let (own, publisher, other) = scene().await;
        let rule = own.rule(Rule::new(at, Effect::Silence)).await;

        publisher.publish("", "q", kept("x")).await;
        own.fired(rule, 1).await;
        own.order(Order::Release).await;
        assert_eq!(publisher.connection().has_heard(1).await, at == ConfirmSent);
        other.wait_ready("q", u32::from(at != PublishReceived)).await;
        assert_eq!(connections(&own).await, 2);

        drop(publisher);
        warren::harness::eventually_equal(std::time::Duration::from_secs(10), "connections", 1, async || {
            connections(&own).await
        })
        .await;
    }
}

async fn connections(own: &Own) -> usize {
    own.status().await["connections"].as_array().map_or(0, Vec::len)
}

async fn a_confirm_that_is_late_is_overtaken() {
    let (own, publisher, _other) = scene().await;
    own.rule(Rule::new(PublishStored, Effect::Delay { ms: 400 })).await;

    publisher.publish("", "q", kept("late")).await;
    publisher.publish("", "q", kept("early")).await;

    assert_eq!(confirms(&publisher, 2).await, [ack(2), ack(1)]);
}

async fn confirms_come_in_reverse() {
    let (own, publisher, _other) = scene().await;
    own.rule(Rule::new(PublishStored, Effect::Reorder { count: 3 }).times(2)).await;

    for _ in 0..7 {
        publisher.publish("", "q", kept("x")).await;
    }

    assert_eq!(confirms(&publisher, 7).await, [3, 2, 1, 6, 5, 4, 7].map(ack));
}

async fn fewer_confirms_than_were_wanted_come_in_reverse_as_well() {
    let (own, publisher, _other) = scene().await;
    let beside = publisher.connection().channel(2).await.done();
    beside.confirm_select().await.done();
    own.rule(Rule::new(PublishStored, Effect::Reorder { count: 9 }).times(2)).await;

    for channel in [&publisher, &beside, &publisher, &beside] {
        channel.publish("", "q", kept("x")).await;
    }

    assert_eq!(confirms(&publisher, 2).await, [2, 1].map(ack));
    assert_eq!(confirms(&beside, 2).await, [2, 1].map(ack));
}

async fn what_a_crash_finds_is_not_there_before_it_is_stored_and_there_from_then_on() {
    for (at, is_there) in [(PublishReceived, false), (PublishStored, true), (ConfirmSent, true)] {
        for has_confirms in [true, false] {
            if at == ConfirmSent && !has_confirms {
                continue;
            }
            let (own, publisher, other) = scene().await;
            assert!(other.put("q", kept("before")).await);
            own.rule(Rule::new(at, Effect::Crash)).await;

            let publisher = if has_confirms { publisher } else { own.channel("without confirms").await };
            publisher.publish("", "q", kept("x")).await;
            let confirm = publisher.confirm().await;
            assert_eq!(confirm.is_ok(), at == ConfirmSent, "{at}: {confirm:?}");
            own.crashes_and_starts_again().await;

            let other = own.channel("other").await;
            assert_eq!(other.take("q").await.text(), "before");
            let found = other.get("q").await.done();
            assert_eq!(found.is_some(), is_there, "{at}, confirms: {has_confirms}");
        }
    }
}

async fn a_channel_is_closed_at_a_publish() {
    for (at, waiting) in [(PublishReceived, 0), (PublishStored, 1), (ConfirmSent, 1)] {
        let (own, publisher, other) = scene().await;
        own.rule(Rule::new(at, closing())).await;

        publisher.publish("", "q", kept("x")).await;

        if at == ConfirmSent {
            assert_eq!(publisher.confirm().await.done(), ack(1));
        }
        publisher.confirm().await.closes_channel(406, "by a rule");
        other.wait_ready("q", waiting).await;
        publisher.connection().channel(1).await.done().settle().await;
    }
}

async fn a_rule_about_one_exchange_is_about_no_other_at_every_moment_of_a_publish() {
    for at in [PublishReceived, PublishStored, ConfirmSent] {
        let (own, publisher, other) = scene().await;
        other.bind("q", "amq.fanout", "").await.done();
        own.rule(Rule::new(at, Effect::Drop).exchange("amq.fanout").routing_key("k")).await;

        publisher.publish("", "q", kept("passes")).await;
        publisher.publish("amq.fanout", "other", kept("passes")).await;
        publisher.settle().await;
        publisher.publish("amq.fanout", "k", kept("meets it")).await;

        assert_eq!(publisher.connection().closed().await.code, 0, "{at}");
    }
}

async fn what_is_not_to_be_kept_is_confirmed_and_met_too() {
    let (own, publisher, _other) = scene().await;
    own.rule(Rule::new(ConfirmSent, Effect::Drop)).await;

    publisher.publish("", "q", "volatile").await;

    assert_eq!(publisher.confirm().await.done(), ack(1));
    assert_eq!(publisher.connection().closed().await.code, 0);
}

async fn a_confirm_of_a_channel_that_is_gone_is_not_taken_for_another_ones() {
    let (own, publisher, other) = scene().await;
    own.rule(Rule::new(PublishStored, Effect::Delay { ms: 300 })).await;
    publisher.publish("", "q", kept("of the first channel")).await;
    other.wait_ready("q", 1).await;
    publisher.close().await.done();

    let again = publisher.connection().channel(1).await.done();
    again.confirm_select().await.done();
    own.rule(Rule::new(PublishReceived, Effect::Nack)).await;
    own.rule(Rule::new(PublishStored, Effect::Delay { ms: 600 })).await;
    again.publish("", "q", kept("refused")).await;
    assert_eq!(again.confirm().await.done(), Confirm::Nack { tag: 1, multiple: false });
    again.publish("", "q", kept("of the second channel")).await;

    assert_eq!(again.confirm().await.done(), ack(2));
}

warren::stories! {
    on the embedded broker:
        a_nacked_message_is_nowhere,
        a_message_is_returned_and_confirmed_as_if_nobody_wanted_it,
        a_rule_lets_pass_what_it_is_not_for_and_fires_so_often,
        who_is_dropped_at_a_publish_has_published_nothing,
        who_is_dropped_before_the_confirm_has_published_all_the_same,
        who_is_dropped_after_a_confirm_hears_that_one_and_no_other,
        a_publish_that_is_held_is_routed_when_it_is_released,
        a_confirm_that_is_held_comes_when_it_is_released,
        after_a_confirm_nothing_is_said_until_the_release,
        a_release_that_comes_at_once_is_not_forgotten,
        a_silence_at_a_publish_lasts_until_the_client_gives_up,
        a_confirm_that_is_late_is_overtaken,
        confirms_come_in_reverse,
        fewer_confirms_than_were_wanted_come_in_reverse_as_well,
        what_a_crash_finds_is_not_there_before_it_is_stored_and_there_from_then_on,
        a_channel_is_closed_at_a_publish,
        a_rule_about_one_exchange_is_about_no_other_at_every_moment_of_a_publish,
        what_is_not_to_be_kept_is_confirmed_and_met_too,
        a_confirm_of_a_channel_that_is_gone_is_not_taken_for_another_ones;
}
