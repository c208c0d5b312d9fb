//! Whoever may publish may leave dead letters of any size; replaying them costs the public gateway a bounded part of its
//! memory.

use std::time::Duration;

use serde_json::json;
use warren::note;

use crate::support::{Amqp, Message, system};

const DEAD: &str = "events.dead";

/// Where the letters go back to: nobody takes them from there.
const QUEUE: &str = "archive";

const LETTERS: usize = 16;
const BODY: usize = 4 << 20;

/// All at once, and once more as frames, would be 128 MiB above the 35 that the gateway has anyway; a batch is a quarter of
/// that.
const MOST_KIB: u64 = 110 << 10;

async fn replaying_letters_of_many_megabytes_takes_the_memory_of_a_few() {
    let system = system().start().await;
    let amqp = Amqp::connect(&system.amqp_url).await;
    amqp.declare(QUEUE, "events", &[]).await;
    for number in 0..LETTERS {
        let letter = Message::raw("order.created", vec![b'x'; BODY]).to(DEAD).id(&format!("large {number}"));
        amqp.publish(&letter.with_header("x-queue", QUEUE)).await;
    }
    amqp.wait_depth(DEAD, LETTERS as u32).await;
    let before = system.gateway.peak_resident_kib();

    let replay = system.gateway.internal.post("/dead-letters/replay").json(&json!({ "confirm": true }));
    let replayed = replay.deadline(Duration::from_secs(120)).await.expect(200).json();

    assert_eq!(replayed, json!({ "replayed": LETTERS, "left": 0 }));
    amqp.wait_depth(QUEUE, LETTERS as u32).await;
    let most = system.gateway.peak_resident_kib();
    note!("{LETTERS} letters of {BODY} bytes: the gateway went from {before} to {most} KiB");
    assert!(most < MOST_KIB, "{most} KiB");
    system.finish().await;
}

warren::stories! {
    on rabbitmq:
        replaying_letters_of_many_megabytes_takes_the_memory_of_a_few;
}
