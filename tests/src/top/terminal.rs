//! The terminal: taken, drawn on, listened to, and given back as it was, however this ends.

use std::error::Error;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::app::{App, Page};
use super::feed;
use super::snapshot::Snapshot;
use super::view;
use crate::admin::Admin;

/// How often what only the clock changes is drawn again.
const TICK: Duration = Duration::from_millis(250);

/// News that wait to be shown; more are told when these are.
const NEWS: usize = 16;

/// Gives the terminal back. A panic gives it back by the hook that ratatui has set, before it is printed.
struct GivenBack;

impl Drop for GivenBack {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Shows the picture until a key or a signal ends it.
pub(super) async fn run(admin: Admin, first: Snapshot) -> Result<(), Box<dyn Error>> {
    let ends = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let mut ends = ends.map(signal).into_iter().collect::<io::Result<Vec<_>>>()?;
    let mut app = App::new(admin.base(), first, Instant::now());
    let (tell, mut news) = mpsc::channel(NEWS);
    let (look_at_timeline, is_looked_at) = watch::channel(false);
    spawn_local(feed::run_timeline(admin.clone(), is_looked_at, tell.clone()));
    spawn_local(feed::run(admin, tell));

    let mut terminal = ratatui::try_init().map_err(|error| format!("cannot use this terminal: {error}"))?;
    let _given_back = GivenBack;
    let mut events = events();
    loop {
        draw(&mut terminal, &mut app)?;
        tokio::select! {
            Some(news) = news.recv() => app.hear(news, Instant::now(), Timestamp::now()),
            event = events.recv() => match event {
                Some(Ok(Event::Key(key))) if !app.press(key) => return Ok(()),
                // Whatever it is, it is drawn again.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(format!("cannot read from this terminal: {error}").into()),
                None => return Ok(()),
            },
            () = sleep(TICK) => {}
            () = any(&mut ends) => return Ok(()),
        }
        let is_looked_at = app.page == Page::Timeline;
        look_at_timeline.send_if_modified(|before| std::mem::replace(before, is_looked_at) != is_looked_at);
    }
}

fn draw(terminal: &mut DefaultTerminal, app: &mut App) -> io::Result<()> {
    let now = app.now(Instant::now());
    terminal.draw(|frame| view::draw(app, now, Timestamp::now(), frame)).map(drop)
}

/// What the terminal says. The thread that reads it ends with the process.
fn events() -> mpsc::Receiver<io::Result<Event>> {
    let (tell, events) = mpsc::channel(NEWS);
    thread::spawn(move || {
        loop {
            let event = event::read();
            let is_over = event.is_err();
            if tell.blocking_send(event).is_err() || is_over {
                return;
            }
        }
    });
    events
}

/// Returns when one of the signals has come.
async fn any(signals: &mut [tokio::signal::unix::Signal]) {
    let received = signals.iter_mut().map(|signal| Box::pin(signal.recv()));
    futures_util::future::select_all(received).await;
}
