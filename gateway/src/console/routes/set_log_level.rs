use std::time::Duration;

use actix_web::{HttpResponse, web};
use common::http::{JsonBody, Problem, StatusCode};
use serde::Deserialize;

use super::App;
use crate::console::log_level::{NotChanged, change, levels};

/// What is to be logged, and by whom; by all where nobody is named.
#[derive(Deserialize)]
pub(super) struct SetLogLevel {
    level: String,
    service: Option<String>,
}

/// `PUT /log-level`: 200 with what each service logs now; 400 where the filter cannot be read or there is no such service,
/// 503 where the one that was named does not answer.
pub(super) async fn set_log_level(
    app: web::Data<App>,
    body: JsonBody<SetLogLevel>,
) -> Result<HttpResponse, Problem> {
    let SetLogLevel { level, service } = body.value;
    change(&app.fleet, &app.timeline, &level, service.as_deref()).await.map_err(|error| {
        let (status, what) = match error {
            NotChanged::Filter(_) => (StatusCode::BAD_REQUEST, "invalid level"),
            NotChanged::NoSuchService(_) => (StatusCode::BAD_REQUEST, "no such service"),
            NotChanged::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "service unavailable"),
        };
        let problem = Problem::new(status, what).detail(error.to_string());
        match status {
            StatusCode::SERVICE_UNAVAILABLE => problem.retry_after(Duration::from_secs(1)),
            _ => problem,
        }
    })?;
    Ok(HttpResponse::Ok().json(levels(&app.fleet).await))
}
