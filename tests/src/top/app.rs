//! What `warren top` knows and shows, and what a key does to it. Pure.

use std::time::Instant;

use jiff::Timestamp;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::incident::Timeline;
use super::snapshot::{Receipt, Snapshot};
use crate::plain::Plain;

/// How far a page key goes.
const PAGE: usize = 10;

/// A filter is no longer, in characters.
const FILTER: usize = 60;

/// News of the system.
#[derive(Debug)]
pub(super) enum News {
    State(Box<Snapshot>),
    Timeline(Timeline),
    Receipt(Receipt),
    /// The gateway does not answer, and why.
    Away(Plain),
}

/// What fills the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Page {
    #[default]
    Picture,
    Timeline,
}

/// Since when and why the gateway does not answer.
#[derive(Clone, Debug)]
pub(super) struct Away {
    pub since: Timestamp,
    pub why: Plain,
}

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct App {
    /// Whose picture it is.
    pub admin: Plain,
    pub snapshot: Snapshot,
    /// When that came, by the clock of this machine.
    heard: Instant,
    pub away: Option<Away>,
    pub timeline: Option<Timeline>,
    pub receipt: Option<Receipt>,
    pub page: Page,
    /// By how many lines each page is scrolled.
    scrolled: [usize; 2],
    pub filter: String,
    pub is_typing: bool,
    pub is_helping: bool,
}

impl App {
    pub fn new(admin: &str, snapshot: Snapshot, now: Instant) -> Self {
        Self {
            admin: Plain::new(admin),
            snapshot,
            heard: now,
            away: None,
            timeline: None,
            receipt: None,
            page: Page::default(),
            scrolled: [0, 0],
            filter: String::new(),
            is_typing: false,
            is_helping: false,
        }
    }

    /// The gateway's time, by which everything is told: its clock may be another than ours.
    pub fn now(&self, now: Instant) -> Timestamp {
        let told = self.snapshot.now();
        told.checked_add(now.saturating_duration_since(self.heard)).unwrap_or(told)
    }

    /// By how many lines the page that is shown is scrolled.
    pub fn scrolled(&mut self) -> &mut usize {
        &mut self.scrolled[self.page as usize]
    }

    /// Takes news in, which came at `now`.
    pub fn hear(&mut self, news: News, now: Instant, clock: Timestamp) {
        match news {
            News::State(snapshot) => {
                (self.snapshot, self.heard, self.away) = (*snapshot, now, None);
            }
            News::Timeline(timeline) => self.timeline = Some(timeline),
            News::Receipt(receipt) => self.receipt = Some(receipt),
            News::Away(why) => {
                let since = self.away.as_ref().map_or(clock, |away| away.since);
                self.away = Some(Away { since, why });
            }
        }
    }

    /// Does what a key says; returns whether to go on.
    pub fn press(&mut self, key: KeyEvent) -> bool {
        if key.kind == KeyEventKind::Release {
            return true;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return !matches!(key.code, KeyCode::Char('c'));
        }
        if self.is_typing {
            self.type_filter(key.code);
            return true;
        }
        let scrolled = *self.scrolled();
        match key.code {
            KeyCode::Char('q') => return false,
            KeyCode::Char('?') => self.is_helping = !self.is_helping,
            _ if self.is_helping => self.is_helping = false,
            KeyCode::Char('1') => self.page = Page::Picture,
            KeyCode::Char('2') => self.page = Page::Timeline,
            KeyCode::Tab | KeyCode::BackTab => {
                self.page = if self.page == Page::Picture { Page::Timeline } else { Page::Picture };
            }
            KeyCode::Char('/') => (self.page, self.is_typing) = (Page::Timeline, true),
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Down => *self.scrolled() = scrolled.saturating_add(1),
            KeyCode::Up => *self.scrolled() = scrolled.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => *self.scrolled() = scrolled.saturating_add(PAGE),
            KeyCode::PageUp => *self.scrolled() = scrolled.saturating_sub(PAGE),
            KeyCode::Home => *self.scrolled() = 0,
            // What is drawn knows where the end is.
            KeyCode::End => *self.scrolled() = usize::MAX,
            _ => {}
        }
        true
    }

    fn type_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char(character) if self.filter.chars().count() < FILTER => {
                self.filter.push_str(&Plain::new(character.encode_utf8(&mut [0; 4])));
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.filter.clear();
                self.is_typing = false;
            }
            _ => return,
        }
        self.scrolled[Page::Timeline as usize] = 0;
    }
}
