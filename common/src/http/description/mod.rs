//! What a service says of its own HTTP interface: OpenAPI 3.1, at `/openapi.json`.
//!
//! The endpoints describe what is theirs, where they are written (`#[utoipa::path]`). What the extractors and the
//! server of this room add to each of them is added here (`answers`): who takes a [`JsonBody`](super::JsonBody)
//! may answer 415, whether or not its author thought of it. `check` is what holds the description to the truth.

mod answers;
mod check;

use actix_web::{HttpResponse, Resource, web};
use bytes::Bytes;
use serde_json::Value;
use utoipa::{IntoParams, openapi::OpenApi};

pub use answers::{Refusal, member_at, shared_components};
pub use check::{described_otherwise, flaws};

use super::NoTraffic;

/// Where a service describes itself. Internal, like `/metrics`: paths are the service's own.
pub const DESCRIPTION_PATH: &str = "/openapi.json";

/// The description of a service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Description {
    document: Value,
    json: Bytes,
}

impl Description {
    /// Completes what the endpoints say of themselves.
    pub fn of(endpoints: &OpenApi) -> Self {
        // Maps with texts for keys always become JSON.
        let mut document = serde_json::to_value(endpoints).unwrap_or_default();
        answers::add(&mut document);
        let json = Bytes::from(document.to_string());
        Self { document, json }
    }

    /// The description as an OpenAPI document.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Serves the description at [`DESCRIPTION_PATH`].
    pub fn resource(&self) -> Resource {
        let json = self.json.clone();
        web::resource(DESCRIPTION_PATH).app_data(NoTraffic).get(move || {
            let json = json.clone();
            async move { HttpResponse::Ok().content_type("application/json").body(json) }
        })
    }
}

/// The header that [`KeyedWrites`](super::KeyedWrites) reads, for `params(...)` of an endpoint.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IdempotencyKeyParam {
    /// Names the operation, so that it is carried out once however often it is sent. The same key and body (to the
    /// byte) get the stored answer for 24 hours; valid for one caller, method and path.
    #[param(
        rename = "Idempotency-Key",
        value_type = String,
        required = false,
        min_length = 1,
        max_length = 255,
        pattern = r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$",
        example = "8e03978e-40d5-43e8-bc93-6894a57f9324"
    )]
    #[expect(dead_code, reason = "KeyedWrites reads the header; this says what it reads")]
    key: Option<String>,
}
