//! What the service says of its endpoints. Each describes itself; this brings them together, and says what the
//! types of the domain, which knows nothing of OpenAPI, look like in JSON.

use common::http::Description;
use jiff::Timestamp;
use utoipa::{OpenApi, ToSchema};

use super::{cancel, find, list, place};

/// The whole description.
pub(super) fn description() -> Description {
    Description::of(&Endpoints::openapi())
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Warren orders", description = "Who ordered what."),
    paths(list::list, place::place, find::find, cancel::cancel),
    tags((name = "orders", description = "Who ordered what"))
)]
struct Endpoints;

/// An order.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it stands for domain::Order")]
pub(super) struct Order {
    /// A UUID version 7.
    #[schema(example = "019ab0c8-e037-7e5a-9c93-6894a57f9324")]
    id: String,
    /// Who placed it.
    #[schema(pattern = "^[A-Za-z0-9._~-]{1,64}$", example = "u1")]
    user_id: String,
    #[schema(min_items = 1, max_items = 100)]
    items: Vec<Item>,
    status: OrderStatus,
    /// When it was placed.
    created_at: Timestamp,
    /// When it was cancelled, where it is.
    #[schema(nullable = false)]
    cancelled_at: Option<Timestamp>,
}

/// What is ordered.
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 200, pattern = r"\S", example = "book")]
#[expect(dead_code, reason = "it stands for a text of domain::Items")]
pub(super) struct Item(String);

/// Where an order stands.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "it stands for domain::OrderStatus")]
enum OrderStatus {
    Created,
    Cancelled,
}

#[cfg(test)]
mod tests {
    use common::http::{described_otherwise, flaws};
    use serde_json::Value;

    use super::*;
    use crate::domain;

    #[test]
    fn the_description_is_sound() {
        assert_eq!(flaws(description().document()), [""; 0]);
    }

    #[actix::test]
    async fn every_endpoint_is_described_and_nothing_else() {
        let found = described_otherwise(description().document(), super::super::endpoints).await;

        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn an_order_is_described_as_the_domain_writes_it() {
        let order = domain::Order {
            id: domain::OrderId::fresh(),
            user_id: domain::CustomerId::parse("u1").expect("an id"),
            items: domain::Items::parse(&["book".to_owned()]).expect("an item"),
            status: domain::OrderStatus::Created,
            created_at: Timestamp::UNIX_EPOCH,
            cancelled_at: None,
        };

        let placed = serde_json::to_value(&order).expect("JSON");
        let cancelled = order.cancel(Timestamp::UNIX_EPOCH).expect("it was not cancelled before");
        let cancelled = serde_json::to_value(&cancelled).expect("JSON");

        let described = description();
        let schemas = &described.document()["components"]["schemas"];
        let schema = &schemas["Order"];
        let names = |value: &Value| -> Vec<String> {
            value.as_object().expect("an object").keys().cloned().collect()
        };
        assert_eq!(names(&schema["properties"]), names(&cancelled), "{schema}");
        let mut required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        required.sort_unstable();
        assert_eq!(required, names(&placed), "{schema}");
        let statuses = schemas["OrderStatus"]["enum"].as_array().expect("an enumeration");
        assert!(statuses.contains(&placed["status"]) && statuses.contains(&cancelled["status"]));
    }
}
