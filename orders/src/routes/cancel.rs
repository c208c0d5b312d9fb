use actix_web::{HttpRequest, HttpResponse, web};
use common::{
    http::{Caller, Carried, IdempotencyKeyParam, Problem, RequestOrigin},
    store::Fingerprint,
};

use super::{App, owner::only};
use crate::{
    domain::{Order, OrderId},
    repository::CancelOrder,
};

/// `POST /orders/{id}/cancel`: 200 with the order, once the change and its event are on disk; 403 where it is
/// another user's, 409 where it was cancelled before. The body, where there is one, says nothing and is not read.
#[utoipa::path(
    post,
    path = "/orders/{id}/cancel",
    operation_id = "cancelOrder",
    summary = "Cancel an order",
    tag = "orders",
    params(("id" = String, Path, description = "The order's id"), IdempotencyKeyParam),
    responses(
        (status = 200, description = "The order, cancelled for good", body = super::description::Order),
        (status = 403, description = "forbidden: these are another user's orders"),
        (status = 404, description = "order not found"),
        (status = 409, description = "order already cancelled"),
    )
)]
pub(super) async fn cancel(
    request: HttpRequest,
    app: web::Data<App>,
    caller: Caller,
    origin: RequestOrigin,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let nothing = async |_: &_| Ok(Fingerprint::of(b""));
    let (id, only) = (OrderId::given(id.into_inner()), only(&caller)?);
    let command = async || Ok(CancelOrder { id, only, origin: origin.into() });
    let cancelled: Carried<Order> = app.writes.carry_out(&request, nothing, command).await?;
    Ok(cancelled.answer(HttpResponse::Ok()))
}
