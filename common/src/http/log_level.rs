use actix_web::{HttpResponse, http::StatusCode, web};
use serde::{Deserialize, Serialize};

use super::{JsonBody, Problem, Routes};
use crate::telemetry::log;

/// What is logged, as `RUST_LOG` says it.
#[derive(Debug, Serialize, Deserialize)]
struct LogLevel {
    level: String,
}

/// Adds `GET` and `PUT /log-level`: what the process logs, and another choice until it ends.
pub fn log_level(routes: &mut Routes) {
    routes.service(web::resource("/log-level").get(show).put(change));
}

async fn show() -> HttpResponse {
    HttpResponse::Ok().json(LogLevel { level: log::level() })
}

async fn change(body: JsonBody<LogLevel>) -> Result<HttpResponse, Problem> {
    log::set_level(&body.value.level)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "invalid level").detail(error.to_string()))?;
    Ok(show().await)
}
