//! Messages that the broker takes, and that would end or cut off whoever parses them without care.

use std::time::Duration;

use serde_json::json;
use warren::harness::{Child, System, eventually_equal};

use crate::support::stranger::{self, Letter};
use crate::support::{Amqp, dead_letters, order_count, succeed, system};

const DEAD: &str = "events.dead";

/// Deep enough to overflow the stack of any thread that parses it by recursion.
const DEPTH: usize = 20_000;

async fn neither_headers_without_end_nor_text_that_is_none_harm_anybody() {
    let system = system().start().await;
    let amqp = Amqp::connect(&system.amqp_url).await;
    let pids = pids(&system);
    let (nested, no_text) = (nested(), [&[0x80, 0][..], b"\x02\xff\xfe"].concat());
    let publish = async |exchange, routing_key, properties: &[u8], body: &str| {
        let letter = Letter { exchange, routing_key, properties, body: body.as_bytes() };
        stranger::publish(&system.amqp_url, &letter).await;
    };

    for (number, properties) in [&nested, &no_text].into_iter().enumerate() {
        let order =
            json!({ "id": format!("odd {number}"), "userId": "u1", "items": ["book"], "status": "created" });
        publish("events", "order.created", properties, &order.to_string()).await;
        publish("events", "order.created", properties, "nonsense").await;
        // Whatever ends up there by itself is looked at by the gateway alone.
        publish("", DEAD, properties, "nobody's").await;
    }

    eventually_equal(Duration::from_secs(20), "both are applied", 2, async || {
        order_count(&system, "u1").await
    })
    .await;
    amqp.wait_depth(DEAD, 4).await;
    let admin = system.gateway.internal.base();
    let listed = succeed(dead_letters(&["list"], admin).await);
    assert_eq!(listed.matches("body         nonsense").count(), 2, "{listed}");
    assert_eq!(listed.matches("body         nobody's").count(), 2, "{listed}");
    // Those of the queue come back, since they still make no sense; nobody knows where the others belong.
    assert_eq!(succeed(dead_letters(&["replay", "--yes"], admin).await), "replayed 2, left 2\n");
    amqp.wait_depth(DEAD, 4).await;
    let listed = succeed(dead_letters(&["list"], admin).await);
    for key in listed.lines().filter_map(|line| line.strip_prefix("key").map(str::trim)) {
        succeed(dead_letters(&["discard", "--key", key, "--yes"], admin).await);
    }
    amqp.wait_depth(DEAD, 0).await;

    for child in [&system.users, &system.orders] {
        assert_eq!(child.actors().await["timeline"], json!([]), "{} has lost its link", child.service());
    }
    assert_eq!(pids, self::pids(&system), "a process has ended");
    system.finish().await;
}

/// The flag of headers, and a table of one value: an array within an array and so on.
fn nested() -> Vec<u8> {
    let mut value = vec![b'V'];
    for _ in 0..DEPTH {
        let size = u32::try_from(value.len()).expect("a length").to_be_bytes();
        value = [&b"A"[..], &size, &value].concat();
    }
    let size = u32::try_from(2 + value.len()).expect("a length").to_be_bytes();
    [&[0x20, 0][..], &size, b"\x01k", &value].concat()
}

fn pids(system: &System) -> Vec<u32> {
    system.children().map(Child::pid).collect()
}

warren::stories! {
    on rabbitmq:
        neither_headers_without_end_nor_text_that_is_none_harm_anybody;
}
