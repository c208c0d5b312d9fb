//! What the extractors and the server answer on behalf of every endpoint.

use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa::PartialSchema;

use crate::http::{FieldError, problem};

/// A problem that an endpoint may answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal<'a> {
    status: u16,
    error: &'a str,
    detail: &'a str,
}

impl<'a> Refusal<'a> {
    /// A problem with its short text, and with an example of the sentence that explains it (or nothing).
    pub const fn new(status: u16, error: &'a str, detail: &'a str) -> Self {
        Self { status, error, detail }
    }

    /// Adds the problem to those that `operation` may answer with.
    pub fn describe(&self, operation: &mut Value) {
        refuse(member_at(operation, &["responses", &self.status.to_string()]), *self);
    }
}

/// Of every endpoint: see `store_problem`, `Problem::internal` and `Deadline`.
const ALWAYS: [Refusal<'static>; 3] = [
    Refusal::new(500, "internal server error", ""),
    Refusal::new(503, "restarting", "repository is restarting"),
    Refusal::new(
        503,
        "too late",
        "the time for this request was over before its work began; nothing was changed",
    ),
];

/// Of what takes a `JsonBody`.
const JSON_BODY: [Refusal<'static>; 6] = [
    Refusal::new(400, "malformed JSON", "EOF while parsing a value at line 1 column 5"),
    Refusal::new(400, "invalid body", "invalid type: integer, expected a string at line 1 column 9"),
    Refusal::new(400, "malformed body", "the body ended early"),
    Refusal::new(408, "request timeout", "the body came too slowly"),
    Refusal::new(413, "body too large", "a body may have 65536 bytes"),
    Refusal::new(415, "unsupported media type", "the content type must be application/json"),
];

/// Of what asks for a page.
const PAGED: [Refusal<'static>; 3] = [
    Refusal::new(400, "invalid limit", "limit must be a number from 1 to 100"),
    Refusal::new(400, "invalid cursor", "cursor must be a nextCursor of an earlier page"),
    Refusal::new(400, "invalid query", "duplicate field `limit`"),
];

/// Of what `KeyedWrites` carries out.
const KEYED_WRITE: [Refusal<'static>; 7] = [
    Refusal::new(
        400,
        "invalid idempotency key",
        "Idempotency-Key must be sent once, with 1 to 255 visible ASCII characters",
    ),
    Refusal::new(
        409,
        "request in progress",
        "a request with this Idempotency-Key is still being carried out",
    ),
    Refusal::new(
        422,
        "idempotency key reused",
        "this Idempotency-Key was used with another request; use a new key for a new request",
    ),
    Refusal::new(
        500,
        "outcome unknown",
        "whether the change was made is unknown; send it again with the same Idempotency-Key, or look",
    ),
    Refusal::new(503, "overloaded", "too many commands are waiting; nothing was stored"),
    Refusal::new(503, "outbox full", "too many events wait for the broker; nothing was stored"),
    Refusal::new(503, "storage full", "the service's disk is nearly full"),
];

/// Adds them to the endpoints of `document`, and their schemas and headers to its components.
pub(super) fn add(document: &mut Value) {
    for operation in operations(document) {
        let refusals = refusals_of(operation);
        let keyed = has_parameter(operation, "Idempotency-Key");
        if let Some(responses) = operation["responses"].as_object_mut() {
            for (status, response) in responses {
                finish(status, response, keyed);
            }
        }
        for refusal in refusals {
            refusal.describe(operation);
        }
    }
    if let Value::Object(shared) = shared_components() {
        for (kind, components) in shared {
            for (name, component) in components.as_object().into_iter().flatten() {
                *member_at(document, &["components", &kind, name]) = component.clone();
            }
        }
    }
}

/// The schemas and headers that every description refers to.
pub fn shared_components() -> Value {
    json!({
        "schemas": { "Problem": problem::Body::schema(), "FieldError": FieldError::schema() },
        "headers": headers(),
    })
}

fn operations(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    let items = paths.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut);
    items.flat_map(Map::values_mut).filter(|operation| operation.get("responses").is_some())
}

fn has_parameter(operation: &Value, name: &str) -> bool {
    let parameters = operation["parameters"].as_array();
    parameters.is_some_and(|parameters| parameters.iter().any(|parameter| parameter["name"] == name))
}

fn refusals_of(operation: &Value) -> Vec<Refusal<'static>> {
    let mut refusals = ALWAYS.to_vec();
    if operation.get("requestBody").is_some() {
        refusals.extend(JSON_BODY);
    }
    if has_parameter(operation, "cursor") {
        refusals.extend(PAGED);
    }
    if has_parameter(operation, "Idempotency-Key") {
        refusals.extend(KEYED_WRITE);
    }
    refusals
}

/// Gives what the endpoint says of a response its headers. One that refuses says so as `Problem` writes itself, a
/// line each.
fn finish(status: &str, response: &mut Value, keyed: bool) {
    let status = status.parse().unwrap_or(200);
    if status < 400 {
        *member_at(response, &["headers", "X-Request-Id"]) = reference("headers", "RequestId");
        if keyed {
            *member_at(response, &["headers", "Idempotency-Replayed"]) =
                reference("headers", "IdempotencyReplayed");
        }
        return;
    }
    let said = member_at(response, &["description"]).take();
    for line in said.as_str().unwrap_or_default().lines() {
        let (error, detail) = line.split_once(": ").unwrap_or((line, ""));
        refuse(response, Refusal { status, error, detail });
    }
}

fn refuse(response: &mut Value, refusal: Refusal<'_>) {
    let Refusal { status, error, .. } = refusal;
    *member_at(response, &["headers", "X-Request-Id"]) = reference("headers", "RequestId");
    let header = match (status, error) {
        (401, _) => Some(("WWW-Authenticate", "WwwAuthenticate")),
        (429 | 503, _) => Some(("Retry-After", "RetryAfter")),
        (_, "request in progress" | "outcome unknown") => Some(("Retry-After", "RetryAfterSometimes")),
        _ => None,
    };
    if let Some((name, header)) = header {
        *member_at(response, &["headers", name]) = reference("headers", header);
    }
    let content = member_at(response, &["content", "application/problem+json"]);
    *member_at(content, &["schema"]) = reference("schemas", "Problem");
    *member_at(content, &["examples", error, "value"]) = example(refusal);
    let errors = content["examples"].as_object().into_iter().flat_map(Map::keys);
    let errors: Vec<String> = errors.map(|error| format!("`{error}`")).collect();
    *member_at(response, &["description"]) = errors.join(", ").into();
}

/// Leads to a member of a member of a document, as often as `path` says. What is no object on the way becomes one,
/// so that there is always such a member, whoever wrote the document.
pub fn member_at<'a>(document: &'a mut Value, path: &[&str]) -> &'a mut Value {
    path.iter().fold(document, |value, name| {
        if !value.is_object() {
            *value = Value::Object(Map::new());
        }
        &mut value[*name]
    })
}

fn example(Refusal { status, error, detail }: Refusal<'_>) -> Value {
    let title = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let mut problem = json!({
        "type": "about:blank",
        "title": title.unwrap_or("Error"),
        "status": status,
        "error": error,
        "requestId": "01a94b0c-8e03-7e5a-9c93-6894a57f9324",
    });
    if error == "invalid fields" {
        // A field with what is wrong with it, as `Fields` notes them.
        let (field, message) = detail.split_once(' ').unwrap_or((detail, "is missing"));
        problem["errors"] = json!([{ "field": field, "message": message }]);
    } else if !detail.is_empty() {
        problem["detail"] = detail.into();
    }
    problem
}

fn headers() -> Value {
    json!({
        "RequestId": {
            "description": "Names the request in every log line and problem: the client's own, or a new one",
            "required": true,
            "schema": { "type": "string", "minLength": 1, "maxLength": 128 },
        },
        "RetryAfter": {
            "description": "When it is worth another try, in seconds",
            "required": true,
            "schema": { "type": "integer", "minimum": 1 },
        },
        "RetryAfterSometimes": {
            "description": "When it is worth another try, in seconds, where it is",
            "schema": { "type": "integer", "minimum": 1 },
        },
        "WwwAuthenticate": {
            "description": "How to prove who one is, and what was wrong with the token (RFC 6750)",
            "required": true,
            "schema": { "type": "string" },
            "example": "Bearer realm=\"warren\"",
        },
        "IdempotencyReplayed": {
            "description": "Sent where this is the answer to an earlier request with the same Idempotency-Key",
            "schema": { "type": "string", "const": "true" },
        },
    })
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed() -> Value {
        let mut document = json!({ "components": {}, "paths": { "/things": {
            "get": { "parameters": [{ "name": "cursor" }], "responses": { "200": { "description": "ok" } } },
            "post": {
                "parameters": [{ "name": "Idempotency-Key" }],
                "requestBody": {},
                "responses": { "201": { "description": "made" }, "409": { "description": "taken: it is" } },
            },
        } } });
        add(&mut document);
        document["paths"]["/things"].take()
    }

    #[test]
    fn an_endpoint_answers_what_its_extractors_answer() {
        let things = completed();

        let statuses = |method: &str| -> Vec<String> {
            let responses = things[method]["responses"].as_object().expect("responses");
            responses.keys().cloned().collect()
        };
        assert_eq!(statuses("get"), ["200", "400", "500", "503"]);
        assert_eq!(statuses("post"), ["201", "400", "408", "409", "413", "415", "422", "500", "503"]);
        let made = &things["post"]["responses"]["201"]["headers"];
        assert!(made["Idempotency-Replayed"].is_object() && made["X-Request-Id"].is_object(), "{made}");
    }

    #[test]
    fn nonsense_in_a_document_is_replaced() {
        let mut operation = json!({ "responses": { "400": { "headers": [], "content": 7 } } });

        Refusal::new(400, "bad", "as bad as it gets").describe(&mut operation);

        assert_eq!(operation["responses"]["400"]["description"], "`bad`");
        assert_eq!(member_at(&mut json!("text"), &["a", "b"]), &Value::Null);
    }

    #[test]
    fn the_endpoints_own_problem_stands_beside_those_of_its_extractors() {
        let conflict = completed()["post"]["responses"]["409"].take();

        assert_eq!(conflict["description"], "`request in progress`, `taken`", "{conflict}");
        let taken = &conflict["content"]["application/problem+json"]["examples"]["taken"]["value"];
        assert_eq!((&taken["detail"], &taken["title"]), (&json!("it is"), &json!("Conflict")));
    }
}
