use std::time::Duration;

use super::Rate;

/// What users and orders take as a body at most.
const SMALL_BODY: u64 = 64 * 1024;

/// One line of the routing table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSettings {
    /// What the public path starts with, such as `/api/users`.
    pub path: String,
    /// What the service's path starts with instead, such as `/users`.
    pub target: String,
    /// The upstream that answers.
    pub upstream: String,
    /// What may be asked for without a token.
    pub public: Vec<PublicCall>,
    /// Most bytes of a request's body.
    pub body_bytes: u64,
    /// The route's own limit, instead of the general one.
    pub rate_limit: Option<Rate>,
    /// Whether a connection may become a WebSocket.
    pub websocket: bool,
}

/// What may be asked for without a token: one method at one public path, exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicCall {
    /// Such as `POST`.
    pub method: String,
    /// Such as `/api/users`.
    pub path: String,
}

impl RouteSettings {
    /// The routes that stand where the file has none.
    pub(super) fn defaults() -> Vec<Self> {
        let route = |path: &str, target: &str, upstream: &str, public: &[(&str, &str)], body_bytes| Self {
            path: path.to_owned(),
            target: target.to_owned(),
            upstream: upstream.to_owned(),
            public: public.iter().map(|(method, path)| PublicCall::new(method, path)).collect(),
            body_bytes,
            rate_limit: None,
            websocket: false,
        };
        let (login, keys) = ("/api/users/sessions", "/.well-known/jwks.json");
        vec![
            route("/api/users", "/users", "users", &[("POST", "/api/users")], SMALL_BODY),
            Self {
                // Guessing passwords takes many.
                rate_limit: Some(Rate { requests: 10, window: Duration::from_secs(10), burst: 20 }),
                ..route(login, "/users/sessions", "users", &[("POST", login)], SMALL_BODY)
            },
            route("/api/orders", "/orders", "orders", &[], SMALL_BODY),
            route(keys, keys, "users", &[("GET", keys)], SMALL_BODY),
        ]
    }
}

impl PublicCall {
    /// A call of `method` at `path`.
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned() }
    }
}
