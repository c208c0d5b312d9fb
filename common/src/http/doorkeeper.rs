use std::net::IpAddr;

use actix_web::{dev::ServiceRequest, http::header::HeaderMap};

use super::Problem;

/// Decides, before any route sees a request, whether it may come in; and what every answer carries.
///
/// For a server that shows more than strangers may see, see [`Server::bind`](super::Server::bind).
pub trait Doorkeeper: Send + Sync + 'static {
    /// Lets the request in.
    ///
    /// # Errors
    /// Says what is wrong with it; that is the answer.
    fn admit(&self, visit: &Visit<'_>) -> Result<(), Problem>;

    /// Header fields of every answer that has no field of that name.
    fn fields(&self) -> &'static [(&'static str, &'static str)];
}

/// What a [`Doorkeeper`] sees of a request: its head, and where it comes from.
pub struct Visit<'a> {
    /// The method, such as `GET`.
    pub method: &'a str,
    /// The path, without the query, as it was sent.
    pub path: &'a str,
    /// The other end of the connection.
    pub peer: Option<IpAddr>,
    headers: &'a HeaderMap,
}

impl<'a> Visit<'a> {
    pub(super) fn of(request: &'a ServiceRequest) -> Self {
        Self {
            method: request.method().as_str(),
            path: request.path(),
            peer: request.peer_addr().map(|peer| peer.ip().to_canonical()),
            headers: request.headers(),
        }
    }

    /// The one header field of that name; `None` where there is none, there are several, or it is not ASCII.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let mut all = self.headers.get_all(name);
        match (all.next(), all.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    }

    /// Every header field of that name, as far as it is ASCII.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers.get_all(name).filter_map(|value| value.to_str().ok())
    }

    /// Whether there is a header field of that name, whatever it says.
    pub fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }
}
