//! Services meet in JSON: what one publishes, every consumer reads, and all agree on names.

use std::fs;
use std::path::Path;

use common::consumer::EventHandler;
use common::event::Event;
use orders::consumers::OnUserCreated;
use orders::domain::{CustomerId, Items, Order, OrderId, OrderStatus};
use serde_json::{Value, json};
use users::consumers::{OnOrderCancelled, OnOrderCreated};
use users::domain::{Email, Name, User, UserId};

use crate::support::source::root;

const CREATED_AT: &str = "2026-11-03T10:11:12.345678Z";
const CANCELLED_AT: &str = "2026-11-03T11:00:00Z";

/// An event as it is on the wire.
#[derive(Debug)]
struct Published {
    source: &'static str,
    kind: &'static str,
    aggregate: String,
    body: String,
}

impl Published {
    fn by<E: Event>(source: &'static str, event: &E) -> Self {
        let body = serde_json::to_string(event).expect("an event can be written");
        Self { source, kind: E::TYPE, aggregate: event.aggregate().to_owned(), body }
    }
}

/// Every event that is published. The last test here finds what is missing.
fn published() -> [Published; 3] {
    let user = User {
        id: UserId::given("0192f0c1-0000-7000-8000-000000000001"),
        name: Name::parse("Ada").expect("a sound name"),
        email: Email::parse("ada@example.com").expect("a sound address"),
        created_at: CREATED_AT.parse().expect("a sound time"),
    };
    let order = Order {
        id: OrderId::given("0192f0c1-0000-7000-8000-000000000002"),
        user_id: CustomerId::parse("u1").expect("a sound id"),
        items: Items::parse(&["book".to_owned(), "pen".to_owned()]).expect("sound items"),
        status: OrderStatus::Created,
        created_at: CREATED_AT.parse().expect("a sound time"),
        cancelled_at: None,
    };
    let cancelled =
        order.clone().cancel(CANCELLED_AT.parse().expect("a sound time")).expect("it was not cancelled");
    [
        Published::by(users::SERVICE, &users::events::UserCreated(user)),
        Published::by(orders::SERVICE, &orders::events::OrderCreated(order)),
        Published::by(orders::SERVICE, &orders::events::OrderCancelled(cancelled)),
    ]
}

async fn bodies_are_the_resources_plain_json_to_the_byte() {
    let [user, order, cancelled] = published();

    assert_eq!(
        (user.kind, user.aggregate.as_str()),
        ("user.created", "0192f0c1-0000-7000-8000-000000000001")
    );
    assert_eq!(
        user.body,
        r#"{"id":"0192f0c1-0000-7000-8000-000000000001","name":"Ada","email":"ada@example.com","createdAt":"2026-11-03T10:11:12.345678Z"}"#
    );
    assert_eq!(
        (order.kind, order.aggregate.as_str()),
        ("order.created", "0192f0c1-0000-7000-8000-000000000002")
    );
    assert_eq!(
        order.body,
        r#"{"id":"0192f0c1-0000-7000-8000-000000000002","userId":"u1","items":["book","pen"],"status":"created","createdAt":"2026-11-03T10:11:12.345678Z"}"#
    );
    assert_eq!(cancelled.kind, "order.cancelled");
    assert_eq!(
        cancelled.body,
        r#"{"id":"0192f0c1-0000-7000-8000-000000000002","userId":"u1","items":["book","pen"],"status":"cancelled","createdAt":"2026-11-03T10:11:12.345678Z","cancelledAt":"2026-11-03T11:00:00Z"}"#
    );
}

async fn every_consumer_reads_what_is_published() {
    let created = read_by::<OnUserCreated>(orders::SERVICE, users::SERVICE);
    assert_eq!((created.id.as_str(), created.name.as_str()), ("0192f0c1-0000-7000-8000-000000000001", "Ada"));

    let placed = read_by::<OnOrderCreated>(users::SERVICE, orders::SERVICE);
    assert_eq!((placed.id.as_str(), placed.user_id.as_str()), ("0192f0c1-0000-7000-8000-000000000002", "u1"));
    assert_eq!(placed.created_at, CREATED_AT.parse().ok(), "the users service dates an order as orders does");

    let cancelled = read_by::<OnOrderCancelled>(users::SERVICE, orders::SERVICE);
    assert_eq!(
        (cancelled.id.as_str(), cancelled.user_id.as_str()),
        ("0192f0c1-0000-7000-8000-000000000002", "u1")
    );
}

async fn a_consumer_does_not_mind_what_it_does_not_know() {
    for event in published() {
        let mut body: Value = serde_json::from_str(&event.body).expect("JSON");
        body["somethingNew"] = json!({ "since": "version 2" });

        let read = match event.kind {
            "user.created" => serde_json::from_value::<<OnUserCreated as EventHandler>::Event>(body).is_ok(),
            "order.created" => {
                serde_json::from_value::<<OnOrderCreated as EventHandler>::Event>(body).is_ok()
            }
            _ => serde_json::from_value::<<OnOrderCancelled as EventHandler>::Event>(body).is_ok(),
        };
        assert!(read, "{event:?}");
    }
}

async fn no_event_and_no_consumer_is_left_out_here() {
    for (marker, expected) in [
        ("impl Event for ", vec!["orders OrderCancelled", "orders OrderCreated", "users UserCreated"]),
        (
            "impl EventHandler for ",
            vec!["orders OnUserCreated", "users OnOrderCancelled", "users OnOrderCreated"],
        ),
    ] {
        let mut found = Vec::new();
        for service in ["users", "orders"] {
            find(&root().join(service).join("src"), marker, &mut |name| {
                found.push(format!("{service} {name}"))
            });
        }
        found.sort();
        assert_eq!(found, expected, "{marker}: what is new needs its place in this contract");
    }
}

/// Checks that the consumer's queue and key fit an event of `source`, and reads that event as the consumer does.
fn read_by<H: EventHandler>(service: &str, source: &str) -> H::Event {
    let events = published();
    let event = events.iter().find(|event| event.kind == H::TYPE);
    let event = event.unwrap_or_else(|| panic!("nobody publishes {}, which {} waits for", H::TYPE, H::QUEUE));
    assert_eq!(event.source, source, "{}", H::QUEUE);
    assert_eq!(H::ROUTING_KEYS, [event.kind], "{}", H::QUEUE);
    assert_eq!(H::QUEUE, format!("{service}.{}", H::TYPE.replace('.', "-")));

    serde_json::from_str(&event.body)
        .unwrap_or_else(|error| panic!("{} cannot read {event:?}: {error}", H::QUEUE))
}

/// Tells what follows `marker` in the sources below `folder`.
fn find(folder: &Path, marker: &str, tell: &mut impl FnMut(&str)) {
    for entry in fs::read_dir(folder).expect("the source tree").flatten() {
        if entry.path().is_dir() {
            find(&entry.path(), marker, tell);
        } else {
            let source = fs::read_to_string(entry.path()).expect("a source file");
            for line in source.lines().filter_map(|line| line.trim().strip_prefix(marker)) {
                tell(line.trim_end_matches([' ', '{']));
            }
        }
    }
}

warren::stories! {
    without a broker:
        bodies_are_the_resources_plain_json_to_the_byte,
        every_consumer_reads_what_is_published,
        a_consumer_does_not_mind_what_it_does_not_know,
        no_event_and_no_consumer_is_left_out_here;
}
