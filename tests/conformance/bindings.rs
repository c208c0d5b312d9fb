//! Bindings between exchanges and queues.

use crate::support::{Answer, Channel, Exchange, Queue, channel, named};

async fn exchange_and_queue(channel: &Channel) -> (String, String) {
    let (x, q) = (named("x"), named("q"));
    channel.declare_exchange(&Exchange::new(&x, "direct")).await.done();
    channel.declare(&Queue::named(&q)).await.done();
    (x, q)
}

async fn a_binding_made_twice_is_one() {
    let channel = channel().await;
    let (x, q) = exchange_and_queue(&channel).await;
    channel.bind(&q, &x, "key").await.done();
    channel.bind(&q, &x, "key").await.done();

    channel.put_to(&x, "key", "once").await;
    assert_eq!(channel.ask(&q).await.done().message_count, 1);

    channel.unbind(&q, &x, "key").await.done();
    channel.put_to(&x, "key", "lost").await;
    assert_eq!(channel.ask(&q).await.done().message_count, 1);
}

async fn an_unbound_key_leads_nowhere_and_the_others_still_do() {
    let channel = channel().await;
    let (x, q) = exchange_and_queue(&channel).await;
    channel.bind(&q, &x, "one").await.done();
    channel.bind(&q, &x, "other").await.done();

    channel.unbind(&q, &x, "one").await.done();
    channel.put_to(&x, "one", "lost").await;
    channel.put_to(&x, "other", "found").await;

    assert_eq!(channel.take(&q).await.text(), "found");
    assert_eq!(channel.get(&q).await.done(), None);
}

async fn to_unbind_what_is_not_bound_is_no_error() {
    let channel = channel().await;
    let (x, q) = exchange_and_queue(&channel).await;

    channel.unbind(&q, &x, "key").await.done();

    channel.settle().await;
}

async fn to_unbind_a_missing_queue_is_no_error() {
    let channel = channel().await;

    channel.unbind(&named("missing"), "amq.direct", "key").await.done();
    channel.unbind(&named("missing"), &named("missing too"), "key").await.done();
}

async fn nothing_is_unbound_from_the_default_exchange() {
    let channel = channel().await;

    let refused = channel.unbind(&named("missing"), "", "key").await;

    refused.closes_channel(403, "ACCESS_REFUSED - operation not permitted on the default exchange");
}

async fn a_missing_exchange_cannot_be_bound() {
    let channel = channel().await;
    let (_, q) = exchange_and_queue(&channel).await;
    let missing = named("missing");

    let refused = channel.bind(&q, &missing, "key").await;

    refused.closes_channel(404, &format!("NOT_FOUND - no exchange '{missing}' in vhost "));
}

async fn a_missing_queue_cannot_be_bound() {
    let channel = channel().await;
    let (x, _) = exchange_and_queue(&channel).await;
    let missing = named("missing");

    let refused = channel.bind(&missing, &x, "key").await;

    refused.closes_channel(404, &format!("NOT_FOUND - no queue '{missing}' in vhost "));
}

async fn the_bindings_of_a_deleted_queue_are_forgotten() {
    let channel = channel().await;
    let (x, q) = exchange_and_queue(&channel).await;
    channel.bind(&q, &x, "key").await.done();

    channel.delete(&q).await.done();
    channel.declare(&Queue::named(&q)).await.done();
    channel.put_to(&x, "key", "lost").await;

    assert_eq!(channel.get(&q).await.done(), None);
}

async fn two_exchanges_can_lead_to_one_queue() {
    let channel = channel().await;
    let (x, q) = exchange_and_queue(&channel).await;
    let other = named("other");
    channel.declare_exchange(&Exchange::new(&other, "fanout")).await.done();
    channel.bind(&q, &x, "key").await.done();
    channel.bind(&q, &other, "").await.done();

    channel.put_to(&x, "key", "by key").await;
    channel.put_to(&other, "any", "by fanout").await;

    let (one, two) = (channel.take(&q).await, channel.take(&q).await);
    assert_eq!((one.exchange, one.routing_key, one.body), (x, "key".into(), b"by key".to_vec()));
    assert_eq!((two.exchange, two.routing_key, two.body), (other, "any".into(), b"by fanout".to_vec()));
}

warren::stories! {
    on any broker:
        a_binding_made_twice_is_one,
        an_unbound_key_leads_nowhere_and_the_others_still_do,
        to_unbind_what_is_not_bound_is_no_error,
        to_unbind_a_missing_queue_is_no_error,
        nothing_is_unbound_from_the_default_exchange,
        a_missing_exchange_cannot_be_bound,
        a_missing_queue_cannot_be_bound,
        the_bindings_of_a_deleted_queue_are_forgotten,
        two_exchanges_can_lead_to_one_queue;
}
