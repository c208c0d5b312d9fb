//! What operators do about dead letters, from the console and by `warren dead-letters`.

mod count;

use std::{
    error::Error,
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use common::broker::{BrokerConfig, BrokerError, DeadLetter, DeadLetterCounter, DeadLetters, Replayed};
use jiff::Timestamp;
use tokio::{runtime::Handle, sync::Mutex, time::timeout};

use count::Count;

pub use count::Waiting;

/// How long an operation may wait for the one before it.
const TURN_DEADLINE: Duration = Duration::from_secs(5);

/// How long an operation may take. A replay that is cut off has replayed what it has: the next one goes on.
const DEADLINE: Duration = Duration::from_secs(60);

/// How often they are counted while somebody asks.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// How long counting may take: less than an operation waits for its turn, so that none is refused for it.
const COUNT_DEADLINE: Duration = Duration::from_secs(4);

/// Where operators deal with the dead letters, one operation at a time. Each connects to the broker and leaves again, and
/// they are counted only as long as somebody asks: otherwise nothing of the broker is needed, or held. Cheap to clone.
#[derive(Clone)]
pub struct DeadLetterDesk(Arc<Desk>);

struct Desk {
    letters: DeadLetters,
    turn: Mutex<()>,
    count: Count,
    note: Box<dyn Fn(&str) + Send + Sync>,
}

impl DeadLetterDesk {
    /// A desk at the broker of `config`, which tells `note` in a few words what an operator has changed.
    pub fn new(config: BrokerConfig, note: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Desk {
            letters: DeadLetters::new(config),
            turn: Mutex::default(),
            count: Count::default(),
            note: Box::new(note),
        }))
    }

    /// Returns how many dead letters waited when they were last counted, `None` where they never were, and has them counted
    /// every 5 s as long as somebody asks. Does not wait.
    pub fn waiting(&self) -> Option<Waiting> {
        if let Ok(runtime) = Handle::try_current()
            && let Some(counting) = self.0.count.ask(Instant::now())
        {
            let desk = self.0.clone();
            runtime.spawn(async move {
                desk.count_while_asked().await;
                drop(counting);
            });
        }
        self.0.count.last()
    }

    /// Returns up to `most` dead letters, the oldest first.
    ///
    /// # Errors
    /// When the broker is away or says no, or the desk is busy.
    pub async fn list(&self, most: usize) -> Result<Vec<DeadLetter>, DeskError> {
        self.0.in_turn(self.0.letters.list(most)).await
    }

    /// Replays all dead letters, or those of `queue`.
    ///
    /// # Errors
    /// Those of [`list`](Self::list).
    pub async fn replay(&self, queue: Option<&str>) -> Result<Replayed, DeskError> {
        let whose = queue.map(|queue| format!(" of {queue}")).unwrap_or_default();
        let done = |Replayed { replayed, left }: &Replayed| {
            Some(format!("replayed {replayed} dead letters{whose}, {left} left"))
        };
        self.0.change(&format!("replaying dead letters{whose}"), self.0.letters.replay(queue), done).await
    }

    /// Replays the one that `key` names; `None` where there is none.
    ///
    /// # Errors
    /// Those of [`list`](Self::list).
    pub async fn replay_one(&self, key: &str) -> Result<Option<Replayed>, DeskError> {
        let done = |replayed: &Option<Replayed>| match replayed {
            Some(Replayed { replayed: 1.., left }) => {
                Some(format!("replayed dead letter {key}, {left} left"))
            }
            _ => None,
        };
        self.0.change(&format!("replaying dead letter {key}"), self.0.letters.replay_one(key), done).await
    }

    /// Removes the one that `key` names for ever, and returns how many are left; `None` where there is none.
    ///
    /// # Errors
    /// Those of [`list`](Self::list).
    pub async fn discard(&self, key: &str) -> Result<Option<usize>, DeskError> {
        let done =
            |left: &Option<usize>| left.map(|left| format!("discarded dead letter {key}, {left} left"));
        self.0.change(&format!("discarding dead letter {key}"), self.0.letters.discard(key), done).await
    }
}

impl Desk {
    async fn in_turn<T>(
        &self,
        operation: impl Future<Output = Result<T, BrokerError>>,
    ) -> Result<T, DeskError> {
        let Ok(_turn) = timeout(TURN_DEADLINE, self.turn.lock()).await else { return Err(DeskError::Busy) };
        match timeout(DEADLINE, operation).await {
            Ok(done) => done.map_err(DeskError::Broker),
            Err(_) => Err(DeskError::Late),
        }
    }

    /// Does what changes something, `what`, and notes what was `done`, which is nothing where there was no such letter.
    async fn change<T>(
        &self,
        what: &str,
        operation: impl Future<Output = Result<T, BrokerError>>,
        done: impl FnOnce(&T) -> Option<String>,
    ) -> Result<T, DeskError> {
        let changed = self.in_turn(operation).await;
        if let Some(note) = told(what, &changed, done) {
            log::info!("event=operator subject=dead-letters what={note:?}");
            (self.note)(&note);
            self.count.outdate();
        }
        changed
    }

    /// Counts every few seconds, and whenever something was changed. One connection is kept for it meanwhile, or a broker
    /// that is watched day and night would write down many thousand short ones.
    async fn count_while_asked(&self) {
        let mut kept = None;
        while self.count.is_asked(Instant::now()) {
            // Whoever has the turn has letters in hand that would not be counted.
            let turn = self.turn.lock().await;
            let counted = match timeout(COUNT_DEADLINE, self.count(&mut kept)).await {
                Ok(counted) => counted.map_err(|error| error.to_string()),
                Err(_) => Err(format!("no answer within {} s", COUNT_DEADLINE.as_secs())),
            };
            drop(turn);
            self.count.note(counted, Timestamp::now());
            // Either is a reason to count again.
            let _ = timeout(COUNT_EVERY, self.count.outdated()).await;
        }
    }

    async fn count(&self, kept: &mut Option<DeadLetterCounter>) -> Result<usize, BrokerError> {
        // Taken out, so that one that fails or does not answer is used no more.
        if let Some(counter) = kept.take()
            && let Ok(count) = counter.count().await
        {
            *kept = Some(counter);
            return Ok(count);
        }
        let counter = self.letters.counter().await?;
        let count = counter.count().await?;
        *kept = Some(counter);
        Ok(count)
    }
}

/// What there is to tell of a change.
fn told<T>(
    what: &str,
    changed: &Result<T, DeskError>,
    done: impl FnOnce(&T) -> Option<String>,
) -> Option<String> {
    match changed {
        Ok(changed) => done(changed),
        Err(DeskError::Busy) => None,
        // Whatever was begun may have happened all the same, wholly or in part.
        Err(error) => Some(format!("{what} was cut short: {error}")),
    }
}

/// Why an operation came to nothing, or to an early end.
#[derive(Debug)]
pub enum DeskError {
    /// Another operation takes long; this one was not begun.
    Busy,
    /// The broker is away, or says no.
    Broker(BrokerError),
    /// The broker has answered, and so much that the time is over.
    Late,
}

impl fmt::Display for DeskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("another operation on the dead letters is under way"),
            Self::Broker(error) => error.fmt(f),
            Self::Late => write!(f, "it took more than {} s", DEADLINE.as_secs()),
        }
    }
}

impl Error for DeskError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Broker(error) => Some(error),
            Self::Busy | Self::Late => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, sync::Mutex as Lock};

    use super::*;

    #[tokio::test]
    async fn what_may_have_happened_is_noted_although_nobody_knows() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it listens").port();
        drop(listener);
        let config = BrokerConfig::for_url(&format!("amqp://127.0.0.1:{port}/%2f")).expect("a sound address");
        let notes = Arc::new(Lock::new(Vec::new()));
        let noted = notes.clone();
        let desk = DeadLetterDesk::new(config, move |what| {
            noted.lock().expect("no panic").push(what.to_owned());
        });

        desk.replay(None).await.expect_err("the broker is away");
        desk.replay_one("k1").await.expect_err("the broker is away");
        desk.discard("k1").await.expect_err("the broker is away");
        desk.list(1).await.expect_err("the broker is away");

        let notes = notes.lock().expect("no panic");
        let begun = ["replaying dead letters", "replaying dead letter k1", "discarding dead letter k1"];
        assert_eq!(notes.len(), begun.len(), "{notes:?}");
        for (note, begun) in notes.iter().zip(begun) {
            assert!(note.starts_with(&format!("{begun} was cut short: ")), "{note}");
        }
    }

    #[test]
    fn what_was_not_begun_is_not_told() {
        let told = |why| told::<()>("discarding dead letter k1", &Err(why), |()| None);

        assert_eq!(told(DeskError::Busy), None);
        assert!(told(DeskError::Late).is_some_and(|told| told.contains("k1 was cut short: it took more")));
    }
}
