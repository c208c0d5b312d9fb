//! People who log in at the gateway, and what they ask for then.

use serde_json::json;
use warren::http::{Call, Http};

/// Somebody who has logged in.
#[derive(Clone)]
pub struct Session {
    /// The token, which is good for an hour.
    pub token: String,
}

impl Session {
    /// Logs in.
    ///
    /// # Panics
    ///
    /// When that is refused.
    pub async fn begin(api: &Http, email: &str, password: &str) -> Self {
        let credentials = json!({ "email": email, "password": password });
        let session = api.post("/api/users/sessions").json(&credentials).await.expect(201).json();
        Self { token: session["token"].as_str().expect("a token").to_owned() }
    }

    /// Registers somebody, who logs in; returns the id as well.
    ///
    /// # Panics
    ///
    /// When either is refused.
    pub async fn register(api: &Http, email: &str, password: &str) -> (String, Self) {
        let user = json!({ "name": "Grace", "email": email, "password": password });
        let registered = api.post("/api/users").json(&user).await.expect(201).json();
        let id = registered["id"].as_str().expect("an id").to_owned();
        (id, Self::begin(api, email, password).await)
    }

    /// Shows the token with a call.
    pub fn asks(&self, call: Call) -> Call {
        call.header("Authorization", &format!("Bearer {}", self.token))
    }
}
