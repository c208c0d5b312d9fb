//! What everybody who watches gets: the same bytes, encoded once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{broadcast, watch};

/// How old a picture may be for somebody who asks once.
const FRESH: Duration = Duration::from_secs(1);

/// How many receipts a slow viewer may miss; it finds them all in `/experiments`.
const RECEIPTS: usize = 16;

/// The pictures and receipts on their way to the viewers. Clones share them.
#[derive(Clone, Debug)]
pub struct Feed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: watch::Sender<Option<Frame>>,
    /// When the services were asked last.
    asked: watch::Sender<Option<Instant>>,
    receipts: broadcast::Sender<Bytes>,
    closed: watch::Sender<bool>,
}

/// A picture as JSON, and as an event of a stream. Both are the same bytes.
#[derive(Clone, Debug)]
pub struct Frame {
    event: Bytes,
    json: std::ops::Range<usize>,
}

impl Frame {
    fn new(json: &[u8]) -> Self {
        let event = event("state", json);
        // In front of the two ends of lines.
        let end = event.len() - 2;
        Self { event, json: end - json.len()..end }
    }

    /// The event of a stream.
    pub fn event(&self) -> Bytes {
        self.event.clone()
    }

    /// The JSON.
    pub fn json(&self) -> Bytes {
        self.event.slice(self.json.clone())
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self(Arc::new(Shared {
            state: watch::Sender::default(),
            asked: watch::Sender::default(),
            receipts: broadcast::Sender::new(RECEIPTS),
            closed: watch::Sender::default(),
        }))
    }
}

impl Feed {
    /// Shows another picture to everybody.
    pub fn show(&self, json: &[u8]) {
        self.0.state.send_replace(Some(Frame::new(json)));
    }

    /// Notes that the picture is as true as at `now`.
    pub fn confirm(&self, now: Instant) {
        self.0.asked.send_replace(Some(now));
    }

    /// The picture, once it is no older than a second; `None` where there is none within `deadline`.
    pub async fn fresh(&self, deadline: Duration) -> Option<Frame> {
        let now = Instant::now();
        let mut asked = self.0.asked.subscribe();
        let is_fresh = |at: &Option<Instant>| at.is_some_and(|at| now < at + FRESH);
        // The sender lives in `self`.
        tokio::time::timeout(deadline, asked.wait_for(is_fresh)).await.ok()?.ok()?;
        self.0.state.borrow().clone()
    }

    /// Follows the pictures from now on.
    pub fn states(&self) -> watch::Receiver<Option<Frame>> {
        self.0.state.subscribe()
    }

    /// Follows the receipts from now on; each is an event of a stream.
    pub fn receipts(&self) -> broadcast::Receiver<Bytes> {
        self.0.receipts.subscribe()
    }

    /// Shows everybody the receipt of an experiment.
    pub fn receipt(&self, receipt: &impl Serialize) {
        match serde_json::to_vec(receipt) {
            // Nobody watches where it fails.
            Ok(json) => drop(self.0.receipts.send(event("receipt", &json))),
            Err(error) => log::error!("event=receipt_not_encoded error={:?}", error.to_string()),
        }
    }

    /// Ends every stream, because the gateway stops.
    pub fn close(&self) {
        self.0.closed.send_replace(true);
    }

    /// Waits until the gateway stops.
    pub async fn closed(&self) {
        let mut closed = self.0.closed.subscribe();
        // The sender lives in `self`.
        let _ = closed.wait_for(|closed| *closed).await;
    }
}

/// An event as a stream carries it; JSON has no line ends of its own.
fn event(name: &str, json: &[u8]) -> Bytes {
    let mut event = Vec::with_capacity(json.len() + 32);
    event.extend_from_slice(b"event: ");
    event.extend_from_slice(name.as_bytes());
    event.extend_from_slice(b"\ndata: ");
    event.extend_from_slice(json);
    event.extend_from_slice(b"\n\n");
    event.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_encoded_once_for_streams_and_for_those_who_ask() {
        let frame = Frame::new(br#"{"at":1}"#);

        assert_eq!(frame.event(), "event: state\ndata: {\"at\":1}\n\n");
        assert_eq!(frame.json(), r#"{"at":1}"#);
    }

    #[tokio::test]
    async fn whoever_asks_once_gets_no_old_picture() {
        let feed = Feed::default();
        feed.show(b"{}");
        feed.confirm(Instant::now() - 2 * FRESH);

        assert!(feed.fresh(Duration::from_millis(20)).await.is_none());
        feed.confirm(Instant::now());
        assert_eq!(feed.fresh(Duration::from_secs(10)).await.expect("a picture").json(), "{}");
    }
}
