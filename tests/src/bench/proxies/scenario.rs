use crate::bench::load::Expected;
use crate::bench::token;
use crate::bench::upstream::{LARGE, SMALL, counted};

/// What is asked of every proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What it is called by `--scenario`.
    pub key: &'static str,
    /// What the table calls it.
    pub name: &'static str,
    /// How many connections are kept busy.
    pub connections: usize,
    exchange: Exchange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exchange {
    Get,
    GetLarge,
    Post(usize),
}

impl Scenario {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 6] = [
        Self { key: "get-1", name: "GET, 1 connection", connections: 1, exchange: Exchange::Get },
        Self { key: "get-64", name: "GET, 64 connections", connections: 64, exchange: Exchange::Get },
        Self { key: "get-1000", name: "GET, 1,000 connections", connections: 1000, exchange: Exchange::Get },
        Self {
            key: "post-1k",
            name: "POST of 1 KiB, 64 connections",
            connections: 64,
            exchange: Exchange::Post(1 << 10),
        },
        Self {
            key: "post-1m",
            name: "POST of 1 MiB, 8 connections",
            connections: 8,
            exchange: Exchange::Post(1 << 20),
        },
        Self {
            key: "answer-1m",
            name: "GET of 1 MiB, 8 connections",
            connections: 8,
            exchange: Exchange::GetLarge,
        },
    ];

    /// The request as it goes over the wire: as a browser's page would send it, where it shows a token.
    pub fn request(&self, shows_token: bool) -> String {
        let (line, body) = match self.exchange {
            Exchange::Get => ("GET /api/users/u1", String::new()),
            Exchange::GetLarge => ("GET /api/users/large", String::new()),
            Exchange::Post(size) => ("POST /api/orders", body(size)),
        };
        let mut request = format!("{line} HTTP/1.1\r\nHost: warren.example\r\nAccept: application/json\r\n");
        if shows_token {
            request += &format!("Origin: {ORIGIN}\r\nAuthorization: Bearer {}\r\n", token::TOKEN);
        }
        if !body.is_empty() {
            request += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        request + "\r\n" + &body
    }

    /// Whether its bodies do not fit into anybody's memory of a connection.
    pub fn is_large(&self) -> bool {
        matches!(self.exchange, Exchange::GetLarge | Exchange::Post(100_000..))
    }

    /// What the upstream answers, whoever is in between.
    pub fn expected(&self) -> Expected {
        match self.exchange {
            Exchange::Get => Expected::Text(SMALL.to_owned()),
            Exchange::GetLarge => Expected::Bytes(LARGE),
            Exchange::Post(size) => Expected::Text(counted(size as u64)),
        }
    }
}

/// The page that the requests with a token come from.
pub const ORIGIN: &str = "https://shop.example";

/// An order of exactly this size.
fn body(size: usize) -> String {
    const FRAME: (&str, &str) = (r#"{"userId":"u1","items":[""#, r#""]}"#);
    format!("{}{}{}", FRAME.0, "x".repeat(size - FRAME.0.len() - FRAME.1.len()), FRAME.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_as_large_as_its_head_says_and_json() {
        for scenario in Scenario::ALL {
            let request = scenario.request(true);
            let (head, body) = request.split_once("\r\n\r\n").expect("a head has an end");
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            assert_eq!(length.unwrap_or("0"), body.len().to_string(), "{scenario:?}");
            if !body.is_empty() {
                serde_json::from_str::<serde_json::Value>(body).expect("the body is JSON");
            }
        }
    }
}
