//! A broker that is killed again and again under load, with everything that must hold afterwards.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::sleep;

use crate::support::{Answer, Channel, Closed, Confirm, Connection, Message, Own, Queue};

/// How often it is killed.
const ROUNDS: usize = 20;

/// A publisher and a number of its message.
type Name = (usize, u64);

/// What one queue's clients know.
#[derive(Default)]
struct Known {
    /// Acknowledged, and the broker has answered something that it answers only when all before is on disk.
    acknowledged: BTreeSet<Name>,
    /// The same for what was rejected, which is a dead letter then.
    rejected: BTreeSet<Name>,
    /// Acknowledged or rejected, without that answer: it may come again.
    perhaps: BTreeSet<Name>,
}

async fn nothing_that_was_confirmed_is_lost_or_doubled_however_often_the_broker_is_killed() {
    let seed = fastrand::u64(..);
    warren::note!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let own = Own::new().await;
    let channel = own.channel("declares").await;
    for (queue, dead) in [("classic", "dead classic"), ("quorum", "dead quorum")] {
        let kind = |queue: Queue| if dead == "dead quorum" { queue.quorum() } else { queue };
        channel.declare(&kind(Queue::named(dead))).await.done();
        channel.declare(&kind(Queue::named(queue).dead_letters_to(dead))).await.done();
        channel.bind(queue, "amq.fanout", "").await.done();
    }

    let confirmed = RefCell::new(BTreeSet::new());
    let next = [RefCell::new(0), RefCell::new(0)];
    let (mut classic, mut quorum) = (Known::default(), Known::default());
    for _ in 0..ROUNDS {
        let moment = Duration::from_millis(random.u64(20..150));
        let killed = async {
            sleep(moment).await;
            own.node().kill9();
        };
        // Each ends with its connection.
        let _ = tokio::join!(
            publish(&own, 0, &next[0], &confirmed),
            publish(&own, 1, &next[1], &confirmed),
            consume(&own, "classic", &mut classic),
            consume(&own, "quorum", &mut quorum),
            killed,
        );
        own.start().await;
    }

    let confirmed = confirmed.into_inner();
    assert!(confirmed.len() > ROUNDS, "only {} messages were confirmed", confirmed.len());
    for (queue, known) in [("classic", classic), ("quorum", quorum)] {
        check(&own, queue, &known, &confirmed).await;
    }
}

/// Publishes until the connection ends. What was not confirmed is not published again, so that nothing may be there twice.
async fn publish(
    own: &Own,
    publisher: usize,
    next: &RefCell<u64>,
    confirmed: &RefCell<BTreeSet<Name>>,
) -> Option<()> {
    let channel = Connection::open(&own.login("publisher")).await.ok()?.channel(1).await.ok()?;
    channel.confirm_select().await.ok()?;
    let first = *next.borrow();
    let mut open: BTreeSet<u64> = BTreeSet::new();
    loop {
        while open.len() < 20 {
            let number = next.replace_with(|next| *next + 1);
            channel.publish("amq.fanout", "", message(publisher, number)).await;
            open.insert(number);
        }
        let Confirm::Ack { tag, multiple } = channel.confirm().await.ok()? else {
            panic!("no queue refuses anything")
        };
        let last = first + tag - 1;
        let now: Vec<u64> = open.range(..=last).copied().filter(|it| multiple || *it == last).collect();
        for number in now {
            open.remove(&number);
            confirmed.borrow_mut().insert((publisher, number));
        }
    }
}

fn message(publisher: usize, number: u64) -> Message {
    Message::new(format!("{publisher} {number}")).persistent()
}

fn name(text: &str) -> Name {
    let (publisher, number) = text.split_once(' ').expect("it has two parts");
    (publisher.parse().expect("it is a number"), number.parse().expect("it is a number"))
}

/// Consumes until the connection ends: one in three is rejected.
async fn consume(own: &Own, queue: &str, known: &mut Known) -> Result<(), Closed> {
    let channel = Connection::open(&own.login("consumer")).await?.channel(1).await?;
    channel.qos(30).await?;
    channel.consume(queue).await?;
    loop {
        let (mut acknowledged, mut rejected) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            let delivery = channel.delivery().await?;
            let name = name(&delivery.text());
            let is_settled = known.acknowledged.contains(&name) || known.rejected.contains(&name);
            assert!(!is_settled, "{name:?} came again from {queue} although it was settled on disk");
            let was_tried = known.perhaps.insert(name);
            assert!(was_tried || delivery.redelivered, "{name:?} came again and does not say so");
            if name.1.is_multiple_of(3) {
                channel.reject(delivery.tag, false).await;
                rejected.push(name);
            } else {
                channel.ack(delivery.tag).await;
                acknowledged.push(name);
            }
        }
        channel.declare(&Queue::named("marker")).await?;
        known.acknowledged.extend(acknowledged);
        known.rejected.extend(rejected);
    }
}

async fn check(own: &Own, queue: &str, known: &Known, confirmed: &BTreeSet<Name>) {
    let waiting = drain(&own.channel("checks").await, queue).await;
    let dead = drain(&own.channel("checks").await, &format!("dead {queue}")).await;
    let mut count: BTreeMap<Name, usize> = BTreeMap::new();
    for name in waiting.iter().chain(&dead) {
        *count.entry(*name).or_default() += 1;
    }

    for (name, count) in &count {
        assert_eq!(*count, 1, "{name:?} is in {queue} and its dead letters {count} times");
        assert!(!known.acknowledged.contains(name), "{name:?} was acknowledged and is there");
    }
    for name in confirmed {
        let was_taken = known.perhaps.contains(name) && !name.1.is_multiple_of(3);
        assert!(count.contains_key(name) || was_taken, "{name:?} was confirmed and is lost in {queue}");
    }
    for name in &known.rejected {
        assert!(dead.contains(name), "{name:?} was rejected and is no dead letter of {queue}");
    }
    for publisher in [0, 1] {
        let numbers: Vec<u64> =
            waiting.iter().filter(|name| name.0 == publisher).map(|name| name.1).collect();
        assert!(numbers.is_sorted(), "{queue} has changed the order of publisher {publisher}: {numbers:?}");
    }
    warren::note!("{queue}: {} wait, {} are dead, {} confirmed", waiting.len(), dead.len(), confirmed.len());
}

async fn drain(channel: &Channel, queue: &str) -> Vec<Name> {
    let mut all = Vec::new();
    while let Some(message) = channel.get(queue).await.done() {
        all.push(name(&message.text()));
    }
    all
}

async fn what_may_have_been_delivered_says_so_after_a_kill_and_what_was_not_after_an_orderly_end_does_not() {
    let own = Own::new().await;
    let channel = own.channel("one").await;
    channel.declare(&Queue::named("q")).await.done();
    for body in ["0 1", "0 2"] {
        assert!(channel.put("q", Message::new(body).persistent()).await);
    }

    own.node().shut_down().await;
    own.start().await;
    assert!(!own.channel("one").await.get("q").await.done().expect("it is there").redelivered);
    own.node().shut_down().await;
    own.start().await;
    assert_eq!(flags(&own.channel("one").await).await, [true, false]);

    own.node().kill9();
    own.start().await;
    assert_eq!(flags(&own.channel("one").await).await, [true, true]);
}

async fn flags(channel: &Channel) -> Vec<bool> {
    let mut flags = Vec::new();
    while let Some(message) = channel.get("q").await.done() {
        flags.push(message.redelivered);
    }
    flags
}

warren::stories! {
    on the embedded broker:
        nothing_that_was_confirmed_is_lost_or_doubled_however_often_the_broker_is_killed,
        what_may_have_been_delivered_says_so_after_a_kill_and_what_was_not_after_an_orderly_end_does_not;
}
