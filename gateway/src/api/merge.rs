use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Map, Value, json};

use super::{
    answers::{self, Call},
    names::{Clashes, components},
    outline::Outline,
};

/// The source of what is the gateway's own, beside the services.
const GATEWAY: &str = "gateway";

/// What the operations of a path are called there; the rest of its members belong to all of them.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

const ABOUT: &str = "A small, complete microservices system. Every error is a problem of RFC 9457 with two more \
    members: `error`, a short text, and `requestId`. Whatever changes something takes an `Idempotency-Key`, so that it \
    can be sent again safely. GET answers HEAD too.";

/// Makes one document of what the services say of themselves: only what the routing table shows, under its public
/// path, with what the gateway adds.
pub(super) fn merge(outline: &Outline, heard: &BTreeMap<String, Arc<Value>>) -> Value {
    let own = Arc::new(json!({ "components": answers::components() }));
    let mut sources: Vec<(&str, &Arc<Value>)> = vec![(GATEWAY, &own)];
    sources.extend(outline.upstreams.iter().filter_map(|upstream| {
        let said = heard.get(&upstream.name)?;
        Some((upstream.name.as_str(), said))
    }));
    let clashes = Clashes::among(sources.iter().map(|(_, said)| said.as_ref()));

    let mut merged = json!({
        "openapi": "3.1.0",
        "info": { "title": "Warren", "description": ABOUT, "version": env!("CARGO_PKG_VERSION") },
        "servers": [{ "url": "/" }],
        "tags": [],
        "paths": {},
        "components": {},
    });
    let mut operation_ids = BTreeSet::new();
    for (upstream, said) in sources {
        for ((kind, name), meaning) in components(said) {
            let mut meaning = meaning.clone();
            clashes.rewrite(upstream, &mut meaning);
            let name = clashes.resolve(upstream, &kind, &name);
            merged["components"][kind][name] = meaning;
        }
        for (path, item) in said["paths"].as_object().into_iter().flatten() {
            for (route, public_path) in outline.public_paths(upstream, path) {
                let mut item = item.clone();
                clashes.rewrite(upstream, &mut item);
                for (method, operation) in operations(&mut item) {
                    let call = Call {
                        method,
                        upstream,
                        public: route.is_public(method, &public_path),
                        auth_required: outline.auth_required,
                        rate_limited: outline.rate_limited,
                    };
                    answers::add(&call, operation);
                    name_uniquely(operation, upstream, &mut operation_ids);
                    add_tags(&mut merged["tags"], operation, said);
                }
                merged["paths"][public_path] = item;
            }
        }
    }
    merged
}

fn operations(item: &mut Value) -> impl Iterator<Item = (&str, &mut Value)> {
    let members = item.as_object_mut().into_iter().flat_map(Map::iter_mut);
    members
        .filter(|(method, _)| METHODS.contains(&method.as_str()))
        .map(|(method, operation)| (method.as_str(), operation))
}

/// Two services may call an operation the same, and one may be reached by two routes.
fn name_uniquely(operation: &mut Value, upstream: &str, taken: &mut BTreeSet<String>) {
    let Some(id) = operation["operationId"].as_str() else { return };
    let ids = [id.to_owned(), format!("{upstream}_{id}")].into_iter();
    let numbered = (2..).map(|number: u32| format!("{upstream}_{id}_{number}"));
    if let Some(free) = ids.chain(numbered).find(|id| !taken.contains(id)) {
        taken.insert(free.clone());
        operation["operationId"] = free.into();
    }
}

/// Adds what the service says of the operation's tags, each once.
fn add_tags(tags: &mut Value, operation: &Value, said: &Value) {
    let Some(tags) = tags.as_array_mut() else { return };
    for tag in operation["tags"].as_array().into_iter().flatten() {
        let described =
            said["tags"].as_array().into_iter().flatten().find(|described| described["name"] == *tag);
        if let Some(described) = described
            && !tags.iter().any(|known| known["name"] == *tag)
        {
            tags.push(described.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use common::http::flaws;

    use super::*;
    use crate::api::outline::{DescribedRoute, DescribedUpstream};

    fn service(path: &str, method: &str, schema: Value) -> Value {
        json!({
            "openapi": "3.1.0",
            "info": { "title": "a service", "version": "1" },
            "tags": [{ "name": "things", "description": "Things" }],
            "paths": {
                path: { method: {
                    "operationId": "doIt",
                    "tags": ["things"],
                    "responses": { "200": {
                        "description": "done",
                        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Thing" } } },
                    } },
                } },
                "/metrics": { "get": { "operationId": "metrics", "responses": {} } },
            },
            "components": { "schemas": { "Thing": schema } },
        })
    }

    fn outline() -> Outline {
        let route = |name: &str, public: &[(&str, &str)]| DescribedRoute {
            path: format!("/api/{name}"),
            target: format!("/{name}"),
            upstream: name.to_owned(),
            public: public.iter().map(|&(method, path)| (method.to_owned(), path.to_owned())).collect(),
        };
        let upstream = |name: &str| DescribedUpstream { name: name.to_owned(), base_url: None };
        Outline {
            routes: vec![route("users", &[("POST", "/api/users")]), route("orders", &[])],
            upstreams: vec![upstream("users"), upstream("orders")],
            auth_required: true,
            rate_limited: true,
        }
    }

    fn merged(outline: &Outline) -> Value {
        let heard = BTreeMap::from([
            ("users".to_owned(), Arc::new(service("/users", "post", json!({ "type": "string" })))),
            ("orders".to_owned(), Arc::new(service("/orders", "get", json!({ "type": "integer" })))),
        ]);
        merge(outline, &heard)
    }

    #[test]
    fn services_become_one_sound_document_of_public_paths() {
        let merged = merged(&outline());

        assert_eq!(flaws(&merged), [""; 0]);
        let paths: Vec<&String> = merged["paths"].as_object().expect("paths").keys().collect();
        assert_eq!(paths, ["/api/orders", "/api/users"]);
        assert_eq!(merged["servers"][0]["url"], "/");
        assert_eq!(merged["tags"].as_array().map(Vec::len), Some(1));
        let schemas = &merged["components"]["schemas"];
        assert_eq!(
            (&schemas["users.Thing"]["type"], &schemas["orders.Thing"]["type"]),
            (&json!("string"), &json!("integer"))
        );
        assert_eq!(merged["paths"]["/api/orders"]["get"]["operationId"], "orders_doIt");
    }

    #[test]
    fn whatever_a_service_says_there_is_a_document() {
        for nonsense in [
            json!(null),
            json!({ "paths": [], "components": 7, "tags": {} }),
            json!({ "paths": { "/users": { "get": 7, "head": [], "post": { "responses": [7], "tags": [7] } } } }),
            json!({ "components": { "schemas": [], "headers": { "RateLimit": { "$ref": 7 } } } }),
        ] {
            let heard = BTreeMap::from([("users".to_owned(), Arc::new(nonsense))]);

            assert_eq!(merge(&outline(), &heard)["openapi"], "3.1.0");
        }
    }

    #[test]
    fn every_call_says_whether_it_needs_a_token() {
        let (required, open) = (merged(&outline()), merged(&Outline { auth_required: false, ..outline() }));

        for document in [&required, &open] {
            assert_eq!(document["paths"]["/api/users"]["post"]["security"], json!([]));
        }
        assert_eq!(required["paths"]["/api/orders"]["get"]["security"], json!([{ "bearerAuth": [] }]));
        assert_eq!(open["paths"]["/api/orders"]["get"]["security"], json!([{}, { "bearerAuth": [] }]));
    }

    #[test]
    fn every_call_has_the_gateways_answers_and_headers() {
        let merged = merged(&outline());

        let get = &merged["paths"]["/api/orders"]["get"]["responses"];
        let statuses: Vec<&String> = get.as_object().expect("responses").keys().collect();
        assert_eq!(statuses, ["200", "400", "401", "408", "429", "431", "502", "503", "504"]);
        assert!(merged["paths"]["/api/users"]["post"]["responses"]["413"].is_object());
        for (status, response) in get.as_object().expect("responses") {
            assert!(response["headers"]["RateLimit"].is_object(), "{status}");
        }
        for status in ["429", "503"] {
            assert!(get[status]["headers"]["Retry-After"].is_object(), "{status}");
        }
    }
}
