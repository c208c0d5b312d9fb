use std::{str::FromStr, time::Duration};

use common::config::Environment;

use super::{
    AuthMode, CorsSettings, Networks, Rate, Settings, UpstreamUrl,
    document::shown,
    rules::{ORIGIN, is_origin},
};

/// What the environment says; it wins over the file, at the start and at every reload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// `AUTH`: `open` or `required`.
    auth: Option<AuthMode>,
    /// `RATE_LIMIT`: `100/1` is one limit for all, instead of every limit of the file, also of the routes' own; `off`
    /// is none at all.
    rate_limit: Option<Option<Rate>>,
    /// `USER_URL` and `ORDER_URL`, separated by commas, with the upstream that they are for.
    urls: Vec<(&'static str, Vec<UpstreamUrl>)>,
    /// `GATEWAY_CONNECT_MS`.
    connect: Option<Duration>,
    /// `GATEWAY_HEAD_MS`.
    answer_head: Option<Duration>,
    /// `GATEWAY_WHOLE_MS`.
    whole: Option<Duration>,
    /// `GATEWAY_BODY_IDLE_MS`.
    body_idle: Option<Duration>,
    /// `GATEWAY_IN_FLIGHT`.
    in_flight: Option<usize>,
    /// `GATEWAY_TRUSTED`, separated by commas.
    trusted: Option<Networks>,
    /// `GATEWAY_HEALTH_MS`, for every upstream.
    health_every: Option<Duration>,
    /// `CORS_ORIGINS`, separated by commas.
    origins: Option<Vec<String>>,
}

impl Overrides {
    /// Reads the environment; mistakes are noted there.
    pub fn from_env(env: &mut Environment) -> Self {
        let mut urls = Vec::new();
        for (variable, upstream) in [("USER_URL", "users"), ("ORDER_URL", "orders")] {
            if let Some(Urls(own)) =
                read(env, variable, "URLs such as http://host:3001, without user and password")
            {
                urls.push((upstream, own));
            }
        }
        let duration = "a whole number of milliseconds from 1 to 86400000";
        let mut millis = |variable| read(env, variable, duration).map(|Millis(duration)| duration);
        let (connect, answer_head) = (millis("GATEWAY_CONNECT_MS"), millis("GATEWAY_HEAD_MS"));
        let (whole, body_idle) = (millis("GATEWAY_WHOLE_MS"), millis("GATEWAY_BODY_IDLE_MS"));
        let health_every = millis("GATEWAY_HEALTH_MS");
        let rate = "\"off\" or requests/seconds such as 100/1, both from 1 and the seconds up to 86400";
        Self {
            auth: read(env, "AUTH", "\"open\" or \"required\"").map(|Mode(mode)| mode),
            rate_limit: read(env, "RATE_LIMIT", rate).map(|RateOrOff(rate)| rate),
            urls,
            connect,
            answer_head,
            whole,
            body_idle,
            in_flight: read(env, "GATEWAY_IN_FLIGHT", "a whole number from 1").map(|Positive(number)| number),
            trusted: read(env, "GATEWAY_TRUSTED", "networks such as 10.0.0.0/8"),
            health_every,
            origins: read(env, "CORS_ORIGINS", &format!("\"*\" alone, or {ORIGIN}"))
                .map(|Origins(origins)| origins),
        }
    }

    /// Puts what the environment says in the place of what the file said.
    pub(super) fn apply(&self, settings: &mut Settings, cors: &mut CorsSettings) {
        let Settings { limits, deadlines, trusted, auth, rate_limit, upstreams, routes, .. } = settings;
        replace(&mut auth.mode, self.auth.as_ref());
        replace(&mut deadlines.connect, self.connect.as_ref());
        replace(&mut deadlines.answer_head, self.answer_head.as_ref());
        replace(&mut deadlines.whole, self.whole.as_ref());
        replace(&mut deadlines.body_idle, self.body_idle.as_ref());
        replace(&mut limits.in_flight, self.in_flight.as_ref());
        replace(trusted, self.trusted.as_ref());
        replace(&mut cors.origins, self.origins.as_ref());
        if let Some(rate) = &self.rate_limit {
            rate_limit.clone_from(rate);
            routes.iter_mut().for_each(|route| route.rate_limit = None);
        }
        for upstream in upstreams {
            let own = self.urls.iter().find(|(name, _)| *name == upstream.name);
            replace(&mut upstream.urls, own.map(|(_, urls)| urls));
            replace(&mut upstream.health_every, self.health_every.as_ref());
        }
    }
}

fn replace<T: Clone>(target: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        target.clone_from(value);
    }
}

/// Reads a variable that need not be there; `expected` completes the sentence "NAME must be …".
fn read<T: FromStr>(env: &mut Environment, variable: &str, expected: &str) -> Option<T> {
    let raw = env.text(variable, "");
    if raw.is_empty() {
        return None;
    }
    let value = raw.parse().ok();
    if value.is_none() {
        env.mistake(format!("{variable} must be {expected}, not {}", shown(&format!("{raw:?}"))));
    }
    value
}

struct Mode(AuthMode);

struct Urls(Vec<UpstreamUrl>);

struct Millis(Duration);

struct Positive(usize);

struct RateOrOff(Option<Rate>);

struct Origins(Vec<String>);

/// The text is nothing that was expected, which the caller says.
struct Invalid;

impl FromStr for Urls {
    type Err = Invalid;

    fn from_str(raw: &str) -> Result<Self, Invalid> {
        let mut urls: Vec<UpstreamUrl> = Vec::new();
        for url in raw.split(',') {
            let url = url.trim().parse().map_err(|_| Invalid)?;
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
        Ok(Self(urls))
    }
}

impl FromStr for Millis {
    type Err = Invalid;

    fn from_str(raw: &str) -> Result<Self, Invalid> {
        let millis = raw.parse().ok().filter(|millis| (1..=86_400_000).contains(millis)).ok_or(Invalid)?;
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl FromStr for Positive {
    type Err = Invalid;

    fn from_str(raw: &str) -> Result<Self, Invalid> {
        raw.parse().ok().filter(|number| *number > 0).map(Self).ok_or(Invalid)
    }
}

impl FromStr for RateOrOff {
    type Err = Invalid;

    fn from_str(raw: &str) -> Result<Self, Invalid> {
        if raw == "off" {
            return Ok(Self(None));
        }
        let (requests, seconds) = raw.split_once('/').ok_or(Invalid)?;
        let requests = requests.parse().ok().filter(|requests| *requests > 0).ok_or(Invalid)?;
        let seconds = seconds.parse().ok().filter(|seconds| (1..=86_400).contains(seconds)).ok_or(Invalid)?;
        let window = Duration::from_secs(seconds);
        // As many at once as in a window: the figure says no more.
        Ok(Self(Some(Rate { requests, window, burst: requests })))
    }
}

impl FromStr for Origins {
    type Err = Invalid;

    fn from_str(raw: &str) -> Result<Self, Invalid> {
        let origins: Vec<String> = raw.split(',').map(|origin| origin.trim().to_owned()).collect();
        let any = origins.iter().any(|origin| origin == "*");
        match origins.iter().all(|origin| is_origin(origin)) && (!any || origins.len() == 1) {
            true => Ok(Self(origins)),
            false => Err(Invalid),
        }
    }
}

impl FromStr for Mode {
    type Err = Invalid;

    fn from_str(raw: &str) -> Result<Self, Invalid> {
        AuthMode::named(raw).map(Self).ok_or(Invalid)
    }
}
