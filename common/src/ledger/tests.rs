use std::{fs, time::Duration};

use bytes::Bytes;

use super::*;
use crate::telemetry::trace::Origin;
use crate::test_folder::TestFolder;

const CONFIG: LedgerConfig = LedgerConfig { bytes: 64 << 20 };

const SECOND: Duration = Duration::from_secs(1);

fn envelope(id: &str, about: &[&str]) -> Envelope {
    let origin = Origin { accepted_at: Some(Timestamp::now()), ..Origin::fresh() };
    Envelope {
        id: EventId::given(id),
        event_type: "thing.made".to_owned(),
        aggregate: "t1".to_owned(),
        about: about.iter().map(|id| (*id).to_owned()).collect(),
        source: "shop".to_owned(),
        time: Timestamp::now(),
        origin,
        body: serde_json::value::to_raw_value(&serde_json::json!({})).expect("sound JSON"),
    }
}

fn delivery(id: &str) -> Delivery {
    Delivery {
        id: EventId::given(id),
        event_type: "thing.made".to_owned(),
        source: None,
        origin: Origin::fresh(),
        time: None,
        body: Bytes::new(),
        attempt: 2,
        redelivered: true,
        queue: "things",
    }
}

async fn find(ledger: &Ledger, about: &str) -> Vec<LedgerEvent> {
    ledger.flush(10 * SECOND);
    ledger
        .find(Wanted { about: vec![about.to_owned()], limit: 50, ..Wanted::default() })
        .await
        .expect("the ledger can be read")
}

fn steps(event: &LedgerEvent) -> Vec<StepKind> {
    event.steps.iter().map(|step| step.step).collect()
}

#[tokio::test]
async fn an_event_is_followed_from_its_request_to_its_effect_by_any_of_its_ids() {
    use StepKind::{Accepted, Acked, Applied, Committed, Confirmed, Delivered, Published};
    let folder = TestFolder::new();
    for place in [Some(folder.path()), None] {
        let ledger = Ledger::open("shop", place, CONFIG, 0);
        let event = envelope("e1", &["t1", "c1"]);
        let Origin { request_id, traceparent, .. } = event.origin.clone();

        ledger.committed(vec![event, envelope("e2", &["t2", "c1"])], 1);
        ledger.published(&[EventId::given("e1")], 3);
        ledger.settled(vec![EventId::given("e1")], &[PublishOutcome::Confirmed], 3);
        ledger.delivered(&delivery("e1"), 3);
        ledger.handled(&delivery("e1"), Applied, None, 1);
        ledger.answered(&delivery("e1"), "done", 3);

        for about in ["e1", "t1", request_id.as_str(), &traceparent.trace_id()] {
            let found = find(&ledger, about).await;
            let [event] = found.as_slice() else { panic!("{about} is one event: {found:?}") };
            assert_eq!(steps(event), [Accepted, Committed, Published, Confirmed, Delivered, Applied, Acked]);
            assert_eq!(event.event_type.as_deref(), Some("thing.made"));
            let delivered = &event.steps[4];
            assert_eq!(
                (delivered.attempt, delivered.redelivered, delivered.generation),
                (Some(2), Some(true), Some(3))
            );
        }
        let both: Vec<_> = find(&ledger, "c1").await.into_iter().map(|event| event.id.to_string()).collect();
        assert_eq!(both, ["e2", "e1"], "newest first");
        for word in ["things", "step", "committed", "broker"] {
            assert_eq!(find(&ledger, word).await, [], "{word} is no id");
        }
    }
}

#[tokio::test]
async fn a_commit_that_is_found_again_in_the_outbox_is_told_once() {
    let ledger = Ledger::open("shop", None, CONFIG, 0);
    let event = envelope("e1", &["t1"]);

    ledger.committed(vec![event.clone()], 1);
    ledger.found(vec![event]);

    assert_eq!(steps(&find(&ledger, "e1").await[0]), [StepKind::Accepted, StepKind::Committed]);
}

#[tokio::test]
async fn ids_that_would_break_a_line_are_found_all_the_same() {
    let ledger = Ledger::open("shop", None, CONFIG, 0);
    let hostile = "a\"b\\c\nd{\"event\":\"e2\"}\u{1F408}";

    ledger.committed(vec![envelope(hostile, &["t1"]), envelope("e2", &["\\"])], 1);
    ledger.delivered(&delivery(hostile), 1);

    let wanted = Wanted { events: vec![hostile.to_owned(), "nobody".to_owned()], ..Wanted::default() };
    let by_about = find(&ledger, hostile).await;
    assert_eq!(ledger.find(wanted).await.expect("the ledger can be read"), by_about);
    for about in [hostile, "t1"] {
        let found = find(&ledger, about).await;
        assert_eq!(found.len(), 1, "{about}");
        assert_eq!(found[0].id.as_str(), hostile);
        assert_eq!(found[0].steps.len(), 3);
    }
    assert_eq!(find(&ledger, "\\").await[0].id.as_str(), "e2");
}

#[tokio::test]
async fn the_last_hundred_thousand_events_are_there_within_the_bound() {
    // An eighth of the events in an eighth of the room.
    let folder = TestFolder::new();
    let bytes = 128 << 17;
    let ledger = Ledger::open("shop", Some(folder.path()), LedgerConfig { bytes }, 0);
    let id = |number: u32| format!("01234567-89ab-7cde-8f01-{number:012}");

    for first in (0..18_700).step_by(100) {
        let ids: Vec<String> = (first..first + 100).map(id).collect();
        let events: Vec<EventId> = ids.iter().map(EventId::given).collect();
        ledger.committed(ids.iter().map(|id| envelope(id, &[&format!("o{id}"), "c1"])).collect(), 1);
        ledger.published(&events, 1);
        ledger.settled(events, &[const { PublishOutcome::Confirmed }; 100], 1);
        // What is missing later is missing for want of room, not of time.
        ledger.flush(60 * SECOND);
    }

    let oldest = find(&ledger, &format!("o{}", id(18_700 - 12_500))).await;
    assert_eq!(steps(&oldest[0]).len(), 4, "{oldest:?}");
    assert_eq!(find(&ledger, "c1").await.len(), 50, "the newest of very many");
    let on_disk: u64 = fs::read_dir(folder.path().join("shop.ledger"))
        .expect("the folder is there")
        .map(|file| file.and_then(|file| file.metadata()).map_or(0, |metadata| metadata.len()))
        .sum();
    assert!(on_disk <= bytes + bytes / 32, "{on_disk} bytes");
}
