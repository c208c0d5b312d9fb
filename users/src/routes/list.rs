use actix_web::{HttpResponse, web};
use common::http::{Caller, PageRequest, PageView, Problem};

use super::{App, view::UserView};
use crate::{domain::UserId, repository::ListUsers};

/// `GET /users?limit&cursor`: 200 with a page of users, oldest first; an admin's alone.
#[utoipa::path(
    get,
    path = "/users",
    operation_id = "listUsers",
    summary = "A page of users, oldest first",
    tag = "users",
    params(PageRequest),
    responses(
        (status = 200, description = "The page", body = PageView<UserView>),
        (status = 403, description = "forbidden: this takes the role admin"),
    )
)]
pub(super) async fn list(
    app: web::Data<App>,
    caller: Caller,
    asked: web::Query<PageRequest>,
) -> Result<HttpResponse, Problem> {
    caller.act_for_all()?;
    let (limit, after) = (asked.limit()?, asked.after()?.map(UserId::given));
    let page = app.repository.read(ListUsers { after, limit }).await?;
    Ok(HttpResponse::Ok().json(PageView::of(page, |known| known.user.id.as_str(), UserView::from)))
}
