use std::{
    future::poll_fn,
    io,
    net::IpAddr,
    rc::Rc,
    task::{Poll, ready},
    time::{Duration, Instant, SystemTime},
};

use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{
    alarm::{Alarm, Overdue},
    date::Clock,
    decide::{Asked, Decision, Scratch, decide, unreadable},
    exchange::SMALL_BODY,
    origin::Origin,
    own::{OwnAnswer, OwnRecipient},
    refusal::{self, Refusal},
    spans,
    uploads::UploadPlace,
    wire::{Buffer, poll_write_all},
    worker::{Front, Worker},
};
use crate::http1::{BodyLength, HeadFault, HeadScan, Method};

/// How long a connection is kept without a request while there are so many that few places are left.
const CROWDED_KEEP_ALIVE: Duration = Duration::from_secs(2);

/// How long, and for how many bytes, a client that was refused may go on sending. Were it cut off at once, the
/// kernel would take back what it has not read yet of the answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// One connection of a client.
pub struct Session {
    pub(super) worker: Rc<Worker>,
    pub(super) stream: TcpStream,
    pub(super) peer: Peer,
    /// The time, as of the last event for which the clock was asked; it is asked as rarely as can be.
    pub(super) now: Instant,
    pub(super) buffer: Buffer,
    pub(super) alarm: Alarm,
    pub(super) scratch: Scratch,
    /// The place of a body that is passed on as it comes, until it is here.
    pub(super) uploading: Option<UploadPlace>,
}

/// The other end of a connection.
#[derive(Debug)]
pub struct Peer {
    pub address: IpAddr,
    /// The address as text, for every request has it.
    pub text: String,
}

/// What becomes of a connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    Continue,
    /// It ends.
    Close,
    /// It breaks off, so that nobody takes what came for the whole.
    Cut,
}

/// Why an exchange ends without a whole answer.
pub enum Stop {
    /// No byte of an answer has been written: the gateway answers this.
    Refused(Refusal),
    /// The answer breaks off.
    Cut(&'static str),
    /// The answer breaks off, and the service is to blame.
    Broken(&'static str),
    /// The client has gone.
    Gone,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What came over a connection that waits for a request.
enum Came {
    /// A head of so many bytes.
    Head(usize),
    /// Nothing, and nothing is to be expected.
    Nothing,
    /// Something that is no head.
    Fault(Refusal),
}

impl Session {
    /// Serves one request after the other, until the client or the gateway has had enough.
    pub async fn serve(stream: TcpStream, peer: IpAddr, worker: Rc<Worker>) {
        let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        let _registered = worker.register(waker);
        let now = Instant::now();
        let alarm = Alarm::at(now + worker.held().front.settings.deadlines.client_head);
        let peer = Peer { address: peer, text: peer.to_canonical().to_string() };
        let (buffer, scratch) = (Buffer::default(), Scratch::default());
        let mut session = Self { worker, stream, peer, now, buffer, alarm, scratch, uploading: None };
        let flow = session.run().await;
        session.buffer.consume(usize::MAX);
        session.buffer.rest(&session.worker.spares);
        match flow {
            Flow::Close => session.linger().await,
            Flow::Cut => {
                // A client that reads until the end of the connection must not take this for the end.
                let _ = socket2::SockRef::from(&session.stream).set_linger(Some(Duration::ZERO));
            }
            Flow::Continue => {}
        }
    }

    async fn run(&mut self) -> Flow {
        let mut first = true;
        loop {
            let held = self.worker.held();
            let flow = match self.next_head(&held.front, first).await {
                Came::Head(length) => self.exchange(length).await,
                // Nobody waits for anything.
                Came::Nothing => return Flow::Continue,
                Came::Fault(refusal) => {
                    let asked = unreadable(held, self.now, SystemTime::now(), &mut self.scratch);
                    self.refuse(&asked, refusal).await
                }
            };
            if flow != Flow::Continue {
                return flow;
            }
            first = false;
        }
    }

    /// Waits for the head of the next request.
    async fn next_head(&mut self, front: &Front, first: bool) -> Came {
        let (limits, deadlines) = (&front.settings.limits, &front.settings.deadlines);
        let mut scan = HeadScan::default();
        if self.buffer.is_empty() {
            self.buffer.rest(&self.worker.spares);
            self.scratch.rest();
            let connections = self.worker.shared.connections.load(std::sync::atomic::Ordering::Relaxed);
            let keep_alive = match first {
                true => deadlines.client_head,
                false if connections > limits.connections / 4 * 3 => CROWDED_KEEP_ALIVE,
                false => deadlines.keep_alive,
            };
            let (stream, worker) = (&self.stream, &self.worker);
            let readable =
                self.alarm.until(self.now + keep_alive, |context| match stream.poll_read_ready(context) {
                    Poll::Pending if worker.is_closing() => Poll::Ready(false),
                    polled => polled.map(|outcome| outcome.is_ok()),
                });
            if readable.await != Ok(true) {
                return Came::Nothing;
            }
            self.buffer.wake(&self.worker.spares);
        }
        self.now = Instant::now();
        let due = self.now + deadlines.client_head;
        loop {
            while self.buffer.bytes().starts_with(b"\r\n") && scan.is_at_start() {
                // RFC 9112 section 2.2: an empty line before the first is to be ignored.
                self.buffer.consume(2);
            }
            if self.buffer.bytes().first().is_some_and(|byte| !byte.is_ascii_alphabetic() && *byte != b'\r') {
                return Came::Fault(refusal::head(HeadFault::Malformed));
            }
            let scanned = match self.buffer.bytes() {
                // The half of an empty line.
                b"\r" => Ok(None),
                bytes => scan.end(bytes),
            };
            match scanned {
                Ok(Some(length)) if length > limits.head_bytes => {
                    return Came::Fault(refusal::head(HeadFault::TooLong));
                }
                Ok(Some(length)) => return Came::Head(length),
                Ok(None) if self.buffer.len() >= limits.head_bytes => {
                    return Came::Fault(refusal::head(HeadFault::TooLong));
                }
                Ok(None) => {}
                Err(fault) => return Came::Fault(refusal::head(fault)),
            }
            if !self.buffer.has_room() {
                // It is full, or what is left of a head stands at its end; either is less than the longest head.
                self.buffer.make_room((self.buffer.len() * 2).max(super::wire::HEAD_ROOM));
            }
            let (stream, buffer) = (&mut self.stream, &mut self.buffer);
            match self.alarm.until(due, |context| buffer.poll_fill(stream, context)).await {
                Ok(Ok(0) | Err(_)) => return Came::Nothing,
                Ok(Ok(_)) => {}
                Err(Overdue) => return Came::Fault(refusal::slow_head()),
            }
        }
    }

    async fn exchange(&mut self, head: usize) -> Flow {
        let worker = self.worker.clone();
        worker.shared.drain.request();
        // Those that hold now: a connection may have waited long for this request.
        let held = worker.held();
        self.uploading = None;
        let _in_progress = InProgress::begin(&worker);
        let (asked, decision) =
            decide(&self.buffer.bytes()[..head], &self.peer, &worker, held, self.now, &mut self.scratch);
        let path = spans::path(&asked, &self.buffer.bytes()[..head]);
        self.buffer.consume(head);
        let flow = match decision {
            Ok(Decision::Forward(plan)) => match self.forward(&worker, &asked, &plan).await {
                Ok(flow) => flow,
                Err(Stop::Refused(refusal)) => self.refuse(&asked, refusal).await,
                Err(Stop::Cut(cause) | Stop::Broken(cause)) => {
                    worker.shared.metrics.cut.inc();
                    log::warn!(
                        "event=answer_cut request_id={} trace_id={} cause={cause:?}",
                        asked.origin.id(),
                        asked.origin.trace.trace_id(),
                    );
                    Flow::Cut
                }
                Err(Stop::Gone) => {
                    worker.shared.metrics.abandoned.inc();
                    worker.counts.abandoned.set(worker.counts.abandoned.get() + 1);
                    Flow::Cut
                }
            },
            Ok(Decision::Own(own)) => {
                let keep_alive = self.skip_body(&asked);
                self.answer(&asked, &own, keep_alive).await
            }
            Err(refusal) => self.refuse(&asked, refusal).await,
        };
        spans::keep_request(&asked, path, &self.peer, flow);
        flow
    }

    /// Answers with a problem, counted and logged.
    async fn refuse(&mut self, asked: &Asked, refusal: Refusal) -> Flow {
        let worker = &self.worker;
        worker.shared.metrics.refuse(&asked.label(), refusal.reason);
        worker.counts.refused.set(worker.counts.refused.get() + 1);
        if refusal.reason == "gone" {
            return Flow::Cut;
        }
        let own = OwnAnswer::problem(refusal.problem.rendered(Some(asked.origin.id())));
        let keep_alive = self.skip_body(asked) && !matches!(own.status(), 408 | 413 | 431);
        self.answer(asked, &own, keep_alive).await
    }

    /// Whether the connection can go on: it does if what is left of the request's body is here, and is skipped.
    fn skip_body(&mut self, asked: &Asked) -> bool {
        match asked.length {
            BodyLength::None => {}
            // What is larger was passed on as it came, if at all, and is not here any more.
            BodyLength::Known(length) if length <= SMALL_BODY.min(self.buffer.len() as u64) => {
                self.buffer.consume(usize::try_from(length).unwrap_or(usize::MAX));
            }
            BodyLength::Known(_) | BodyLength::Chunked => return false,
        }
        asked.keep_alive && !self.worker.shared.drain.is_draining()
    }

    /// Writes an answer of the gateway's own.
    async fn answer(&mut self, asked: &Asked, own: &OwnAnswer, keep_alive: bool) -> Flow {
        self.now = Instant::now();
        self.worker.note(asked, own.status(), self.now);
        let Scratch { added, out, .. } = &mut self.scratch;
        out.clear();
        self.worker.clock.with(SystemTime::now(), |date| {
            let is_head = asked.method == Method::Head;
            own.write(OwnRecipient { old: asked.old, is_head, keep_alive, added, date }, out);
        });
        let due = self.now + asked.front().settings.deadlines.whole;
        let (stream, mut written) = (&mut self.stream, 0);
        let wrote = self.alarm.until(due, |context| poll_write_all(stream, out, &mut written, context)).await;
        match wrote {
            Ok(Ok(())) if keep_alive => Flow::Continue,
            Ok(Ok(())) => Flow::Close,
            _ => Flow::Cut,
        }
    }

    /// Ends the connection so that the client gets all that was written.
    async fn linger(&mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        self.buffer.wake(&self.worker.spares);
        let (stream, buffer, mut left) = (&mut self.stream, &mut self.buffer, LINGER_BYTES);
        let ended = self.alarm.until(Instant::now() + LINGER, |context| {
            while left > 0 {
                match ready!(buffer.poll_fill(stream, context)) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => left = left.saturating_sub(count),
                }
                buffer.consume(usize::MAX);
            }
            Poll::Ready(io::Result::Ok(()))
        });
        // Whoever still sends after that is cut off.
        let _ = ended.await;
        buffer.rest(&self.worker.spares);
    }
}

/// What a client with too many connections is told, instead of being served.
pub fn too_many_connections() -> Vec<u8> {
    let now = SystemTime::now();
    let origin = Origin::accept_or_make(None, None, now);
    let (mut added, mut out) = (Vec::new(), Vec::new());
    origin.write_to(&mut added);
    let own = OwnAnswer::problem(refusal::connections().problem.rendered(Some(origin.id())));
    Clock::default().with(now, |date| {
        own.write(
            OwnRecipient { old: false, is_head: false, keep_alive: false, added: &added, date },
            &mut out,
        );
    });
    out
}

/// Counts a request as long as it is in progress.
struct InProgress<'a>(&'a Worker);

impl<'a> InProgress<'a> {
    fn begin(worker: &'a Worker) -> Self {
        worker.counts.in_progress.set(worker.counts.in_progress.get() + 1);
        Self(worker)
    }
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.0.counts.in_progress.set(self.0.counts.in_progress.get() - 1);
    }
}
