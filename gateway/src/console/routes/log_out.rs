use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{COOKIE, SET_COOKIE},
    web,
};

use super::{App, log_in::cookie};
use crate::console::access::session_of;

/// `DELETE /session`: 204, and the session that the cookie names is over.
pub(super) async fn log_out(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    let cookies = request.headers().get_all(COOKIE).filter_map(|value| value.to_str().ok());
    cookies.filter_map(session_of).for_each(|session| app.access.log_out(session));
    HttpResponse::NoContent().insert_header((SET_COOKIE, cookie("", 0))).finish()
}
