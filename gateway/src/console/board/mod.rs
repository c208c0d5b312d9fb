//! Asks every process how it is, and makes one picture of what they say.
//!
//! - *Owns*: what was heard last of each process, and the counts of which rates are made.
//! - *Receives*: nothing but the question how it is.
//! - *Sends*: `GET /actors` to every process of every upstream, twice a second while somebody watches; nothing else.
//! - *When it fails*: viewers keep the last picture; the next generation asks at once.
//!
//! A picture is encoded once and only where something is different, or every 5 s so that viewers see that somebody is
//! there. What changes with every question, such as the count of answered requests, does not make a picture different.

mod snapshot;

mod processes;

mod links;
mod rates;

mod round;

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use common::supervision::Observe;
use jiff::Timestamp;
use serde::Serialize;

use super::{Audience, Feed};
use processes::whole_millis;
use snapshot::{Picture, Snapshot};

pub use round::{Own, Round};

/// How often processes are asked.
const EVERY: Duration = Duration::from_millis(500);

/// How long viewers are left without a sign at most.
const SIGN: Duration = Duration::from_secs(5);

/// The actor; one a gateway.
pub struct StatusBoard {
    round: Option<Round>,
    audience: Audience,
    feed: Feed,
}

impl StatusBoard {
    /// The actor's name.
    pub const NAME: &'static str = "status-board";

    /// Shows `audience` in `feed` what `round` finds.
    pub fn new(round: Round, audience: Audience, feed: Feed) -> Self {
        Self { round: Some(round), audience, feed }
    }
}

impl Actor for StatusBoard {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        // A generation starts once.
        if let Some(round) = self.round.take() {
            let showing = show_for_ever(round, self.audience.clone(), self.feed.clone());
            context.spawn(showing.into_actor(self).map(|never, _, _| match never {}));
        }
    }
}

async fn show_for_ever(mut round: Round, audience: Audience, feed: Feed) -> Infallible {
    let mut shown: Option<(Picture, Instant)> = None;
    loop {
        audience.there().await;
        let began = Instant::now();
        let picture = round.look().await;
        if shown.as_ref().is_none_or(|(last, at)| *last != picture || at.elapsed() >= SIGN - EVERY) {
            let snapshot = Snapshot { at: whole_millis(Timestamp::now()), picture: &picture };
            match serde_json::to_vec(&snapshot) {
                Ok(json) => feed.show(&json),
                Err(error) => log::error!("event=picture_not_encoded error={:?}", error.to_string()),
            }
            shown = Some((picture, Instant::now()));
        }
        feed.confirm(Instant::now());
        tokio::time::sleep_until((began + EVERY).into()).await;
    }
}

/// What [`StatusBoard`] shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusBoardState {
    /// How many watch.
    pub viewers: usize,
}

impl Handler<Observe> for StatusBoard {
    type Result = actix::MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        Observe::answer::<Self>(&StatusBoardState { viewers: self.audience.seats() })
    }
}
