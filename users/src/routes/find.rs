use actix_web::{HttpResponse, web};
use common::http::{Caller, Problem};

use super::{App, problem::user_not_found, view::UserView};
use crate::{domain::UserId, repository::FindUser};

/// `GET /users/{id}`: 200 with the user and what is known of their orders, or 404. Another user's id is a 403 whether
/// or not there is such a user, so that nobody learns who there is.
#[utoipa::path(
    get,
    path = "/users/{id}",
    operation_id = "findUser",
    summary = "One user, and what is known of their orders",
    tag = "users",
    params(("id" = String, Path, description = "The user's id", example = "u1")),
    responses(
        (status = 200, description = "The user", body = UserView),
        (status = 403, description = "forbidden: this is not yours"),
        (status = 404, description = "user not found"),
    )
)]
pub(super) async fn find(
    app: web::Data<App>,
    caller: Caller,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    caller.act_for(&id)?;
    let id = UserId::given(id.into_inner());
    let known = app.repository.read(FindUser { id }).await?.ok_or_else(user_not_found)?;
    Ok(HttpResponse::Ok().json(UserView::from(known)))
}
