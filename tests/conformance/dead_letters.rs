//! Dead letters: which messages become one, what they say, and where they go.

use amq_protocol::protocol::BasicProperties;

use crate::support::{Answer, Channel, Death, Exchange, Message, Queue, channel, deaths, named, table, text};

/// A channel, a queue whose dead letters go to another one, and that other one.
async fn with(declare: impl Fn(Queue) -> Queue) -> (Channel, String, String) {
    let channel = channel().await;
    let (q, dead) = (named("q"), named("dead"));
    channel.declare(&Queue::named(&dead)).await.done();
    channel.declare(&declare(Queue::named(&q)).dead_letters_to(&dead)).await.done();
    (channel, q, dead)
}

fn death(queue: &str, reason: &str, routing_key: &str) -> Death {
    Death {
        queue: queue.into(),
        reason: reason.into(),
        count: 1,
        exchange: String::new(),
        routing_keys: vec![routing_key.into()],
        original_expiration: None,
    }
}

async fn a_rejected_message_says_where_it_died() {
    for declare in [|queue: Queue| queue, Queue::quorum] {
        let (channel, q, dead) = with(declare).await;
        let headers = table([("colour", text("red"))]);
        let properties = BasicProperties::default().with_message_id("7".into()).with_headers(headers);
        channel.put(&q, Message::with(properties, "bad")).await;

        channel.reject(channel.get(&q).await.done().expect("it is there").tag, false).await;

        let letter = channel.take(&dead).await;
        assert_eq!((letter.text().as_str(), letter.redelivered), ("bad", false));
        assert_eq!((letter.exchange.as_str(), &letter.routing_key), ("", &dead));
        assert_eq!(deaths(&letter), [death(&q, "rejected", &q)]);
        for (header, value) in [("queue", q.as_str()), ("reason", "rejected"), ("exchange", "")] {
            assert_eq!(letter.header(&format!("x-first-death-{header}")), Some(text(value)));
        }
        assert_eq!(letter.header("colour"), Some(text("red")));
        assert_eq!(letter.properties.message_id().as_ref().map(|id| id.as_str()), Some("7"));
        for queue in [&q, &dead] {
            channel.delete(queue).await.done();
        }
    }
}

async fn a_nack_without_requeue_is_a_rejection() {
    let (channel, q, dead) = with(|queue| queue).await;
    channel.put_all(&q, ["one", "two"]).await;
    channel.get(&q).await.done().expect("it is there");
    let two = channel.get(&q).await.done().expect("it is there");

    channel.nack_up_to(two.tag, false).await;

    for body in ["one", "two"] {
        let letter = channel.take(&dead).await;
        assert_eq!((letter.text().as_str(), deaths(&letter)), (body, vec![death(&q, "rejected", &q)]));
    }
}

async fn a_requeued_message_is_no_dead_letter() {
    let (channel, q, dead) = with(|queue| queue).await;
    channel.put(&q, "again").await;

    channel.nack(channel.get(&q).await.done().expect("it is there").tag, true).await;

    assert_eq!(channel.take(&q).await.text(), "again");
    assert_eq!(channel.get(&dead).await.done(), None);
}

async fn a_message_whose_queue_lets_it_expire_is_a_dead_letter() {
    for declare in [|queue: Queue| queue, Queue::quorum] {
        let (channel, q, dead) = with(|queue| declare(queue).number("x-message-ttl", 30)).await;

        channel.put(&q, "late").await;

        let letter = channel.take(&dead).await;
        assert_eq!((letter.text().as_str(), deaths(&letter)), ("late", vec![death(&q, "expired", &q)]));
        for queue in [&q, &dead] {
            channel.delete(queue).await.done();
        }
    }
}

async fn a_dead_letter_does_not_expire_again() {
    let (channel, q, dead) = with(|queue| queue).await;

    channel.put(&q, Message::new("late").expires_after("30")).await;

    let letter = channel.take(&dead).await;
    assert_eq!(letter.properties.expiration(), &None);
    let expected = Death { original_expiration: Some("30".into()), ..death(&q, "expired", &q) };
    assert_eq!(deaths(&letter), [expected]);
}

async fn messages_that_expire_keep_their_order() {
    let (channel, q, dead) = with(|queue| queue.number("x-message-ttl", 30)).await;

    channel.put_all(&q, ["one", "two", "three"]).await;

    assert_eq!(channel.take_texts(&dead, 3).await, ["one", "two", "three"]);
}

async fn the_oldest_of_a_full_queue_is_a_dead_letter() {
    for declare in [|queue: Queue| queue, Queue::quorum] {
        let (channel, q, dead) = with(|queue| declare(queue).number("x-max-length", 1)).await;

        channel.put_all(&q, ["old", "new"]).await;

        let letter = channel.take(&dead).await;
        assert_eq!((letter.text().as_str(), deaths(&letter)), ("old", vec![death(&q, "maxlen", &q)]));
        assert_eq!(channel.take(&q).await.text(), "new");
        for queue in [&q, &dead] {
            channel.delete(queue).await.done();
        }
    }
}

async fn a_refused_message_can_be_a_dead_letter() {
    let (channel, q, dead) =
        with(|queue| queue.number("x-max-length", 1).text("x-overflow", "reject-publish-dlx")).await;
    channel.put(&q, "first").await;

    assert!(!channel.put(&q, "refused").await, "it is full");

    let letter = channel.take(&dead).await;
    assert_eq!((letter.text().as_str(), deaths(&letter)), ("refused", vec![death(&q, "maxlen", &q)]));
    assert_eq!(channel.take(&q).await.text(), "first");
}

async fn a_dead_letter_keeps_its_key_where_no_other_is_named() {
    let channel = channel().await;
    let (q, x, dead) = (named("q"), named("x"), named("dead"));
    channel.declare_exchange(&Exchange::new(&x, "topic")).await.done();
    channel.declare(&Queue::named(&dead)).await.done();
    channel.bind(&dead, &x, "order.*").await.done();
    channel.declare(&Queue::named(&q).text("x-dead-letter-exchange", &x)).await.done();
    channel.bind(&q, "amq.topic", "order.created").await.done();
    channel.put_to("amq.topic", "order.created", "bad").await;

    channel.reject(channel.get(&q).await.done().expect("it is there").tag, false).await;

    let letter = channel.take(&dead).await;
    assert_eq!((&letter.exchange, letter.routing_key.as_str()), (&x, "order.created"));
    let expected = Death { exchange: "amq.topic".into(), ..death(&q, "rejected", "order.created") };
    assert_eq!(deaths(&letter), [expected]);
    assert_eq!(letter.header("x-first-death-exchange"), Some(text("amq.topic")));
}

async fn a_dead_letter_goes_to_every_queue_that_wants_it() {
    let channel = channel().await;
    let (q, x) = (named("q"), named("x"));
    channel.declare_exchange(&Exchange::new(&x, "fanout")).await.done();
    let both = [named("one"), named("other")];
    for queue in &both {
        channel.declare(&Queue::named(queue)).await.done();
        channel.bind(queue, &x, "").await.done();
    }
    channel.declare(&Queue::named(&q).text("x-dead-letter-exchange", &x)).await.done();
    channel.put(&q, "bad").await;

    channel.reject(channel.get(&q).await.done().expect("it is there").tag, false).await;

    for queue in &both {
        assert_eq!(channel.take(queue).await.text(), "bad");
    }
}

// Whether a count goes on when a client publishes the header anew is left open: in 3.10 it does, in 4.0 it does not.
async fn deaths_of_the_same_kind_are_counted() {
    let channel = channel().await;
    let q = named("q");
    channel.declare(&Queue::named(&q).dead_letters_to(&q)).await.done();
    channel.put(&q, "back again").await;

    for count in 0..3 {
        let message = channel.take_unacknowledged(&q).await;
        let expected = (count > 0).then(|| Death { count, ..death(&q, "rejected", &q) });
        assert_eq!(deaths(&message), Vec::from_iter(expected));
        channel.reject(message.tag, false).await;
    }
}

async fn the_latest_death_is_told_first() {
    let channel = channel().await;
    let (first, second, last) = (named("first"), named("second"), named("last"));
    channel.declare(&Queue::named(&last)).await.done();
    channel.declare(&Queue::named(&second).dead_letters_to(&last)).await.done();
    channel.declare(&Queue::named(&first).number("x-message-ttl", 20).dead_letters_to(&second)).await.done();
    channel.put(&first, "twice dead").await;

    channel.reject(channel.take_unacknowledged(&second).await.tag, false).await;

    let letter = channel.take(&last).await;
    assert_eq!(deaths(&letter), [death(&second, "rejected", &second), death(&first, "expired", &first)]);
    assert_eq!(letter.header("x-first-death-queue"), Some(text(&first)));
    assert_eq!(letter.header("x-first-death-reason"), Some(text("expired")));
}

async fn a_message_that_only_expires_in_a_circle_is_dropped() {
    let channel = channel().await;
    let (one, other) = (named("one"), named("other"));
    channel.declare(&Queue::named(&one).number("x-message-ttl", 20).dead_letters_to(&other)).await.done();
    channel.declare(&Queue::named(&other).number("x-message-ttl", 20).dead_letters_to(&one)).await.done();
    let witness = named("witness");
    channel.declare(&Queue::named(&witness).number("x-message-ttl", 200)).await.done();

    channel.put(&one, "round and round").await;

    // It would be in one of the two at any time.
    channel.put(&witness, "gone when the circle was closed five times").await;
    channel.wait_ready(&witness, 0).await;
    for queue in [&one, &other] {
        assert_eq!(channel.delete(queue).await.done(), 0, "{queue}");
    }
}

async fn a_message_that_was_rejected_can_go_in_a_circle() {
    let channel = channel().await;
    let (work, wait) = (named("work"), named("wait"));
    channel.declare(&Queue::named(&work).dead_letters_to(&wait)).await.done();
    channel.declare(&Queue::named(&wait).number("x-message-ttl", 20).dead_letters_to(&work)).await.done();
    channel.put(&work, "try again").await;

    for round in 0..3 {
        let message = channel.take_unacknowledged(&work).await;
        let rejections =
            deaths(&message).iter().find(|death| death.reason == "rejected").map_or(0, |death| death.count);
        assert_eq!(rejections, round);
        channel.reject(message.tag, false).await;
    }
}

async fn dead_letters_for_a_missing_exchange_are_dropped() {
    let channel = channel().await;
    let q = named("q");
    channel.declare(&Queue::named(&q).text("x-dead-letter-exchange", &named("missing"))).await.done();
    channel.put_all(&q, ["bad", "good"]).await;

    channel.reject(channel.get(&q).await.done().expect("it is there").tag, false).await;

    assert_eq!(channel.take(&q).await.text(), "good");
    assert_eq!(channel.delete(&q).await.done(), 0);
}

async fn purged_and_deleted_messages_are_no_dead_letters() {
    let (channel, q, dead) = with(|queue| queue).await;
    channel.put(&q, "purged").await;
    channel.purge(&q).await.done();
    channel.put(&q, "deleted").await;
    channel.delete(&q).await.done();

    channel.put(&dead, "the first letter").await;

    assert_eq!(channel.take(&dead).await.text(), "the first letter");
}

warren::stories! {
    on any broker:
        a_rejected_message_says_where_it_died,
        a_nack_without_requeue_is_a_rejection,
        a_requeued_message_is_no_dead_letter,
        a_message_whose_queue_lets_it_expire_is_a_dead_letter,
        a_dead_letter_does_not_expire_again,
        messages_that_expire_keep_their_order,
        the_oldest_of_a_full_queue_is_a_dead_letter,
        a_refused_message_can_be_a_dead_letter,
        a_dead_letter_keeps_its_key_where_no_other_is_named,
        a_dead_letter_goes_to_every_queue_that_wants_it,
        deaths_of_the_same_kind_are_counted,
        the_latest_death_is_told_first,
        a_message_that_only_expires_in_a_circle_is_dropped,
        a_message_that_was_rejected_can_go_in_a_circle,
        dead_letters_for_a_missing_exchange_are_dropped,
        purged_and_deleted_messages_are_no_dead_letters;
}
