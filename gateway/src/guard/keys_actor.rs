use std::{
    cell::RefCell,
    convert::Infallible,
    fmt,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, MessageResult, WrapFuture};
use common::{
    auth::KeySet,
    backoff::Backoff,
    http::{Client, ClientConfig},
    supervision::Observe,
    telemetry::trace::Origin,
};
use serde::Serialize;

use super::Keys;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// The pause between two questions, however many tokens ask for one.
const LEAST: Duration = Duration::from_secs(1);

/// Waits between attempts while there are no keys at all: nobody gets in meanwhile.
const WITHOUT_KEYS: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));

/// Where the keys are.
#[derive(Clone)]
pub struct KeysSource {
    /// Returns the addresses of the service that signs, such as `http://127.0.0.1:3001`, as they are just now.
    pub bases: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// The path of its document there.
    pub path: String,
    /// The longest pause between two questions; shorter where the answer says that it may not be kept for so long.
    pub every: Duration,
}

impl KeysSource {
    /// Asks every minute, or as often as the answer says that it has to be asked for again. A service must publish a key
    /// for longer than that before it signs by it.
    pub fn new(bases: impl Fn() -> Vec<String> + Send + Sync + 'static, path: impl Into<String>) -> Self {
        Self { bases: Arc::new(bases), path: path.into(), every: Duration::from_secs(60) }
    }
}

impl fmt::Debug for KeysSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeysSource")
            .field("path", &self.path)
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

/// The actor; one a gateway.
#[derive(Debug)]
pub struct KeysActor {
    source: KeysSource,
    keys: Keys,
    heard: Rc<RefCell<Heard>>,
}

/// What came of the questions so far.
#[derive(Debug, Default)]
struct Heard {
    last_success: Option<Instant>,
    failures_in_a_row: u32,
    last_failure: Option<String>,
}

impl KeysActor {
    /// Keeps `keys` as `source` has them.
    pub fn new(source: KeysSource, keys: Keys) -> Self {
        Self { source, keys, heard: Rc::default() }
    }
}

impl Actor for KeysActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let asking = ask_for_ever(self.source.clone(), self.keys.clone(), self.heard.clone());
        context.spawn(asking.into_actor(self).map(|never, _, _| match never {}));
    }
}

async fn ask_for_ever(source: KeysSource, keys: Keys, heard: Rc<RefCell<Heard>>) -> Infallible {
    let client = Client::new(ClientConfig::default());
    loop {
        let answer = fetch(&client, &source).await;
        let pause = note(&source, &keys, &mut heard.borrow_mut(), answer);
        tokio::time::sleep(pause.min(LEAST)).await;
        let rest = pause.saturating_sub(LEAST);
        if !rest.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = keys.newer_wanted() => {}
            }
        }
    }
}

/// Writes down what was heard, and returns how long to wait before the next question.
fn note(source: &KeysSource, keys: &Keys, heard: &mut Heard, answer: Result<Fresh, String>) -> Duration {
    match answer {
        Ok(Fresh { set, max_age }) => {
            let before = keys.kids();
            keys.publish(set);
            let now = keys.kids();
            if now != before {
                log::info!("event=auth_keys kids={:?}", now.join(","));
            }
            *heard = Heard { last_success: Some(Instant::now()), ..Heard::default() };
            max_age.map_or(source.every, |max_age| max_age.clamp(LEAST, source.every))
        }
        Err(failure) => {
            if heard.last_failure.as_ref() != Some(&failure) {
                log::warn!("event=auth_keys_not_fetched known={} error={failure:?}", keys.are_known());
            }
            let pause = match keys.are_known() {
                // Long enough to be no burden, short enough to hear of a new key before it signs.
                true => source.every.min(Duration::from_secs(5)),
                false => WITHOUT_KEYS.delay(heard.failures_in_a_row, fastrand::f64()),
            };
            heard.failures_in_a_row = heard.failures_in_a_row.saturating_add(1);
            heard.last_failure = Some(failure);
            pause
        }
    }
}

/// Keys that were just heard.
struct Fresh {
    set: KeySet,
    /// For how long they may be kept without another look.
    max_age: Option<Duration>,
}

/// Asks one address after the other until one has keys.
async fn fetch(client: &Client, source: &KeysSource) -> Result<Fresh, String> {
    let mut failure = "no address is known".to_owned();
    for base in (source.bases)() {
        let url = format!("{}{}", base.trim_end_matches('/'), source.path);
        failure = match client.get(&url, &Origin::unrecorded(), DEADLINE).await {
            Ok(answer) if answer.status.is_success() => match KeySet::parse(&answer.body) {
                Ok(set) => return Ok(Fresh { set, max_age: answer.max_age }),
                Err(error) => format!("{url}: {error}"),
            },
            Ok(answer) => format!("{url}: status {}", answer.status.as_u16()),
            Err(error) => format!("{url}: {error}"),
        };
    }
    Err(failure)
}

/// What [`KeysActor`] shows of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeysState {
    /// The names of the keys.
    pub kids: Vec<String>,
    /// How long ago they were heard, in seconds; `None` while they never were by this generation.
    pub age_s: Option<u64>,
    /// Why the last question was not answered, where it was not.
    pub failure: Option<String>,
}

impl Handler<Observe> for KeysActor {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        let heard = self.heard.borrow();
        Observe::answer::<Self>(&KeysState {
            kids: self.keys.kids(),
            age_s: heard.last_success.map(|at| at.elapsed().as_secs()),
            failure: heard.last_failure.clone(),
        })
    }
}
