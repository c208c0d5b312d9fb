use std::time::Duration;

/// Which pages of other origins may call, and what they may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsSettings {
    /// Such as `https://shop.example`, or a single `*`; where there is none, CORS is off.
    pub origins: Vec<String>,
    /// What they may ask for.
    pub methods: Vec<String>,
    /// What headers they may send.
    pub headers: Vec<String>,
    /// What headers of an answer they may read.
    pub expose: Vec<String>,
    /// Whether they may send cookies and client certificates; a token in `Authorization` needs no such permission.
    pub credentials: bool,
    /// How long a browser may remember a permission; whole seconds.
    pub max_age: Duration,
}

impl CorsSettings {
    /// Whether any page may call.
    pub fn any_origin(&self) -> bool {
        self.origins.iter().any(|origin| origin == "*")
    }
}

impl Default for CorsSettings {
    fn default() -> Self {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            origins: Vec::new(),
            methods: all(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
            headers: all(&[
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "X-Request-Id",
                "Traceparent",
            ]),
            expose: all(&[
                "X-Request-Id",
                "RateLimit",
                "RateLimit-Policy",
                "Retry-After",
                "Location",
                "Idempotency-Replayed",
                "WWW-Authenticate",
            ]),
            credentials: false,
            max_age: Duration::from_secs(600),
        }
    }
}
