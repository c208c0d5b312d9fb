//! What a client says of itself when it connects.

use amq_protocol::types::{AMQPValue, FieldTable};
use amq_protocol::uri::AMQPUri;

/// A client's side of the handshake. Its fields may be anything, also what no client would say.
#[derive(Clone, Debug)]
pub struct Login {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub vhost: String,
    /// Zero leaves the three to the broker.
    pub channel_max: u16,
    pub frame_max: u32,
    /// Seconds; zero means none here.
    pub heartbeat: u16,
    /// Such as `basic.nack`: what the client says that it understands.
    pub capabilities: Vec<&'static str>,
    /// The client's own name for the connection; none where it is empty.
    pub name: &'static str,
}

impl Login {
    /// As the URL says, with the capabilities of all the well-known clients and without heartbeats.
    pub fn to(url: &str) -> Self {
        let uri: AMQPUri = url.parse().unwrap_or_else(|error| panic!("{url}: {error}"));
        Self {
            host: uri.authority.host,
            port: uri.authority.port,
            user: uri.authority.userinfo.username,
            password: uri.authority.userinfo.password,
            vhost: uri.vhost,
            channel_max: 0,
            frame_max: 0,
            heartbeat: 0,
            capabilities: vec![
                "publisher_confirms",
                "exchange_exchange_bindings",
                "basic.nack",
                "consumer_cancel_notify",
                "connection.blocked",
                "authentication_failure_close",
            ],
            name: "",
        }
    }

    pub(super) fn client_properties(&self) -> FieldTable {
        let mut capabilities = FieldTable::default();
        for &name in &self.capabilities {
            capabilities.insert(name.into(), AMQPValue::Boolean(true));
        }
        let mut properties = FieldTable::default();
        properties.insert("product".into(), super::text("conformance"));
        properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
        if !self.name.is_empty() {
            properties.insert("connection_name".into(), super::text(self.name));
        }
        properties
    }
}
