//! The endpoints of the console: one a file, except that what can be done with dead letters, and with experiments, is
//! together. Handlers parse, ask, and map the answer; who gets here is decided before ([`Access`]).

mod state;

mod events;

mod ledger;
mod timeline;

mod tell_timeline;

mod log_levels;
mod set_log_level;

pub mod dead_letters;
pub mod experiments;

mod log_in;
mod log_out;

mod files;

use std::sync::Arc;

use actix_web::{
    guard,
    web::{self, ServiceConfig},
};
use common::{
    http::{Problem, StatusCode, readable},
    timeline::Timeline,
};

use super::{Access, Audience, Feed, Fleet, access::SESSION_PATH};
use crate::upstream::Upstreams;

/// What the console is made of, for every worker of the admin port.
#[derive(Clone)]
pub struct Console {
    /// Who gets in.
    pub access: Arc<Access>,
    /// Who watches.
    pub audience: Audience,
    /// What they get.
    pub feed: Feed,
    /// Who is asked.
    pub upstreams: Upstreams,
    /// What the gateway writes down itself.
    pub timeline: Timeline,
}

/// What the handlers of one worker share.
pub(super) struct App {
    access: Arc<Access>,
    audience: Audience,
    feed: Feed,
    fleet: Fleet,
    timeline: Timeline,
}

impl Console {
    /// Adds the console's routes.
    pub fn configure(&self, routes: &mut ServiceConfig) {
        let app = web::Data::new(App {
            access: self.access.clone(),
            audience: self.audience.clone(),
            feed: self.feed.clone(),
            // One for each worker: connections belong to the thread that made them.
            fleet: Fleet::new(self.upstreams.clone()),
            timeline: self.timeline.clone(),
        });
        routes
            .app_data(app)
            .service(web::resource(SESSION_PATH).post(log_in::log_in).delete(log_out::log_out))
            .service(readable("/console/state", state::state))
            .service(web::resource("/console/events").get(events::events))
            .service(readable("/console/timeline", timeline::timeline))
            // Reading it is the same in every process, and added there.
            .service(web::resource("/timeline").guard(guard::Post()).post(tell_timeline::tell_timeline))
            .service(readable("/console/ledger", ledger::ledger))
            .service(readable("/log-level", log_levels::log_levels).put(set_log_level::set_log_level))
            .service(readable("/", files::file))
            .service(readable("/console/{file}", files::file));
    }
}

/// Refuses a number that is not among those that are taken.
fn limited(limit: Option<usize>, default: usize, most: usize) -> Result<usize, Problem> {
    match limit.unwrap_or(default) {
        taken if (1..=most).contains(&taken) => Ok(taken),
        other => Err(Problem::new(StatusCode::BAD_REQUEST, "invalid query")
            .detail(format!("limit must be a number from 1 to {most}, not {other}"))),
    }
}
