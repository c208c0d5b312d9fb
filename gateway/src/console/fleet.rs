//! Asks the processes of the services, all at once, each with a deadline.

use std::time::Duration;

use bytes::Bytes;
use common::{
    http::{Client, ClientConfig},
    telemetry::trace::Origin,
};
use futures_util::future::join_all;
use http::{Method, Request, StatusCode, header::HOST};
use serde_json::Value;

use crate::upstream::Upstreams;

/// Every process of every service behind the gateway. Cheap to clone; clones share their connections, which belong to the
/// thread of the first question.
#[derive(Clone, Debug)]
pub struct Fleet {
    upstreams: Upstreams,
    client: Client,
}

/// Where one process listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which service it belongs to.
    pub service: String,
    /// Its address, such as `127.0.0.1:3001`.
    pub address: String,
    authority: String,
    base: String,
}

/// What came of a question to one process.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// It answered 2xx with this; null where that had no body.
    Said(Value),
    /// It answered, but not 2xx or no JSON; says what, null where that is no JSON.
    Refused(u16, Value),
    /// It did not answer; says why.
    Silent(String),
}

impl Fleet {
    /// Asks the endpoints of `upstreams`, as they are at each question.
    pub fn new(upstreams: Upstreams) -> Self {
        Self { upstreams, client: Client::new(ClientConfig { idle_most: 4, ..ClientConfig::default() }) }
    }

    /// The services behind.
    pub fn upstreams(&self) -> &Upstreams {
        &self.upstreams
    }

    /// Where every process is just now, in the order of the settings.
    pub fn places(&self) -> Vec<Place> {
        let all = self.upstreams.all();
        let places = all.iter().flat_map(|upstream| {
            let endpoints = upstream.endpoints();
            let place = |endpoint: &std::sync::Arc<crate::upstream::Endpoint>| Place {
                service: upstream.name().to_owned(),
                address: endpoint.address().to_string(),
                authority: endpoint.authority().to_owned(),
                base: format!("http://{}{}", endpoint.address(), endpoint.base_path()),
            };
            endpoints.iter().map(place).collect::<Vec<_>>()
        });
        places.collect()
    }

    /// Asks one process; `path` may have a query, and `body` is JSON.
    pub async fn ask(
        &self,
        place: &Place,
        method: Method,
        path: &str,
        body: Option<&Value>,
        deadline: Duration,
    ) -> Heard {
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", place.base))
            .header(HOST, &place.authority)
            .body(body);
        let request = match request {
            Ok(request) => request,
            Err(error) => return Heard::Silent(error.to_string()),
        };
        match self.client.send(request, &Origin::unrecorded(), deadline).await {
            Err(error) => Heard::Silent(error.to_string()),
            Ok(answer) => heard(answer.status, &answer.body),
        }
    }

    /// Asks every process at once.
    pub async fn get_all(&self, path: &str, deadline: Duration) -> Vec<(Place, Heard)> {
        let places = self.places();
        let heard =
            join_all(places.iter().map(|place| self.ask(place, Method::GET, path, None, deadline))).await;
        places.into_iter().zip(heard).collect()
    }

    /// Asks every process for a page, and returns the lists under `key` of those that answered, and which services did
    /// not. A service that nobody knows an address of did not either.
    pub async fn lists(&self, path: &str, key: &str, deadline: Duration) -> (Vec<Vec<Value>>, Vec<String>) {
        let mut lists = Vec::new();
        let mut silent: Vec<String> = Vec::new();
        let heard = self.get_all(path, deadline).await;
        for upstream in self.upstreams.all().iter() {
            let mut all = heard.iter().filter(|(place, _)| place.service == upstream.name()).peekable();
            let mut answered = all.peek().is_some();
            for (_, heard) in all {
                match heard {
                    Heard::Said(said) if said[key].is_array() => {
                        lists.push(said[key].as_array().cloned().unwrap_or_default());
                    }
                    _ => answered = false,
                }
            }
            if !answered {
                silent.push(upstream.name().to_owned());
            }
        }
        (lists, silent)
    }
}

/// Tells what an answer comes to.
fn heard(status: StatusCode, body: &[u8]) -> Heard {
    let said = match body {
        // Such as of a 202 or 204.
        [] => Some(Value::Null),
        json => serde_json::from_slice(json).ok(),
    };
    match said {
        Some(said) if status.is_success() => Heard::Said(said),
        said => Heard::Refused(status.as_u16(), said.unwrap_or_default()),
    }
}

/// Writes `raw` as the value of a query (RFC 3986 section 2.3: what is unreserved stays).
pub fn query_value(raw: &str) -> String {
    let mut encoded = String::with_capacity(raw.len());
    for byte in raw.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_without_a_body_is_success_and_one_that_cannot_be_read_is_none() {
        assert_eq!(heard(StatusCode::ACCEPTED, b""), Heard::Said(Value::Null));
        assert_eq!(heard(StatusCode::OK, b"{\"a\":1}"), Heard::Said(serde_json::json!({ "a": 1 })));
        assert_eq!(heard(StatusCode::NOT_FOUND, b"nothing"), Heard::Refused(404, Value::Null));
        assert_eq!(heard(StatusCode::OK, b"<html>"), Heard::Refused(200, Value::Null));
    }

    #[test]
    fn a_query_carries_any_text() {
        assert_eq!(query_value("0192-ab_c.~Z"), "0192-ab_c.~Z");
        assert_eq!(query_value("a b&c=d/é"), "a%20b%26c%3Dd%2F%C3%A9");
    }
}
