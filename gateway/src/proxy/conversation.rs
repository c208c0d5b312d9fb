use std::{
    future::poll_fn,
    io,
    task::Poll,
    time::{Duration, Instant},
};

use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::{
    alarm::{Alarm, Overdue},
    body::{BodyFault, Upload},
    download::Download,
    session::Stop,
    uploads::UploadPlace,
    wire::{BODY_ROOM, Buffer, poll_write_all},
};
use crate::http1::HeadScan;

/// The largest head of an answer.
const ANSWER_HEAD: usize = 64 * 1024;

/// Both ends of an exchange: bytes may flow in both directions at once.
pub struct Ends<'a> {
    pub service_reader: ReadHalf<'a>,
    pub service: WriteHalf<'a>,
    pub client: WriteHalf<'a>,
    /// The client's side of reading: what is left of its body, and whether it is still there.
    pub upload: Upload<'a>,
    /// What has come from the service.
    pub incoming: &'a mut Buffer,
    pub alarm: &'a mut Alarm,
    /// When all must be over.
    pub end: Instant,
}

/// Why no head of an answer came.
pub enum NoHead {
    /// The service's connection has ended.
    Ended(String),
    /// What came is no head.
    Bad(&'static str),
    /// The client did something wrong.
    Client(BodyFault),
    /// The time is over.
    Late,
}

impl Ends<'_> {
    /// Writes to the service.
    pub async fn write_request(&mut self, out: &[u8]) -> Result<io::Result<()>, Overdue> {
        let (service, mut written) = (&mut self.service, 0);
        self.alarm.until(self.end, |context| poll_write_all(service, out, &mut written, context)).await
    }

    /// Writes to the client what comes before the final answer.
    pub async fn write_early(&mut self, out: &[u8]) -> Result<(), Stop> {
        let (client, mut written) = (&mut self.client, 0);
        let wrote = self.alarm.until(self.end, |context| poll_write_all(client, out, &mut written, context));
        if matches!(wrote.await, Ok(Ok(()))) { Ok(()) } else { Err(Stop::Gone) }
    }

    /// Waits for the head of an answer, and returns its length, while the rest of the request goes out. The service has `deadline` from when
    /// it has the whole request, which it has since `now`, or else `now` is set to when it has; then the client's
    /// place among those whose body is awaited is free.
    pub async fn answer_head(
        &mut self,
        now: &mut Instant,
        deadline: Duration,
        place: &mut Option<UploadPlace>,
    ) -> Result<usize, NoHead> {
        let Self { service_reader, service, upload, incoming, alarm, end, .. } = self;
        let (mut scan, whole_since_now) = (HeadScan::default(), upload.is_done());
        let mut counting = false;
        poll_fn(|context| {
            loop {
                // First what is there: it may have come together with an answer before the final one.
                match scan.end(incoming.bytes()) {
                    Ok(Some(length)) => return Poll::Ready(Ok(length)),
                    Ok(None) if incoming.len() >= ANSWER_HEAD => {
                        return Poll::Ready(Err(NoHead::Bad("its head is too long")));
                    }
                    Ok(None) if !incoming.has_room() => incoming.make_room(incoming.len() * 2),
                    Ok(None) => {}
                    Err(_) => return Poll::Ready(Err(NoHead::Bad("a line ends without a carriage return"))),
                }
                match incoming.poll_fill(service_reader, context) {
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(NoHead::Ended("the connection ended".to_owned())));
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(NoHead::Ended(error.to_string()))),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Pending => break,
                }
            }
            if let Poll::Ready(fault) = upload.poll(Some(&mut *service), context) {
                return Poll::Ready(Err(NoHead::Client(fault)));
            }
            if !upload.is_done() {
                alarm.set(*end);
            } else if !counting {
                counting = true;
                place.take();
                if !whole_since_now {
                    *now = Instant::now();
                }
                alarm.set((*end).min(*now + deadline));
            }
            alarm.poll_due(context).map(|()| Err(NoHead::Late))
        })
        .await
    }

    /// Passes the body of an answer on, behind what is in `out` already; leaves in `out` what came last. Most bodies
    /// are here already, and leave together with their head.
    pub async fn pass_body(&mut self, download: &mut Download, out: &mut Vec<u8>) -> Result<(), Stop> {
        let Self { service_reader, service, client, upload, incoming, alarm, end } = self;
        let mut done = download.take(incoming, out).map_err(Stop::Broken)?;
        if !done {
            incoming.make_room(BODY_ROOM);
            alarm.set(*end);
        }
        let mut written = 0;
        while !done {
            let step = poll_fn(|context| {
                // What is at hand goes out before more is read, so a slow client slows the service down.
                match poll_write_all(client, out, &mut written, context) {
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Stop::Gone)),
                    Poll::Ready(Ok(())) => match download.poll_pass(incoming, client, context) {
                        Poll::Ready(Err(_)) => return Poll::Ready(Err(Stop::Gone)),
                        Poll::Ready(Ok(())) if download.is_complete() => return Poll::Ready(Ok(0)),
                        Poll::Ready(Ok(())) => match incoming.poll_fill(service_reader, context) {
                            Poll::Ready(Ok(count)) => return Poll::Ready(Ok(count)),
                            // As good as its end: the body says whether it is complete.
                            Poll::Ready(Err(_)) => return Poll::Ready(Ok(0)),
                            Poll::Pending => {}
                        },
                        Poll::Pending => {}
                    },
                    Poll::Pending => {}
                }
                if let Poll::Ready(fault) = upload.poll(Some(&mut *service), context) {
                    return Poll::Ready(match fault {
                        BodyFault::Gone => Err(Stop::Gone),
                        _ => Err(Stop::Cut("the client broke off its body")),
                    });
                }
                alarm.poll_due(context).map(|()| Err(Stop::Cut("the answer took too long")))
            });
            let count: usize = step.await?;
            out.clear();
            written = 0;
            done = match count {
                0 if download.is_complete() => true,
                0 => download.ended(out).map(|()| true).map_err(Stop::Broken)?,
                _ => download.take_more(incoming, out).map_err(Stop::Broken)?,
            };
        }
        Ok(())
    }
}
