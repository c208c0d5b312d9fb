//! What the gateway says of the whole API: one OpenAPI document at `/api/openapi.json`, and a page that shows it
//! and lets one try it at `/api/docs/`.
//!
//! *Owns*: what each service said last ([`Fetcher`] alone writes it).
//! *Receives*: nothing; every minute it asks each service for its description.
//! *Sends*: the merged document, as bytes, to whoever answers requests.
//! *When it fails*: the document that was published last goes on being answered.
//!
//! A service describes its own paths. `merge` turns them into public ones by the routing table, and adds what the
//! gateway may answer itself.

mod outline;

mod answers;
mod merge;
mod names;

mod fetch;

mod docs;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use serde_json::Value;

pub use fetch::{Fetcher, FetcherState};
pub use outline::{DescribedRoute, DescribedUpstream, Outline};

use docs::Docs;

/// Where the document is.
const DOCUMENT: &str = "/api/openapi.json";

/// Answered until a service has been asked. Its id names no log line, so there is none.
const NOT_YET: &str = r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"no service has described itself yet","error":"no description yet"}"#;

/// What the gateway says of the API, ready to be sent. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct ApiDescription {
    document: Arc<ArcSwapOption<Bytes>>,
    heard: Arc<Mutex<BTreeMap<String, Arc<Value>>>>,
    docs: Docs,
}

/// A whole answer that is known beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Static {
    /// The status code.
    pub status: u16,
    /// What the body is.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
    /// Further headers.
    pub headers: &'static [(&'static str, &'static str)],
}

impl ApiDescription {
    /// A description of nothing yet.
    pub fn new() -> Self {
        Self { document: Arc::default(), heard: Arc::default(), docs: Docs::load() }
    }

    /// Answers a GET of `path` (without its query), or returns `None` where that is not the description's. Does not
    /// allocate.
    pub fn answer(&self, path: &str) -> Option<Static> {
        if path == DOCUMENT { Some(self.document()) } else { self.docs.answer(path) }
    }

    fn document(&self) -> Static {
        match &*self.document.load() {
            Some(document) => Static {
                status: 200,
                content_type: "application/json",
                body: Bytes::clone(document),
                headers: &[("cache-control", "no-cache"), ("x-content-type-options", "nosniff")],
            },
            None => Static {
                status: 503,
                content_type: "application/problem+json",
                body: Bytes::from_static(NOT_YET.as_bytes()),
                headers: &[("cache-control", "no-store"), ("retry-after", "1")],
            },
        }
    }

    /// Notes what a service says of itself. What it said before stays where it is away.
    fn hear(&self, upstream: &str, said: Value) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.insert(upstream.to_owned(), Arc::new(said));
    }

    /// The services that have been heard.
    fn described(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Publishes what has been heard, under the public paths of `outline`. Returns whether that is news.
    fn publish(&self, outline: &Outline) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if heard.is_empty() {
            return false;
        }
        let document = Bytes::from(merge::merge(outline, &heard).to_string());
        if self.document.load().as_ref().is_some_and(|published| **published == document) {
            return false;
        }
        self.document.store(Some(Arc::new(document)));
        true
    }
}

impl Default for ApiDescription {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_a_service_was_heard_the_document_is_unavailable() {
        let answer = ApiDescription::new().answer(DOCUMENT).expect("it is the description's path");

        assert_eq!((answer.status, answer.content_type), (503, "application/problem+json"));
        assert!(answer.headers.contains(&("retry-after", "1")));
        let problem: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(problem["status"], 503);
    }

    #[test]
    fn other_paths_are_not_the_descriptions() {
        let description = ApiDescription::new();

        for path in ["/api", "/api/", "/api/openapi.json/", "/api/docsx", "/api/docs/x", "/api/users", "/"] {
            assert_eq!(description.answer(path), None, "{path}");
        }
    }
}
