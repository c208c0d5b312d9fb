use actix_web::{HttpResponse, web};
use common::http::{Caller, PageRequest, PageView, Problem};
use serde::Deserialize;

use super::{
    App,
    owner::only,
    problem::{invalid_user, not_yours},
    view::OrderView,
};
use crate::{
    domain::{CustomerId, OrderId},
    repository::ListOrders,
};

/// Whose orders.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Filter {
    user_id: Option<String>,
}

/// `GET /orders?userId&limit&cursor`: 200 with a page of orders, oldest first; of one customer where `userId`
/// is given. Whoever may see only its own gets those without asking, and 403 for anybody else's.
#[utoipa::path(
    get,
    path = "/orders",
    operation_id = "listOrders",
    summary = "A page of orders, oldest first",
    tag = "orders",
    params(
        ("userId" = Option<String>, Query, description = "Only this user's orders; everybody's where it is not given",
            pattern = "^[A-Za-z0-9._~-]{1,64}$", example = "u1"),
        PageRequest,
    ),
    responses(
        (status = 200, description = "The page", body = PageView<OrderView>),
        (status = 400, description = "invalid user: no user has this id"),
        (status = 403, description = "forbidden: these are another user's orders"),
    )
)]
pub(super) async fn list(
    app: web::Data<App>,
    caller: Caller,
    asked: web::Query<PageRequest>,
    filter: web::Query<Filter>,
) -> Result<HttpResponse, Problem> {
    let (limit, after) = (asked.limit()?, asked.after()?.map(OrderId::given));
    let customer = match filter.user_id.as_deref() {
        Some(raw) => Some(CustomerId::parse(raw).ok_or_else(invalid_user)?),
        None => None,
    };
    let customer = match (only(&caller)?, customer) {
        (None, asked) => asked,
        (Some(own), Some(asked)) if asked != own => return Err(not_yours()),
        (own, _) => own,
    };
    let page = app.repository.read(ListOrders { customer, after, limit }).await?;
    Ok(HttpResponse::Ok().json(PageView::of(page, |known| known.order.id.as_str(), OrderView::from)))
}
