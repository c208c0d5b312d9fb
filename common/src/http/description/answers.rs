//! What the extractors and the server answer on behalf of every endpoint.

use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa::PartialSchema;

use crate::http::{FieldError, problem};

/// A problem that an endpoint may answer with: status, `error` and `detail`.
type Refusal = (u16, &'static str, &'static str);

/// Of every endpoint: see `store_problem` and `Problem::internal`.
const ALWAYS: [Refusal; 2] =
    [(500, "internal server error", ""), (503, "restarting", "repository is restarting")];

/// Of what takes a `JsonBody`.
const JSON_BODY: [Refusal; 6] = [
    (400, "malformed JSON", "EOF while parsing a value at line 1 column 5"),
    (400, "invalid body", "invalid type: integer, expected a string at line 1 column 9"),
    (400, "malformed body", "the body ended early"),
    (408, "request timeout", "the body came too slowly"),
    (413, "body too large", "a body may have 65536 bytes"),
    (415, "unsupported media type", "the content type must be application/json"),
];

/// Of what asks for a page.
const PAGED: [Refusal; 3] = [
    (400, "invalid limit", "limit must be a number from 1 to 100"),
    (400, "invalid cursor", "cursor must be a nextCursor of an earlier page"),
    (400, "invalid query", "duplicate field `limit`"),
];

/// Of what `KeyedWrites` carries out.
const KEYED_WRITE: [Refusal; 7] = [
    (
        400,
        "invalid idempotency key",
        "Idempotency-Key must be sent once, with 1 to 255 visible ASCII characters",
    ),
    (409, "request in progress", "a request with this Idempotency-Key is still being carried out"),
    (
        422,
        "idempotency key reused",
        "this Idempotency-Key was used with another request; use a new key for a new request",
    ),
    (
        500,
        "outcome unknown",
        "whether the change was made is unknown; send it again with the same Idempotency-Key, or look",
    ),
    (503, "overloaded", "too many commands are waiting; nothing was stored"),
    (503, "outbox full", "too many events wait for the broker; nothing was stored"),
    (503, "storage full", "the service's disk is nearly full"),
];

/// Adds them to the endpoints of `document`, and their schemas and headers to its components.
pub(super) fn add(document: &mut Value) {
    for operation in operations(document) {
        let refusals = refusals_of(operation);
        let keyed = has_parameter(operation, "Idempotency-Key");
        let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { continue };
        for refusal in refusals {
            refuse(responses, refusal);
        }
        for (status, response) in responses {
            finish(status, response, keyed);
        }
    }
    document["components"]["schemas"]["Problem"] = json!(problem::Body::schema());
    document["components"]["schemas"]["FieldError"] = json!(FieldError::schema());
    document["components"]["headers"] = headers();
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

fn refusals_of(operation: &Value) -> Vec<Refusal> {
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

/// Adds one refusal to what the endpoint says of the same status.
fn refuse(responses: &mut Map<String, Value>, (status, error, detail): Refusal) {
    let said = match detail {
        "" => error.to_owned(),
        detail => format!("{error}: {detail}"),
    };
    let response = responses.entry(status.to_string()).or_insert_with(|| json!({ "description": "" }));
    let before = response["description"].as_str().unwrap_or_default();
    response["description"] = match before {
        "" => said.into(),
        before => format!("{before}\n{said}").into(),
    };
}

/// Gives a response its headers, and one that refuses its problems: a line each of its description, written as
/// `Problem` writes itself.
fn finish(status: &str, response: &mut Value, keyed: bool) {
    response["headers"]["X-Request-Id"] = reference("headers", "RequestId");
    let Some(code) = status.parse().ok().and_then(|code| StatusCode::from_u16(code).ok()) else { return };
    if code.is_success() {
        if keyed {
            response["headers"]["Idempotency-Replayed"] = reference("headers", "IdempotencyReplayed");
        }
        return;
    }
    match code.as_u16() {
        503 => response["headers"]["Retry-After"] = reference("headers", "RetryAfter"),
        409 | 500 if keyed => {
            response["headers"]["Retry-After"] = reference("headers", "RetryAfterSometimes");
        }
        _ => {}
    }
    let said = response["description"].as_str().unwrap_or_default().to_owned();
    let examples: Map<String, Value> = said.lines().map(|line| example(code, line)).collect();
    let lines: Vec<String> = examples.keys().map(|error| format!("`{error}`")).collect();
    response["description"] = lines.join(", ").into();
    response["content"] = json!({
        "application/problem+json": { "schema": reference("schemas", "Problem"), "examples": examples }
    });
}

fn example(status: StatusCode, said: &str) -> (String, Value) {
    let (error, detail) = said.split_once(": ").map_or((said, None), |(error, detail)| (error, Some(detail)));
    let mut problem = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "error": error,
        "requestId": "01a94b0c-8e03-7e5a-9c93-6894a57f9324",
    });
    match detail {
        // A field with what is wrong with it, as `Fields` notes them.
        Some(detail) if error == "invalid fields" => {
            let (field, message) = detail.split_once(' ').unwrap_or((detail, "is missing"));
            problem["errors"] = json!([{ "field": field, "message": message }]);
        }
        Some(detail) => problem["detail"] = detail.into(),
        None => {}
    }
    (error.to_owned(), json!({ "value": problem }))
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
    fn the_endpoints_own_problem_stands_beside_those_of_its_extractors() {
        let conflict = completed()["post"]["responses"]["409"].take();

        assert_eq!(conflict["description"], "`request in progress`, `taken`", "{conflict}");
        let taken = &conflict["content"]["application/problem+json"]["examples"]["taken"]["value"];
        assert_eq!((&taken["detail"], &taken["title"]), (&json!("it is"), &json!("Conflict")));
    }
}
