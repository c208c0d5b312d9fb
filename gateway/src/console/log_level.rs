//! What every service logs, and another choice, for all or one of them.

use std::{collections::BTreeMap, fmt, time::Duration};

use common::{
    telemetry::log,
    timeline::{IncidentKind, Timeline},
};
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use super::{Fleet, fleet::Heard};

/// How long a service may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// Where a service says what it logs, and takes another choice.
const PATH: &str = "/log-level";

/// The gateway among the services.
const GATEWAY: &str = "gateway";

/// What each service logs, as `RUST_LOG` says it; null where it does not answer.
pub type LogLevels = BTreeMap<String, Value>;

/// Asks every service what it logs.
pub async fn levels(fleet: &Fleet) -> LogLevels {
    let mut levels = LogLevels::from([(GATEWAY.to_owned(), Value::String(log::level()))]);
    levels.extend(fleet.upstreams().all().iter().map(|upstream| (upstream.name().to_owned(), Value::Null)));
    for (place, heard) in fleet.get_all(PATH, DEADLINE).await {
        if let Heard::Said(said) = heard {
            levels.insert(place.service, said["level"].clone());
        }
    }
    levels
}

/// Makes `service`, or all of them, log by another filter until they end.
///
/// # Errors
/// Says what was wrong. Where the filter cannot be read, nothing is changed.
pub async fn change(
    fleet: &Fleet,
    timeline: &Timeline,
    filter: &str,
    service: Option<&str>,
) -> Result<(), NotChanged> {
    let places = fleet.places();
    let wanted = |name: &str| service.is_none_or(|service| service == name);
    let known = fleet.upstreams().all().iter().any(|upstream| wanted(upstream.name())) || wanted(GATEWAY);
    if !known {
        let names = fleet.upstreams().all().iter().map(|upstream| upstream.name().to_owned()).collect();
        return Err(NotChanged::NoSuchService(names));
    }
    // First, so that a filter that nobody can read changes nothing at all.
    if wanted(GATEWAY) {
        let before = log::set_level(filter).map_err(|error| NotChanged::Filter(error.to_string()))?;
        timeline.note(IncidentKind::Operator, "log level", &format!("{before} became {}", log::level()));
    }
    let body = json!({ "level": filter });
    let asked = places.iter().filter(|place| wanted(&place.service));
    let asked = asked.map(|place| fleet.ask(place, Method::PUT, PATH, Some(&body), DEADLINE));
    for heard in join_all(asked).await {
        match heard {
            Heard::Said(_) => {}
            Heard::Refused(400, problem) => {
                let why = problem["detail"].as_str().unwrap_or("it cannot be read");
                return Err(NotChanged::Filter(why.to_owned()));
            }
            // Of several, the answer tells which it is.
            Heard::Refused(..) | Heard::Silent(_) if service.is_none() => {}
            Heard::Refused(status, _) => return Err(NotChanged::Unavailable(format!("it answers {status}"))),
            Heard::Silent(why) => return Err(NotChanged::Unavailable(why)),
        }
    }
    Ok(())
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotChanged {
    /// The filter cannot be read.
    Filter(String),
    /// There is no such service, but these.
    NoSuchService(Vec<String>),
    /// The service does not answer.
    Unavailable(String),
}

impl fmt::Display for NotChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(why) | Self::Unavailable(why) => f.write_str(why),
            Self::NoSuchService(known) => write!(f, "service must be gateway or one of {}", known.join(", ")),
        }
    }
}

impl std::error::Error for NotChanged {}
