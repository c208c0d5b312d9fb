use actix_web::{HttpResponse, http::StatusCode, web};
use serde::{Deserialize, Serialize};

use super::{NoTraffic, Problem, Routes, operator_body::OperatorBody};
use crate::{
    telemetry::log,
    timeline::{IncidentKind, Timeline},
};

/// What is logged, as `RUST_LOG` says it.
#[derive(Debug, Serialize, Deserialize)]
struct LogLevel {
    level: String,
}

/// Adds `GET` and `PUT /log-level`: what the process logs, and another choice until it ends, which the timeline tells.
pub fn log_level(routes: &mut Routes, timeline: &Timeline) {
    let timeline = timeline.clone();
    let change = move |body: OperatorBody<LogLevel>| {
        let timeline = timeline.clone();
        async move { change(&body.value.level, &timeline).await }
    };
    routes.service(web::resource("/log-level").app_data(NoTraffic).get(show).put(change));
}

async fn show() -> HttpResponse {
    HttpResponse::Ok().json(LogLevel { level: log::level() })
}

/// Longest filter, in bytes.
const LONGEST: usize = 1024;

async fn change(level: &str, timeline: &Timeline) -> Result<HttpResponse, Problem> {
    let invalid = |why: String| Problem::new(StatusCode::BAD_REQUEST, "invalid level").detail(why);
    if level.len() > LONGEST {
        return Err(invalid(format!("a filter has at most {LONGEST} bytes, and this one {}", level.len())));
    }
    let before = log::set_level(level).map_err(|error| invalid(error.to_string()))?;
    timeline.note(IncidentKind::Operator, "log level", &format!("{before} became {}", log::level()));
    Ok(show().await)
}
