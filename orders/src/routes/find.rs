use actix_web::{HttpResponse, web};
use common::http::{Caller, Problem};

use super::{
    App,
    owner::only,
    problem::{not_yours, order_not_found},
    view::OrderView,
};
use crate::{domain::OrderId, repository::FindOrder};

/// `GET /orders/{id}`: 200 with the order, and its customer's name where that is known, 403 where it is
/// another user's, or 404.
#[utoipa::path(
    get,
    path = "/orders/{id}",
    operation_id = "findOrder",
    summary = "One order",
    tag = "orders",
    params(("id" = String, Path, description = "The order's id")),
    responses(
        (status = 200, description = "The order", body = OrderView),
        (status = 403, description = "forbidden: these are another user's orders"),
        (status = 404, description = "order not found"),
    )
)]
pub(super) async fn find(
    app: web::Data<App>,
    caller: Caller,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = OrderId::given(id.into_inner());
    let known = app.repository.read(FindOrder { id }).await?.ok_or_else(order_not_found)?;
    if only(&caller)?.is_some_and(|customer| customer != known.order.user_id) {
        return Err(not_yours());
    }
    Ok(HttpResponse::Ok().json(OrderView::from(known)))
}
