//! One connection's life, from the handshake to its end by whichever side.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::super::core::{Broker, Step};
use super::{ConnectionId, Link, frames, handshake};

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// A client that introduces itself says no more than this, most of the time.
const GREETING: usize = 4 * 1024;

/// More than this is not taken from publishers before the disk has caught up.
const UNWRITTEN: usize = 8 * 1024 * 1024;

/// How long a client may take to answer a goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// How often a silent connection looks whether its client has given it up.
const LOOK: Duration = Duration::from_millis(100);

/// Longer than any heartbeat.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// Serves a client until one side ends it.
pub async fn serve(broker: Rc<RefCell<Broker>>, mut socket: TcpStream) {
    let peer = socket.peer_addr().map(|peer| peer.to_string()).unwrap_or_default();
    let _ = socket.set_nodelay(true);
    until_it_greets(&broker).await;
    let mut unread = Vec::with_capacity(GREETING);
    let exists = |vhost: &str| broker.borrow().vhosts.contains_key(vhost);
    let agreement = match handshake::shake_hands(&mut socket, &mut unread, exists).await {
        Ok(agreement) => agreement,
        Err(error) => {
            log::info!("event=no_connection peer={peer} reason={:?}", error.to_string());
            return;
        }
    };

    log::debug!("event=connected peer={peer} name={:?} vhost={:?}", agreement.name, agreement.vhost);
    let name = agreement.name.clone();
    let link = Rc::new(Link::default());
    let (reading, writing) = socket.into_split();
    let heartbeat = agreement.heartbeat;
    let id = broker.borrow_mut().connect(agreement, link.clone());
    let committed = broker.borrow().committed();
    let mut writer = spawn_local(link.outbox.clone().write_to(writing, heartbeat / 2));
    let reader = Reader {
        broker: broker.clone(),
        id,
        link: link.clone(),
        socket: reading,
        unread,
        heartbeat,
        committed,
    };

    let ended = tokio::select! {
        ended = reader.run() => ended,
        // The reader waits for its own reasons; a client that cannot be written to is gone.
        error = writer_failed(&mut writer) => Err(error),
    };
    writer.abort();
    broker.borrow_mut().disconnect(id);
    match ended {
        Ok(()) => log::debug!("event=disconnected peer={peer} name={name:?}"),
        Err(error) => {
            log::info!("event=disconnected peer={peer} name={name:?} reason={:?}", error.to_string());
        }
    }
}

/// A broker that is silent to all accepts, and says nothing.
async fn until_it_greets(broker: &RefCell<Broker>) {
    let spoken = broker.borrow().spoken.clone();
    while broker.borrow().is_silent_to_all() {
        spoken.notified().await;
    }
}

/// Returns when writing has failed; an orderly end of it is the reader's to see.
async fn writer_failed(writer: &mut JoinHandle<io::Result<()>>) -> io::Error {
    match writer.await {
        Ok(Err(error)) => error,
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
        let patience = if self.heartbeat.is_zero() { NEVER } else { 2 * self.heartbeat };
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
                self.wait_until_it_may_read().await?;
                heard = Instant::now();
                continue;
            }
            let (link, is_overfull) = (self.link.clone(), self.link.outbox.is_overfull());
            tokio::select! {
                biased;
                () = link.changed() => {}
                () = link.outbox.drained() => {
                    self.broker.borrow_mut().resume(self.id);
                    heard = Instant::now();
                }
                () = sleep_until(leave_at.unwrap_or(heard)), if leave_at.is_some() => {
                    return Err(timed_out("it did not say goodbye"));
                }
                read = self.read(), if !is_overfull => {
                    read?;
                    heard = Instant::now();
                }
                () = sleep_until(heard + patience), if !is_overfull => {
                    self.link.cut();
                    return Err(timed_out("no heartbeat"));
                }
            }
        }
    }

    /// Reads what has come. Who waits for more holds no memory for it.
    async fn read(&mut self) -> io::Result<()> {
        if self.unread.is_empty() {
            self.unread = Vec::new();
        }
        self.socket.readable().await?;
        self.unread.reserve(CHUNK);
        match self.socket.try_read_buf(&mut self.unread) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Hands every whole frame to the broker.
    async fn take_frames(&mut self) -> io::Result<()> {
        let frame_max = self.broker.borrow().frame_max(self.id);
        let mut taken = 0;
        let mut is_released = false;
        while !self.link.is_ended() && !self.link.outbox.is_overfull() {
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
                    self.wait_until_it_may_read().await?;
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

    /// Only reading is at rest: where writing is allowed, heartbeats go on.
    async fn wait_until_it_may_read(&self) -> io::Result<()> {
        tokio::select! {
            () = self.link.may_read() => Ok(()),
            () = self.is_given_up() => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Returns when the client has closed a connection that is silent: what it said before is not heard any more.
    async fn is_given_up(&self) {
        loop {
            if self.link.is_silent()
                && self.socket.ready(Interest::READABLE).await.is_ok_and(|ready| ready.is_read_closed())
            {
                return;
            }
            sleep(LOOK).await;
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

fn timed_out(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, why)
}
