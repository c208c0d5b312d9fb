//! Whole screens, as they are drawn in terminals of two sizes, beside what is expected in `examples`.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::{App, News, Page};
use super::incident::Timeline;
use super::snapshot::{Receipt, Snapshot};
use super::view;
use crate::plain::Plain;

const WELL: &str = include_str!("examples/well.json");
const ILL: &str = include_str!("examples/ill.json");
const HOSTILE: &str = include_str!("examples/hostile.json");
const TIMELINE: &str = include_str!("examples/timeline.json");

/// An operator's usual terminal, and one on a large screen.
const SIZES: [(u16, u16); 2] = [(80, 24), (140, 40)];

fn app(snapshot: &str) -> App {
    let snapshot: Snapshot = serde_json::from_str(snapshot).expect("the console's state");
    App::new("http://127.0.0.1:8081", snapshot, Instant::now())
}

fn looking_at_the_timeline() -> App {
    let mut app = app(ILL);
    hear(&mut app, News::Timeline(serde_json::from_str::<Timeline>(TIMELINE).expect("a timeline")));
    press(&mut app, "2");
    app
}

fn hear(app: &mut App, news: News) {
    let clock = "2026-11-22T13:00:00Z".parse().expect("a time");
    app.hear(news, Instant::now(), clock);
}

/// Presses a key for each character; returns whether the last one lets it go on.
fn press(app: &mut App, keys: &str) -> bool {
    let keys = keys.chars().map(KeyCode::Char);
    keys.fold(true, |_, key| app.press(KeyEvent::new(key, KeyModifiers::NONE)))
}

fn key(app: &mut App, code: KeyCode) {
    app.press(KeyEvent::new(code, KeyModifiers::NONE));
}

/// What stands on a screen of this size, at the moment that the snapshot tells of.
fn screen(app: &mut App, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen in memory");
    let (now, here) = (app.snapshot.now(), "2026-11-22T13:00:04Z".parse::<Timestamp>().expect("a time"));
    terminal.draw(|frame| view::draw(app, now, here, frame)).expect("memory takes everything");
    let buffer = terminal.backend().buffer().clone();
    let rows = buffer.content.chunks(width.into()).map(|cells| {
        let row: String = cells.iter().map(|cell| cell.symbol()).collect();
        format!("{}\n", row.trim_end())
    });
    rows.collect()
}

/// Compares screens with the files of this name. `WARREN_DRAW=1` writes them anew, for somebody to look at.
fn assert_drawn(name: &str, mut app: App) {
    for size @ (width, height) in SIZES {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("src/top/examples/{name}-{width}x{height}.txt"));
        let drawn = screen(&mut app, size);
        if std::env::var_os("WARREN_DRAW").is_some() {
            fs::write(&file, &drawn).expect("the sources can be written");
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        assert!(drawn == expected, "{}\n--- expected\n{expected}\n--- drawn\n{drawn}", file.display());
    }
}

#[test]
fn a_system_that_is_well_is_shown_with_its_links_and_actors() {
    assert_drawn("well", app(WELL));
}

#[test]
fn a_silent_service_a_broken_link_and_an_actor_on_its_way_back_are_seen() {
    assert_drawn("ill", app(ILL));
}

#[test]
fn a_single_picture_tells_no_beginning_that_nobody_has_seen() {
    let seen: Snapshot = serde_json::from_str(ILL).expect("the console's state");
    let users = seen.services[0].processes[0].since.expect("it is known");

    let of = |look| seen.clone().since_before(look).services[0].processes[0].since;

    assert_eq!(of(users + Duration::from_millis(900)), None, "it is what the look itself has found");
    assert_eq!(of(users + Duration::from_secs(3)), Some(users));
}

#[test]
fn hostile_text_is_shown_and_obeyed_by_nobody() {
    let mut hostile = app(HOSTILE);
    for size in SIZES {
        let drawn = screen(&mut hostile, size);
        let obeyed =
            drawn.chars().find(|c| *c != '\n' && (c.is_control() || "\u{202e}\u{200b}".contains(*c)));
        assert_eq!(obeyed, None, "{drawn}");
    }
    assert_drawn("hostile", hostile);
}

#[test]
fn the_timeline_tells_each_fault_with_its_recovery() {
    assert_drawn("timeline", looking_at_the_timeline());
}

#[test]
fn a_gateway_that_is_away_is_said_so_above_what_was_last_seen() {
    let mut app = app(WELL);
    hear(&mut app, News::Away(Plain::new("connection refused")));
    assert_drawn("away", app);
}

#[test]
fn it_is_away_since_it_first_was_and_no_longer_when_it_is_heard_again() {
    let mut app = app(WELL);
    for second in ["13:00:01", "13:00:05"] {
        let clock = format!("2026-11-22T{second}Z").parse().expect("a time");
        app.hear(News::Away(Plain::new("no")), Instant::now(), clock);
    }
    assert!(screen(&mut app, (80, 24)).contains("gateway away since 13:00:01"));

    hear(&mut app, News::State(serde_json::from_str(ILL).expect("a state")));

    assert!(!screen(&mut app, (80, 24)).contains("gateway away"));
}

#[test]
fn typing_filters_the_timeline_and_escape_forgets_the_filter() {
    let mut app = looking_at_the_timeline();

    press(&mut app, "/ORDERS reset");
    let filtered = screen(&mut app, (140, 40));
    assert!(filtered.contains("filter: ORDERS reset"), "{filtered}");
    assert!(filtered.contains("318 events waited") && !filtered.contains("killed by"), "{filtered}");

    key(&mut app, KeyCode::Enter);
    assert!(press(&mut app, "1") && app.page == Page::Picture, "keys are keys again");
    press(&mut app, "2/zzz");
    assert!(screen(&mut app, (140, 40)).contains("nothing that happened contains"));
    key(&mut app, KeyCode::Esc);
    assert!(screen(&mut app, (140, 40)).contains("killed by signal 9"));
}

#[test]
fn the_end_of_a_page_is_where_scrolling_ends() {
    let mut app = app(WELL);
    key(&mut app, KeyCode::End);
    let end = screen(&mut app, (80, 24));
    assert!(end.contains("consumer:orders.user-created") && !end.contains("───▶ users"), "{end}");

    key(&mut app, KeyCode::Down);
    assert_eq!(screen(&mut app, (80, 24)), end);
    key(&mut app, KeyCode::Up);
    assert_ne!(screen(&mut app, (80, 24)), end);
    key(&mut app, KeyCode::Home);
    assert!(screen(&mut app, (80, 24)).contains("───▶ users"));
}

#[test]
fn a_terminal_that_is_too_small_is_told_so_and_none_is_too_small_to_live_in() {
    let mut app = looking_at_the_timeline();
    assert!(screen(&mut app, (40, 10)).contains("The picture needs 72 and 12."));
    for width in 1..90 {
        for height in [1, 2, 11, 12, 13] {
            screen(&mut app, (width, height));
        }
    }
}

#[test]
fn a_receipt_is_told_on_every_page() {
    let mut app = looking_at_the_timeline();
    let receipt = r#"{"number":3,"kind":"cutLink","title":"cut the link of orders","verdict":"clear","recoveredMs":812,
        "accepted":312,"refused":0,"unknown":0,"waited":40,"lost":0,"doubled":0,"notes":[]}"#;
    hear(&mut app, News::Receipt(serde_json::from_str::<Receipt>(receipt).expect("a receipt")));

    let drawn = screen(&mut app, (140, 40));

    let told = "receipt 3, cut the link of orders: clear; recovered in 0.8 s, accepted 312, refused 0, lost 0, doubled 0";
    assert!(drawn.contains(told), "{drawn}");
}

#[test]
fn help_names_the_keys_and_any_key_ends_it() {
    let mut app = app(WELL);
    press(&mut app, "?");
    assert!(screen(&mut app, (80, 24)).contains("Enter keeps them, Esc forgets them"));

    press(&mut app, "x");

    assert!(!screen(&mut app, (80, 24)).contains("Esc forgets them"));
}

#[test]
fn q_and_control_c_end_it_and_q_in_a_filter_is_a_letter() {
    assert!(!press(&mut app(WELL), "q"));
    let mut typing = app(WELL);
    assert!(press(&mut typing, "/q"));
    assert_eq!(typing.filter, "q");
    assert!(!typing.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
}
