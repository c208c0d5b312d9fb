//! The table that says which service answers which path. Pure.
//!
//! A path is matched by its longest prefix that ends where a segment ends, and only what the service may be
//! asked for is passed on: the rest of the path must not be able to climb out of it, however it is written, for
//! beside it the services show their insides (`/metrics`, `/actors`).

use std::{fmt, sync::Arc};

use common::http::RouteLabel;

use crate::{
    settings::{RouteSettings, Settings},
    upstream::{Upstream, Upstreams},
};

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Route {
    /// What the table says of it.
    pub settings: RouteSettings,
    /// Who answers.
    pub upstream: Arc<Upstream>,
    /// What the route is called in metrics.
    pub label: RouteLabel,
    /// By what its own rate limit is known, also where a reload puts another route before it. Never 0.
    pub scope: u32,
}

impl Route {
    fn new(settings: RouteSettings, upstream: Arc<Upstream>) -> Self {
        let label = RouteLabel::from(format!("{}/*", settings.path));
        // FNV-1a: the same for the same path, in every table.
        let scope = settings
            .path
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Self { settings, upstream, label, scope: scope.max(1) }
    }

    /// Appends the path and query to ask the service for, without an endpoint's base path. Nothing is decoded or
    /// encoded on the way.
    ///
    /// # Errors
    /// When the path could lead out of the route.
    pub fn forward(&self, path: &str, query: Option<&str>, asked: &mut String) -> Result<(), UnsafePath> {
        let rest = rest_of(path, &self.settings.path).ok_or(UnsafePath)?;
        if climbs(rest) {
            return Err(UnsafePath);
        }
        asked.push_str(&self.settings.target);
        asked.push_str(rest);
        if let Some(query) = query {
            asked.push('?');
            asked.push_str(query);
        }
        Ok(())
    }

    /// Returns the public name of what the service calls `location`, or `None` where it is none of this route's.
    fn backward(&self, location: &str) -> Option<String> {
        self.upstream.endpoints().iter().find_map(|endpoint| {
            let path = match location.strip_prefix("http://") {
                Some(absolute) => absolute.strip_prefix(endpoint.authority())?,
                None => location,
            };
            let path = path.strip_prefix(endpoint.base_path())?;
            let end = path.find(['?', '#']).unwrap_or(path.len());
            rest_of(&path[..end], &self.settings.target)?;
            Some(format!("{}{}", self.settings.path, &path[self.settings.target.len()..]))
        })
    }

    /// Whether the call needs no token. A path that is public to GET is so to HEAD, too.
    pub fn is_public(&self, method: &str, path: &str) -> bool {
        let method = if method == "HEAD" { "GET" } else { method };
        self.settings.public.iter().any(|call| call.method == method && call.path == path)
    }
}

/// Every route, the longest path first.
#[derive(Clone, Debug)]
pub struct Table(Vec<Route>);

impl Table {
    /// Puts the routes of `settings` in order, and each beside its upstream.
    pub fn new(settings: &Settings, upstreams: &Upstreams) -> Self {
        let route = |route: &RouteSettings| Some(Route::new(route.clone(), upstreams.get(&route.upstream)?));
        let mut routes: Vec<_> = settings.routes.iter().filter_map(route).collect();
        routes.sort_by_key(|route| std::cmp::Reverse(route.settings.path.len()));
        Self(routes)
    }

    /// Returns the number of the route that answers `path`, as it came over the wire.
    pub fn find(&self, path: &str) -> Option<usize> {
        self.0.iter().position(|route| rest_of(path, &route.settings.path).is_some())
    }

    /// The route of this number.
    pub fn route(&self, number: usize) -> &Route {
        &self.0[number]
    }

    /// Returns the public name of what a service calls `location`, asking the route first that it answered.
    pub fn backward(&self, answered: usize, location: &str) -> Option<String> {
        let first = self.0.get(answered);
        first.into_iter().chain(&self.0).find_map(|route| route.backward(location))
    }
}

/// A path that could lead to what the route does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsafePath;

impl fmt::Display for UnsafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the path holds a dot segment, an encoded separator or a broken escape")
    }
}

impl std::error::Error for UnsafePath {}

/// Returns what follows `prefix`, where that ends at the end of a segment.
fn rest_of<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether some service could find its way out of the route by what follows the route's own path.
fn climbs(rest: &str) -> bool {
    if memchr::memchr3(b'%', b'\\', b';', rest.as_bytes()).is_some() {
        return rest.split('/').any(is_unsafe);
    }
    // Written plainly, as nearly all are.
    rest.split('/')
        .any(|segment| matches!(segment, "." | "..") || segment.bytes().any(|b| b.is_ascii_control()))
}

/// Whether some service could take the segment for a dot segment or for several segments.
///
/// Every escape is undone, also one that comes of another, since nobody knows how often the service does it;
/// parameters (`;x=y`) are cut off, since some do that before they look for dots.
fn is_unsafe(segment: &str) -> bool {
    if !escapes_are_whole(segment.as_bytes()) {
        return true;
    }
    let plain = without_escapes(segment.as_bytes());
    let name = plain.split(|&byte| byte == b';').next().unwrap_or_default();
    let separates = |byte: &u8| matches!(byte, b'/' | b'\\') || byte.is_ascii_control();
    name == b"." || name == b".." || plain.iter().any(separates)
}

/// Whether two hexadecimal digits follow every percent sign.
fn escapes_are_whole(raw: &[u8]) -> bool {
    let mut after_signs = raw.split(|&byte| byte == b'%').skip(1);
    after_signs.all(|after| matches!(after, [high, low, ..] if escaped(*high, *low).is_some()))
}

/// Undoes all levels of percent-encoding in one pass, for a client may send thousands; a percent sign that is
/// left begins no escape.
fn without_escapes(raw: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(raw.len());
    for &byte in raw {
        plain.push(byte);
        while let [.., b'%', high, low] = plain[..]
            && let Some(byte) = escaped(high, low)
        {
            plain.truncate(plain.len() - 3);
            plain.push(byte);
        }
    }
    plain
}

fn escaped(high: u8, low: u8) -> Option<u8> {
    Some(hex(high)? << 4 | hex(low)?)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use common::{telemetry::metrics::Registry, timeline::Timeline};

    use super::*;
    use crate::settings::UpstreamSettings;

    fn table() -> Table {
        let defaults = Settings::default();
        let route = |path: &str, target: &str, upstream: &str| RouteSettings {
            path: path.to_owned(),
            target: target.to_owned(),
            upstream: upstream.to_owned(),
            ..defaults.routes[0].clone()
        };
        let upstream = |name: &str, url: &str| UpstreamSettings {
            urls: vec![url.parse().expect("a sound URL")],
            ..UpstreamSettings::new(name)
        };
        let settings = Settings {
            upstreams: vec![
                upstream("users", "http://127.0.0.1:3001"),
                upstream("exports", "http://127.0.0.1:3001/base"),
                upstream("orders", "http://127.0.0.1:3002"),
            ],
            routes: vec![
                route("/api/users", "/users", "users"),
                route("/api/users/export", "/exports", "exports"),
                route("/api/orders", "/orders", "orders"),
            ],
            ..Settings::default()
        };
        let upstreams = Upstreams::new(&mut Registry::default(), Timeline::open("gateway", None));
        upstreams.apply(&settings.upstreams);
        Table::new(&settings, &upstreams)
    }

    fn forward(path: &str) -> Option<Result<String, UnsafePath>> {
        let (table, mut asked) = (table(), String::new());
        let route = table.route(table.find(path)?);
        Some(route.forward(path, None, &mut asked).map(|()| asked))
    }

    #[test]
    fn the_longest_prefix_that_ends_with_a_segment_decides() {
        for (public, asked) in [
            ("/api/users", Some("/users")),
            ("/api/users/", Some("/users/")),
            ("/api/users/u1", Some("/users/u1")),
            ("/api/users/exports", Some("/users/exports")),
            ("/api/users/export", Some("/exports")),
            ("/api/users/export/7", Some("/exports/7")),
            ("/api/orders/o1/cancel", Some("/orders/o1/cancel")),
            ("/api/usersx", None),
            ("/api/user", None),
            ("/API/users", None),
            ("/api", None),
            ("/", None),
            ("", None),
            ("//api/users", None),
            ("/api//users", None),
            ("/metrics", None),
            ("/users/u1", None),
        ] {
            assert_eq!(forward(public), asked.map(|asked| Ok(asked.to_owned())), "{public}");
        }
    }

    #[test]
    fn queries_and_escapes_are_passed_on_as_they_came() {
        let table = table();
        let path = "/api/users/J%C3%BCrgen%20x%25y;v=1";
        let route = table.route(table.find(path).expect("the route exists"));
        let (mut asked, mut empty) = (String::new(), String::new());

        assert_eq!(route.forward(path, Some("a=%2e%2e/&b=//..&c"), &mut asked), Ok(()));
        assert_eq!(route.forward("/api/users", Some(""), &mut empty), Ok(()));

        assert_eq!(asked, "/users/J%C3%BCrgen%20x%25y;v=1?a=%2e%2e/&b=//..&c");
        assert_eq!(empty, "/users?");
    }

    #[test]
    fn nothing_leads_out_of_the_route() {
        for path in [
            "/api/users/../metrics",
            "/api/users/..",
            "/api/users/./x",
            "/api/users/x/../../actors",
            "/api/users/%2e%2e/actors",
            "/api/users/%2E./actors",
            "/api/users/.%2e/actors",
            "/api/users/%252e%252e/actors",
            "/api/users/x%25z%252f..%252f..%252factors",
            "/api/users/%25252e%25252e/actors",
            "/api/users/..;/actors",
            "/api/users/..;x=y/actors",
            "/api/users/%2e%2e%3bx/actors",
            "/api/users/..%2factors",
            "/api/users/%2factors",
            "/api/users/x%2Fy",
            "/api/users/..%5cactors",
            "/api/users/..\\actors",
            "/api/users/%00",
            "/api/users/x%0d%0ay",
            "/api/users/%",
            "/api/users/%2",
            "/api/users/%zz",
            "/api/users/%u002e",
        ] {
            assert_eq!(forward(path), Some(Err(UnsafePath)), "{path}");
        }
    }

    #[test]
    fn a_path_of_nothing_but_escapes_is_judged_in_one_pass() {
        let path = format!("/api/users/%{}2e", "25".repeat(30_000));
        let started = std::time::Instant::now();

        let asked = forward(&path);

        assert_eq!(asked, Some(Err(UnsafePath)));
        // Undone level by level, it took 18 s.
        assert!(started.elapsed() < std::time::Duration::from_secs(1), "{:?}", started.elapsed());
    }

    #[test]
    fn names_that_only_look_dangerous_pass() {
        for path in
            ["/api/users/...", "/api/users/..x", "/api/users/.well-known", "/api/users//x", "/api/users/a.b"]
        {
            assert!(matches!(forward(path), Some(Ok(_))), "{path}");
        }
    }

    #[test]
    fn what_a_service_calls_its_own_gets_its_public_name() {
        let table = table();
        let users = table.find("/api/users").expect("the route exists");
        for (location, public) in [
            ("/users/u1", Some("/api/users/u1")),
            ("/users", Some("/api/users")),
            ("/users?cursor=x#end", Some("/api/users?cursor=x#end")),
            ("http://127.0.0.1:3001/users/u1", Some("/api/users/u1")),
            ("/orders/o1", Some("/api/orders/o1")),
            ("http://127.0.0.1:3002/orders/o1?x=/users", Some("/api/orders/o1?x=/users")),
            ("/base/exports/1", Some("/api/users/export/1")),
            ("/usersx", None),
            ("http://elsewhere/users/u1", None),
            ("http://127.0.0.1:30011/users/u1", None),
            ("//127.0.0.1:3001/users/u1", None),
            ("u1", None),
            ("", None),
        ] {
            assert_eq!(table.backward(users, location).as_deref(), public, "{location}");
        }
    }
}
