use actix_web::{HttpRequest, HttpResponse, http::header::LOCATION, web};
use common::{
    http::{Caller, Carried, Deadline, Fields, IdempotencyKeyParam, JsonBody, Problem, RequestOrigin},
    store::Fingerprint,
    telemetry::trace::Origin,
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{App, problem::invalid_user};
use crate::{
    customers::CheckCustomer,
    domain::{CustomerId, Items, Order, OrderId},
    repository::PlaceOrder,
};

/// What a client sends to order. Missing fields are named together with wrong ones, so none is required here.
#[derive(Deserialize, ToSchema)]
#[schema(description = "Who orders what.")]
#[serde(rename_all = "camelCase")]
pub(super) struct Placement {
    /// Who orders.
    #[schema(required = true, nullable = false, pattern = "^[A-Za-z0-9._~-]{1,64}$", example = "u1")]
    user_id: Option<String>,
    /// What is ordered: 1 to 100 texts of 1 to 200 characters each; white space around them does not count.
    #[schema(required = true, nullable = false, value_type = Vec<super::description::Item>, min_items = 1,
        max_items = 100, example = json!(["book"]))]
    items: Option<Vec<String>>,
}

/// `POST /orders`: 201 with the order, once it and its event are on disk; 400 where the customer does not
/// exist, 403 where it is not the caller, 422 naming every field that is wrong, 503 while the users service cannot
/// be asked.
#[utoipa::path(
    post,
    path = "/orders",
    operation_id = "placeOrder",
    summary = "Place an order",
    tag = "orders",
    params(IdempotencyKeyParam),
    request_body = Placement,
    responses(
        (status = 201, description = "The order, on disk together with its event", body = super::description::Order,
            headers(("Location" = String, description = "Where the order is"))),
        (status = 400, description = "invalid user: no user has this id"),
        (status = 403, description = "forbidden: this is not yours"),
        (status = 422, description = "invalid fields: items[0] must not be empty"),
        (status = 503, description = "users unavailable: the users service cannot be reached, so the customer cannot \
            be checked; nothing was stored"),
    )
)]
pub(super) async fn place(
    request: HttpRequest,
    app: web::Data<App>,
    caller: Caller,
    origin: RequestOrigin,
    body: JsonBody<Placement>,
) -> Result<HttpResponse, Problem> {
    let (user_id, items) = parse(body.value)?;
    caller.act_for(&user_id)?;
    let fingerprint = async |_: &_| Ok(Fingerprint::of(&body.raw));
    let command = async || {
        let origin = Origin::from(origin);
        let customer = existing(&app, &user_id, origin.clone(), Deadline::of(&request)).await?;
        Ok(PlaceOrder { id: OrderId::fresh(), customer, items, origin })
    };
    let placed: Carried<Order> = app.writes.carry_out(&request, fingerprint, command).await?;
    let mut created = HttpResponse::Created();
    created.insert_header((LOCATION, format!("/orders/{}", placed.outcome.id.as_str())));
    Ok(placed.answer(created))
}

fn parse(Placement { user_id, items }: Placement) -> Result<(String, Items), Problem> {
    let mut fields = Fields::default();
    let user_id = fields.required("userId", user_id, |raw| match raw.len() {
        0 => Err("must not be empty"),
        1..=CustomerId::LONGEST => Ok(raw),
        _ => Err("must be at most 64 bytes long"),
    });
    let items = match items.as_deref().map(Items::parse) {
        Some(Ok(items)) => Some(items),
        Some(Err(errors)) => {
            for error in errors {
                let name = error.index().map_or("items".to_owned(), |index| format!("items[{index}]"));
                fields.wrong(name, error);
            }
            None
        }
        None => {
            fields.wrong("items", "is missing");
            None
        }
    };
    fields.finish(user_id.zip(items))
}

/// Returns the customer, once the users service has said that it exists.
async fn existing(
    app: &App,
    user_id: &str,
    origin: Origin,
    deadline: Deadline,
) -> Result<CustomerId, Problem> {
    let id = CustomerId::parse(user_id).ok_or_else(invalid_user)?;
    let check = CheckCustomer { id: id.clone(), origin, deadline };
    if app.customers.ask(check, app.customers_deadline).await?? { Ok(id) } else { Err(invalid_user()) }
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
