//! The picture: links, then every process with its actors as a tree.

use std::time::Duration;

use jiff::Timestamp;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::row::{Row, wrapped};
use super::snapshot::{Actor, Experiment, Link, Process, Snapshot, State, Tone};
use super::words::{between, clock, events, lasted, rate};

/// Columns of an actor: mark and name, state, generation, restarts, mailbox.
const NAME: usize = 35;
const STATE: usize = 12;
const GENERATION: usize = 5;
const RESTARTS: usize = 9;
const MAILBOX: usize = 8;

/// A cause has its place in the actor's own line where that leaves so many columns.
const ROOM_FOR_A_CAUSE: usize = 40;

/// A count of this age is told with it: the gateway counts every few seconds, while the broker is there.
const OLD_COUNT: Duration = Duration::from_secs(30);

/// From so many equal ones in a row on, such as the gateway's proxies, actors share a line.
const MANY: usize = 3;

/// Marks the lines beside and below a name.
const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);

/// How a tone looks. A state is told by its word and its mark as well, for those who see no colours.
pub(super) fn style(tone: Tone) -> Style {
    Style::new().fg(match tone {
        Tone::Good => Color::Green,
        Tone::Odd => Color::Yellow,
        Tone::Bad => Color::Red,
        Tone::Unknown => Color::Gray,
    })
}

fn mark(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "●",
        Tone::Odd => "◐",
        Tone::Bad => "○",
        Tone::Unknown => "?",
    }
}

/// Everybody's state in one line.
pub(super) fn summary(seen: &Snapshot) -> Line<'static> {
    let processes = seen.processes().map(|(name, process)| (name, &process.state));
    let mut line = Line::default();
    for (name, state) in processes.chain([("broker", &seen.broker.state)]) {
        line.push_span(format!("{name} "));
        line.push_span(Span::styled(in_words(state), style(state.tone())));
        line.push_span("   ");
    }
    line
}

/// How many dead letters wait for somebody, and when they were counted where that is long ago; nothing where none do.
pub(super) fn dead_letters(seen: &Snapshot) -> Option<Span<'static>> {
    let letters = seen.dead_letters.as_ref().filter(|letters| letters.waiting > 0)?;
    let noun = if letters.waiting == 1 { "dead letter" } else { "dead letters" };
    let old = letters.counted_at.map(|at| between(at, seen.now())).filter(|age| *age >= OLD_COUNT);
    let age = old.map(|age| format!(", counted {} ago", lasted(age))).unwrap_or_default();
    Some(Span::styled(format!("{} {noun}{age}", letters.waiting), style(Tone::Odd)))
}

fn in_words(state: &State) -> String {
    format!("{} {}", mark(state.tone()), state.word())
}

/// The picture of what was seen, at a moment, in lines of this width.
pub(super) fn lines(seen: &Snapshot, now: Timestamp, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(experiment) = &seen.experiment {
        lines.push(running(experiment, width));
        lines.push(Line::default());
    }
    let broker = Row::new(width)
        .text("broker  ", STRONG)
        .text(&in_words(&seen.broker.state), style(seen.broker.state.tone()));
    let name = seen.broker.name.as_deref().map(|name| format!("   {name}")).unwrap_or_default();
    lines.push(broker.text(&name, FAINT).done());
    lines.extend(seen.links.iter().map(|it| link(it, width)));

    for (index, (name, process)) in seen.processes().enumerate() {
        lines.push(Line::default());
        lines.push(headline(name, process, now, width));
        lines.extend(explanation(process, now, width));
        let actors = process.actors.as_deref().unwrap_or_default();
        if index == 0 {
            lines.push(titles(width));
        }
        lines.extend(tree(actors, process.state.word() == "silent", now, width));
    }
    lines
}

fn running(experiment: &Experiment, width: usize) -> Line<'static> {
    let Experiment { number, title, phase, accepted, refused } = experiment;
    let text = format!("experiment {number}: {title}, {phase}; accepted {accepted}, refused {refused}");
    Row::new(width).text(&text, style(Tone::Odd)).done()
}

fn link(link: &Link, width: usize) -> Line<'static> {
    let tone = link.state.tone();
    let arrow = match tone {
        Tone::Good => "───▶",
        Tone::Bad => "─✗ ▶",
        Tone::Odd | Tone::Unknown => "─ ─▶",
    };
    let rate = link.rate.map(rate).unwrap_or_default();
    Row::new(width)
        .cell("", 2, FAINT)
        .cell(&format!("{:>8}", link.from), 9, Style::new())
        .cell(arrow, 5, style(tone))
        .cell(&link.to, 9, Style::new())
        .cell(link.state.word(), STATE, style(tone))
        .cell(&format!("{rate:>8}"), 11, Style::new())
        .text(link.detail.as_deref().unwrap_or_default(), FAINT)
        .done()
}

fn headline(name: &str, process: &Process, now: Timestamp, width: usize) -> Line<'static> {
    let mut facts = Vec::new();
    facts.extend(process.since.map(|since| format!("for {}", lasted(between(since, now)))));
    facts.extend(process.address.as_ref().map(|address| address.to_string()));
    facts.extend(process.pid.map(|pid| format!("process {pid}")));
    facts.extend(process.started_at.map(|at| format!("up {}", lasted(between(at, now)))));
    facts.extend(process.keeper.as_ref().map(|keeper| format!("kept by {keeper}")));
    Row::new(width)
        .text(&format!("{name}  "), STRONG)
        .text(&in_words(&process.state), style(process.state.tone()))
        .text(&format!("  {}", facts.join(", ")), FAINT)
        .done()
}

/// Why a process is not as it should be, and how old is what is known of it.
fn explanation(process: &Process, now: Timestamp, width: usize) -> Vec<Line<'static>> {
    let is_silent = process.state.word() == "silent";
    let mut why: Vec<String> = process.reason.iter().map(|reason| reason.to_string()).collect();
    match (is_silent, process.heard_at) {
        (true, Some(at)) => why.push(format!(
            "last heard at {}, {} ago; what is below is of that moment",
            clock(at),
            lasted(between(at, now))
        )),
        (true, None) => why.push("never heard".into()),
        (false, _) => {}
    }
    let lines = why.iter().flat_map(|why| wrapped(why, width.saturating_sub(2)));
    lines
        .map(|line| Row::new(width).text("  ", FAINT).text(&line, style(process.state.tone())).done())
        .collect()
}

fn titles(width: usize) -> Line<'static> {
    Row::new(width)
        .cell("    actor", NAME, FAINT)
        .cell("state", STATE, FAINT)
        .cell("gen", GENERATION, FAINT)
        .cell("restarts", RESTARTS, FAINT)
        .cell("mailbox", MAILBOX, FAINT)
        .text("last cause", FAINT)
        .done()
}

fn tree(actors: &[Actor], is_old: bool, now: Timestamp, width: usize) -> Vec<Line<'static>> {
    let groups = groups(actors);
    let count = groups.len();
    let lines = groups.into_iter().enumerate().flat_map(|(index, group)| {
        let (branch, below) = if index + 1 == count { ("  └ ", "    ") } else { ("  ├ ", "  │ ") };
        actor(group, (branch, below), is_old, now, width)
    });
    lines.collect()
}

/// Actors that differ in nothing but their number are told together, where there are many.
fn groups(actors: &[Actor]) -> Vec<&[Actor]> {
    let mut groups = Vec::new();
    for group in actors.chunk_by(alike) {
        match group.len() >= MANY {
            true => groups.push(group),
            false => groups.extend(group.chunks(1)),
        }
    }
    groups
}

fn alike(one: &Actor, other: &Actor) -> bool {
    let of = |actor: &Actor| (actor.status.clone(), actor.generation, actor.restarts, actor.next_attempt_at);
    of(one) == of(other) && stem(&one.name).is_some_and(|stem_of_one| Some(stem_of_one) == stem(&other.name))
}

/// `proxy` of `proxy-12`.
fn stem(name: &str) -> Option<&str> {
    let (stem, number) = name.rsplit_once('-')?;
    number.parse::<u32>().ok().map(|_| stem)
}

fn actor(
    group: &[Actor],
    (branch, below): (&str, &str),
    is_old: bool,
    now: Timestamp,
    width: usize,
) -> Vec<Line<'static>> {
    let [first, rest @ ..] = group else { return Vec::new() };
    let name = match rest.last() {
        Some(last) => format!("{} … {} ({})", first.name, last.name, group.len()),
        None => first.name.to_string(),
    };
    let mailbox: Option<u64> = group.iter().map(|actor| actor.mailbox).sum();
    let tone = if is_old { Tone::Unknown } else { first.status.tone() };
    let row = Row::new(width)
        .cell(branch, 4, FAINT)
        .cell(&name, NAME - 4, if is_old { FAINT } else { Style::new() })
        .cell(first.status.word(), STATE, style(tone))
        .cell(&first.generation.to_string(), GENERATION, Style::new())
        .cell(&count(first.restarts), RESTARTS, Style::new())
        .cell(&mailbox.map(count).unwrap_or_default(), MAILBOX, Style::new());

    let told = story(first, now);
    if row.room() >= ROOM_FOR_A_CAUSE {
        return vec![row.text(&told, FAINT).done()];
    }
    let mut lines = vec![row.done()];
    let is_news = first.status.tone() != Tone::Good || waiting(first).is_some();
    if is_news && !told.is_empty() {
        lines.push(Row::new(width).cell(below, 4, FAINT).text("  ", FAINT).text(&told, style(tone)).done());
    }
    lines
}

fn count(number: u64) -> String {
    if number == 0 { "·".into() } else { number.to_string() }
}

/// What waits for it, when it comes back, and why it ended.
fn story(actor: &Actor, now: Timestamp) -> String {
    let mut told: Vec<String> = Vec::new();
    told.extend(waiting(actor).map(|count| format!("{} in the outbox", events(count))));
    told.extend(actor.next_attempt_at.map(|at| format!("again in {}", lasted(between(now, at)))));
    told.extend(actor.last_cause.as_ref().map(super::snapshot::Cause::text));
    told.join("; ")
}

/// How many events wait in its outbox, where any do.
fn waiting(actor: &Actor) -> Option<u64> {
    actor.observed.as_ref().and_then(|observed| observed.outbox_pending).filter(|count| *count > 0)
}
