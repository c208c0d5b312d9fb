use actix_web::{HttpRequest, HttpResponse, web};
use common::{
    http::{
        Admission, IDEMPOTENCY_REPLAYED, Problem, RequestOrigin, Running, idempotency_key, used_otherwise,
    },
    store::{Fingerprint, IdempotentWrite, Once},
};

use super::App;
use crate::{
    domain::{Order, OrderId},
    repository::CancelOrder,
};

/// `POST /orders/{id}/cancel`: 200 with the order, once the change and its event are on disk; 409 where it was
/// cancelled before. The body, where there is one, says nothing and is not read.
pub(super) async fn cancel(
    request: HttpRequest,
    app: web::Data<App>,
    origin: RequestOrigin,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let (key, nothing) = (idempotency_key(&request)?, async |_: &_| Ok(Fingerprint::of(b"")));
    let running = match app.in_progress.admit::<Order>(key, nothing, &app.repository).await? {
        Admission::Replay(order) => return Ok(cancelled(&order, true)),
        Admission::Fresh(running) => running,
    };
    let command = CancelOrder { id: OrderId::given(id.into_inner()), origin: origin.into() };
    let (key, retention) = (running.as_ref().map(Running::operation), app.idempotency_retention);
    let written = app.repository.write(IdempotentWrite { key, retention, command }).await;
    match written.map_err(Problem::not_written)? {
        Once::Done(order) => Ok(cancelled(&order, false)),
        Once::Replayed(order) => Ok(cancelled(&order, true)),
        Once::OtherRequest => Err(used_otherwise()),
        Once::Refused(refused) => Err(refused.into()),
    }
}

fn cancelled(order: &Order, replayed: bool) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    if replayed {
        response.insert_header((IDEMPOTENCY_REPLAYED, "true"));
    }
    response.json(order)
}
