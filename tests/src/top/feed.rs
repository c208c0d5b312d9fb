//! Hears the news: from the stream of events, or by asking where none comes through.

use std::time::Duration;

use http_body_util::BodyExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::app::News;
use super::sse::{Event, Parser};
use super::{EVENTS, STATE, TIMELINE};
use crate::admin::{self, Admin, AdminError};
use crate::plain::Plain;

/// Between two questions, and before the stream is opened again.
const PAUSE: Duration = Duration::from_secs(1);

/// The gateway says something at least every 5 s; a stream that is silent for longer is a broken one.
const SILENCE: Duration = Duration::from_secs(11);

/// How soon a stream has its first event, which the gateway sends at once: something between may keep all of them back.
const FIRST: Duration = Duration::from_secs(3);

/// How long one asks before one tries a stream again that does not come through.
const ANOTHER_STREAM: Duration = Duration::from_secs(30);

/// Tells what the gateway says, until nobody listens any more.
pub(super) async fn run(admin: Admin, tell: mpsc::Sender<News>) {
    let mut stream_again = Instant::now();
    loop {
        if Instant::now() >= stream_again && !hear(&admin, &tell).await {
            stream_again = Instant::now() + ANOTHER_STREAM;
        }
        let news = match admin.get(STATE).await {
            Ok(snapshot) => News::State(Box::new(snapshot)),
            Err(why) => {
                // What comes back comes with its stream.
                stream_again = Instant::now();
                News::Away(short(&why.error))
            }
        };
        if tell.send(news).await.is_err() {
            return;
        }
        sleep(PAUSE).await;
    }
}

/// Hears the stream until it ends; returns whether it told anything, or could not have because nobody was there.
async fn hear(admin: &Admin, tell: &mpsc::Sender<News>) -> bool {
    let mut body = match admin.open(EVENTS).await {
        Ok(answer) => answer.into_body(),
        Err(why) => return matches!(why.error, AdminError::Away(_)),
    };
    let (mut parser, mut patience, mut has_told) = (Parser::default(), FIRST, false);
    while let Ok(Some(Ok(frame))) = timeout(patience, body.frame()).await {
        let Some(Ok(events)) = frame.data_ref().map(|bytes| parser.push(bytes)) else { break };
        for news in events.iter().filter_map(read) {
            if tell.send(news).await.is_err() {
                return true;
            }
            (patience, has_told) = (SILENCE, true);
        }
    }
    has_told
}

fn read(event: &Event) -> Option<News> {
    match event.name.as_str() {
        "state" => serde_json::from_str(&event.data).ok().map(News::State),
        "receipt" => serde_json::from_str(&event.data).ok().map(News::Receipt),
        _ => None,
    }
}

/// Tells what happened once a second, while somebody looks at it.
pub(super) async fn run_timeline(
    admin: Admin,
    mut is_looked_at: watch::Receiver<bool>,
    tell: mpsc::Sender<News>,
) {
    while is_looked_at.wait_for(|is_looked_at| *is_looked_at).await.is_ok() {
        if let Ok(timeline) = admin.get(TIMELINE).await
            && tell.send(News::Timeline(timeline)).await.is_err()
        {
            return;
        }
        sleep(PAUSE).await;
    }
}

/// In the few words that a line has room for.
fn short(error: &AdminError) -> Plain {
    Plain::new(&match error {
        AdminError::Away(error) => admin::in_short(error),
        AdminError::Locked { .. } => "it wants another token".into(),
        AdminError::Problem(problem) => format!("it says: {}", &*problem.error),
        AdminError::Status(status) => format!("it answers {status}"),
        AdminError::Strange(why) => format!("it answers something else than its state: {why}"),
    })
}
