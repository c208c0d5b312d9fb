use std::{mem::MaybeUninit, rc::Rc, time::Instant};

use common::telemetry::trace::TraceContext;

use super::{
    alarm::Overdue,
    answer::{self, Ending, Recipient},
    body::{BodyFault, Rechunk, Rest, Upload},
    conversation::{Ends, NoHead},
    decide::{Asked, Plan, Scratch},
    download::Download,
    lines::{Line, Lines, NoLine},
    refusal::{self, Refusal},
    request,
    session::{Flow, Session, Stop},
    spans, tunnel,
    wire::poll_write_all,
    worker::{Slot, Worker},
};
use crate::{
    http1::{BodyLength, MOST_FIELDS, Method, ResponseHead},
    routing::Route,
    upstream::{Choice, EndpointFailure},
};

/// A body up to this size is awaited before a service is asked: so a slow client costs the service nothing, and the
/// request can be repeated.
pub(super) const SMALL_BODY: u64 = 64 * 1024;

/// One client may have this part of all places for bodies that are awaited.
const UPLOADS_SHARE: usize = 4;

/// How many answers may come before the final one.
const MOST_EARLY: u32 = 16;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// One try to get an answer.
struct Try<'a> {
    asked: &'a Asked,
    plan: &'a Plan,
    route: &'a Route,
    choice: &'a Choice,
    lines: &'a Lines,
    /// How many bytes at the front of the client's buffer are the body; `None` where it is passed on as it comes.
    body: Option<usize>,
    end: Instant,
    /// Whether another endpoint may be asked if this one fails.
    may_repeat: bool,
    /// Whether an earlier try was sent, so that it is unknown whether the service has acted on it.
    unknown: bool,
}

/// Why a try came to nothing.
struct Failed {
    why: EndpointFailure,
    /// Whether the service may have seen the request.
    sent: bool,
    /// Whether the connection had been used before, and ended before it said anything: the service closed it just
    /// when the request was written, or it died.
    stale: bool,
    /// Whether a second try has been taken out of the budget already.
    retry_taken: bool,
    /// Whether the endpoint has been judged already.
    judged: bool,
    cause: String,
}

enum Outcome {
    Answered(Flow),
    Failed(Failed),
}

impl Session {
    /// Passes a request on, to a second endpoint if the first one fails and nothing speaks against it.
    pub(super) async fn forward(
        &mut self,
        worker: &Rc<Worker>,
        asked: &Asked,
        plan: &Plan,
    ) -> Result<Flow, Stop> {
        let settings = &asked.front().settings;
        let route = asked.front().table.route(plan.route);
        let end = asked.started + settings.deadlines.whole;
        let lines = worker.lines().ok_or_else(refusal::restarting)?;
        let most = settings.limits.uploads_waiting;
        let trusted = settings.trusted.contain(self.peer.address);
        let uploads = |peer| {
            // Behind a proxy there are many clients.
            let of_one = if trusted { most } else { most.div_ceil(UPLOADS_SHARE) };
            let place = worker.shared.uploads.take(peer, most, of_one);
            place.ok_or_else(|| refusal::busy("uploads"))
        };
        let body = match asked.length {
            BodyLength::None => Some(0),
            BodyLength::Known(length) if length <= SMALL_BODY => {
                let length = length as usize;
                if self.buffer.len() < length {
                    let _waiting = uploads(self.peer.address)?;
                    self.await_body(asked, length, end).await?;
                }
                Some(length)
            }
            BodyLength::Known(_) | BodyLength::Chunked => {
                self.uploading = Some(uploads(self.peer.address)?);
                self.go_on(asked, end).await?;
                None
            }
        };
        let _in_flight = Slot::take(&worker.shared.in_flight, settings.limits.in_flight)
            .ok_or_else(|| refusal::busy("in_flight"))?;
        let _admitted = route.upstream.admit().ok_or_else(|| refusal::busy("upstream_in_flight"))?;

        let mut avoid = None;
        let mut failed: Option<Failed> = None;
        let mut unknown = false;
        let mut tries = 0;
        loop {
            let choice = match route.upstream.choose(avoid, self.now) {
                Ok(choice) => choice,
                Err(why) => {
                    return Err(match failed {
                        Some(failed) => self.given_up(asked, route, &failed, unknown),
                        None => refusal::unavailable(route.upstream.name(), &why),
                    }
                    .into());
                }
            };
            let again = failed.as_ref().is_some_and(|failed| failed.stale);
            if let Some(failed) = failed.take()
                && avoid == Some(choice.endpoint().id())
                && !again
            {
                // There is no other endpoint.
                return Err(self.given_up(asked, route, &failed, unknown).into());
            }
            let try_ = Try {
                asked,
                plan,
                route,
                choice: &choice,
                lines: &lines,
                body,
                end,
                may_repeat: avoid.is_none() && plan.repeatable && body.is_some(),
                unknown: unknown && !asked.method.is_safe(),
            };
            let span = spans::Try::begin(asked);
            let outcome = self.attempt(worker, &try_, span.trace, again).await;
            span.end(asked, choice.endpoint(), &self.scratch.asked, why_failed(&outcome), tries);
            tries += 1;
            match outcome? {
                Outcome::Answered(flow) => return Ok(flow),
                Outcome::Failed(this) => {
                    self.now = Instant::now();
                    // A connection that was closed while nobody used it says nothing against the endpoint.
                    if !this.stale && !this.judged {
                        choice.failed(this.why, self.now);
                    }
                    unknown |= this.sent;
                    // What the service has not seen can be sent elsewhere, whatever it is.
                    let may = avoid.is_none() && (!this.sent || plan.repeatable && body.is_some());
                    let may = may && self.now < end;
                    if !may || !(this.retry_taken || route.upstream.take_retry()) {
                        return Err(self.given_up(asked, route, &this, unknown).into());
                    }
                    avoid = Some(choice.endpoint().id());
                    failed = Some(this);
                }
            }
        }
    }

    /// Logs why there is no answer and says as much of it as concerns the client.
    fn given_up(&self, asked: &Asked, route: &Route, failed: &Failed, unknown: bool) -> Refusal {
        let name = route.upstream.name();
        let refusal = match failed.why {
            EndpointFailure::Timeout => refusal::late(name),
            EndpointFailure::Connect if !unknown => refusal::unreachable(name),
            _ => refusal::no_answer(name),
        };
        log::warn!(
            "event=unanswered upstream={name} status={} request_id={} trace_id={} cause={:?}",
            refusal.status(),
            asked.origin.id(),
            asked.origin.trace.trace_id(),
            failed.cause,
        );
        refusal
    }

    /// Waits until a small body is here.
    async fn await_body(&mut self, asked: &Asked, length: usize, end: Instant) -> Result<(), Stop> {
        self.go_on(asked, end).await?;
        self.buffer.make_room(length);
        while self.buffer.len() < length {
            let due = end.min(Instant::now() + asked.front().settings.deadlines.body_idle);
            let (stream, buffer) = (&mut self.stream, &mut self.buffer);
            match self.alarm.until(due, |context| buffer.poll_fill(stream, context)).await {
                Ok(Ok(0) | Err(_)) => return Err(Stop::Gone),
                Ok(Ok(_)) => {}
                Err(Overdue) => return Err(refusal::body(BodyFault::Slow, 0).into()),
            }
        }
        self.now = Instant::now();
        Ok(())
    }

    /// Tells a client to go on that waits with its body until it is told so.
    async fn go_on(&mut self, asked: &Asked, end: Instant) -> Result<(), Stop> {
        if asked.expects_continue && self.buffer.is_empty() {
            let (stream, mut written) = (&mut self.stream, 0);
            let wrote =
                self.alarm.until(end, |context| poll_write_all(stream, CONTINUE, &mut written, context));
            if !matches!(wrote.await, Ok(Ok(()))) {
                return Err(Stop::Gone);
            }
        }
        self.buffer.wake(&self.worker.spares);
        Ok(())
    }

    /// Sends the request to one endpoint and passes its answer on.
    async fn attempt(
        &mut self,
        worker: &Rc<Worker>,
        try_: &Try<'_>,
        trace: TraceContext,
        fresh: bool,
    ) -> Result<Outcome, Stop> {
        let Try { asked, choice, end, .. } = *try_;
        let settings = &asked.front().settings;
        let endpoint = choice.endpoint();
        let (connect, patience) = (settings.deadlines.connect, settings.deadlines.answer_head);
        let mut line = match try_.lines.take(endpoint, fresh, connect, patience).await {
            Ok(line) => line,
            Err(NoLine::Failed(error)) => {
                let cause = format!("cannot connect to {}: {error}", endpoint.address());
                return Ok(failed(EndpointFailure::Connect, false, false, cause));
            }
            Err(NoLine::Busy) if try_.unknown => {
                // A refusal promises that nothing was changed, and nobody knows that of the first try.
                let cause = "no connection is free, after the first time's outcome was lost".to_owned();
                let (why, sent, stale, retry_taken, judged) =
                    (EndpointFailure::Connect, false, false, false, true);
                return Ok(Outcome::Failed(Failed { why, sent, stale, retry_taken, judged, cause }));
            }
            Err(NoLine::Busy) => return Err(refusal::busy("connections").into()),
        };
        if !line.used {
            // It took time to open.
            self.now = Instant::now();
        }
        self.buffer.wake(&worker.spares);
        line.buffer.wake(&worker.spares);

        let left = end.saturating_duration_since(self.now);
        // How long a body takes that is passed on as it comes, the client alone knows.
        let left = if try_.body.is_some() { left.min(settings.deadlines.answer_head) } else { left };
        {
            let Scratch { method, asked, fields, out, .. } = &mut self.scratch;
            out.clear();
            let (path, authority) = (endpoint.base_path(), endpoint.authority());
            request::write_head(method, path, asked, authority, (left, trace), fields, out);
            out.extend_from_slice(&self.buffer.bytes()[..try_.body.unwrap_or(0)]);
        }
        let outcome = self.converse(try_, &mut line).await;
        match outcome {
            Ok(Answer { ending: AnswerEnd::Tunnel, .. }) => {
                let idle = settings.deadlines.tunnel_idle;
                worker.shared.metrics.tunnels.inc();
                let alarm = (&mut self.alarm, idle);
                tunnel::carry(
                    &mut self.stream,
                    &mut self.buffer,
                    &mut line,
                    &self.scratch.out,
                    alarm,
                    worker,
                )
                .await;
                worker.shared.metrics.tunnels.dec();
                Ok(Outcome::Answered(Flow::Cut))
            }
            Ok(Answer { ending: AnswerEnd::Rest { reusable }, keep_alive }) => {
                if reusable && line.buffer.is_empty() {
                    line.buffer.rest(&worker.spares);
                    try_.lines.put(endpoint.id(), line, self.now);
                }
                // The service is free before the client has taken the last of its answer.
                self.flush(end).await?;
                Ok(Outcome::Answered(if keep_alive { Flow::Continue } else { Flow::Close }))
            }
            Err(Broken::Failed(failed)) => Ok(Outcome::Failed(failed)),
            Err(Broken::Stop(stop)) => Err(stop),
        }
    }

    /// Writes what is left to write to the client.
    async fn flush(&mut self, end: Instant) -> Result<(), Stop> {
        self.worker.let_others_read().await;
        let (stream, out, mut written) = (&mut self.stream, &self.scratch.out, 0);
        match self.alarm.until(end, |context| poll_write_all(stream, out, &mut written, context)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Stop::Gone),
            Err(Overdue) => Err(Stop::Cut("the client took too long")),
        }
    }

    /// Writes the request, reads the answer, and passes it on, up to what is still in `scratch.out`.
    async fn converse(&mut self, try_: &Try<'_>, line: &mut Line) -> Result<Answer, Broken> {
        let Self { worker, stream, buffer, alarm, scratch, now, uploading, .. } = self;
        let Try { asked, plan, choice, end, .. } = *try_;
        let deadlines = &asked.front().settings.deadlines;
        let (client_reader, client) = stream.split();
        let Line { stream: service, buffer: incoming, used } = line;
        let (service_reader, service) = service.split();
        let rest = match (try_.body, asked.length) {
            (None, BodyLength::Known(length)) => Rest::Length(length),
            (None, BodyLength::Chunked) => Rest::Chunks(Rechunk::new(try_.route.settings.body_bytes)),
            _ => Rest::Nothing,
        };
        let upload = Upload::new(client_reader, buffer, rest, deadlines.body_idle);
        let mut ends = Ends { service_reader, service, client, upload, incoming, alarm, end };

        worker.let_others_read().await;
        match ends.write_request(&scratch.out).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let cause = format!("cannot write to {}: {error}", choice.endpoint().address());
                return Err(Broken::failed(EndpointFailure::Answer, *used, cause));
            }
            Err(Overdue) => {
                return Err(Broken::failed(EndpointFailure::Timeout, false, "it takes nothing".to_owned()));
            }
        }

        let mut early = 0;
        loop {
            let head = ends.answer_head(now, deadlines.answer_head, uploading).await;
            let length = head.map_err(|why| broken(why, &ends, *used && early == 0, try_))?;
            let mut slots = [const { MaybeUninit::uninit() }; MOST_FIELDS];
            let is_head = asked.method == Method::Head;
            let head = match ResponseHead::read(&ends.incoming.bytes()[..length], &mut slots, is_head) {
                Ok(head) => head,
                Err(bad) => return Err(Broken::failed(EndpointFailure::Answer, false, bad.to_string())),
            };
            if head.status == 101 {
                if !plan.upgrade {
                    let cause = "it changes the protocol, which nobody asked for".to_owned();
                    return Err(Broken::failed(EndpointFailure::Answer, false, cause));
                }
                *now = Instant::now();
                choice.succeeded(*now);
                scratch.out.clear();
                answer::write_switch(&head, &scratch.added, &mut scratch.out);
                ends.incoming.consume(length);
                note(worker, asked, 101, *now);
                return Ok(Answer { ending: AnswerEnd::Tunnel, keep_alive: false });
            }
            if head.status < 200 {
                early += 1;
                if early > MOST_EARLY {
                    let cause = "too many answers before the final one".to_owned();
                    return Err(Broken::failed(EndpointFailure::Answer, false, cause));
                }
                scratch.out.clear();
                // The client was told to go on by the gateway itself.
                if head.status != 100 && !asked.old {
                    answer::write_early(&head, &mut scratch.out);
                }
                ends.incoming.consume(length);
                ends.write_early(&scratch.out).await.map_err(Broken::Stop)?;
                continue;
            }

            *now = Instant::now();
            judge(try_, &head, ends.upload.is_done(), *now)?;
            let ending = Ending::of(&head, asked.old);
            let keep_alive = asked.keep_alive
                && ending != Ending::Close
                && ends.upload.is_done()
                && !worker.shared.drain.is_draining();
            scratch.out.clear();
            let cors = asked.front().settings.cors.is_some();
            let to =
                Recipient { old: asked.old, keep_alive, added: &scratch.added, cors, clock: &worker.clock };
            let public_name = |location: &str| asked.front().table.backward(plan.route, location);
            answer::write_head(&head, ending, to, public_name, &mut scratch.out);
            let (status, reusable) = (head.status, head.keep_alive);
            let mut download = Download::new(head.length, ending);
            ends.incoming.consume(length);
            ends.upload.forget(try_.body.unwrap_or(0));
            note(worker, asked, status, *now);

            ends.pass_body(&mut download, &mut scratch.out).await.map_err(|cut| {
                if matches!(cut, Stop::Broken(_)) {
                    choice.failed(EndpointFailure::Answer, Instant::now());
                }
                Broken::Stop(cut)
            })?;
            let complete = ends.upload.is_done();
            let reusable = reusable && complete && download.leaves_the_connection_open();
            return Ok(Answer { ending: AnswerEnd::Rest { reusable }, keep_alive: keep_alive && complete });
        }
    }
}

/// What it means that no head came; `stale` says that the service may just have closed the connection.
fn broken(why: NoHead, ends: &Ends<'_>, stale: bool, try_: &Try<'_>) -> Broken {
    match why {
        NoHead::Ended(cause) => {
            Broken::failed(EndpointFailure::Answer, stale && ends.incoming.is_empty(), cause)
        }
        NoHead::Bad(cause) => Broken::failed(EndpointFailure::Answer, false, cause.to_owned()),
        NoHead::Client(BodyFault::Gone) => Broken::Stop(Stop::Gone),
        NoHead::Client(fault) => Broken::Stop(refusal::body(fault, try_.route.settings.body_bytes).into()),
        NoHead::Late if ends.upload.waits_for_the_client() => {
            Broken::Stop(refusal::body(BodyFault::Slow, 0).into())
        }
        NoHead::Late => {
            let cause = "no answer in time".to_owned();
            Broken::failed(EndpointFailure::Timeout, false, cause)
        }
    }
}

/// Tells the endpoint's breaker what its answer says about it.
///
/// # Errors
/// When the answer is better not passed on: another endpoint may have a better one, or it promises what nobody knows.
fn judge(try_: &Try<'_>, head: &ResponseHead<'_, '_>, uploaded: bool, now: Instant) -> Result<(), Broken> {
    match EndpointFailure::of_status(head.status, head.retry_after) {
        Some(why) if try_.may_repeat && matches!(head.status, 502..=504) && uploaded => {
            let upstream = &try_.route.upstream;
            if upstream.endpoints().len() > 1 && upstream.take_retry() {
                let cause = format!("it answers {}", head.status);
                let (sent, stale, retry_taken, judged) = (true, false, true, false);
                return Err(Broken::Failed(Failed { why, sent, stale, retry_taken, judged, cause }));
            }
            try_.choice.failed(why, now);
        }
        Some(why) => try_.choice.failed(why, now),
        None => try_.choice.succeeded(now),
    }
    if head.status == 503 && try_.unknown {
        // A 503 promises that nothing was changed, and nobody knows that of the first try.
        let cause = "refused the second time, after the first time's outcome was lost".to_owned();
        let why = EndpointFailure::Status(503);
        let (sent, stale, retry_taken, judged) = (true, false, false, true);
        return Err(Broken::Failed(Failed { why, sent, stale, retry_taken, judged, cause }));
    }
    Ok(())
}

/// Counts an answer whose head is about to be written.
fn note(worker: &Worker, asked: &Asked, status: u16, now: Instant) {
    worker.counts.answered.set(worker.counts.answered.get() + 1);
    worker.note(asked, status, now);
}

/// An answer whose last bytes may still have to be written.
struct Answer {
    ending: AnswerEnd,
    keep_alive: bool,
}

enum AnswerEnd {
    /// The service's connection is free again, or not to be used again.
    Rest { reusable: bool },
    /// Both connections become one.
    Tunnel,
}

enum Broken {
    Failed(Failed),
    Stop(Stop),
}

impl Broken {
    fn failed(why: EndpointFailure, stale: bool, cause: String) -> Self {
        Self::Failed(Failed { why, sent: true, stale, retry_taken: false, judged: false, cause })
    }
}

/// Why a try gave no whole answer, for its span.
fn why_failed(outcome: &Result<Outcome, Stop>) -> Option<(&'static str, &str)> {
    match outcome {
        Ok(Outcome::Answered(_)) => None,
        Ok(Outcome::Failed(failed)) => Some((failed.why.kind(), &failed.cause)),
        Err(Stop::Cut(why)) => Some(("cut", why)),
        Err(Stop::Broken(why)) => Some(("answer", why)),
        Err(Stop::Gone) => Some(("abandoned", "the client left")),
        Err(Stop::Refused(refusal)) => Some(("refused", refusal.reason)),
    }
}

fn failed(why: EndpointFailure, sent: bool, stale: bool, cause: String) -> Outcome {
    Outcome::Failed(Failed { why, sent, stale, retry_taken: false, judged: false, cause })
}
