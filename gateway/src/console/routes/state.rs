use std::time::Duration;

use actix_web::{HttpResponse, web};
use common::http::{Problem, StatusCode};

use super::App;

/// How long the board may take to ask everybody.
const DEADLINE: Duration = Duration::from_secs(2);

/// `GET /console/state`: 200 with the picture, no older than a second; 503 while the board restarts.
pub(super) async fn state(app: web::Data<App>) -> Result<HttpResponse, Problem> {
    app.audience.looked_in();
    let frame = app.feed.fresh(DEADLINE).await.ok_or_else(|| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no picture")
            .detail("the status board has not answered; it may be restarting")
            .retry_after(Duration::from_secs(1))
    })?;
    Ok(HttpResponse::Ok().content_type("application/json").body(frame.json()))
}
