//! The gateway's admin port, as the launcher knows it: where it is, and that it is told there what no service can tell itself.

use std::env;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use serde_json::json;
use tokio::time::sleep;

use super::screen::{Screen, Voice};
use crate::http::Http;

/// How long the gateway may be away before it is told nothing: it may itself be about to be brought back.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// Where it is, and what it asks for.
#[derive(Clone)]
pub(super) struct Admin {
    http: Http,
    authorization: Option<String>,
}

/// The end of a process, and its return.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    /// Which process.
    pub subject: &'static str,
    /// How it ended.
    pub cause: String,
    /// When.
    pub at: Timestamp,
    /// When it was back.
    pub ended_at: Timestamp,
}

impl Admin {
    /// By the same `ADMIN_HOST` and `ADMIN_TOKEN` that the gateway is started with.
    pub fn new(port: u16) -> Self {
        let said = |name| env::var(name).unwrap_or_default();
        Self::at(port, said("ADMIN_HOST").trim(), said("ADMIN_TOKEN").trim())
    }

    /// A gateway that cannot use what is said here ends before it is asked for anything.
    pub(super) fn at(port: u16, host: &str, token: &str) -> Self {
        let host = host.parse().ok().filter(|host: &IpAddr| !host.is_unspecified());
        let address = SocketAddr::new(host.unwrap_or(Ipv4Addr::LOCALHOST.into()), port);
        let authorization = Some(format!("Bearer {token}"))
            .filter(|value| !token.is_empty() && HeaderValue::from_str(value).is_ok());
        Self { http: Http::new(format!("http://{address}")), authorization }
    }

    /// Where a browser finds it.
    pub fn url(&self) -> &str {
        self.http.base()
    }

    /// Whether it asks for a token.
    pub fn has_token(&self) -> bool {
        self.authorization.is_some()
    }

    /// Has the timeline show an outage; where the gateway does not take it, says so in one line.
    pub async fn tell(self, outage: Outage, screen: Screen) {
        let begun = Instant::now();
        loop {
            let why = match self.try_to_tell(&outage).await {
                Ok(()) => return,
                Err(why) => why,
            };
            if why.is_final || begun.elapsed() >= PATIENCE {
                let (subject, why) = (outage.subject, why.text);
                let line = format_args!("the timeline does not show that the {subject} was away: {why}");
                return screen.say(Voice::LAUNCHER, line);
            }
            sleep(PAUSE).await;
        }
    }

    async fn try_to_tell(&self, Outage { subject, cause, at, ended_at }: &Outage) -> Result<(), NotTold> {
        let body = json!({
            "subject": subject, "cause": cause, "at": format!("{at:.3}"), "endedAt": format!("{ended_at:.3}"),
        });
        let mut call = self.http.post("/timeline").json(&body).deadline(Duration::from_secs(2));
        if let Some(authorization) = &self.authorization {
            call = call.header("authorization", authorization);
        }
        match call.send().await {
            Ok(answer) if answer.status == StatusCode::CREATED => Ok(()),
            Ok(answer) => {
                let text = format!("the gateway answers {}", answer.status);
                Err(NotTold { text, is_final: !answer.status.is_server_error() })
            }
            Err(error) => Err(NotTold { text: error.to_string(), is_final: false }),
        }
    }
}

/// Why it was not told, and whether it will never be.
struct NotTold {
    text: String,
    is_final: bool,
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Tells a gateway that answers with these status lines, one after the other, and returns what the last one was asked.
    async fn told(answers: &[&str]) -> String {
        let gateway = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = gateway.local_addr().expect("it listens").port();
        let at = |second| Timestamp::from_second(second).expect("a time");
        let outage = Outage { subject: "broker", cause: "signal 9".into(), at: at(10), ended_at: at(12) };
        let telling = tokio::spawn(Admin::at(port, "", "correct battery").tell(outage, Screen::new()));

        let mut asked = String::new();
        for answer in answers {
            let (mut socket, _) = gateway.accept().await.expect("it is asked");
            let mut bytes = vec![0; 4096];
            let mut length = 0;
            while !bytes[..length].ends_with(b"}") {
                length += socket.read(&mut bytes[length..]).await.expect("a request");
            }
            asked = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let answer = format!("{answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            socket.write_all(answer.as_bytes()).await.expect("it waits for the answer");
        }
        telling.await.expect("it ends");
        asked
    }

    #[tokio::test]
    async fn a_gateway_that_is_away_just_then_is_told_a_little_later() {
        let asked = told(&["HTTP/1.1 503 Busy", "HTTP/1.1 201 Created"]).await;

        assert!(asked.starts_with("POST /timeline HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("authorization: Bearer correct battery\r\n"), "{asked}");
        assert!(asked.contains(r#""at":"1970-01-01T00:00:10.000Z""#), "{asked}");
    }

    #[tokio::test]
    async fn a_gateway_that_refuses_is_not_asked_again() {
        let asked = told(&["HTTP/1.1 401 Unauthorized"]).await;

        assert!(asked.contains(r#""cause":"signal 9""#), "{asked}");
    }

    #[test]
    fn it_is_where_the_gateway_is_told_to_be() {
        for (host, url) in
            [("", "http://127.0.0.1:1"), ("0.0.0.0", "http://127.0.0.1:1"), ("10.0.0.5", "http://10.0.0.5:1")]
        {
            assert_eq!(Admin::at(1, host, "").url(), url);
        }
        assert_eq!(Admin::at(1, "::1", "").url(), "http://[::1]:1");
    }
}
