use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix::{Actor, Addr, Handler, MailboxError, Message, dev::ToEnvelope};
use arc_swap::ArcSwapOption;

use super::Life;

/// Leads to the living generation of a supervised actor. Cheap to clone.
pub struct Handle<A: Actor> {
    name: Arc<str>,
    living: Arc<ArcSwapOption<Living<A>>>,
    unanswered: Arc<AtomicU64>,
}

pub(super) struct Living<A: Actor> {
    pub(super) addr: Addr<A>,
    pub(super) life: Life,
}

impl<A: Actor> Handle<A> {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.into(), living: Arc::default(), unanswered: Arc::default() }
    }

    pub(super) fn lead_to(&self, living: Option<Living<A>>) {
        self.living.store(living.map(Arc::new));
    }

    /// The actor's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the living generation works.
    pub fn is_healthy(&self) -> bool {
        self.living.load().as_ref().is_some_and(|living| living.life.is_healthy())
    }

    /// How many messages were sent to the actor and are not answered yet.
    pub(super) fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Sends `message` and waits at most `deadline` for the answer.
    ///
    /// # Errors
    /// [`AskError::Restarting`] means that the message was not delivered; after the others nobody knows.
    pub async fn ask<M>(&self, message: M, deadline: Duration) -> Result<M::Result, AskError>
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let Some(addr) = self.addr() else {
            return Err(AskError::Restarting { actor: self.name.clone() });
        };
        let _unanswered = Unanswered::begin(&self.unanswered);
        match tokio::time::timeout(deadline, addr.send(message)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(MailboxError::Closed)) => Err(AskError::Died { actor: self.name.clone() }),
            Ok(Err(MailboxError::Timeout)) | Err(_) => Err(AskError::Late { actor: self.name.clone() }),
        }
    }

    /// Sends a notice whose loss is harmless; it is lost while the actor restarts.
    pub fn notify<M>(&self, notice: M)
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        if let Some(addr) = self.addr() {
            addr.do_send(notice);
        }
    }

    fn addr(&self) -> Option<Addr<A>> {
        let living = self.living.load();
        let addr = &living.as_ref()?.addr;
        addr.connected().then(|| addr.clone())
    }
}

impl<A: Actor> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), living: self.living.clone(), unanswered: self.unanswered.clone() }
    }
}

impl<A: Actor> fmt::Debug for Handle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.name).finish()
    }
}

/// Counts a message as long as it waits for its answer.
struct Unanswered<'a>(&'a AtomicU64);

impl<'a> Unanswered<'a> {
    fn begin(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why an actor gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError {
    /// No generation lives just now. The message was not delivered: sending it again is safe.
    Restarting {
        /// Which actor.
        actor: Arc<str>,
    },
    /// The actor ended before it answered. Whether it acted on the message is unknown.
    Died {
        /// Which actor.
        actor: Arc<str>,
    },
    /// The answer did not come in time. Whether the actor acts on the message is unknown.
    Late {
        /// Which actor.
        actor: Arc<str>,
    },
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restarting { actor } => write!(f, "{actor} is restarting"),
            Self::Died { actor } => write!(f, "{actor} ended before it answered"),
            Self::Late { actor } => write!(f, "{actor} did not answer in time"),
        }
    }
}

impl std::error::Error for AskError {}
