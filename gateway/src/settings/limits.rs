use std::time::Duration;

/// Bounds that hold for the gateway as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests on their way, in all; more are refused at once.
    pub in_flight: usize,
    /// Connections, in all.
    pub connections: usize,
    /// Connections of one client, by address.
    pub connections_per_client: usize,
    /// Requests whose body is still awaited, in all.
    pub uploads_waiting: usize,
    /// Most bytes of a request's head.
    pub head_bytes: usize,
    /// Most header lines of a request.
    pub header_count: usize,
    /// Most bytes of a request's body, where the route says nothing of its own.
    pub body_bytes: u64,
}

/// How long each part of an exchange may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// A client's sending of a head, from its first byte; the first head from the connection's beginning.
    pub client_head: Duration,
    /// How long a connection is kept without a request.
    pub keep_alive: Duration,
    /// How long a client may stay silent within a body.
    pub body_idle: Duration,
    /// Connecting to a service.
    pub connect: Duration,
    /// A service's beginning of an answer, once it has the whole request.
    pub answer_head: Duration,
    /// An exchange as a whole.
    pub whole: Duration,
    /// How long both sides of an upgraded connection may stay silent.
    pub tunnel_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight: 2048,
            connections: 8192,
            connections_per_client: 2048,
            uploads_waiting: 512,
            head_bytes: 16 * 1024,
            header_count: 100,
            body_bytes: 1024 * 1024,
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            client_head: Duration::from_secs(5),
            keep_alive: Duration::from_secs(75),
            body_idle: Duration::from_secs(10),
            connect: Duration::from_millis(500),
            answer_head: Duration::from_secs(5),
            whole: Duration::from_secs(30),
            tunnel_idle: Duration::from_secs(60),
        }
    }
}
