use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    engine::Engine,
    inbox::INBOX,
    writer::{Committed, Writer},
    *,
};
use crate::{
    event::{Envelope, Event, EventId},
    supervision::{Spec, Supervisor},
    telemetry::{metrics::Registry, trace::Origin},
    test_folder::TestFolder,
    timeline::Timeline,
};

fn config(folder: &TestFolder) -> StoreConfig {
    StoreConfig {
        kind: StoreKind::Redb,
        folder: folder.path().to_owned(),
        reserve_bytes: 0,
        outbox_limit: 3,
        cache_bytes: 1 << 20,
        inbox_retention: Duration::from_secs(60),
        idempotency_retention: Duration::from_secs(60),
    }
}

fn open(config: &StoreConfig) -> (Engine, Writer) {
    let engine = Engine::open(config, "test").expect("the store opens");
    let writer = Writer::start(config, engine.clone(), Shortage::default(), |_| (), |_| ())
        .expect("the writer starts");
    (engine, writer)
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Thing {
    id: String,
}

impl Event for Thing {
    const TYPE: &'static str = "thing.made";

    fn aggregate(&self) -> &str {
        &self.id
    }
}

const THINGS: Table<Thing> = Table::new("things");

fn thing(id: &str) -> Thing {
    Thing { id: id.to_owned() }
}

/// Keeps a thing and publishes it; refuses a second one of the same id.
#[derive(Clone)]
struct Make(&'static str);

#[derive(Debug, PartialEq)]
struct Taken;

impl Command for Make {
    type Outcome = Result<Thing, Taken>;

    const IMPORTANCE: Importance = Importance::Request;

    fn execute(self, transaction: &mut Transaction<'_>) -> Result<Self::Outcome, StoreError> {
        if transaction.get(THINGS, self.0)?.is_some() {
            return Ok(Err(Taken));
        }
        let made = thing(self.0);
        transaction.put(THINGS, self.0, &made)?;
        let event = Envelope::wrap(&made, "test", transaction.now(), Origin::fresh())
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        transaction.publish(event)?;
        Ok(Ok(made))
    }
}

/// Writes, and then cannot go on.
struct WriteAndFail;

impl Command for WriteAndFail {
    type Outcome = ();

    const IMPORTANCE: Importance = Importance::Request;

    fn execute(self, transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
        transaction.put(THINGS, "half", &thing("half"))?;
        Err(StoreError::Corrupt("on purpose".to_owned()))
    }
}

struct SeeTwice;

impl Command for SeeTwice {
    type Outcome = [bool; 3];

    const IMPORTANCE: Importance = Importance::Effect;

    fn execute(self, transaction: &mut Transaction<'_>) -> Result<[bool; 3], StoreError> {
        let event = EventId::given("e1");
        let minute = Duration::from_secs(60);
        Ok([
            transaction.first_sight("one", &event, minute)?,
            transaction.first_sight("one", &event, minute)?,
            transaction.first_sight("two", &event, minute)?,
        ])
    }
}

fn supervised(config: StoreConfig) -> (Supervisor, RepositoryHandle) {
    let supervisor = Supervisor::new("test", Timeline::open("test", None), &mut Registry::default());
    let metrics = StoreMetrics::register("test", &mut Registry::default());
    let handle = supervisor.supervise_here(Spec::new("repository"), move |life| {
        Ok(Repository::open("test", &config, metrics.clone(), Shortage::default(), drop, life)?)
    });
    (supervisor, RepositoryHandle::new(handle, Duration::from_secs(5)))
}

fn get(engine: &Engine, id: &str) -> Option<Thing> {
    engine.snapshot().and_then(|snapshot| snapshot.get(THINGS, id)).expect("the store reads")
}

fn pending(engine: &Engine) -> Vec<String> {
    let query = PendingEvents { after: 0, limit: 10 };
    let page = engine.snapshot().and_then(|snapshot| query.answer(&snapshot)).expect("the store reads");
    page.rows.into_iter().map(|row| row.envelope.aggregate).collect()
}

#[actix::test]
async fn what_was_answered_is_there_after_the_store_is_opened_again() {
    let folder = TestFolder::new();
    let config = config(&folder);
    let (engine, writer) = open(&config);

    let made = writer.submit(Make("a")).await;
    drop((writer, engine));

    assert_eq!(made, Ok(Ok(thing("a"))));
    let (engine, _writer) = open(&config);
    assert_eq!(get(&engine, "a"), Some(thing("a")));
    assert_eq!(pending(&engine), ["a"]);
    assert_eq!(engine.pending(), 1);
}

#[actix::test]
async fn a_panic_closes_the_file_so_that_it_needs_no_repair() {
    let folder = TestFolder::new();
    let (engine, writer) = open(&config(&folder));
    writer.submit(Make("a")).await.expect("the store writes").expect("the id is free");

    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        // The engine is dropped before the writer, as the repository drops them.
        let (_writer, _engine) = (writer, engine);
        panic!("on purpose");
    }));

    assert!(panicked.is_err());
    let repaired = Arc::new(AtomicBool::new(false));
    let noted = repaired.clone();
    let mut builder = redb::Database::builder();
    builder.set_repair_callback(move |_| noted.store(true, Ordering::Relaxed));
    builder.open(folder.path().join("test.redb")).expect("the file opens");
    assert!(!repaired.load(Ordering::Relaxed), "the whole file was read");
}

#[actix::test]
async fn a_second_process_cannot_open_the_file() {
    let folder = TestFolder::new();
    let (_engine, _writer) = open(&config(&folder));

    assert!(matches!(Engine::open(&config(&folder), "test"), Err(StoreError::Io(_))));
}

#[actix::test]
async fn a_refusal_changes_nothing() {
    let folder = TestFolder::new();
    let (engine, writer) = open(&config(&folder));
    writer.submit(Make("a")).await.expect("the store writes").expect("the first is not refused");

    assert_eq!(writer.submit(Make("a")).await, Ok(Err(Taken)));

    assert_eq!(pending(&engine), ["a"]);
}

#[actix::test]
async fn a_command_that_fails_half_way_leaves_nothing_behind() {
    let folder = TestFolder::new();
    let (engine, writer) = open(&config(&folder));

    let outcome = writer.submit(WriteAndFail).await;

    assert_eq!(outcome, Err(StoreError::Corrupt("on purpose".to_owned())));
    assert_eq!(get(&engine, "half"), None);
}

#[actix::test]
async fn commands_that_arrive_together_share_a_commit() {
    let folder = TestFolder::new();
    let config = StoreConfig { outbox_limit: 1000, ..config(&folder) };
    let engine = Engine::open(&config, "test").expect("the store opens");
    let (count, counted) = std::sync::mpsc::channel();
    let committed = move |commit: Committed| count.send(commit.commands).expect("the test listens");
    let writer =
        Writer::start(&config, engine, Shortage::default(), committed, |_| ()).expect("the writer starts");
    let ids: Vec<&'static str> = (0..100).map(|n| &*Box::leak(format!("t{n}").into_boxed_str())).collect();

    let submitted: Vec<_> = ids.into_iter().map(|id| writer.submit(Make(id))).collect();
    for outcome in futures_util::future::join_all(submitted).await {
        assert!(matches!(outcome, Ok(Ok(_))));
    }
    drop(writer);

    let commits: Vec<usize> = counted.iter().collect();
    assert_eq!(commits.iter().sum::<usize>(), 100);
    assert!(commits.len() < 50, "{} commits for 100 commands", commits.len());
}

#[actix::test]
async fn requests_are_refused_while_too_many_events_wait_and_upkeep_goes_on() {
    let folder = TestFolder::new();
    let (engine, writer) = open(&config(&folder));
    for id in ["a", "b", "c"] {
        writer.submit(Make(id)).await.expect("the store writes").expect("the id is free");
    }

    assert_eq!(writer.submit(Make("d")).await, Err(StoreError::OutboxFull));
    writer.submit(MarkSent { numbers: vec![1, 2] }).await.expect("upkeep goes on");

    assert_eq!(pending(&engine), ["c"]);
    assert_eq!(writer.submit(Make("d")).await, Ok(Ok(thing("d"))));
}

#[test]
fn the_oldest_waiting_event_is_known_whatever_goes_and_after_a_start() {
    let folder = TestFolder::new();
    let at = |second| Timestamp::from_second(second).expect("a time");
    let engine = Engine::open(&config(&folder), "test").expect("the store opens");
    let commit = |engine: &Engine, second, numbers: &[u64], made: &[&'static str]| {
        let work = |transaction: &mut Transaction<'_>| {
            MarkSent { numbers: numbers.to_vec() }.execute(transaction)?;
            made.iter().try_for_each(|id| Make(id).execute(transaction).map(drop))
        };
        engine.transact(at(second), work).expect("the store writes");
        engine.oldest_event()
    };

    assert_eq!(engine.oldest_event(), None);
    assert_eq!(commit(&engine, 10, &[], &["a", "b"]), Some(at(10)));
    assert_eq!(commit(&engine, 20, &[], &["c"]), Some(at(10)), "the oldest is still there");
    assert_eq!(commit(&engine, 30, &[2], &[]), Some(at(10)), "a younger one went first");
    drop(engine);

    let engine = Engine::open(&config(&folder), "test").expect("the store opens");
    assert_eq!(engine.oldest_event(), Some(at(10)), "it was there before");
    assert_eq!(commit(&engine, 40, &[1], &["d"]), Some(at(20)));
    assert_eq!(commit(&engine, 50, &[3, 4], &[]), None);
    assert_eq!(commit(&engine, 60, &[], &["e"]), Some(at(60)));
    assert_eq!(commit(&engine, 70, &[5], &["f"]), Some(at(70)), "one goes and one comes");
}

#[actix::test]
async fn requests_are_refused_while_the_disk_is_nearly_full_and_reads_and_upkeep_go_on() {
    let folder = TestFolder::new();
    let (engine, writer) = open(&StoreConfig { reserve_bytes: u64::MAX, ..config(&folder) });

    assert_eq!(writer.submit(Make("a")).await, Err(StoreError::DiskFull));
    assert_eq!(writer.submit(SeeTwice).await, Err(StoreError::DiskFull));

    assert_eq!(writer.submit(MarkSent { numbers: vec![1] }).await, Ok(()));
    assert_eq!(get(&engine, "a"), None);
}

#[actix::test]
async fn numbers_in_the_outbox_are_never_used_twice() {
    let folder = TestFolder::new();
    let config = config(&folder);
    let (engine, writer) = open(&config);
    let _ = writer.submit(Make("a")).await;
    writer.submit(MarkSent { numbers: vec![1] }).await.expect("the row is removed");
    drop((engine, writer));

    let (engine, writer) = open(&config);
    let _ = writer.submit(Make("b")).await;

    let page = engine.snapshot().and_then(|s| s.outbox_after(0, 10)).expect("the store reads");
    assert_eq!(page.rows.iter().map(|row| row.number).collect::<Vec<_>>(), [2]);
}

#[actix::test]
async fn a_row_that_cannot_be_read_is_named_and_hides_none_behind_it() {
    let folder = TestFolder::new();
    let (engine, writer) = open(&config(&folder));
    for id in ["a", "b", "c"] {
        writer.submit(Make(id)).await.expect("the store writes").expect("the id is free");
    }
    engine.transact(Timestamp::now(), |tx| tx.damage_event(2)).expect("the store writes");

    let page = |after, limit| {
        let page = engine.snapshot().and_then(|snapshot| PendingEvents { after, limit }.answer(&snapshot));
        let OutboxPage { rows, unreadable } = page.expect("the store reads");
        let unreadable: Vec<_> = unreadable.into_iter().map(|row| row.number).collect();
        (rows.into_iter().map(|row| row.number).collect::<Vec<_>>(), unreadable)
    };

    assert_eq!(page(0, 10), (vec![1, 3], vec![2]));
    assert_eq!(page(0, 2), (vec![1], vec![2]), "the limit counts every row");
    assert_eq!(page(2, 10), (vec![3], vec![]));
    writer.submit(MarkSent { numbers: vec![1] }).await.expect("the row is removed");
    assert!(engine.oldest_event().is_some(), "another one waits behind it");
    writer.submit(MarkSent { numbers: vec![3] }).await.expect("the row is removed");
    assert_eq!(page(0, 10), (vec![], vec![2]), "it stays");
    assert_eq!((engine.pending(), engine.oldest_event()), (1, None), "and waits for no broker");
}

#[actix::test]
async fn an_event_is_new_once_to_each_consumer() {
    let folder = TestFolder::new();
    let (_engine, writer) = open(&config(&folder));

    assert_eq!(writer.submit(SeeTwice).await, Ok([true, false, true]));
    assert_eq!(writer.submit(SeeTwice).await, Ok([false, false, false]));
}

#[actix::test]
async fn expired_records_are_swept_and_living_ones_stay() {
    let folder = TestFolder::new();
    let (engine, _writer) = open(&config(&folder));
    let start = Timestamp::UNIX_EPOCH;
    let see = |event: &'static str, seconds: i64| {
        let at = start + Duration::from_secs(seconds.unsigned_abs());
        engine
            .transact(at, |tx| {
                tx.first_sight("one", &EventId::given(event), Duration::from_secs(60)).map(drop)
            })
            .expect("the store writes")
    };
    see("old", 0);
    see("young", 50);

    let mut swept = 0;
    let mut still_known = [true; 2];
    engine
        .transact(start + Duration::from_secs(61), |tx| {
            swept = INBOX.sweep(tx, 10)?;
            still_known = ["one/old", "one/young"]
                .map(|key| tx.get_bytes(INBOX.entries, key).expect("the store reads").is_some());
            Ok(())
        })
        .expect("the store writes");

    assert_eq!((swept, still_known), (1, [false, true]));
}

#[actix::test]
async fn however_many_records_have_expired_a_repository_removes_them_soon() {
    let folder = TestFolder::new();
    let config = config(&folder);
    let engine = Engine::open(&config, "test").expect("the store opens");
    engine
        .transact(Timestamp::UNIX_EPOCH, |tx| {
            for number in 0..2500 {
                tx.first_sight("one", &EventId::given(number.to_string()), Duration::from_secs(60))?;
            }
            Ok(())
        })
        .expect("the store writes");
    drop(engine);

    let (supervisor, repository) = supervised(config);
    let emptied = async {
        while repository.read(CountInbox).await != Ok(0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), emptied).await.expect("the inbox is empty soon");
    supervisor.stop().await;
}

#[actix::test]
async fn a_failure_to_read_ends_the_generation_as_one_to_write_does() {
    let folder = TestFolder::new();
    let config = StoreConfig { cache_bytes: 0, ..config(&folder) };
    let engine = Engine::open(&config, "test").expect("the store opens");
    engine
        .transact(Timestamp::now(), |tx| {
            (0..5000).try_for_each(|number| tx.put(THINGS, &format!("{number:04}"), &thing("some")))
        })
        .expect("the store writes");
    drop(engine);
    let (supervisor, repository) = supervised(config);
    while repository.read(CountInbox).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let file = std::fs::File::options().write(true).open(folder.path().join("test.redb"));
    file.and_then(|file| file.set_len(4096)).expect("the file is cut off");
    let read = repository.read(AllThings).await;

    assert!(matches!(read, Err(RepositoryError::Store(StoreError::Io(_)))), "{read:?}");
    let restarted = async {
        while supervisor.timeline().last() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), restarted).await.expect("the generation ends");
    supervisor.stop().await;
}

struct AllThings;

impl Query for AllThings {
    type Answer = usize;

    fn answer(self, snapshot: &Snapshot) -> Result<usize, StoreError> {
        Ok(snapshot.page(THINGS, "", None, 10_000)?.items.len())
    }
}

struct CountInbox;

impl Query for CountInbox {
    type Answer = usize;

    fn answer(self, snapshot: &Snapshot) -> Result<usize, StoreError> {
        Ok(snapshot.page_bytes(INBOX.entries, "", None, 10_000)?.items.len())
    }
}

fn once(key: &str, fingerprint: &str, id: &'static str) -> IdempotentWrite<Make> {
    IdempotentWrite {
        key: Some((IdempotencyKey(key.to_owned()), Fingerprint(fingerprint.to_owned()))),
        retention: Duration::from_secs(60),
        command: Make(id),
    }
}

#[actix::test]
async fn a_keyed_command_is_carried_out_once_and_its_outcome_replayed() {
    let folder = TestFolder::new();
    let (engine, writer) = open(&config(&folder));

    let first = writer.submit(once("k", "same", "a")).await;
    let again = writer.submit(once("k", "same", "a")).await;
    let other = writer.submit(once("k", "other", "b")).await;

    assert_eq!(first, Ok(Once::Done(thing("a"))));
    assert_eq!(again, Ok(Once::Replayed(thing("a"))));
    assert_eq!(other, Ok(Once::OtherRequest));
    assert_eq!(pending(&engine), ["a"]);
    let query = Recall::<Thing>::new(IdempotencyKey("k".to_owned()), Fingerprint("same".to_owned()));
    let recalled = engine.snapshot().and_then(|snapshot| query.answer(&snapshot));
    assert_eq!(recalled, Ok(Recalled::Same(thing("a"))));
}

#[actix::test]
async fn a_refused_keyed_command_is_carried_out_afresh_the_next_time() {
    let folder = TestFolder::new();
    let (_engine, writer) = open(&config(&folder));
    let _ = writer.submit(Make("a")).await;

    assert_eq!(writer.submit(once("k", "same", "a")).await, Ok(Once::Refused(Taken)));
    assert_eq!(writer.submit(once("k", "other", "b")).await, Ok(Once::Done(thing("b"))));
}

#[actix::test]
async fn a_page_holds_the_entries_under_its_prefix_in_the_order_of_their_keys() {
    let folder = TestFolder::new();
    let (engine, _writer) = open(&config(&folder));
    engine
        .transact(Timestamp::now(), |tx| {
            for key in ["b/2", "a/1", "b/1", "b/3", "c/1"] {
                tx.put(THINGS, key, &thing(key))?;
            }
            Ok(())
        })
        .expect("the store writes");
    let snapshot = engine.snapshot().expect("the store reads");
    let keys = |after, limit| {
        let page = snapshot.page(THINGS, "b/", after, limit).expect("the store reads");
        (page.items.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), page.more)
    };

    assert_eq!(keys(None, 2), (vec!["1".to_owned(), "2".to_owned()], true));
    assert_eq!(keys(Some("2"), 2), (vec!["3".to_owned()], false));
    assert_eq!(keys(Some("3"), 2), (vec![], false));
    // A table that nothing was put into reads as empty.
    const NOTHING: Table<Thing> = Table::new("nothing");
    assert_eq!(snapshot.page(NOTHING, "", None, 5).map(|page| page.items), Ok(vec![]));
}
