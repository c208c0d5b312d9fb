//! The thread that sends spans to the collector.

use std::{
    io,
    sync::{Mutex, PoisonError, mpsc as std_mpsc},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};

use super::{SpanRecord, SpansConfig, otlp};
use crate::{
    backoff::Backoff,
    http::{Client, ClientConfig},
    telemetry::{
        metrics::{Counter, Registry},
        trace::Origin,
    },
};

/// Most spans in one request.
const BATCH: usize = 512;

/// Waits while the collector is away.
const AGAIN: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// How long the last spans may take at the end of the process.
const FINISH: Duration = Duration::from_secs(2);

/// Where ended spans go.
pub(super) struct Exporter {
    queue: mpsc::Sender<SpanRecord>,
    counts: Counts,
    ending: watch::Sender<bool>,
    /// Says that the thread has ended.
    ended: Mutex<std_mpsc::Receiver<()>>,
}

#[derive(Clone, Default)]
struct Counts {
    exported: Counter,
    dropped: Counter,
}

impl Exporter {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn start(config: SpansConfig) -> io::Result<Self> {
        let (queue, waiting) = mpsc::channel(config.queue);
        let (ending, asked_to_end) = watch::channel(false);
        let (end, ended) = std_mpsc::channel();
        let counts = Counts::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let counted = counts.clone();
        std::thread::Builder::new().name("span-export".to_owned()).spawn(move || {
            // Dropped when this ends, whatever ends it.
            let _end: std_mpsc::Sender<()> = end;
            runtime.block_on(async {
                let client = Client::new(ClientConfig::default());
                let collector =
                    Collector { client, config, counts: counted, ending: asked_to_end, away: false };
                collector.run(waiting).await;
            });
        })?;
        Ok(Self { queue, counts, ending, ended: Mutex::new(ended) })
    }

    /// Takes a span, or counts it as dropped where there is no place.
    pub(super) fn offer(&self, record: SpanRecord) {
        if self.queue.try_send(record).is_err() {
            self.counts.dropped.inc();
        }
    }

    /// Sends what waits; returns when that is done, or after [`FINISH`].
    pub(super) fn finish(&self) {
        self.ending.send_replace(true);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // It ends by the sender's drop, or it is late.
        let _ = ended.recv_timeout(FINISH);
    }

    pub(super) fn register(&self, service: &str, registry: &mut Registry) {
        let Counts { exported, dropped } = self.counts.clone();
        registry.register(
            format!("{service}_spans_exported"),
            "Spans that the collector has taken",
            exported,
        );
        registry.register(
            format!("{service}_spans_dropped"),
            "Spans that found no place or no collector",
            dropped,
        );
    }
}

/// Who takes the spans.
struct Collector {
    client: Client,
    config: SpansConfig,
    counts: Counts,
    ending: watch::Receiver<bool>,
    /// Whether it was said that it does not take them.
    away: bool,
}

/// Why spans were not taken.
enum NotTaken {
    /// Another time they may be.
    Now(String),
    /// They never will be.
    Ever(String),
}

impl Collector {
    async fn run(mut self, mut waiting: mpsc::Receiver<SpanRecord>) {
        let mut batch = Vec::new();
        loop {
            let more = self.gather(&mut waiting, &mut batch).await;
            if !batch.is_empty() {
                self.deliver(&batch).await;
                batch.clear();
            } else if !more {
                return;
            }
        }
    }

    /// Waits until a batch is full or old enough; returns false where the process is about to end.
    async fn gather(
        &mut self,
        waiting: &mut mpsc::Receiver<SpanRecord>,
        batch: &mut Vec<SpanRecord>,
    ) -> bool {
        let mut due = None;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            tokio::select! {
                biased;
                taken = waiting.recv_many(batch, room) => {
                    if taken == 0 {
                        return false;
                    }
                    due.get_or_insert_with(|| Instant::now() + self.config.linger);
                }
                () = at(due) => return true,
                _ = self.ending.wait_for(|ending| *ending) => return false,
            }
        }
        true
    }

    /// Sends a batch until it is taken, or never will be.
    async fn deliver(&mut self, batch: &[SpanRecord]) {
        let count = batch.len() as u64;
        let body = match otlp::encode(&self.config.resource, batch) {
            Ok(body) => body,
            Err(error) => return self.give_up(count, &error.to_string()),
        };
        for attempt in 0.. {
            match self.send(body.clone()).await {
                Ok(()) => {
                    self.counts.exported.inc_by(count);
                    if std::mem::take(&mut self.away) {
                        log::info!("event=spans_exported_again dropped={}", self.counts.dropped.get());
                    }
                    return;
                }
                Err(NotTaken::Ever(why)) => return self.give_up(count, &why),
                Err(NotTaken::Now(why)) => {
                    if *self.ending.borrow() {
                        return self.give_up(count, &why);
                    }
                    self.say_away(&why);
                    tokio::select! {
                        // Half of it is certain, or chance could have it asked without a rest.
                        () = sleep(AGAIN.delay(attempt, 0.5 + fastrand::f64() / 2.0)) => {}
                        _ = self.ending.wait_for(|ending| *ending) => {}
                    }
                }
            }
        }
    }

    async fn send(&self, body: Bytes) -> Result<(), NotTaken> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() =
            self.config.url.parse().map_err(|error| NotTaken::Ever(format!("not a URL: {error}")))?;
        *request.headers_mut() = self.config.headers.clone();
        let answer = self.client.send(request, &Origin::unrecorded(), self.config.timeout).await;
        let answer = answer.map_err(|error| NotTaken::Now(error.to_string()))?;
        match answer.status.as_u16() {
            200..=299 => Ok(()),
            // These are the protocol's "try again".
            status @ (429 | 502 | 503 | 504) => Err(NotTaken::Now(format!("it answers {status}"))),
            status => Err(NotTaken::Ever(format!("it answers {status}"))),
        }
    }

    fn give_up(&mut self, count: u64, why: &str) {
        self.counts.dropped.inc_by(count);
        self.say_away(why);
    }

    /// Logged once, until it works again.
    fn say_away(&mut self, why: &str) {
        if !std::mem::replace(&mut self.away, true) {
            log::warn!("event=spans_not_exported collector={:?} error={why:?}", self.config.url);
        }
    }
}

/// Waits until then, or for ever.
async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
