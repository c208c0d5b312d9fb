use actix_web::{HttpResponse, web};

use super::App;
use crate::console::log_level::levels;

/// `GET /log-level`: 200 with what each service logs; null where it does not answer.
pub(super) async fn log_levels(app: web::Data<App>) -> HttpResponse {
    HttpResponse::Ok().json(levels(&app.fleet).await)
}
