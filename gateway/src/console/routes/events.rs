use std::{convert::Infallible, time::Duration};

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use common::http::{Problem, StatusCode};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::{
    broadcast::{self, error::RecvError},
    watch,
};

use super::App;
use crate::console::{
    Feed,
    audience::{MOST_VIEWERS, Seat},
    feed::Frame,
};

/// How long the first picture is waited for; then whatever comes next is the first.
const FIRST: Duration = Duration::from_secs(1);

/// How soon a browser connects again where the stream ended, in milliseconds.
const AGAIN: &[u8] = b"retry: 1000\n\n";

/// `GET /console/events`: a stream of server-sent events that does not end by itself. `state` carries the picture, at once
/// and whenever something is different; `receipt` what came of an experiment. 503 where too many watch.
pub(super) async fn events(app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let seat = app.audience.take_seat().ok_or_else(|| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many viewers")
            .detail(format!("{MOST_VIEWERS} watch already; GET /console/state answers once"))
            .retry_after(Duration::from_secs(5))
    })?;
    let viewer = Viewer::new(app.feed.clone(), seat);
    let first = stream::once(async { Ok(Bytes::from_static(AGAIN)) });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        // Proxies between are not to gather what comes.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(first.chain(viewer.stream())))
}

/// One who watches, for as long as the stream is read.
struct Viewer {
    feed: Feed,
    states: watch::Receiver<Option<Frame>>,
    receipts: broadcast::Receiver<Bytes>,
    has_begun: bool,
    _seat: Seat,
}

impl Viewer {
    fn new(feed: Feed, seat: Seat) -> Self {
        let (states, receipts) = (feed.states(), feed.receipts());
        Self { feed, states, receipts, has_begun: false, _seat: seat }
    }

    fn stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold(self, |mut viewer| async move {
            let feed = viewer.feed.clone();
            tokio::select! {
                biased;
                () = feed.closed() => None,
                event = viewer.next() => Some((Ok(event?), viewer)),
            }
        })
    }

    /// The next event. Who reads slowly gets the newest picture, and not those that were between.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.has_begun {
            self.has_begun = true;
            if let Some(frame) = self.feed.fresh(FIRST).await {
                self.states.mark_unchanged();
                return Some(frame.event());
            }
        }
        loop {
            tokio::select! {
                changed = self.states.changed() => {
                    changed.ok()?;
                    if let Some(frame) = &*self.states.borrow_and_update() {
                        return Some(frame.event());
                    }
                }
                receipt = self.receipts.recv() => match receipt {
                    Ok(receipt) => return Some(receipt),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::json;

    use super::*;
    use crate::console::Audience;

    fn viewer(feed: &Feed) -> Viewer {
        Viewer::new(feed.clone(), Audience::default().take_seat().expect("the first"))
    }

    #[tokio::test]
    async fn the_picture_comes_at_once_and_then_each_that_is_different() {
        let feed = Feed::default();
        feed.show(b"1");
        feed.confirm(Instant::now());
        let mut events = std::pin::pin!(viewer(&feed).stream());

        let first = events.next().await;
        feed.show(b"2");
        let second = events.next().await;
        feed.receipt(&json!({ "number": 7 }));
        let third = events.next().await;
        feed.close();

        assert_eq!(first, Some(Ok("event: state\ndata: 1\n\n".into())));
        assert_eq!(second, Some(Ok("event: state\ndata: 2\n\n".into())));
        assert_eq!(third, Some(Ok("event: receipt\ndata: {\"number\":7}\n\n".into())));
        assert_eq!(events.next().await, None);
    }

    #[tokio::test]
    async fn who_reads_slowly_gets_the_newest() {
        let feed = Feed::default();
        feed.show(b"1");
        feed.confirm(Instant::now());
        let mut events = std::pin::pin!(viewer(&feed).stream());
        events.next().await;

        feed.show(b"2");
        feed.show(b"3");

        assert_eq!(events.next().await, Some(Ok("event: state\ndata: 3\n\n".into())));
    }
}
