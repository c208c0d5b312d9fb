//! One whole screen: who it is, everybody's state, a page, and the keys.

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Clear, Paragraph};

use super::app::{App, Page};
use super::row::Row;
use super::snapshot::{Receipt, Tone};
use super::words::{between, clock, lasted, lasted_ms};
use super::{picture, timeline};

/// In less room nothing can be read.
const NARROWEST: u16 = 72;
const LOWEST: u16 = 12;

const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);
const ALARM: Style = Style::new().fg(Color::White).bg(Color::Red).add_modifier(Modifier::BOLD);

const KEYS: &str = "q end   Tab 1 2 page   ↑ ↓ PgUp PgDn Home End scroll   / filter   ? help";

const HELP: &str = "
 1, 2, Tab      picture, timeline, the other one
 ↑ ↓            a line up or down
 PgUp PgDn      ten lines up or down
 Home End       the beginning, the end
 /              show only what contains the words that follow;
                Enter keeps them, Esc forgets them
 ?              this
 q, Ctrl-C      end

 ● as it should be   ◐ on its way   ○ not there
 Times are in UTC, as in the logs.
 gen            which generation of an actor lives; 1 is the first
 restarts       how often it was replaced, since its process began
 mailbox        messages that it has not answered yet
";

/// Draws everything. `now` is the gateway's time, `here` that of this machine.
pub(super) fn draw(app: &mut App, now: Timestamp, here: Timestamp, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < NARROWEST || area.height < LOWEST {
        let text = format!(
            "This terminal has {} columns and {} lines.\nThe picture needs {NARROWEST} and {LOWEST}.\nq ends it.",
            area.width, area.height
        );
        return frame.render_widget(Text::raw(text), area);
    }
    let notices = notices(app, here, area.width.into());
    let [title, summary, notice, _, page, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(notices.len() as u16),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);

    frame.render_widget(heading(app, area.width.into()), title);
    frame.render_widget(dimmed(picture::summary(&app.snapshot), app.away.is_some()), summary);
    frame.render_widget(Text::from(notices), notice);
    draw_page(app, now, page, frame);
    frame.render_widget(footer(app, area.width.into()), keys);
    if app.is_helping {
        let help = Rect { height: page.height.min(HELP.lines().count() as u16 + 1), ..page };
        frame.render_widget(Clear, help);
        frame.render_widget(Text::raw(HELP), help);
    }
}

fn heading(app: &App, width: usize) -> Line<'static> {
    let page = |page| if app.page == page { CHOSEN } else { Style::new() };
    let faults = if app.snapshot.faults { "   things may be broken on purpose" } else { "" };
    let letters = picture::dead_letters(&app.snapshot)
        .map_or_else(Default::default, |letters| (format!("   {}", letters.content), letters.style));
    Row::new(width)
        .text("Warren   ", STRONG)
        .text(" 1 picture ", page(Page::Picture))
        .text(" 2 timeline ", page(Page::Timeline))
        .text(&letters.0, letters.1)
        .text(&format!("   {}", app.admin), FAINT)
        .text(faults, FAINT)
        .done()
}

/// What is to be seen on every page.
fn notices(app: &App, here: Timestamp, width: usize) -> Vec<Line<'static>> {
    let away = app.away.iter().map(|away| {
        let lasting = lasted(between(away.since, here));
        let text = format!(" gateway away since {} ({lasting}): {} ", clock(away.since), away.why);
        Row::new(width).text(&text, ALARM).done()
    });
    let receipt = app.receipt.iter().map(|receipt| {
        let tone = if &*receipt.verdict == "clear" { Tone::Good } else { Tone::Bad };
        Row::new(width).text(&told(receipt), picture::style(tone)).done()
    });
    away.chain(receipt).collect()
}

fn told(receipt: &Receipt) -> String {
    let Receipt { number, title, verdict, accepted, refused, .. } = receipt;
    let unknown = || "?".to_owned();
    let number_of = |count: Option<u64>| count.map_or_else(unknown, |count| count.to_string());
    let recovered = receipt.recovered_ms.map_or_else(unknown, lasted_ms);
    format!(
        "receipt {number}, {title}: {verdict}; recovered in {recovered}, accepted {accepted}, refused {refused}, lost {}, doubled {}",
        number_of(receipt.lost),
        number_of(receipt.doubled)
    )
}

fn draw_page(app: &mut App, now: Timestamp, area: Rect, frame: &mut Frame<'_>) {
    let width = area.width.into();
    let lines = match (app.page, &app.timeline) {
        (Page::Picture, _) => picture::lines(&app.snapshot, now, width),
        (Page::Timeline, Some(happened)) => timeline::lines(happened, &app.filter, now, width),
        (Page::Timeline, None) => vec![Line::styled("asking for the timeline …", FAINT)],
    };
    let last = lines.len().saturating_sub(area.height.into());
    let scrolled = app.scrolled();
    *scrolled = (*scrolled).min(last);
    let shown: Vec<_> = lines.into_iter().skip(*scrolled).take(area.height.into()).collect();
    let is_old = app.away.is_some();
    let text: Text = shown.into_iter().map(|line| dimmed(line, is_old)).collect();
    frame.render_widget(Paragraph::new(text), area);
}

/// What is no longer true is seen to be old.
fn dimmed(line: Line<'static>, is_old: bool) -> Line<'static> {
    if is_old { line.patch_style(FAINT) } else { line }
}

fn footer(app: &App, width: usize) -> Line<'static> {
    match (app.is_typing, app.filter.is_empty() || app.page == Page::Picture) {
        (true, _) => {
            Row::new(width).text("filter: ", STRONG).text(&format!("{}▏", app.filter), Style::new()).done()
        }
        (false, false) => {
            let filter = format!("filter: {}   (/ changes it, Esc forgets it)", app.filter);
            Row::new(width).text(&filter, Style::new()).done()
        }
        (false, true) => Row::new(width).text(KEYS, FAINT).done(),
    }
}
