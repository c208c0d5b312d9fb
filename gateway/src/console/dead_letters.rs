//! What operators do about dead letters, from the console.

use std::{error::Error, fmt, future::Future, sync::Arc, time::Duration};

use common::broker::{BrokerConfig, BrokerError, DeadLetter, DeadLetters, Replayed};
use tokio::{sync::Mutex, time::timeout};

/// How long an operation may wait for the one before it.
const TURN_DEADLINE: Duration = Duration::from_secs(5);

/// How long an operation may take. A replay that is cut off has replayed what it has: the next one goes on.
const DEADLINE: Duration = Duration::from_secs(60);

/// Where operators deal with the dead letters, one operation at a time. Each connects to the broker and leaves again, so
/// nothing of the broker is needed, or held, while nobody asks. Cheap to clone.
#[derive(Clone)]
pub struct DeadLetterDesk(Arc<Desk>);

struct Desk {
    letters: DeadLetters,
    turn: Mutex<()>,
    note: Box<dyn Fn(&str) + Send + Sync>,
}

impl DeadLetterDesk {
    /// A desk at the broker of `config`, which tells `note` in a few words what an operator has changed.
    pub fn new(config: BrokerConfig, note: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Desk {
            letters: DeadLetters::new(config),
            turn: Mutex::default(),
            note: Box::new(note),
        }))
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
        let replayed = self.0.in_turn(self.0.letters.replay(queue)).await;
        let whose = queue.map(|queue| format!(" of {queue}")).unwrap_or_default();
        match &replayed {
            Ok(Replayed { replayed, left }) => {
                self.0.done(&format!("replayed {replayed} dead letters{whose}, {left} left"));
            }
            Err(error) => self.0.cut_short(&format!("replaying dead letters{whose}"), error),
        }
        replayed
    }

    /// Replays the one that `key` names; `None` where there is none.
    ///
    /// # Errors
    /// Those of [`list`](Self::list).
    pub async fn replay_one(&self, key: &str) -> Result<Option<Replayed>, DeskError> {
        let replayed = self.0.in_turn(self.0.letters.replay_one(key)).await;
        match &replayed {
            Ok(Some(Replayed { replayed: 1.., left })) => {
                self.0.done(&format!("replayed dead letter {key}, {left} left"));
            }
            Ok(_) => {}
            Err(error) => self.0.cut_short(&format!("replaying dead letter {key}"), error),
        }
        replayed
    }

    /// Removes the one that `key` names for ever, and returns how many are left; `None` where there is none.
    ///
    /// # Errors
    /// Those of [`list`](Self::list).
    pub async fn discard(&self, key: &str) -> Result<Option<usize>, DeskError> {
        let left = self.0.in_turn(self.0.letters.discard(key)).await;
        match &left {
            Ok(Some(left)) => self.0.done(&format!("discarded dead letter {key}, {left} left")),
            Ok(None) => {}
            Err(error) => self.0.cut_short(&format!("discarding dead letter {key}"), error),
        }
        left
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

    /// Whatever was begun may have happened all the same, wholly or in part.
    fn cut_short(&self, what: &str, error: &DeskError) {
        match error {
            DeskError::Busy => {}
            DeskError::Broker(_) | DeskError::Late => self.done(&format!("{what} was cut short: {error}")),
        }
    }

    fn done(&self, what: &str) {
        log::info!("event=operator subject=dead-letters what={what:?}");
        (self.note)(what);
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
    fn what_was_not_begun_is_not_noted() {
        let desk = DeadLetterDesk::new(BrokerConfig::default(), |what| panic!("noted: {what}"));

        desk.0.cut_short("discarding dead letter k1", &DeskError::Busy);
    }
}
