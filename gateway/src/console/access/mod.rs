//! Who may use the admin port.
//!
//! Without an `ADMIN_TOKEN` the port is bound to the loopback interface, and whoever is on this machine may use it; but a
//! page of somewhere else, open in a browser of this machine, may not, and neither may it where it knows the token. It can
//! reach the port in two ways, and each is closed: by a name of its own that it lets lead to 127.0.0.1 (DNS rebinding),
//! which shows in `Host`; and by requests that it cannot read the answers of, which show in `Sec-Fetch-Site` and `Origin`.
//!
//! With a token, everything but the probes and the page's own files asks for it: as `Authorization: Bearer`, or by the
//! cookie of a session, which is what the page has after somebody logged in. The cookie is a random name of that session,
//! so that the token itself is kept nowhere in the browser.

mod token;

mod host;
mod same_site;

mod attempts;
mod sessions;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use common::http::{CHALLENGE, Doorkeeper, Problem, StatusCode, Visit};

pub use host::AdminNames;
pub use sessions::SESSION_LIFETIME;
pub use token::AdminToken;

use super::page;
use attempts::Attempts;
use sessions::Sessions;

/// The name of the cookie.
pub const COOKIE: &str = "warren_admin";

/// Where sessions begin and end.
pub const SESSION_PATH: &str = "/session";

/// What every answer of the admin port carries, unless a route says otherwise.
const FIELDS: &[(&str, &str)] = &[
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// Stands at the door of the admin port.
pub struct Access {
    token: Option<AdminToken>,
    names: AdminNames,
    sessions: Mutex<Sessions>,
    attempts: Mutex<Attempts>,
}

impl Access {
    /// Asks for `token`, where there is one, and answers browsers only where they call it by one of `names`.
    pub fn new(token: Option<AdminToken>, names: AdminNames) -> Self {
        Self { token, names, sessions: Mutex::default(), attempts: Mutex::default() }
    }

    /// Begins a session for whoever knows the token, and returns what its cookie says.
    ///
    /// # Errors
    /// 401 where it is not the token, 429 where this client was wrong too often, 404 where there is no token.
    pub fn log_in(&self, peer: Option<IpAddr>, said: &str, now: Instant) -> Result<String, Problem> {
        let Some(token) = &self.token else {
            return Err(Problem::new(StatusCode::NOT_FOUND, "not found")
                .detail("ADMIN_TOKEN is not set: nothing here asks for a token"));
        };
        self.compare(token, peer, said, now)?;
        lock(&self.sessions).begin(now).map_err(|error| Problem::internal(&error))
    }

    /// Ends the session that the cookie names, where there is one.
    pub fn log_out(&self, cookie: &str) {
        lock(&self.sessions).end(cookie);
    }

    /// Lets in whoever has the token or a session.
    fn identify(&self, token: &AdminToken, visit: &Visit<'_>) -> Result<(), Problem> {
        let now = Instant::now();
        if visit.has("authorization") {
            let said = visit.header("authorization").and_then(bearer).ok_or_else(|| {
                wrong_token("Authorization must be given once, and say Bearer and the gateway's ADMIN_TOKEN")
            })?;
            return self.compare(token, visit.peer, said, now);
        }
        if visit.headers("cookie").filter_map(session_of).any(|name| lock(&self.sessions).is_open(name, now))
        {
            return Ok(());
        }
        Err(Problem::unauthorized("token missing", CHALLENGE).detail(
            "send the gateway's ADMIN_TOKEN as Authorization: Bearer <token>, or begin a session by POST /session",
        ))
    }

    fn compare(
        &self,
        token: &AdminToken,
        peer: Option<IpAddr>,
        said: &str,
        now: Instant,
    ) -> Result<(), Problem> {
        let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        if let Some(wait) = lock(&self.attempts).wait(peer, now) {
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens")
                .detail(format!(
                    "too many came from this address: it may try again in {} s; who is logged in is not concerned",
                    wait.as_secs_f64().ceil()
                ))
                .retry_after(wait));
        }
        if token.is(said) {
            return Ok(());
        }
        lock(&self.attempts).failed(peer, now);
        log::warn!("event=admin_token_refused client={peer}");
        Err(wrong_token("this is not the gateway's ADMIN_TOKEN"))
    }
}

impl Doorkeeper for Access {
    fn admit(&self, visit: &Visit<'_>) -> Result<(), Problem> {
        // Orchestrators ask by whatever name, and learn next to nothing.
        if matches!(visit.path, "/health/live" | "/health/ready") {
            return Ok(());
        }
        same_site::check(visit)?;
        // Whoever shows the token and is no browser may call it as they like, such as those who collect metrics.
        if self.token.is_none() || host::is_of_browser(visit) || begins_session(visit) {
            self.names.check(visit)?;
        }
        match &self.token {
            None => Ok(()),
            Some(_) if is_open(visit) => Ok(()),
            Some(token) => self.identify(token, visit),
        }
    }

    fn fields(&self) -> &'static [(&'static str, &'static str)] {
        FIELDS
    }
}

/// What is there before anybody has said a token: the page, which asks for it, and where it is told.
fn is_open(visit: &Visit<'_>) -> bool {
    match visit.method {
        "GET" | "HEAD" => page::at(visit.path).is_some(),
        _ => begins_session(visit),
    }
}

fn begins_session(visit: &Visit<'_>) -> bool {
    visit.method == "POST" && visit.path == SESSION_PATH
}

fn wrong_token(detail: &'static str) -> Problem {
    Problem::unauthorized("token invalid", CHALLENGE).detail(detail)
}

/// What follows the scheme, whose case does not matter (RFC 9110 section 11.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The session that a `Cookie` field names.
pub fn session_of(cookies: &str) -> Option<&str> {
    cookies.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while the lock is held leaves whole values behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_among_other_cookies() {
        assert_eq!(session_of("theme=dark; warren_admin=abc; x=y"), Some("abc"));
        assert_eq!(session_of("xwarren_admin=abc"), None);
        assert_eq!(session_of("warren_admin"), None);
    }

    #[test]
    fn a_bearer_token_is_read_whatever_the_case_of_its_scheme() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bEARER abc"), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("Bearer"), None);
    }

    #[test]
    fn whoever_is_wrong_too_often_waits_even_with_the_right_token_and_others_do_not() {
        let access = Access::new(AdminToken::parse("correct battery").ok(), AdminNames::default());
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let now = Instant::now();

        for _ in 0..10 {
            let refused = access.log_in(Some(one), "wrong", now).expect_err("it is wrong");
            assert_eq!(refused.status(), 401);
        }

        let limited = access.log_in(Some(one), "correct battery", now).expect_err("too often");
        assert_eq!(limited.status(), 429);
        assert!(access.log_in(Some(other), "correct battery", now).is_ok());
        let later = now + std::time::Duration::from_secs(6);
        assert!(access.log_in(Some(one), "correct battery", later).is_ok());
    }

    #[test]
    fn a_cookie_does_not_tell_the_token() {
        let access = Access::new(AdminToken::parse("correct battery").ok(), AdminNames::default());
        let now = Instant::now();

        let first = access.log_in(None, "correct battery", now).expect("it is right");
        let second = access.log_in(None, "correct battery", now).expect("it is right");

        assert_ne!(first, second);
        assert!(!first.contains("battery") && first.len() >= 32, "{first}");
    }
}
