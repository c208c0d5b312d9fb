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
                let line = format_args!("the timeline does not show that {subject} was away: {why}");
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
