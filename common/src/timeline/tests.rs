use std::{fs, path::PathBuf};

use super::*;
use IncidentKind::{Actor, Link, Operator, Process};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("warren-timeline-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        Self(folder)
    }

    fn open(&self) -> Timeline {
        Timeline::open("shop", Some(&self.0))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
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
    let folder = Folder::new("order");
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
    let folder = Folder::new("killed");
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
