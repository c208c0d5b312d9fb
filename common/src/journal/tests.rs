use std::{
    fs,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use super::*;
use crate::test_folder::TestFolder;

const SMALL: Bounds = Bounds { segment: 100, segments: 3, reserve: 0 };

fn read(journal: &Journal<u64>) -> Vec<String> {
    let (mut lines, mut segments) = (journal.lines(), Vec::new());
    while let Some(segment) = lines.next_segment().expect("the folder can be read") {
        segments.push(String::from_utf8(segment).expect("text"));
    }
    segments.iter().rev().flat_map(|segment| segment.lines().map(str::to_owned)).collect()
}

fn until_written(journal: &Journal<u64>, last: &str) -> Vec<String> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let lines = read(journal);
        if lines.last().is_some_and(|line| line == last) || Instant::now() > end {
            return lines;
        }
        std::thread::yield_now();
    }
}

fn open(folder: Option<&Path>, bounds: Bounds) -> Journal<u64> {
    Journal::open("test", folder, bounds)
}

#[test]
fn what_was_recorded_is_there_after_the_journal_was_opened_again() {
    let folder = TestFolder::new();
    let first = open(Some(folder.path()), SMALL);
    first.record(vec![1, 2]);
    until_written(&first, "2");
    drop(first);

    let second = open(Some(folder.path()), SMALL);
    second.record(vec![3]);

    assert_eq!(until_written(&second, "3"), ["1", "2", "3"]);
}

#[test]
fn the_oldest_segments_make_room() {
    let folder = TestFolder::new();
    for journal in [open(Some(folder.path()), SMALL), open(None, SMALL)] {
        // Each more than a segment, and written before the next.
        for round in 0..10_u64 {
            let numbers: Vec<u64> = (0..40).map(|number| 1000 + round * 100 + number).collect();
            let last = numbers[39].to_string();
            journal.record(numbers);
            until_written(&journal, &last);
        }

        let lines = read(&journal);
        assert_eq!(lines.last().map(String::as_str), Some("1939"));
        assert_eq!(lines.len(), 3 * 40, "three segments, each of one round");
    }
}

#[test]
fn a_file_whose_name_only_looks_like_a_segments_costs_no_entry_and_stays() {
    let folder = TestFolder::new();
    fs::create_dir_all(folder.path()).expect("the folder is made");
    let stray = folder.path().join("5.jsonl");
    fs::write(&stray, "not ours\n").expect("the disk has room");
    let journal = open(Some(folder.path()), SMALL);

    for round in 0..10_u64 {
        journal.record(vec![1000 + round; 40]);
        until_written(&journal, &(1000 + round).to_string());
    }

    assert_eq!(journal.dropped(), 0);
    assert_eq!(read(&journal).len(), 3 * 40, "three segments, each of one round");
    assert_eq!(fs::read(&stray).expect("it is there"), b"not ours\n");
}

#[test]
fn nothing_is_written_into_the_last_room_of_the_disk() {
    let folder = TestFolder::new();
    let journal = open(Some(folder.path()), Bounds { reserve: u64::MAX, ..SMALL });

    journal.record(vec![1, 2]);
    journal.flush(Duration::from_secs(10));

    assert_eq!(read(&journal), [""; 0]);
    assert_eq!(journal.dropped(), 2);
}

#[test]
fn two_do_not_write_into_one_folder() {
    let folder = TestFolder::new();
    let first = open(Some(folder.path()), SMALL);
    let second = open(Some(folder.path()), SMALL);

    first.record(vec![1]);
    second.record(vec![2]);

    assert_eq!(until_written(&first, "1"), ["1"]);
    assert_eq!(until_written(&second, "2"), ["2"], "in memory");
}

#[test]
fn half_a_line_at_the_end_spoils_only_itself() {
    let folder = TestFolder::new();
    fs::create_dir_all(folder.path()).expect("a folder");
    fs::write(folder.path().join("00000007.jsonl"), "1\n{\"cut of").expect("a file");
    fs::write(folder.path().join("readme"), "not ours").expect("a file");

    let journal = open(Some(folder.path()), SMALL);
    journal.record(vec![2]);

    assert_eq!(until_written(&journal, "2"), ["1", "{\"cut of", "2"]);
}

#[test]
fn a_folder_that_cannot_be_made_costs_only_what_is_on_disk() {
    let folder = TestFolder::new();
    fs::write(folder.path(), "a file is in the way").expect("a file");

    let journal = open(Some(folder.path()), SMALL);
    journal.record(vec![1]);

    assert_eq!(until_written(&journal, "1"), ["1"]);
    let _ = fs::remove_file(folder.path());
}

#[test]
fn a_sign_of_life_is_given_again_and_again_whether_or_not_anything_is_written() {
    let folder = TestFolder::new();
    let (journal, before) = Journal::<u64>::open_alive("test", Some(folder.path()), SMALL);
    assert_eq!(before, None, "nobody was here before");
    journal.record(vec![1]);
    until_written(&journal, "1");
    let alive = fs::File::options().write(true).open(folder.path().join("alive")).expect("it lives");

    for busy in [false, true] {
        alive.set_modified(SystemTime::UNIX_EPOCH).expect("the time can be set");
        let end = Instant::now() + Duration::from_secs(20);
        while alive.metadata().and_then(|file| file.modified()).expect("a time") == SystemTime::UNIX_EPOCH {
            assert!(Instant::now() < end, "no sign of life, busy: {busy}");
            if busy {
                journal.record(vec![2]);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
