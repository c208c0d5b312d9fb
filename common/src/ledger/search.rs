use std::{
    borrow::Cow,
    collections::HashMap,
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use jiff::Timestamp;
use memchr::{
    memchr,
    memmem::{self, Finder},
    memrchr,
};

use super::{LedgerEvent, Step, StepKind, Wanted, entry::Entry};
use crate::journal::Journal;

/// What every line begins with.
const START: &[u8] = br#"{"event":""#;

/// Most steps that one search tells: an event that is tried for ever has no end of them.
const STEPS: usize = 2_000;

/// Finds events in two passes: which events are meant, from the newest on, and then all their steps.
pub(super) fn find(
    journal: &Journal<Entry>,
    service: &str,
    Wanted { events, about, limit }: &Wanted,
    stop: &AtomicBool,
) -> io::Result<Vec<LedgerEvent>> {
    let mut meant = meant(journal, about, *limit, stop)?;
    for id in events.iter().filter_map(|id| serde_json::to_vec(id).ok()) {
        // As it stands on disk, without its quotes.
        let id: Box<[u8]> = id[1..id.len() - 1].into();
        if !meant.contains(&id) {
            meant.push(id);
        }
    }
    if meant.is_empty() {
        return Ok(Vec::new());
    }
    let places: HashMap<&[u8], usize> = meant.iter().zip(0..).map(|(id, place)| (&**id, place)).collect();
    let mut entries: Vec<Vec<Entry>> = meant.iter().map(|_| Vec::new()).collect();
    let (mut segments, mut left) = (journal.lines(), STEPS);
    while !stop.load(Ordering::Relaxed)
        && let Some(segment) = segments.next_segment()?
    {
        for line in lines(&segment) {
            let Some(&place) = id(line).and_then(|id| places.get(id)) else { continue };
            // What cannot be read was cut off by the end of a process.
            let Ok(entry) = serde_json::from_slice(line) else { continue };
            if left > 0 {
                left -= 1;
                entries[place].push(entry);
            }
        }
    }
    Ok(entries.into_iter().filter_map(|entries| told(service, entries)).collect())
}

/// The ids of the newest events that are about one of these, as they stand on disk, the newest first.
fn meant(
    journal: &Journal<Entry>,
    about: &[String],
    limit: usize,
    stop: &AtomicBool,
) -> io::Result<Vec<Box<[u8]>>> {
    if about.is_empty() {
        return Ok(Vec::new());
    }
    let quoted: Vec<String> = about.iter().filter_map(|term| serde_json::to_string(term).ok()).collect();
    let finders: Vec<Finder<'_>> = quoted.iter().map(Finder::new).collect();
    let (mut segments, mut ids) = (journal.lines(), Vec::<Box<[u8]>>::new());
    while ids.len() < limit
        && !stop.load(Ordering::Relaxed)
        && let Some(segment) = segments.next_segment()?
    {
        let mut found: Vec<usize> = finders
            .iter()
            .flat_map(|finder| finder.find_iter(&segment))
            .filter_map(|at| may_be_meant(&segment, at))
            .collect();
        found.sort_unstable();
        found.dedup();
        for line in found.into_iter().rev().filter_map(|start| lines(&segment[start..]).next()) {
            let Some(id) = id(line) else { continue };
            if ids.len() < limit && !ids.iter().any(|known| **known == *id) && is_about(line, about) {
                ids.push(id.into());
            }
        }
    }
    Ok(ids)
}

/// Whether the line is about one of these, and does not only hold it, as a reason may.
fn is_about(line: &[u8], about: &[String]) -> bool {
    let Ok(entry) = serde_json::from_slice::<Entry>(line) else { return false };
    let beginning = entry.origin.as_deref();
    about.iter().any(|term| {
        entry.event.as_str() == term
            || beginning
                .is_some_and(|it| it.request_id == *term || it.trace_id == *term || it.about.contains(term))
    })
}

fn lines(segment: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = segment;
    std::iter::from_fn(move || {
        let end = memchr(b'\n', rest)?;
        let line = &rest[..end];
        rest = &rest[end + 1..];
        Some(line)
    })
}

/// Where the line begins that holds an id at `at`, if it is the event's own, or stands with what is known of its beginning:
/// a word that is part of every line must not make every line be read.
fn may_be_meant(segment: &[u8], at: usize) -> Option<usize> {
    let start = memrchr(b'\n', &segment[..at]).map_or(0, |end| end + 1);
    let is_own = at - start == START.len() - 1;
    let is_of_beginning = || memmem::find(&segment[start..at], br#""origin":{"#).is_some();
    (is_own || is_of_beginning()).then_some(start)
}

/// When the last step was noted.
pub(super) fn newest(journal: &Journal<Entry>) -> Option<Timestamp> {
    // What cannot be read is said when something is looked for.
    let segment = journal.lines().next_segment().ok()??;
    let last = segment.split(|byte| *byte == b'\n').rev().find_map(|line| serde_json::from_slice(line).ok());
    last.map(|entry: Entry| entry.at)
}

/// The event's id as it stands in the line.
fn id(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(START)?;
    let mut escaped = false;
    let end = rest.iter().position(|byte| {
        let end = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        end
    })?;
    Some(&rest[..end])
}

/// Puts the steps of one event in their order; a commit that two processes wrote down is one.
fn told(service: &str, mut entries: Vec<Entry>) -> Option<LedgerEvent> {
    entries.sort_by_key(|entry| entry.at);
    let id = entries.first()?.event.clone();
    let beginning = entries.iter_mut().find_map(|entry| entry.origin.take());
    let mut steps: Vec<Step> = Vec::with_capacity(entries.len() + 1);
    for entry in entries {
        let committed = entry.step == StepKind::Committed;
        if committed && steps.iter().any(|step| step.step == StepKind::Committed) {
            continue;
        }
        let step = step(service, entry);
        if committed && let Some(accepted_at) = beginning.as_ref().and_then(|it| it.accepted_at) {
            let accepted = Step {
                step: StepKind::Accepted,
                at: accepted_at,
                actor: None,
                generation: None,
                ..step.clone()
            };
            steps.insert(0, accepted);
        }
        steps.push(step);
    }
    let mut event = LedgerEvent {
        id,
        event_type: None,
        source: None,
        about: Vec::new(),
        request_id: None,
        trace_id: None,
        steps,
    };
    if let Some(beginning) = beginning {
        event.event_type = Some(beginning.event_type);
        event.source = Some(beginning.source);
        event.about = beginning.about;
        event.request_id = Some(beginning.request_id);
        event.trace_id = Some(beginning.trace_id);
    }
    Some(event)
}

fn step(service: &str, entry: Entry) -> Step {
    Step {
        step: entry.step,
        at: entry.at,
        service: service.to_owned(),
        pid: entry.pid,
        // Consumers are named by their queues.
        actor: match (entry.actor, &entry.queue) {
            (None, Some(queue)) => Some(format!("consumer:{queue}")),
            (actor, _) => actor.map(Cow::into_owned),
        },
        generation: entry.generation,
        queue: entry.queue.map(Cow::into_owned),
        attempt: entry.attempt,
        redelivered: entry.redelivered,
        reason: entry.reason,
    }
}
