//! One direction of one connection: what is read waits its time in a queue and is written.

use std::future::pending;
use std::io::{self, ErrorKind};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::state::{Direction, Flow, State};

/// The most that is read at once.
const PIECE: usize = 16 * 1024;

/// So many pieces are on their way at most: then the sender waits, as at the end of a long cable.
const UNDER_WAY: usize = 64;

/// With a bounded bandwidth, so many writes a second.
const WRITES_PER_S: u64 = 50;

/// What travels.
struct Piece {
    due: Instant,
    what: What,
}

enum What {
    Bytes(Bytes),
    /// The sender has said all, by FIN.
    End,
    /// The sender has given up, by RST.
    Reset,
}

/// How a direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself: the other one goes on.
    Finished,
    /// The whole connection is to be reset.
    Reset,
    /// The whole connection is to be closed.
    Cut,
}

/// Carries one direction to its end.
pub(super) async fn carry(
    direction: Direction,
    from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    state: &watch::Sender<State>,
    born: &State,
) -> Ended {
    let (sender, mut pieces) = mpsc::channel(UNDER_WAY);
    let mut half_closed = state.subscribe();
    let is_half_closed = |state: &State| state.half_closes(direction) != born.half_closes(direction);
    let mut writer = Writer::new(direction, state);
    let write = async {
        tokio::select! {
            ended = writer.write(&mut pieces, &mut to) => return ended,
            _ = half_closed.wait_for(is_half_closed) => {}
        }
        // What comes now has nowhere to go; a receiver that is gone has heard of the end already.
        let _ = to.shutdown().await;
        while pieces.recv().await.is_some() {}
        Ended::Finished
    };
    tokio::pin!(write);
    tokio::select! {
        ended = &mut write => ended,
        () = read(direction, from, sender, state) => write.await,
    }
}

/// Reads until the sender ends, and gives every piece its time.
async fn read(
    direction: Direction,
    mut from: ReadHalf<'_>,
    sender: mpsc::Sender<Piece>,
    state: &watch::Sender<State>,
) {
    let mut buffer = BytesMut::new();
    let mut last_due = Instant::now();
    loop {
        buffer.reserve(PIECE);
        let what = match from.read_buf(&mut buffer).await {
            Ok(0) => What::End,
            Ok(_) => What::Bytes(buffer.split().freeze()),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => What::Reset,
        };
        let is_last = !matches!(what, What::Bytes(_));
        // Jitter lets nothing overtake: TCP keeps the order.
        last_due = last_due.max(Instant::now() + delay(direction, state));
        if sender.send(Piece { due: last_due, what }).await.is_err() || is_last {
            return;
        }
    }
}

fn delay(direction: Direction, state: &watch::Sender<State>) -> Duration {
    let (latency, jitter) = {
        let state = state.borrow();
        let way = state.way(direction);
        (way.latency, way.jitter)
    };
    match jitter.is_zero() {
        true => latency,
        false => latency + jitter.mul_f64(fastrand::f64()),
    }
}

struct Writer<'a> {
    direction: Direction,
    state: &'a watch::Sender<State>,
    watch: watch::Receiver<State>,
    /// Bytes were lost here. A stream with a hole is none, so nothing follows it, not even when the fault is over.
    has_hole: bool,
    /// When the bandwidth has room for the next byte.
    free_at: Instant,
}

impl<'a> Writer<'a> {
    fn new(direction: Direction, state: &'a watch::Sender<State>) -> Self {
        let watch = state.subscribe();
        Self { direction, state, watch, has_hole: false, free_at: Instant::now() }
    }

    async fn write(&mut self, pieces: &mut mpsc::Receiver<Piece>, to: &mut WriteHalf<'_>) -> Ended {
        while let Some(Piece { due, what }) = pieces.recv().await {
            sleep_until(due).await;
            self.has_hole |= self.passage().await == Flow::Lost;
            match what {
                What::Bytes(_) if self.has_hole => {}
                What::End | What::Reset if self.has_hole => return Ended::Finished,
                What::Bytes(bytes) => match self.write_bytes(bytes, to).await {
                    Ok(None) => {}
                    Ok(Some(ended)) => return ended,
                    // Whoever does not read any more has said so in the other direction.
                    Err(_) => return Ended::Finished,
                },
                What::End => {
                    let _ = to.shutdown().await;
                    return Ended::Finished;
                }
                What::Reset => return Ended::Reset,
            }
        }
        Ended::Finished
    }

    /// Waits until nothing is held.
    async fn passage(&mut self) -> Flow {
        let direction = self.direction;
        let passage = self.watch.wait_for(|state| state.way(direction).flow != Flow::Held).await;
        let flow = passage.map(|state| state.way(direction).flow);
        match flow {
            Ok(flow) => flow,
            // The proxy is gone, and with it this connection at once.
            Err(_) => pending().await,
        }
    }

    async fn write_bytes(&mut self, mut bytes: Bytes, to: &mut WriteHalf<'_>) -> io::Result<Option<Ended>> {
        while !bytes.is_empty() {
            let bytes_per_s = self.state.borrow().way(self.direction).bytes_per_s;
            let size = bytes_per_s.map_or(bytes.len() as u64, |rate| (rate / WRITES_PER_S).max(1));
            let mut slice = bytes.split_to(bytes.len().min(size as usize));
            if let Some(rate) = bytes_per_s {
                sleep_until(self.free_at).await;
                let takes = Duration::from_secs_f64(slice.len() as f64 / rate as f64);
                self.free_at = self.free_at.max(Instant::now()) + takes;
            }

            let mut cut = None;
            self.state.send_if_modified(|state| {
                cut = state.spend(self.direction, slice.len());
                // Nobody waits for this.
                false
            });
            if let Some(pass) = cut {
                to.write_all(&slice.split_to(pass)).await?;
                return Ok(Some(Ended::Cut));
            }
            to.write_all(&slice).await?;
        }
        Ok(None)
    }
}
