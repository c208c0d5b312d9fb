use actix_web::{HttpRequest, HttpResponse, http::header::LOCATION, web};
use common::{
    http::{
        Admission, FieldError, IDEMPOTENCY_REPLAYED, JsonBody, Problem, RequestOrigin, Running,
        idempotency_key, used_otherwise,
    },
    store::{Fingerprint, IdempotentWrite, Once},
    telemetry::trace::Origin,
};
use serde::Deserialize;

use super::{
    App,
    problem::{invalid_order, invalid_user},
};
use crate::{
    customers::CheckCustomer,
    domain::{CustomerId, Items, Order, OrderId},
    repository::PlaceOrder,
};

/// What a client sends to order. Missing fields are named together with wrong ones, so none is required here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Placement {
    user_id: Option<String>,
    items: Option<Vec<String>>,
}

/// `POST /orders`: 201 with the order, once it and its event are on disk; 400 where the customer does not
/// exist, 422 naming every field that is wrong, 503 while the users service cannot be asked.
pub(super) async fn place(
    request: HttpRequest,
    app: web::Data<App>,
    origin: RequestOrigin,
    body: JsonBody<Placement>,
) -> Result<HttpResponse, Problem> {
    let key = idempotency_key(&request)?;
    let (user_id, items) = parse(body.value)?;
    let fingerprint = async |_: &_| Ok(Fingerprint::of(&body.raw));
    let running = match app.in_progress.admit::<Order>(key, fingerprint, &app.repository).await? {
        Admission::Replay(order) => return Ok(created(&order, true)),
        Admission::Fresh(running) => running,
    };
    let origin = Origin::from(origin);
    let customer = existing(&app, &user_id, origin.clone()).await?;
    let command = PlaceOrder { id: OrderId::fresh(), customer, items, origin };
    let (key, retention) = (running.as_ref().map(Running::operation), app.idempotency_retention);
    let written = app.repository.write(IdempotentWrite { key, retention, command }).await;
    match written.map_err(Problem::not_written)? {
        Once::Done(order) => Ok(created(&order, false)),
        Once::Replayed(order) => Ok(created(&order, true)),
        Once::OtherRequest => Err(used_otherwise()),
        Once::Refused(refused) => Err(refused.into()),
    }
}

fn parse(placement: Placement) -> Result<(String, Items), Problem> {
    let mut wrong = Vec::new();
    let user_id = placement.user_id.unwrap_or_else(|| {
        wrong.push(FieldError::new("userId", "is missing"));
        String::new()
    });
    if user_id.is_empty() && wrong.is_empty() {
        wrong.push(FieldError::new("userId", "must not be empty"));
    }
    if user_id.len() > CustomerId::LONGEST {
        wrong.push(FieldError::new("userId", "must be at most 64 bytes long"));
    }
    let items = match placement.items.as_deref().map(Items::parse) {
        Some(Ok(items)) => Some(items),
        Some(Err(errors)) => {
            wrong.extend(errors.into_iter().map(|error| {
                let field = error.index().map_or("items".to_owned(), |index| format!("items[{index}]"));
                FieldError::new(field, error.to_string())
            }));
            None
        }
        None => {
            wrong.push(FieldError::new("items", "is missing"));
            None
        }
    };
    match items {
        Some(items) if wrong.is_empty() => Ok((user_id, items)),
        _ => Err(invalid_order(wrong)),
    }
}

/// Returns the customer, once the users service has said that it exists.
async fn existing(app: &App, user_id: &str, origin: Origin) -> Result<CustomerId, Problem> {
    let id = CustomerId::parse(user_id).ok_or_else(invalid_user)?;
    let check = CheckCustomer { id: id.clone(), origin };
    if app.customers.ask(check, app.customers_deadline).await?? { Ok(id) } else { Err(invalid_user()) }
}

fn created(order: &Order, replayed: bool) -> HttpResponse {
    let mut response = HttpResponse::Created();
    response.insert_header((LOCATION, format!("/orders/{}", order.id.as_str())));
    if replayed {
        response.insert_header((IDEMPOTENCY_REPLAYED, "true"));
    }
    response.json(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_that_is_wrong_is_named() {
        let placement =
            Placement { user_id: None, items: Some(vec!["book".to_owned(), String::new(), "x".repeat(201)]) };

        let problem = parse(placement).expect_err("three fields are wrong");

        assert_eq!(problem.status(), 422);
        let said = format!("{problem:?}");
        for field in ["userId", "items[1]", "items[2]"] {
            assert!(said.contains(field), "{field} in {said}");
        }
    }
}
