//! What settings must be to make sense; each rule names the key that breaks it.

use std::time::Duration;

use crate::http1::MOST_FIELDS;

use super::{
    CorsSettings, Deadlines, Limits, Rate, RouteSettings, Settings, UpstreamSettings, document::shown,
    quantity::show_duration,
};

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// What the gateway answers itself, under any method.
const OWN_PATHS: [&str; 4] = ["/api/openapi.json", "/api/docs", "/health/live", "/health/ready"];

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Tells `broken` of every rule that is broken: the key, and why.
pub(super) fn judge(settings: &Settings, cors: &CorsSettings, broken: &mut dyn FnMut(&str, String)) {
    let mut rules = Rules { broken };
    rules.limits(&settings.limits);
    rules.deadlines(&settings.deadlines);
    rules.auth(settings);
    if let Some(rate) = &settings.rate_limit {
        rules.rate("rate_limit", rate);
    }
    rules.cors(cors);
    for upstream in &settings.upstreams {
        rules.upstream(upstream);
    }
    rules.routes(settings);
}

/// Why `origin` is none that a browser would send; completes the sentence "… must be …".
pub(super) const ORIGIN: &str =
    "an origin such as https://shop.example, in lower case and without a path or a default port";

/// Whether `origin` is written as browsers write it (RFC 6454, section 6.2), or stands for all.
pub(super) fn is_origin(origin: &str) -> bool {
    if origin == "*" {
        return true;
    }
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let scheme_sound = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
    let name = match host.strip_prefix('[') {
        Some(address) => {
            address.strip_suffix(']').filter(|ip| ip.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'))
        }
        None => Some(host).filter(|name| {
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b))
        }),
    };
    let default = match scheme {
        "http" => "80",
        "https" => "443",
        _ => "",
    };
    let port_sound = port.is_none_or(|port| {
        port != default && !port.starts_with('0') && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    scheme_sound && name.is_some_and(|name| !name.is_empty()) && port_sound
}

struct Rules<'a> {
    broken: &'a mut dyn FnMut(&str, String),
}

impl Rules<'_> {
    fn limits(&mut self, limits: &Limits) {
        self.positive("limits.in_flight", limits.in_flight);
        self.positive("limits.connections", limits.connections);
        self.positive("limits.connections_per_client", limits.connections_per_client);
        self.positive("limits.uploads_waiting", limits.uploads_waiting);
        let head = 1024..=1024 * 1024;
        self.must(head.contains(&limits.head_bytes), "limits.head_bytes", || {
            "must be from 1 KiB to 1 MiB".into()
        });
        let count = 10..=MOST_FIELDS;
        self.must(count.contains(&limits.header_count), "limits.header_count", || {
            format!("must be from 10 to {MOST_FIELDS}")
        });
    }

    fn deadlines(&mut self, deadlines: &Deadlines) {
        for (key, deadline) in [
            ("client_head", deadlines.client_head),
            ("keep_alive", deadlines.keep_alive),
            ("body_idle", deadlines.body_idle),
            ("connect", deadlines.connect),
            ("answer_head", deadlines.answer_head),
            ("whole", deadlines.whole),
            ("tunnel_idle", deadlines.tunnel_idle),
        ] {
            self.within(&format!("deadlines.{key}"), deadline, MILLISECOND, DAY);
        }
    }

    fn auth(&mut self, settings: &Settings) {
        let auth = &settings.auth;
        self.must(!auth.issuer.is_empty(), "auth.issuer", || "must not be empty".into());
        self.must(!auth.audience.is_empty(), "auth.audience", || "must not be empty".into());
        self.path("auth.keys_path", &auth.keys_path);
        self.known_upstream("auth.keys_upstream", &auth.keys_upstream, settings);
        self.within("auth.leeway", auth.leeway, Duration::ZERO, Duration::from_secs(300));
        self.positive("auth.cached_tokens", auth.cached_tokens);
    }

    fn rate(&mut self, key: &str, rate: &Rate) {
        self.positive(&format!("{key}.requests"), rate.requests as usize);
        self.positive(&format!("{key}.burst"), rate.burst as usize);
        let window = &format!("{key}.window");
        self.within(window, rate.window, SECOND, DAY);
        // The headers count in whole seconds.
        self.must(rate.window.subsec_nanos() == 0, window, || "must be whole seconds".into());
        let sound = rate.requests > 0 && (SECOND..=DAY).contains(&rate.window);
        let seconds =
            rate.window.as_secs().saturating_mul(rate.burst.into()) / u64::from(rate.requests.max(1));
        self.must(!sound || seconds <= DAY.as_secs(), &format!("{key}.burst"), || {
            format!("takes {seconds} s to come back at that rate; it must be a day at most")
        });
    }

    fn cors(&mut self, cors: &CorsSettings) {
        for (index, origin) in cors.origins.iter().enumerate() {
            let key = format!("cors.origins[{}]", index + 1);
            self.must(is_origin(origin), &key, || {
                format!("{} must be {ORIGIN}", shown(&format!("{origin:?}")))
            });
        }
        let any = cors.any_origin();
        self.must(!any || cors.origins.len() == 1, "cors.origins", || {
            "\"*\" stands for all; leave out the others".into()
        });
        self.must(!any || !cors.credentials, "cors.credentials", || {
            "must be false where any origin may call; list the origins instead of \"*\"".into()
        });
        for (list, names) in
            [("methods", &cors.methods), ("headers", &cors.headers), ("expose", &cors.expose)]
        {
            for (index, name) in names.iter().enumerate() {
                let key = format!("cors.{list}[{}]", index + 1);
                self.must(is_token(name), &key, || {
                    format!("{name:?} must be a name, and \"*\" is none here")
                });
            }
        }
        self.within("cors.max_age", cors.max_age, Duration::ZERO, DAY);
    }

    fn upstream(&mut self, upstream: &UpstreamSettings) {
        let own = format!("upstreams.{}", upstream.name);
        let key = |name: &str| format!("{own}.{name}");
        let name_sound = upstream.name.starts_with(|c: char| c.is_ascii_lowercase())
            && upstream
                .name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
        self.must(name_sound, &own, || "a name must be made of lower-case letters, digits, - and _".into());
        self.must(!upstream.urls.is_empty(), &key("urls"), || {
            "must name at least one URL such as http://host:3001".into()
        });
        for (index, url) in upstream.urls.iter().enumerate() {
            self.must(!upstream.urls[..index].contains(url), &key(&format!("urls[{}]", index + 1)), || {
                format!("{url} is listed twice")
            });
        }
        self.positive(&key("in_flight"), upstream.in_flight);
        self.path(&key("health_path"), &upstream.health_path);
        self.within(&key("health_every"), upstream.health_every, MILLISECOND, DAY);
        self.within(&key("resolve_every"), upstream.resolve_every, MILLISECOND, DAY);
        self.share(&key("retry_budget"), upstream.retry_budget);
        let breaker = &upstream.breaker;
        self.positive(&key("breaker.failures_in_a_row"), breaker.failures_in_a_row as usize);
        self.share(&key("breaker.failure_ratio"), breaker.failure_ratio);
        self.must(breaker.failure_ratio != 0.0, &key("breaker.failure_ratio"), || {
            "must be above 0: no request would be needed to open the breaker".into()
        });
        self.positive(&key("breaker.least_requests"), breaker.least_requests as usize);
        self.within(&key("breaker.window"), breaker.window, MILLISECOND, DAY);
        self.within(&key("breaker.probe_after"), breaker.probe_after, MILLISECOND, DAY);
        self.within(&key("breaker.slow_return"), breaker.slow_return, Duration::ZERO, DAY);
    }

    fn routes(&mut self, settings: &Settings) {
        let routes = &settings.routes;
        self.must(!routes.is_empty(), "routes", || "must not be empty: nothing would be answered".into());
        for (index, route) in routes.iter().enumerate() {
            let own = format!("routes[{}]", index + 1);
            let key = |name: &str| format!("{own}.{name}");
            // What is missing has been said.
            if !route.path.is_empty() {
                self.path(&key("path"), &route.path);
                self.must(
                    !routes[..index].iter().any(|other| other.path == route.path),
                    &key("path"),
                    || format!("{:?} has a route already", route.path),
                );
                for own in OWN_PATHS {
                    self.must(!is_within(&route.path, own), &key("path"), || {
                        format!("{own} is answered by the gateway itself")
                    });
                }
                if route.target != route.path {
                    self.path(&key("target"), &route.target);
                }
            }
            if !route.upstream.is_empty() {
                self.known_upstream(&key("upstream"), &route.upstream, settings);
            }
            if let Some(rate) = &route.rate_limit {
                self.rate(&key("rate_limit"), rate);
            }
            self.public_calls(&own, route, routes);
        }
    }

    fn public_calls(&mut self, own: &str, route: &RouteSettings, routes: &[RouteSettings]) {
        for (index, call) in route.public.iter().enumerate() {
            let key = format!("{own}.public[{}]", index + 1);
            self.must(METHODS.contains(&call.method.as_str()), &key, || {
                format!("{:?} must be one of {}", call.method, METHODS.join(", "))
            });
            self.path(&key, &call.path);
            self.must(is_within(&call.path, &route.path), &key, || {
                format!("{:?} is not under the route's path {:?}", call.path, route.path)
            });
            let nearer = |other: &&RouteSettings| {
                other.path.len() > route.path.len() && is_within(&call.path, &other.path)
            };
            if let Some(other) = routes.iter().find(nearer) {
                self.must(false, &key, || {
                    format!("{:?} is answered by the route {:?}; say it there", call.path, other.path)
                });
            }
        }
    }

    fn known_upstream(&mut self, key: &str, name: &str, settings: &Settings) {
        let names: Vec<&str> = settings.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
        self.must(names.contains(&name), key, || {
            format!("no upstream is called {name:?}; there are {}", names.join(", "))
        });
    }

    /// A path as it is compared, byte by byte, with what comes over the wire.
    fn path(&mut self, key: &str, path: &str) {
        let bytes = |b: u8| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&b);
        let sound = path.starts_with('/')
            && !path.ends_with('/')
            && path.bytes().all(bytes)
            && path.split('/').skip(1).all(|segment| !matches!(segment, "" | "." | ".."));
        self.must(sound, key, || {
            format!("{path:?} must be a path such as /api/users: it starts with / and does not end with one, and has no empty or dot segments, escapes or query")
        });
    }

    fn positive(&mut self, key: &str, number: usize) {
        self.must(number > 0, key, || "must be at least 1".into());
    }

    fn share(&mut self, key: &str, share: f64) {
        self.must((0.0..=1.0).contains(&share), key, || "must be from 0 to 1".into());
    }

    fn within(&mut self, key: &str, duration: Duration, least: Duration, most: Duration) {
        self.must((least..=most).contains(&duration), key, || {
            format!("must be from {} to {}", show_duration(least), show_duration(most))
        });
    }

    fn must(&mut self, holds: bool, key: &str, why: impl FnOnce() -> String) {
        if !holds {
            (self.broken)(key, why());
        }
    }
}

/// Whether `path` is `prefix` or below it.
fn is_within(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A token (RFC 9110, section 5.6.2), except the `*` that CORS would take for all.
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name != "*"
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_break_no_rule() {
        let mut broken = Vec::new();

        judge(&Settings::default(), &CorsSettings::default(), &mut |key, why| {
            broken.push(format!("{key} {why}"))
        });

        assert_eq!(broken, [""; 0]);
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for origin in [
            "*",
            "https://shop.example",
            "http://localhost:5173",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "http://[::1]",
            "https://shop.example:80",
            "chrome-extension://abcdef",
        ] {
            assert!(is_origin(origin), "{origin}");
        }
        for origin in [
            "",
            "null",
            "shop.example",
            "https://",
            "https://shop.example/",
            "https://shop.example/path",
            "https://Shop.example",
            "HTTPS://shop.example",
            "https://shop.example:443",
            "http://shop.example:80",
            "https://shop.example:",
            "https://shop.example:0",
            "https://shop.example:08443",
            "https://shop.example:99999",
            "https://shop example",
            "https://*.shop.example",
            "https://shop.example\r\nX: y",
            "https://[::1",
            "https://me@shop.example",
            "://x",
        ] {
            assert!(!is_origin(origin), "{origin}");
        }
    }
}
