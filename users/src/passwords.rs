//! Hashes passwords by argon2id, on a small pool of threads of its own.
//!
//! *Owns*: the pool and its queue.
//! *Receives*: [`HashPassword`], [`VerifyPassword`], [`HashSecret`].
//! *Sends*: nothing.
//! *When it fails*: callers learn that nothing was hashed; the next generation has a fresh pool.
//!
//! A hash takes tens of milliseconds and 19 MiB on purpose. On the threads that serve HTTP it would stop
//! everything else; in an unbounded pool a burst of registrations would take all the memory.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use actix::{Actor, ActorContext, Context, Handler, Message, MessageResult, ResponseFuture};
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use common::supervision::{Life, Observe};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::domain::{Password, PasswordHash};

/// Threads of the pool.
const THREADS: usize = 2;

/// Most passwords that wait for a thread; more are refused, since they would wait for seconds.
const QUEUE: usize = 32;

/// The actor; one a service.
pub struct Passwords {
    jobs: mpsc::SyncSender<Job>,
    life: Life,
    accepted: u64,
    refused: u64,
}

type Job = Box<dyn FnOnce() + Send>;

impl Passwords {
    /// Starts the pool.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(life: Life) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::sync_channel::<Job>(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..THREADS {
            let queue = queue.clone();
            // The thread ends when the actor is dropped and the queue is empty.
            thread::Builder::new().name(format!("passwords-{number}")).spawn(move || {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    match next {
                        Ok(job) => job(),
                        Err(mpsc::RecvError) => return,
                    }
                }
            })?;
        }
        Ok(Self { jobs, life, accepted: 0, refused: 0 })
    }

    fn run<T: Send + 'static>(
        &mut self,
        hash: impl FnOnce() -> Result<T, HashError> + Send + 'static,
        context: &mut Context<Self>,
    ) -> ResponseFuture<Result<T, HashError>> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move || {
            // Nobody waits any more where the client went away.
            let _ = answer.send(hash());
        });
        match self.jobs.try_send(job) {
            Ok(()) => {
                self.accepted += 1;
                Box::pin(async move { answered.await.unwrap_or(Err(HashError::Broken)) })
            }
            Err(mpsc::TrySendError::Full(_)) => {
                self.refused += 1;
                Box::pin(async { Err(HashError::Busy) })
            }
            Err(mpsc::TrySendError::Disconnected(_)) => {
                self.life.failed("every thread of the pool has ended");
                context.stop();
                Box::pin(async { Err(HashError::Broken) })
            }
        }
    }
}

impl Actor for Passwords {
    type Context = Context<Self>;
}

/// Hashes a password with a salt of its own.
#[derive(Debug, Message)]
#[rtype(result = "Result<PasswordHash, HashError>")]
pub struct HashPassword(pub Password);

impl Handler<HashPassword> for Passwords {
    type Result = ResponseFuture<Result<PasswordHash, HashError>>;

    fn handle(&mut self, HashPassword(password): HashPassword, context: &mut Self::Context) -> Self::Result {
        let hash = move || {
            let hash = Argon2::default()
                .hash_password(password.expose().as_bytes())
                .map_err(|_| HashError::Broken)?;
            Ok(PasswordHash(hash.to_string()))
        };
        self.run(hash, context)
    }
}

/// What is verified in place of a hash where there is none, so that it takes as long; no password has it. Its parameters
/// are those of every hash here.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Asks whether a password is the one that was hashed. Takes as long where there is no hash, so that the time of an
/// answer does not tell who has an account.
#[derive(Message)]
#[rtype(result = "Result<bool, HashError>")]
pub struct VerifyPassword {
    /// What somebody typed; not yet known to be a [`Password`].
    pub typed: String,
    /// The hash, where there is an account with a password.
    pub hash: Option<PasswordHash>,
}

impl Handler<VerifyPassword> for Passwords {
    type Result = ResponseFuture<Result<bool, HashError>>;

    fn handle(
        &mut self,
        VerifyPassword { typed, hash }: VerifyPassword,
        context: &mut Self::Context,
    ) -> Self::Result {
        let verify = move || {
            let expected = hash.as_ref().map_or(NOBODYS, |hash| hash.0.as_str());
            let verified = Argon2::default().verify_password(typed.as_bytes(), expected).is_ok();
            Ok(verified && hash.is_some())
        };
        self.run(verify, context)
    }
}

/// Hashes bytes that hold a password, the same way every time, so that two requests can be compared by what is
/// kept of them without keeping anything that could be guessed back cheaply.
#[derive(Message)]
#[rtype(result = "Result<[u8; 32], HashError>")]
pub struct HashSecret {
    /// What to hash.
    pub secret: Vec<u8>,
    /// At least 8 bytes, different for everything that need not be compared.
    pub salt: Vec<u8>,
}

impl Handler<HashSecret> for Passwords {
    type Result = ResponseFuture<Result<[u8; 32], HashError>>;

    fn handle(
        &mut self,
        HashSecret { secret, salt }: HashSecret,
        context: &mut Self::Context,
    ) -> Self::Result {
        let hash = move || {
            let mut hash = [0; 32];
            Argon2::default().hash_password_into(&secret, &salt, &mut hash).map_err(|_| HashError::Broken)?;
            Ok(hash)
        };
        self.run(hash, context)
    }
}

/// Why nothing was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashError {
    /// Too many passwords wait already.
    Busy,
    /// The hash failed, or its thread ended.
    Broken,
}

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "too many passwords wait to be hashed",
            Self::Broken => "cannot hash the password",
        })
    }
}

impl std::error::Error for HashError {}

/// What the pool shows of itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PasswordsState {
    threads: usize,
    accepted: u64,
    refused: u64,
}

impl Handler<Observe> for Passwords {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        let Self { accepted, refused, .. } = *self;
        Observe::answer::<Self>(&PasswordsState { threads: THREADS, accepted, refused })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use common::{
        supervision::{Handle, Spec, Supervisor},
        telemetry::metrics::Registry,
        timeline::Timeline,
    };

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(60);

    /// A pool under a guardian, which has started it.
    async fn pool() -> Handle<Passwords> {
        let supervisor = Supervisor::new("test", Timeline::open("test", None), &mut Registry::default());
        let handle = supervisor.supervise_here(Spec::new("passwords"), |life| Ok(Passwords::start(life)?));
        while !handle.is_healthy() {
            tokio::task::yield_now().await;
        }
        handle
    }

    fn password() -> Password {
        Password::parse("correct horse").expect("long enough")
    }

    #[actix::test]
    async fn a_password_is_hashed_by_argon2id_with_a_salt_of_its_own() {
        let pool = pool().await;
        let hash = async || pool.ask(HashPassword(password()), DEADLINE).await.expect("the pool answers");

        let (first, second) = (hash().await.expect("hashed"), hash().await.expect("hashed"));

        assert!(first.0.starts_with("$argon2id$"), "{}", first.0);
        assert_ne!(first, second);
        assert!(Argon2::default().verify_password(b"correct horse", first.0.as_str()).is_ok());
        assert!(Argon2::default().verify_password(b"wrong horse", first.0.as_str()).is_err());
    }

    #[actix::test]
    async fn only_the_password_that_was_hashed_is_verified() {
        let pool = pool().await;
        let hash =
            pool.ask(HashPassword(password()), DEADLINE).await.expect("the pool answers").expect("hashed");
        let verify = async |typed: &str, hash: Option<&PasswordHash>| {
            let verify = VerifyPassword { typed: typed.to_owned(), hash: hash.cloned() };
            pool.ask(verify, DEADLINE).await.expect("the pool answers").expect("verified")
        };

        assert!(verify("correct horse", Some(&hash)).await);
        assert!(!verify("wrong horse", Some(&hash)).await);
        assert!(!verify("", Some(&hash)).await);
        assert!(!verify("correct horse", None).await);
        assert!(!verify("correct horse", Some(&PasswordHash("no hash".to_owned()))).await);
    }

    #[test]
    fn nobodys_hash_costs_what_everybodys_costs() {
        let parameters = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        let real = Argon2::default().hash_password(b"correct horse").expect("hashed").to_string();

        assert_eq!(parameters(NOBODYS), parameters(&real));
        // Of the same lengths too, and one that is really computed: another failure would be quick.
        let lengths = |hash: &str| hash.rsplit('$').next().map(str::len);
        assert_eq!(lengths(NOBODYS), lengths(&real));
        let refused = Argon2::default().verify_password(b"correct horse", NOBODYS);
        assert_eq!(refused, Err(argon2::password_hash::Error::PasswordInvalid));
    }

    #[actix::test]
    async fn more_passwords_than_can_be_hashed_soon_are_refused() {
        let pool = pool().await;

        let asked = (0..THREADS + QUEUE + 20).map(|_| pool.ask(HashPassword(password()), DEADLINE));
        let outcomes = futures_util::future::join_all(asked).await;

        let busy = outcomes.iter().filter(|outcome| **outcome == Ok(Err(HashError::Busy))).count();
        assert!(busy > 0, "{busy} of {}", outcomes.len());
        assert!(outcomes.iter().filter(|outcome| matches!(outcome, Ok(Ok(_)))).count() >= QUEUE);
    }
}
