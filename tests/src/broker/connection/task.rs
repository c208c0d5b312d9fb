//! One connection's life, from the handshake to its end by whichever side.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep_until, timeout};

use super::super::core::{Broker, Step};
use super::{ConnectionId, Link, frames, handshake};

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// More than this is not taken from publishers before the disk has caught up.
const UNWRITTEN: usize = 4 * 1024 * 1024;

/// How long a client may take to answer a goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// Serves a client until one side ends it.
pub async fn serve(broker: Rc<RefCell<Broker>>, mut socket: TcpStream) {
    let mut unread = Vec::with_capacity(CHUNK);
    let peer = socket.peer_addr().map(|peer| peer.to_string()).unwrap_or_default();
    let _ = socket.set_nodelay(true);
    let exists = |vhost: &str| broker.borrow().vhosts.contains_key(vhost);
    let agreement = match handshake::shake_hands(&mut socket, &mut unread, exists).await {
        Ok(agreement) => agreement,
        Err(error) => {
            log::info!("event=no_connection peer={peer} reason={:?}", error.to_string());
            return;
        }
    };

    log::info!("event=connected peer={peer} name={:?} vhost={:?}", agreement.name, agreement.vhost);
    let link = Rc::new(Link::default());
    let (reading, writing) = socket.into_split();
    let heartbeat = agreement.heartbeat;
    let id = broker.borrow_mut().connect(agreement, link.clone());
    let committed = broker.borrow().committed();
    let mut writer = spawn_local(link.outbox.clone().write_to(writing));
    let reader = Reader {
        broker: broker.clone(),
        id,
        link: link.clone(),
        socket: reading,
        unread,
        heartbeat,
        committed,
    };

    let reason = tokio::select! {
        ended = reader.run() => ended.map_or_else(|error| error.to_string(), |()| "closed".to_owned()),
        // The reader waits for its own reasons; a client that cannot be written to is gone.
        ended = writer_failed(&mut writer) => ended,
    };
    writer.abort();
    broker.borrow_mut().disconnect(id);
    log::info!("event=disconnected peer={peer} reason={reason:?}");
}

/// Returns when writing has failed; an orderly end of it is the reader's to see.
async fn writer_failed(writer: &mut JoinHandle<io::Result<()>>) -> String {
    match writer.await {
        Ok(Err(error)) => format!("it takes nothing any more: {error}"),
        _ => std::future::pending().await,
    }
}

struct Reader {
    broker: Rc<RefCell<Broker>>,
    id: ConnectionId,
    link: Rc<Link>,
    socket: OwnedReadHalf,
    unread: Vec<u8>,
    heartbeat: Duration,
    committed: watch::Receiver<u64>,
}

impl Reader {
    async fn run(mut self) -> io::Result<()> {
        let mut heard = Instant::now();
        let mut leave_at = None;
        loop {
            self.take_frames().await?;
            if self.link.is_ended() {
                return self.linger().await;
            }
            if leave_at.is_none() && self.broker.borrow().is_closing(self.id) {
                leave_at = Some(Instant::now() + GOODBYE);
            }
            if self.link.is_paused() {
                self.wait_until_it_may_read().await;
                heard = Instant::now();
                continue;
            }
            let half = self.heartbeat / 2;
            let tick = Instant::now() + if half.is_zero() { Duration::from_secs(3600) } else { half };
            self.unread.reserve(CHUNK);
            tokio::select! {
                biased;
                () = self.link.changed() => {}
                read = self.socket.read_buf(&mut self.unread) => {
                    if read? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    heard = Instant::now();
                }
                () = sleep_until(leave_at.unwrap_or(tick)), if leave_at.is_some() => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not say goodbye"));
                }
                () = self.link.outbox.drained() => self.broker.borrow_mut().resume(self.id),
                () = sleep_until(tick) => {
                    self.link.outbox.heartbeat(half);
                    if !self.heartbeat.is_zero() && heard.elapsed() > 2 * self.heartbeat {
                        self.link.cut();
                        return Err(io::Error::new(io::ErrorKind::TimedOut, "no heartbeat"));
                    }
                }
            }
        }
    }

    /// Hands every whole frame to the broker.
    async fn take_frames(&mut self) -> io::Result<()> {
        let frame_max = self.broker.borrow().frame_max(self.id);
        let mut taken = 0;
        let mut is_released = false;
        while !self.link.is_ended() {
            let step = match frames::take(&self.unread[taken..], frame_max) {
                Ok(None) => break,
                Ok(Some((frame, length))) => {
                    let step = self.broker.borrow_mut().receive(self.id, frame, is_released);
                    is_released = false;
                    if step != Step::Hold {
                        taken += length;
                    }
                    step
                }
                Err(bad) => {
                    taken = self.unread.len();
                    self.broker.borrow_mut().refuse_frame(self.id, bad)
                }
            };
            match step {
                Step::Next => {}
                Step::Commit(number) => {
                    self.broker.borrow_mut().settle();
                    let _ = self.committed.wait_for(|committed| *committed >= number).await;
                    self.broker.borrow_mut().say_deferred(self.id);
                }
                Step::Hold => {
                    self.broker.borrow_mut().settle();
                    self.wait_until_it_may_read().await;
                    is_released = true;
                }
                Step::Pause => break,
            }
        }
        self.unread.drain(..taken);

        self.broker.borrow_mut().settle();
        loop {
            let unwritten = self.broker.borrow().unwritten_bytes();
            if unwritten < UNWRITTEN || self.committed.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// Heartbeats go on where only reading is at rest.
    async fn wait_until_it_may_read(&self) {
        let half = self.heartbeat / 2;
        while self.link.is_paused() && !self.link.is_ended() {
            if half.is_zero() {
                self.link.may_read().await;
            } else if timeout(half, self.link.may_read()).await.is_err() && !self.link.is_stopped() {
                self.link.outbox.heartbeat(half);
            }
        }
    }

    /// Reads on after the last word was said, so that the client hears it: to close with something unread would take it
    /// back.
    async fn linger(mut self) -> io::Result<()> {
        self.broker.borrow_mut().disconnect(self.id);
        if self.link.is_cut() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut by an order"));
        }
        let mut sink = [0; 4096];
        let read_on = async { while let Ok(1..) = self.socket.read(&mut sink).await {} };
        let _ = timeout(GOODBYE, read_on).await;
        Ok(())
    }
}
