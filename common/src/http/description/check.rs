//! Whether a description is sound, and whether it is true.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::{App, HttpRequest, HttpResponse, http::Method, test as client, web};
use serde_json::Value;

use super::DESCRIPTION_PATH;
use crate::http::server::Routes;

/// The methods that a description names, and actix may have a route for. HEAD goes with GET.
const METHODS: [&str; 6] = ["get", "put", "post", "delete", "options", "patch"];

/// Names all that is wrong with the form of an OpenAPI 3.1 document: what a reader of it would stumble over.
pub fn flaws(document: &Value) -> Vec<String> {
    let mut flaws = Vec::new();
    let version = document["openapi"].as_str().unwrap_or_default();
    if !version.starts_with("3.1.") {
        flaws.push(format!("openapi is {version:?}, not 3.1"));
    }
    for member in ["title", "version"] {
        if document["info"][member].as_str().unwrap_or_default().is_empty() {
            flaws.push(format!("info has no {member}"));
        }
    }
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(document) {
        let at = format!("{method} {path}");
        match operation["operationId"].as_str() {
            Some(id) if ids.insert(id) => {}
            id => flaws.push(format!("{at}: operationId {id:?} is missing or taken")),
        }
        let responses = operation["responses"].as_object();
        if !responses.is_some_and(|all| all.keys().any(|status| status.starts_with('2'))) {
            flaws.push(format!("{at}: no response of success"));
        }
        for (status, response) in responses.into_iter().flatten() {
            if response["description"].as_str().unwrap_or_default().is_empty() {
                flaws.push(format!("{at}: {status} has no description"));
            }
        }
        flaws.extend(parameter_flaws(path, operation).into_iter().map(|flaw| format!("{at}: {flaw}")));
    }
    let mut references = BTreeSet::new();
    collect_references(document, &mut references);
    for reference in references {
        let target = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
        if target.is_none() {
            flaws.push(format!("{reference} leads nowhere"));
        }
    }
    flaws
}

/// Names every endpoint that `routes` has and `document` has not, or the other way round. For tests.
pub async fn described_otherwise(document: &Value, routes: fn(&mut Routes)) -> Vec<String> {
    let registered = web::to(|request: HttpRequest| async move {
        HttpResponse::Ok().body(format!("{:?}", request.resource_map()))
    });
    let app = client::init_service(App::new().configure(routes).default_service(registered)).await;
    let everything = client::TestRequest::with_uri("/no/such/path").to_request();
    let map = client::call_and_read_body(&app, everything).await;
    let map = String::from_utf8_lossy(&map);
    let mut served: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    // actix shows its routes only to those who debug it.
    for pattern in map.split("patterns: Single(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        if pattern.is_empty() || pattern == DESCRIPTION_PATH {
            continue;
        }
        let uri = pattern.replace(['{', '}'], "");
        let methods = served.entry(pattern.to_owned()).or_default();
        for method in METHODS {
            let verb = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap_or_default();
            let request = client::TestRequest::with_uri(&uri).method(verb).to_request();
            // Without what the handlers need, each answers something; where there is none, that is a 405.
            let status = match client::try_call_service(&app, request).await {
                Ok(response) => response.status(),
                Err(error) => error.as_response_error().status_code(),
            };
            if status != 405 {
                methods.insert(method);
            }
        }
    }
    let described: BTreeSet<String> =
        operations(document).map(|(path, method, _)| format!("{method} {path}")).collect();
    let served: BTreeSet<String> = served
        .iter()
        .flat_map(|(path, methods)| methods.iter().map(move |method| format!("{method} {path}")))
        .collect();
    let undescribed = served.difference(&described).map(|endpoint| format!("not described: {endpoint}"));
    let unserved = described.difference(&served).map(|endpoint| format!("not served: {endpoint}"));
    undescribed.chain(unserved).collect()
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        let operations = methods.filter(|(method, _)| METHODS.contains(&method.as_str()));
        operations.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// Whether the path's parameters are those that the operation names.
fn parameter_flaws(path: &str, operation: &Value) -> Option<String> {
    let in_path: BTreeSet<&str> =
        path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let named: BTreeSet<&str> = parameters
        .filter(|parameter| parameter["in"] == "path" && parameter["required"] == true)
        .filter_map(|parameter| parameter["name"].as_str())
        .collect();
    (in_path != named).then(|| format!("the path has {in_path:?}, its parameters are {named:?}"))
}

fn collect_references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|value| collect_references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_references(value, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn things() -> Value {
        json!({
            "openapi": "3.1.0",
            "info": { "title": "Things", "version": "1" },
            "paths": { "/things/{id}": { "get": {
                "operationId": "findThing",
                "parameters": [{ "name": "id", "in": "path", "required": true }],
                "responses": { "200": { "description": "ok", "content": { "$ref": "#/components/x" } } },
            } } },
            "components": { "x": {} },
        })
    }

    #[test]
    fn a_sound_description_has_no_flaw_and_each_flaw_is_named() {
        assert_eq!(flaws(&things()), [""; 0]);
        for (pointer, flaw) in [
            ("/openapi", "openapi is"),
            ("/info/title", "info has no title"),
            ("/paths/~1things~1{id}/get/operationId", "operationId"),
            ("/paths/~1things~1{id}/get/parameters", "its parameters are"),
            ("/paths/~1things~1{id}/get/responses", "no response"),
            ("/paths/~1things~1{id}/get/responses/200/description", "no description"),
            ("/components/x", "leads nowhere"),
        ] {
            let mut broken = things();
            let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
            broken.pointer_mut(parent).and_then(Value::as_object_mut).expect("it is there").remove(name);
            let found = flaws(&broken);
            assert!(found.iter().any(|found| found.contains(flaw)), "{pointer}: {found:?}");
        }
    }

    #[actix::test]
    async fn what_is_described_but_not_served_is_named_and_the_other_way_round() {
        let served = |routes: &mut Routes| {
            routes
                .service(web::resource("/things/{id}").get(HttpResponse::Ok).delete(HttpResponse::Ok))
                .service(web::resource("/other").post(HttpResponse::Ok));
        };
        let mut document = things();
        document["paths"]["/gone"]["put"] = json!({});

        let found = described_otherwise(&document, served).await;

        assert_eq!(
            found,
            ["not described: delete /things/{id}", "not described: post /other", "not served: put /gone"]
        );
    }
}
