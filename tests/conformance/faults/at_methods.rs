//! Rules at any method, before it is applied.

use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;
use warren::broker::faults::Moment::Method;
use warren::broker::faults::{Effect, Order, Rule};

use crate::support::{Answer, Own, Queue};

async fn a_declaration_that_is_held_is_made_when_it_is_released() {
    let own = Own::new().await;
    let (one, other) = (own.channel("one").await, own.channel("other").await);
    let rule = own.rule(Rule::new(Method, Effect::Hold).method("queue.declare").connection("one")).await;

    let queue = Queue::named("q");
    let mut declared = pin!(one.declare(&queue));
    assert!(timeout(Duration::from_millis(200), &mut declared).await.is_err());
    own.fired(rule, 1).await;
    other.ask("q").await.map(drop).closes_channel(404, "NOT_FOUND");

    own.order(Order::Release).await;

    declared.await.done();
}

async fn every_method_can_be_met() {
    let own = Own::new().await;
    let open = own.connection("opens a channel").await;
    own.rule(Rule::new(Method, Effect::Drop).method("channel.open")).await;
    assert_eq!(open.channel(1).await.err().map(|closed| closed.code), Some(0));

    let close = own.connection("closes").await;
    own.rule(Rule::new(Method, Effect::Drop).method("connection.close")).await;
    assert_eq!(close.close().await.err().map(|closed| closed.code), Some(0));

    let select = own.channel("selects").await;
    own.rule(Rule::new(Method, Effect::Drop).method("confirm.select")).await;
    assert_eq!(select.confirm_select().await.err().map(|closed| closed.code), Some(0));
}

async fn a_channel_is_closed_instead_of_doing_what_was_asked() {
    let own = Own::new().await;
    let channel = own.channel("one").await;
    let effect = Effect::CloseChannel { code: 541, text: "by a rule".into() };
    own.rule(Rule::new(Method, effect).method("queue.declare")).await;

    channel.declare(&Queue::named("q")).await.map(drop).closes_channel(541, "by a rule");

    let again = channel.connection().channel(1).await.done();
    again.ask("q").await.map(drop).closes_channel(404, "NOT_FOUND");
}

async fn a_broker_that_crashes_at_a_declaration_has_not_declared_it() {
    let own = Own::new().await;
    let channel = own.channel("one").await;
    own.rule(Rule::new(Method, Effect::Crash).method("queue.declare").skip(1)).await;

    channel.declare(&Queue::named("before")).await.done();
    assert_eq!(channel.declare(&Queue::named("q")).await.err().map(|closed| closed.code), Some(0));
    own.crashes_and_starts_again().await;

    own.channel("one").await.ask("before").await.done();
    own.channel("one").await.ask("q").await.map(drop).closes_channel(404, "NOT_FOUND");
}

warren::stories! {
    on the embedded broker:
        a_declaration_that_is_held_is_made_when_it_is_released,
        every_method_can_be_met,
        a_channel_is_closed_instead_of_doing_what_was_asked,
        a_broker_that_crashes_at_a_declaration_has_not_declared_it;
}
