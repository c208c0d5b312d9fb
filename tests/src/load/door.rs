use crate::harness::System;
use crate::http::{Call, Http};

/// Where a client knocks: at the gateway, or at each service itself.
#[derive(Clone)]
pub struct Door {
    users: Http,
    orders: Http,
    prefix: &'static str,
}

impl Door {
    /// At the gateway, as the world does.
    pub fn public(system: &System) -> Self {
        Self { users: system.api.clone(), orders: system.api.clone(), prefix: "/api" }
    }

    /// At the services themselves, so that nothing stands between the client and what is tested.
    pub fn internal(system: &System) -> Self {
        Self { users: system.users.http.clone(), orders: system.orders.http.clone(), prefix: "" }
    }

    /// The same door, with connections that nobody else uses.
    pub fn with_own_connections(&self) -> Self {
        Self {
            users: Http::new(self.users.base()),
            orders: Http::new(self.orders.base()),
            prefix: self.prefix,
        }
    }

    /// Begins a POST to the users service.
    pub fn post_users(&self, path: &str) -> Call {
        self.users.post(&format!("{}{path}", self.prefix))
    }

    /// Begins a POST to the orders service.
    pub fn post_orders(&self, path: &str) -> Call {
        self.orders.post(&format!("{}{path}", self.prefix))
    }
}
