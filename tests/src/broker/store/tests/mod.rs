mod disk;
mod model;

use std::error::Error;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use proptest::prelude::*;
use redb::Builder;

use self::disk::Disk;
use self::model::{Model, batches, message};
use super::plan::Plan;
use super::*;
use crate::harness::Folder;

fn insert(queue: QueueId, position: Position) -> Change {
    Change::Insert { queue, position, expires_at_ms: None, message: message(200) }
}

fn remove(queue: QueueId, position: Position) -> Change {
    Change::Remove { queue, position }
}

fn open(folder: &Folder) -> (Store, Recovered) {
    Store::open(folder.path()).expect("the store opens")
}

fn start(disk: &Disk, repaired_by_reading: u64) -> (Store, Recovered) {
    let database = Builder::new().create_with_backend(disk.clone()).expect("the disk works");
    Store::start(database, repaired_by_reading).expect("the store opens")
}

/// Writes a batch and waits for it.
fn commit(store: &mut Store, batch: Vec<Change>) -> Result<Vec<Change>, StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it needs nothing");
    store.write(batch);
    runtime.block_on(store.committed())
}

/// A folder in which the file is as a killed broker leaves it.
fn killed(folder: &Folder) -> Folder {
    let left = Folder::new();
    fs::copy(folder.path().join("broker.redb"), left.path().join("broker.redb")).expect("it is copied");
    left
}

/// Whether opening the file means reading it all.
fn is_repaired_by_reading(folder: &Folder) -> bool {
    let read = Arc::new(AtomicBool::new(false));
    let noted = read.clone();
    let mut builder = Builder::new();
    builder.set_repair_callback(move |_| noted.store(true, Ordering::Relaxed));
    builder.open(folder.path().join("broker.redb")).expect("the file opens");
    read.load(Ordering::Relaxed)
}

#[test]
fn what_was_committed_is_there_after_the_broker_was_killed() {
    let folder = Folder::new();
    let (mut store, recovered) = open(&folder);
    assert_eq!(recovered, Recovered::default());
    let batch = vec![
        Change::Define { key: "queue/orders".to_owned(), value: b"{}".to_vec() },
        insert(1, 10),
        Change::Insert { queue: 1, position: 11, expires_at_ms: Some(5_000), message: message(300) },
        Change::Attempts { queue: 1, position: 11, count: 3 },
        Change::DeliveredUpTo { queue: 1, position: 10 },
        Change::DeliveredUpTo { queue: 2, position: 7 },
    ];

    let given_back = commit(&mut store, batch.clone()).expect("it is written");

    assert_eq!(given_back, batch);
    let (left, recovered) = open(&killed(&folder));
    let (size, body_size) = (message(200).size() as u32, message(200).body().len() as u32);
    let messages = vec![
        RecoveredMessage { position: 10, size, body_size, attempts: 0, expires_at_ms: None },
        RecoveredMessage {
            position: 11,
            size: size + 100,
            body_size: body_size + 100,
            attempts: 3,
            expires_at_ms: Some(5_000),
        },
    ];
    assert_eq!(recovered.definitions, [("queue/orders".to_owned(), b"{}".to_vec())]);
    assert_eq!(recovered.queues[&1], RecoveredQueue { delivered_up_to: Some(10), messages });
    assert_eq!(recovered.queues[&2], RecoveredQueue { delivered_up_to: Some(7), messages: Vec::new() });
    assert_eq!(left.load(1, 0, 9, usize::MAX).expect("it is read"), [(10, message(200)), (11, message(300))]);
}

#[test]
fn whatever_was_handed_over_is_written_before_the_store_is_closed() {
    let folder = Folder::new();
    let (store, _) = open(&folder);
    for position in 0..20 {
        store.write(vec![insert(1, position)]);
    }

    store.close().expect("all is written");

    assert_eq!(open(&folder).1.queues[&1].messages.len(), 20);
}

#[test]
fn a_message_that_was_consumed_before_it_was_written_is_never_written() {
    let batch = [insert(1, 1), Change::Attempts { queue: 1, position: 1, count: 2 }, remove(1, 1)];

    assert!(Plan::of(&batch).is_empty());
    assert!(!Plan::of(&batch[..2]).is_empty());
}

#[test]
fn a_forgotten_queue_takes_nothing_of_its_neighbours_along() {
    let folder = Folder::new();
    let (mut store, _) = open(&folder);
    let rows = (1..4).flat_map(|queue| [insert(queue, 0), insert(queue, Position::MAX)]);
    commit(&mut store, rows.collect()).expect("it is written");

    let batch =
        vec![insert(2, 5), Change::DeliveredUpTo { queue: 2, position: 5 }, Change::Forget { queue: 2 }];
    commit(&mut store, batch).expect("it is written");
    drop(store);

    let recovered = open(&folder).1;
    assert_eq!(recovered.queues.keys().collect::<Vec<_>>(), [&1, &3]);
    assert!(recovered.queues.values().all(|queue| queue.messages.len() == 2));
}

#[test]
fn messages_are_loaded_a_few_at_a_time_from_where_the_last_were() {
    let folder = Folder::new();
    let (mut store, _) = open(&folder);
    let rows = (0..10).map(|n| insert(1, n * 2)).chain([insert(2, 3)]);
    commit(&mut store, rows.collect()).expect("it is written");

    let positions = |from| -> Vec<Position> {
        let messages = store.load(1, from, 4, usize::MAX).expect("it is read");
        messages.into_iter().map(|(position, _)| position).collect()
    };

    assert_eq!(positions(0), [0, 2, 4, 6]);
    assert_eq!(positions(7), [8, 10, 12, 14]);
    assert_eq!(positions(15), [16, 18]);
}

#[test]
fn a_wait_that_is_dropped_loses_no_batch() {
    let folder = Folder::new();
    let (mut store, _) = open(&folder);

    assert!(store.committed().now_or_never().is_none());
    let batch = vec![insert(1, 1)];

    assert_eq!(commit(&mut store, batch.clone()).expect("it is written"), batch);
    assert!(store.committed().now_or_never().is_none());
}

#[test]
fn a_small_file_is_repaired_by_reading_it_and_a_large_one_opens_at_once() {
    let folder = Folder::new();
    let (mut store, _) = open(&folder);
    let large = message(REPAIRED_BY_READING as usize);
    let large = Change::Insert { queue: 1, position: 2, expires_at_ms: None, message: large };

    commit(&mut store, vec![insert(1, 1)]).expect("it is written");
    let small = killed(&folder);
    commit(&mut store, vec![large]).expect("it is written");
    let full = killed(&folder);
    commit(&mut store, vec![remove(1, 2)]).expect("it is written");
    let small_again = killed(&folder);

    assert_eq!([&small, &full, &small_again].map(is_repaired_by_reading), [true, false, true]);
}

#[test]
fn a_second_broker_is_told_that_the_folder_is_in_use() {
    let folder = Folder::new();
    let (_store, _) = open(&folder);

    let Err(error) = Store::open(folder.path()) else { panic!("two brokers share a folder") };

    assert!(matches!(error, StoreError::InUse(_)), "{error:?}");
    assert!(error.to_string().contains("broker.redb"), "{error}");
}

#[test]
fn what_stands_in_the_way_is_named() {
    let folder = Folder::new();
    let (a_file, no_store) = (folder.path().join("file"), folder.path().join("data"));
    fs::write(&a_file, "").expect("it is written");
    fs::create_dir(&no_store).expect("it is made");
    fs::write(no_store.join("broker.redb"), "something else").expect("it is written");

    for path in [&a_file, &no_store] {
        let Err(error) = Store::open(path) else { panic!("{} is no store", path.display()) };

        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        assert!(error.source().is_some(), "{error:?}");
    }
}

#[test]
fn a_full_disk_is_an_error_for_good_and_what_was_committed_stays() {
    let disk = Disk::default();
    let (mut store, _) = start(&disk, 0);
    commit(&mut store, vec![insert(1, 1)]).expect("there is room");

    disk.set_full(true);
    let first = commit(&mut store, vec![insert(1, 2)]);
    disk.set_full(false);
    let second = commit(&mut store, vec![insert(1, 3)]);

    assert!(matches!(first, Err(StoreError::Full(_))), "{first:?}");
    assert!(matches!(second, Err(StoreError::Full(_))), "{second:?}");
    assert!(store.close().is_err());
    let (_, recovered) = start(&disk.after_cut(|| true), 0);
    assert_eq!(recovered.queues[&1].messages.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn the_store_holds_what_a_plain_map_would(
        batches in batches(),
        reopened in prop::collection::vec(any::<bool>(), 8),
    ) {
        let disk = Disk::default();
        let mut model = Model::default();
        let (mut store, _) = start(&disk, 2_000);

        for (batch, reopen) in batches.into_iter().zip(reopened) {
            model.apply(&batch);
            commit(&mut store, batch).expect("the disk works");
            if reopen {
                store.close().expect("the disk works");
                let (again, recovered) = start(&disk, 2_000);
                prop_assert_eq!(recovered, model.recovered());
                store = again;
            }
            model.assert_loaded_from(&store);
        }
    }

    #[test]
    fn a_power_cut_loses_nothing_that_was_committed_and_halves_no_batch(
        batches in batches(),
        cut_after in 0..60_usize,
        kept in prop::collection::vec(any::<bool>(), 31),
        repaired_by_reading in prop_oneof![Just(0), Just(2_000), Just(u64::MAX)],
    ) {
        let disk = Disk::default();
        let (mut store, _) = start(&disk, repaired_by_reading);
        disk.cut_after(cut_after);

        let mut committed = Model::default();
        let mut written = committed.clone();
        for batch in batches {
            written.apply(&batch);
            if commit(&mut store, batch).is_err() {
                break;
            }
            committed = written.clone();
        }
        let mut kept = kept.iter().copied().cycle();
        let disk = disk.after_cut(|| kept.next() == Some(true));
        drop(store);

        let (store, recovered) = start(&disk, repaired_by_reading);
        if recovered == committed.recovered() {
            committed.assert_loaded_from(&store);
        } else {
            prop_assert_eq!(recovered, written.recovered());
            written.assert_loaded_from(&store);
        }
    }
}
