use std::{fmt, str::FromStr, time::Duration};

use http::{Uri, uri::Scheme};

/// A service behind the gateway: where it listens, and how far it is trusted to work.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamSettings {
    /// What routes call it.
    pub name: String,
    /// Where it listens; a name that stands for several addresses is several endpoints.
    pub urls: Vec<UpstreamUrl>,
    /// Requests on their way to it; more are refused at once.
    pub in_flight: usize,
    /// What its endpoints are asked for to see whether they are well.
    pub health_path: String,
    /// The pause between two such questions.
    pub health_every: Duration,
    /// The pause between two looks at what its names stand for.
    pub resolve_every: Duration,
    /// When an endpoint is left alone.
    pub breaker: BreakerSettings,
    /// Retries per request, at most, on average.
    pub retry_budget: f64,
}

/// When an endpoint is left alone, and how it comes back.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerSettings {
    /// So many failures without a success between them open the breaker.
    pub failures_in_a_row: u32,
    /// So large a share of failures within the window opens it, too.
    pub failure_ratio: f64,
    /// The share counts from so many requests on.
    pub least_requests: u32,
    /// How long a failure counts.
    pub window: Duration,
    /// How long the endpoint is left alone before one request tries it.
    pub probe_after: Duration,
    /// How long it takes until it gets its full share again.
    pub slow_return: Duration,
}

/// `http://host[:port][/path]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    authority: String,
    host: String,
    port: u16,
    base_path: String,
}

impl UpstreamUrl {
    /// Host and port as they were written, for the `Host` header.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// A name or an address, an IPv6 one without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 80 where none was written.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What every path there starts with; empty, or starts with a slash and does not end with one.
    pub fn base_path(&self) -> &str {
        &self.base_path
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.base_path)
    }
}

/// The text is no URL of an upstream; completes the sentence "… must be …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUrl;

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL such as http://host:3001")
    }
}

impl std::error::Error for InvalidUrl {}

impl FromStr for UpstreamUrl {
    type Err = InvalidUrl;

    fn from_str(raw: &str) -> Result<Self, InvalidUrl> {
        let parts = raw.parse::<Uri>().map_err(|_| InvalidUrl)?.into_parts();
        let authority = parts.authority.ok_or(InvalidUrl)?;
        let path = parts.path_and_query.ok_or(InvalidUrl)?;
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => 80,
            Some(port) => port.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or(InvalidUrl)?,
            // Userinfo comes before the host.
            None => return Err(InvalidUrl),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if parts.scheme != Some(Scheme::HTTP) || host.is_empty() || port == 0 || path.query().is_some() {
            return Err(InvalidUrl);
        }
        let base_path = path.path().trim_end_matches('/').to_owned();
        Ok(Self { authority: authority.as_str().to_owned(), host, port, base_path })
    }
}

impl UpstreamSettings {
    /// The upstream `name`, which listens nowhere yet.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            urls: Vec::new(),
            in_flight: 1024,
            health_path: "/health/ready".to_owned(),
            health_every: Duration::from_secs(1),
            resolve_every: Duration::from_secs(5),
            breaker: BreakerSettings::default(),
            retry_budget: 0.1,
        }
    }

    /// The upstreams that are known without a file.
    pub(super) fn defaults() -> Vec<Self> {
        let local = |name: &str, port: u16| {
            let authority = format!("127.0.0.1:{port}");
            let host = "127.0.0.1".to_owned();
            let url = UpstreamUrl { authority, host, port, base_path: String::new() };
            Self { urls: vec![url], ..Self::new(name) }
        };
        vec![local("users", 3001), local("orders", 3002)]
    }
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures_in_a_row: 5,
            failure_ratio: 0.5,
            least_requests: 20,
            window: Duration::from_secs(10),
            probe_after: Duration::from_secs(5),
            slow_return: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<UpstreamUrl, InvalidUrl> {
        url.parse()
    }

    #[test]
    fn a_url_says_where_to_connect_and_what_to_ask_for() {
        for (url, authority, host, port, base_path) in [
            ("http://users:3001", "users:3001", "users", 3001, ""),
            ("http://users/base/", "users", "users", 80, "/base"),
            ("http://[::1]:3001/a/b", "[::1]:3001", "::1", 3001, "/a/b"),
            ("http://[fd00::1]", "[fd00::1]", "fd00::1", 80, ""),
        ] {
            let parsed = parse(url).expect(url);

            assert_eq!(
                (parsed.authority(), parsed.host(), parsed.port(), parsed.base_path()),
                (authority, host, port, base_path),
            );
        }
        assert_eq!(parse("http://users:3001/base/").expect("sound").to_string(), "http://users:3001/base");
    }

    #[test]
    fn anything_else_is_refused() {
        for url in [
            "",
            "users:3001",
            "https://users:3001",
            "http://me@users:3001",
            "http://me:secret@users:3001",
            "http://u?x",
            "/users",
            "http://",
            "http://users:",
            "http://users:0",
            "http://users:65536",
            "http://users:x",
            "http://:3001",
            "http://[]:3001",
        ] {
            assert_eq!(parse(url), Err(InvalidUrl), "{url}");
        }
    }
}
