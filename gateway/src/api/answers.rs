//! What the gateway itself answers, or adds to the answers of the services.

use common::http::{Refusal, member_at};
use serde_json::{Value, json};

/// Instead of the service, to any request.
const ANY: [Refusal<'static>; 7] = [
    Refusal::new(400, "bad request", "the head of the request is malformed"),
    Refusal::new(
        400,
        "invalid path",
        "the path holds a dot segment, an encoded separator or a broken escape",
    ),
    Refusal::new(408, "request timeout", "the request came too slowly"),
    Refusal::new(431, "request header fields too large", "the head of the request is too large"),
    Refusal::new(502, "bad gateway", "the service gave no valid answer"),
    Refusal::new(503, "too busy", "too many requests are on their way"),
    Refusal::new(504, "gateway timeout", "the service did not answer in time"),
];

/// To a request that may have a body.
const BODY: Refusal<'static> =
    Refusal::new(413, "body too large", "the body is larger than this route takes");

/// Where a rate limit applies.
const LIMITED: Refusal<'static> =
    Refusal::new(429, "too many requests", "try again when the Retry-After is over");

/// Where a token is sent, or has to be.
const TOKEN: [Refusal<'static>; 4] = [
    Refusal::new(400, "invalid identity", "Authorization must be sent once"),
    Refusal::new(401, "token required", "send Authorization: Bearer <token>"),
    Refusal::new(401, "invalid token", "the token is not valid"),
    Refusal::new(503, "keys unavailable", "no token can be verified yet; send it again"),
];

/// What concerns one call.
pub(super) struct Call<'a> {
    /// In lower case.
    pub method: &'a str,
    pub upstream: &'a str,
    pub public: bool,
    pub auth_required: bool,
    pub rate_limited: bool,
}

/// Adds the gateway's answers, headers and security to an operation.
pub(super) fn add(call: &Call<'_>, operation: &mut Value) {
    ANY.iter().for_each(|refusal| refusal.describe(operation));
    let (error, detail) = unavailable(call.upstream);
    Refusal::new(503, &error, &detail).describe(operation);
    TOKEN.iter().for_each(|refusal| refusal.describe(operation));
    if call.method != "get" {
        BODY.describe(operation);
    }
    if call.rate_limited {
        LIMITED.describe(operation);
        for response in operation["responses"].as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
            *member_at(response, &["headers", "RateLimit-Policy"]) = reference("headers", "RateLimitPolicy");
            *member_at(response, &["headers", "RateLimit"]) = reference("headers", "RateLimit");
        }
    }
    *member_at(operation, &["security"]) = match (call.public, call.auth_required) {
        (true, _) => json!([]),
        (false, true) => json!([{ "bearerAuth": [] }]),
        // A token is taken, but not asked for.
        (false, false) => json!([{}, { "bearerAuth": [] }]),
    };
}

/// What the gateway's answers refer to.
pub(super) fn components() -> Value {
    let mut components = common::http::shared_components();
    components["headers"]["RateLimitPolicy"] = json!({
        "description": "The quota and its window in seconds (draft-ietf-httpapi-ratelimit-headers)",
        "schema": { "type": "string" },
        "example": "\"default\";q=100;w=60",
    });
    components["headers"]["RateLimit"] = json!({
        "description": "How many requests are left, and in how many seconds there are more",
        "schema": { "type": "string" },
        "example": "\"default\";r=99;t=1",
    });
    components["securitySchemes"]["bearerAuth"] = json!({
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The `token` that logging in answers",
    });
    components
}

fn unavailable(upstream: &str) -> (String, String) {
    (format!("{upstream} unavailable"), format!("the {upstream} service cannot be reached"))
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}
