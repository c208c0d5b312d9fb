//! Something that happened and that other services may want to know: an [`Event`] in its [`Envelope`].
//!
//! On the wire the body is the resource's plain JSON and nothing else, so that any program that can parse
//! JSON can take part. Everything else travels beside it: id, type, source, time, trace.

mod envelope;

pub use envelope::{Envelope, EventId};

use serde::{Serialize, de::DeserializeOwned};

/// A past fact, published by the service that owns the resource.
pub trait Event: Serialize + DeserializeOwned {
    /// The type, which is also the routing key: `order.created`.
    const TYPE: &'static str;

    /// The id of the resource that it happened to. Events of one aggregate are published in their order.
    fn aggregate(&self) -> &str;

    /// The ids of all resources that it is about, by which it is found in the ledger.
    fn about(&self) -> Vec<&str> {
        vec![self.aggregate()]
    }
}
