//! What each key of the file means.

use super::{
    AuthMode, BreakerSettings, CorsSettings, Networks, PublicCall, Rate, RouteSettings, Settings,
    UpstreamSettings, UpstreamUrl,
    document::{Document, Readable, Section},
};
use toml::de::DeValue;

/// What the file says, with the defaults for what it does not say.
pub(super) struct FileSettings {
    /// Without CORS, which depends on the environment, too.
    pub settings: Settings,
    pub cors: CorsSettings,
    /// The upstreams that the file names itself.
    pub upstreams_named: Vec<String>,
}

impl FileSettings {
    /// What an empty file says.
    pub(super) fn empty() -> Self {
        Self { settings: Settings::default(), cors: CorsSettings::default(), upstreams_named: Vec::new() }
    }

    /// Reads the text of a file; the document keeps the mistakes.
    pub(super) fn read<'i>(name: &'i str, text: &'i str) -> (Self, Document<'i>) {
        let mut file = Self::empty();
        let document = Document::read(name, text, |top| file.read_all(top));
        (file, document)
    }

    fn read_all(&mut self, top: &mut Section<'_, '_>) {
        let Settings { limits, deadlines, trusted, auth, rate_limit, upstreams, routes, .. } =
            &mut self.settings;
        let mut networks = Vec::new();
        top.read_list("trusted", &mut networks);
        *trusted = networks.into_iter().collect();
        top.table("limits", |section| {
            section.read("in_flight", &mut limits.in_flight);
            section.read("connections", &mut limits.connections);
            section.read("connections_per_client", &mut limits.connections_per_client);
            section.read("uploads_waiting", &mut limits.uploads_waiting);
            section.read_size("head_bytes", &mut limits.head_bytes);
            section.read("header_count", &mut limits.header_count);
            section.read_size("body_bytes", &mut limits.body_bytes);
        });
        top.table("deadlines", |section| {
            section.read("client_head", &mut deadlines.client_head);
            section.read("keep_alive", &mut deadlines.keep_alive);
            section.read("body_idle", &mut deadlines.body_idle);
            section.read("connect", &mut deadlines.connect);
            section.read("answer_head", &mut deadlines.answer_head);
            section.read("whole", &mut deadlines.whole);
            section.read("tunnel_idle", &mut deadlines.tunnel_idle);
        });
        top.table("auth", |section| {
            section.read("mode", &mut auth.mode);
            section.read("issuer", &mut auth.issuer);
            section.read("audience", &mut auth.audience);
            section.read("keys_upstream", &mut auth.keys_upstream);
            section.read("keys_path", &mut auth.keys_path);
            section.read("leeway", &mut auth.leeway);
            section.read("cached_tokens", &mut auth.cached_tokens);
        });
        let mut general = Rate::default();
        let off = top.table_or_off("rate_limit", |section| read_rate(section, &mut general));
        *rate_limit = if off { None } else { Some(general) };
        top.table("cors", |section| {
            section.read_list("origins", &mut self.cors.origins);
            section.read_list("methods", &mut self.cors.methods);
            section.read_list("headers", &mut self.cors.headers);
            section.read_list("expose", &mut self.cors.expose);
            section.read("credentials", &mut self.cors.credentials);
            section.read("max_age", &mut self.cors.max_age);
        });
        top.tables("upstreams", |name, section| {
            self.upstreams_named.push(name.to_owned());
            let index = upstreams.iter().position(|upstream| upstream.name == name).unwrap_or_else(|| {
                upstreams.push(UpstreamSettings::new(name));
                upstreams.len() - 1
            });
            read_upstream(section, &mut upstreams[index]);
        });
        let mut own_routes = Vec::new();
        if top.list_of_tables("routes", |section| own_routes.push(read_route(section, limits.body_bytes))) {
            *routes = own_routes;
        }
    }
}

fn read_rate(section: &mut Section<'_, '_>, rate: &mut Rate) {
    section.read("requests", &mut rate.requests);
    section.read("window", &mut rate.window);
    rate.burst = rate.requests.max(1);
    section.read("burst", &mut rate.burst);
}

fn read_upstream(section: &mut Section<'_, '_>, upstream: &mut UpstreamSettings) {
    section.read_list("urls", &mut upstream.urls);
    section.read("in_flight", &mut upstream.in_flight);
    section.read("health_path", &mut upstream.health_path);
    section.read("health_every", &mut upstream.health_every);
    section.read("resolve_every", &mut upstream.resolve_every);
    section.read("retry_budget", &mut upstream.retry_budget);
    let breaker: &mut BreakerSettings = &mut upstream.breaker;
    section.table("breaker", |section| {
        section.read("failures_in_a_row", &mut breaker.failures_in_a_row);
        section.read("failure_ratio", &mut breaker.failure_ratio);
        section.read("least_requests", &mut breaker.least_requests);
        section.read("window", &mut breaker.window);
        section.read("probe_after", &mut breaker.probe_after);
        section.read("slow_return", &mut breaker.slow_return);
    });
}

fn read_route(section: &mut Section<'_, '_>, body_bytes: u64) -> RouteSettings {
    let mut route = RouteSettings {
        path: String::new(),
        target: String::new(),
        upstream: String::new(),
        public: Vec::new(),
        body_bytes,
        rate_limit: None,
        websocket: false,
    };
    section.read("path", &mut route.path);
    section.require("path");
    route.target.clone_from(&route.path);
    section.read("target", &mut route.target);
    section.read("upstream", &mut route.upstream);
    section.require("upstream");
    section.read_list("public", &mut route.public);
    section.read_size("body_bytes", &mut route.body_bytes);
    section.table("rate_limit", |section| {
        read_rate(section, route.rate_limit.insert(Rate::default()));
        section.require("requests");
        section.require("window");
    });
    section.read("websocket", &mut route.websocket);
    route
}

impl Readable for AuthMode {
    const EXPECTED: &'static str = "\"open\" or \"required\"";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        Self::named(value.as_str()?)
    }
}

impl Readable for UpstreamUrl {
    const EXPECTED: &'static str = "a URL such as http://host:3001, without user and password";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_str()?.parse().ok()
    }
}

impl Readable for Networks {
    const EXPECTED: &'static str = "a network such as \"10.0.0.0/8\"";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        // One only: the file has a list for several.
        value.as_str().filter(|text| !text.contains(','))?.parse().ok()
    }
}

impl Readable for PublicCall {
    const EXPECTED: &'static str = "a method and a path such as \"POST /api/users\"";

    fn read(value: &DeValue<'_>) -> Option<Self> {
        let (method, path) = value.as_str()?.split_once(' ')?;
        Some(Self::new(method, path))
    }
}
