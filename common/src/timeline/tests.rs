use std::{
    fs,
    time::{Duration, SystemTime},
};

use super::*;
use crate::test_folder::TestFolder;
use IncidentKind::{Actor, Link, Operator, Process};

/// Where processes of one service come and go.
struct Folder(TestFolder);

impl Folder {
    fn new() -> Self {
        Self(TestFolder::new())
    }

    fn open(&self) -> Timeline {
        Timeline::open("shop", Some(self.0.path()))
    }

    /// Opens it, and ends it as signal 9 does; returns when it had begun.
    fn open_and_kill(&self) -> Timestamp {
        let timeline = self.open();
        timeline.0.journal.flush(Duration::from_secs(10));
        let began = timeline.started();
        drop(timeline);
        // Its thread has ended when the folder is free again.
        let lock = fs::File::open(self.0.path().join("shop.timeline/lock")).expect("there is a lock");
        lock.lock().expect("a lock can be waited for");
        began
    }

    fn alive(&self) -> fs::File {
        let path = self.0.path().join("shop.timeline/alive");
        fs::File::options().write(true).open(path).expect("every process gives a sign of life")
    }
}

#[test]
fn a_fault_and_its_recovery_are_one_entry() {
    let timeline = Timeline::open("shop", None);

    let lost = timeline.begin_at_generation(Link, "broker", "reset", Some(3));
    timeline.again(lost);
    timeline.again(lost);
    assert_eq!(timeline.page(9, None)[0].ended_at, None);
    assert_eq!(timeline.take_undrained(), None, "it lasts");
    timeline.end(lost);
    assert_eq!(timeline.take_undrained(), Some(lost));
    assert_eq!(timeline.take_undrained(), None, "once");
    timeline.drained(lost, 318, Duration::from_millis(300));

    let page = timeline.page(9, None);
    let [incident] = page.as_slice() else { panic!("one entry: {page:?}") };
    assert_eq!((incident.kind, incident.attempts, incident.generation), (Link, 3, Some(3)));
    assert_eq!((incident.waited, incident.drained_ms), (Some(318), Some(300)));
    assert!(incident.duration_ms.is_some());
}

#[test]
fn the_newest_come_first_and_pages_go_on_where_the_last_one_ended() {
    let timeline = Timeline::open("shop", None);
    for number in 0..REMEMBERED + 5 {
        timeline.note(Operator, "somebody", &number.to_string());
    }

    let first = timeline.page(2, None);
    let second = timeline.page(2, Some(first[1].id));

    let causes: Vec<_> = first.iter().chain(&second).map(|incident| incident.cause.as_str()).collect();
    assert_eq!(causes, ["1004", "1003", "1002", "1001"]);
    assert_eq!(timeline.page(usize::MAX, None).len(), REMEMBERED);
}

#[test]
fn a_process_that_stopped_in_order_leaves_only_what_it_lived_through() {
    let folder = Folder::new();
    let first = folder.open();
    first.end(first.begin(Actor, "repository", "panicked"));
    first.stopped();
    drop(first);

    let second = folder.open();

    let page = second.page(9, None);
    assert_eq!(page.iter().map(|incident| incident.kind).collect::<Vec<_>>(), [Actor]);
    assert_eq!(second.begin(Actor, "repository", "again").0, 2, "the numbers go on");
}

#[test]
fn a_process_that_did_not_stop_is_told_by_the_next_one_and_what_lasted_ended_with_it() {
    let folder = Folder::new();
    let first = folder.open();
    first.begin(Link, "broker", "reset");
    first.0.journal.flush(Duration::from_secs(10));
    drop(first);

    let second = folder.open();

    let page = second.page(9, None);
    assert_eq!(page.iter().map(|incident| incident.kind).collect::<Vec<_>>(), [Process, Link]);
    assert!(page.iter().all(|incident| incident.ended_at.is_some()));
    assert_eq!(page[1].cause, "reset; the process ended first");
}

#[test]
fn what_is_told_twice_is_one_entry() {
    let timeline = Timeline::open("shop", None);
    let [at, ended_at] = [10, 12].map(|second| Timestamp::from_second(second).expect("a time"));
    let tell = |cause| timeline.tell(Process, "broker", cause, at, ended_at);

    let (first, again, other) = (tell("signal 9"), tell("signal 9"), tell("signal 6"));

    assert_eq!((first.id, first.duration_ms, first.ended_at), (1, Some(2000), Some(ended_at)));
    assert_eq!((&again, other.id), (&first, 2));
    assert_eq!(timeline.page(9, None), [other, first]);
}

#[test]
fn a_process_that_nobody_saw_end_ended_when_it_was_last_alive() {
    let folder = Folder::new();
    let began = folder.open_and_kill();
    let alive = folder.alive().metadata().and_then(|file| file.modified()).expect("it has a time");

    let second = folder.open();

    let page = second.page(9, None);
    let [end] = page.as_slice() else { panic!("one entry: {page:?}") };
    assert_eq!((end.kind, Some(end.at)), (Process, Timestamp::try_from(alive).ok()));
    assert!(began <= end.at && end.at <= second.started(), "{end:?}");
    let away = second.started().as_millisecond() - end.at.as_millisecond();
    assert_eq!((end.ended_at, end.duration_ms), (Some(second.started()), u64::try_from(away).ok()));
    assert_eq!(folder.alive().metadata().expect("a file").len(), 0, "it is touched and not written");
}

#[test]
fn where_the_clock_went_backwards_nobody_knows_how_long_it_took() {
    let folder = Folder::new();
    folder.open_and_kill();
    folder.alive().set_modified(SystemTime::now() + Duration::from_secs(3600)).expect("it can be set");

    let second = folder.open();

    let end = &second.page(9, None)[0];
    assert_eq!((end.kind, end.at, end.duration_ms), (Process, second.started(), None));
}

#[test]
fn a_sign_of_life_from_before_the_process_is_not_of_it() {
    let folder = Folder::new();
    folder.open_and_kill();
    folder.alive().set_modified(SystemTime::UNIX_EPOCH).expect("it can be set");

    let second = folder.open();

    let end = &second.page(9, None)[0];
    assert_eq!((end.kind, end.duration_ms), (Process, None));
}

#[test]
fn a_sign_of_life_that_cannot_be_given_costs_only_the_duration() {
    let folder = Folder::new();
    fs::create_dir_all(folder.0.path().join("shop.timeline/alive/in the way")).expect("a folder");
    folder.open_and_kill();

    let second = folder.open();

    assert_eq!(second.page(9, None)[0].kind, Process);
}
