use std::{convert::Infallible, time::Duration};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, MessageResult, WrapFuture};
use common::{auth::SigningKey, backoff::Backoff, store::RepositoryHandle, supervision::Observe};
use jiff::Timestamp;
use serde::Serialize;

use super::Keyring;
use crate::{domain::KeySchedule, repository::MaintainKeys};

/// Waits between attempts while the store cannot be asked.
const RETRY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// Looks at least so often, since the timer does not run while the machine sleeps. Nothing is written for it.
const AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// The actor; one a service.
#[derive(Debug)]
pub struct SigningKeys {
    repository: RepositoryHandle,
    schedule: KeySchedule,
    ring: Keyring,
}

impl SigningKeys {
    /// Keeps `ring` as `schedule` wants it.
    pub fn new(repository: RepositoryHandle, schedule: KeySchedule, ring: Keyring) -> Self {
        Self { repository, schedule, ring }
    }
}

impl Actor for SigningKeys {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let keeping = keep_for_ever(self.repository.clone(), self.schedule, self.ring.clone());
        context.spawn(keeping.into_actor(self).map(|never, _, _| match never {}));
    }
}

async fn keep_for_ever(repository: RepositoryHandle, schedule: KeySchedule, ring: Keyring) -> Infallible {
    let mut failures = 0;
    loop {
        let pause = match maintain(&repository, schedule, &ring).await {
            Ok(pause) => {
                failures = 0;
                pause
            }
            Err(error) => {
                // The repository says itself that it restarts; this is worth a line only where it lasts.
                if failures == 10 {
                    log::warn!("event=signing_keys_not_maintained error={error:?}");
                }
                failures += 1;
                RETRY.delay(failures - 1, fastrand::f64())
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Brings the keys up to date, and returns when to look again.
async fn maintain(
    repository: &RepositoryHandle,
    schedule: KeySchedule,
    ring: &Keyring,
) -> Result<Duration, String> {
    let now = seconds(Timestamp::now());
    let fresh = SigningKey::generate(now).map_err(|error| error.to_string())?;
    let kept = repository.write(MaintainKeys { schedule, fresh }).await.map_err(|error| error.to_string())?;
    let starts: Vec<u64> = kept.iter().map(|kept| kept.signs_from).collect();
    let before = ring.list();
    ring.publish(kept);
    let after = ring.list();
    if before != after {
        let kids: Vec<&str> = after.iter().map(|(kid, _)| kid.as_str()).collect();
        log::info!("event=signing_keys kids={:?}", kids.join(","));
    }
    let next = schedule.next_change(&starts).unwrap_or(now);
    Ok(Duration::from_secs(next.saturating_sub(now).max(1)).min(AT_LEAST_EVERY))
}

/// Seconds of the Unix epoch.
fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_second()).unwrap_or(0)
}

/// What the actor shows of itself: names and times, never a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SigningKeysState {
    /// Every key that is published, by the time from which it signs.
    pub keys: Vec<SigningKeyState>,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SigningKeyState {
    /// Its name.
    pub kid: String,
    /// From when it signs.
    pub signs_from: Option<Timestamp>,
}

impl Handler<Observe> for SigningKeys {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        let state = |(kid, signs_from): (String, u64)| SigningKeyState {
            kid,
            signs_from: i64::try_from(signs_from).ok().and_then(|at| Timestamp::from_second(at).ok()),
        };
        Observe::answer::<Self>(&SigningKeysState { keys: self.ring.list().into_iter().map(state).collect() })
    }
}
