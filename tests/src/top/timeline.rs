//! The timeline: what happened, newest first, one entry for a fault and its recovery.

use jiff::Timestamp;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;

use super::incident::{Incident, Timeline};
use super::picture::style;
use super::row::{Row, wrapped};
use super::snapshot::Tone;
use super::words::{between, date, events, lasted, lasted_ms};

/// Columns: when, whose, of what kind.
const AT: usize = 16;
const SERVICE: usize = 9;
const KIND: usize = 10;

const FAINT: Style = Style::new().add_modifier(Modifier::DIM);

/// The entries that contain the filter's words, in lines of this width.
pub(super) fn lines(timeline: &Timeline, filter: &str, now: Timestamp, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for service in &timeline.silent {
        let text = format!("{service} does not answer: what it knows is missing here");
        lines.push(Row::new(width).text(&text, style(Tone::Bad)).done());
    }
    let mut found = timeline.items.iter().filter(|incident| contains(incident, filter)).peekable();
    if found.peek().is_none() {
        let text = match timeline.items.is_empty() {
            true => "nothing has happened yet".into(),
            false => format!("nothing that happened contains {filter:?}"),
        };
        lines.push(Row::new(width).text(&text, FAINT).done());
    }
    lines.extend(found.flat_map(|incident| entry(incident, now, width)));
    lines
}

/// Whether every word of the filter is somewhere in the entry, in whatever case.
fn contains(Incident { service, kind, subject, cause, .. }: &Incident, filter: &str) -> bool {
    let text = format!("{service} {kind} {subject} {cause}").to_lowercase();
    filter.to_lowercase().split_whitespace().all(|word| text.contains(word))
}

fn entry(incident: &Incident, now: Timestamp, width: usize) -> Vec<Line<'static>> {
    let tone = match (incident.ended_at, &*incident.kind) {
        (None, _) => Tone::Bad,
        (Some(_), "operator") => Tone::Unknown,
        (Some(_), _) => Tone::Good,
    };
    let row = || Row::new(width);
    let told = wrapped(&sentence(incident, now), row().room().saturating_sub(AT + SERVICE + KIND).max(1));
    let mut told = told.iter();
    let first = row()
        .cell(&incident.at.map(date).unwrap_or_default(), AT, FAINT)
        .cell(&incident.service, SERVICE, Style::new())
        .cell(&incident.kind, KIND, style(tone))
        .text(told.next().map_or("", String::as_str), Style::new())
        .done();
    let rest = told.map(|line| row().cell("", AT + SERVICE + KIND, FAINT).text(line, Style::new()).done());
    std::iter::once(first).chain(rest).collect()
}

/// Such as `broker, 12.4 s: connection reset; 318 events waited, drained in 0.3 s`.
fn sentence(incident: &Incident, now: Timestamp) -> String {
    let Incident { subject, cause, .. } = incident;
    let lasting = match (incident.duration_ms, incident.at) {
        _ if &*incident.kind == "operator" => String::new(),
        (Some(ms), _) => format!(", {}", lasted_ms(ms)),
        (None, Some(at)) if incident.ended_at.is_none() => format!(", for {} now", lasted(between(at, now))),
        (None, _) => String::new(),
    };
    let mut told = format!("{subject}{lasting}: {cause}");
    if let Some(attempts) = incident.attempts.filter(|attempts| *attempts > 1) {
        told += &format!("; {attempts} attempts");
    }
    if let Some(waited) = incident.waited.filter(|waited| *waited > 0) {
        told += &format!("; {} waited", events(waited));
    }
    if let Some(ms) = incident.drained_ms {
        told += &format!(", drained in {}", lasted_ms(ms));
    }
    told
}
