/// What the description needs to know of the settings, and of what is known of the services just now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// The routing table.
    pub routes: Vec<DescribedRoute>,
    /// The services, each once.
    pub upstreams: Vec<DescribedUpstream>,
    /// Whether what is not public needs a token; otherwise a token may be sent.
    pub auth_required: bool,
    /// Whether some rate limit applies.
    pub rate_limited: bool,
}

/// One line of the routing table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedRoute {
    /// What the public path starts with, such as `/api/users`.
    pub path: String,
    /// What the service's path starts with instead, such as `/users`.
    pub target: String,
    /// Which service answers.
    pub upstream: String,
    /// The calls that need no token: method, such as `POST`, and public path.
    pub public: Vec<(String, String)>,
}

/// A service to be asked for its description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedUpstream {
    /// What routes call it.
    pub name: String,
    /// One of its endpoints, such as `http://127.0.0.1:3001`, or `None` while it has none.
    pub base_url: Option<String>,
}

impl Outline {
    /// Returns the public paths of what `upstream` calls `path`: those that the routing table leads back to it.
    pub(super) fn public_paths(&self, upstream: &str, path: &str) -> Vec<(&DescribedRoute, String)> {
        let routes = self.routes.iter().filter(|route| route.upstream == upstream);
        let named = routes.filter_map(|route| {
            let rest = rest_of(path, &route.target)?;
            Some((route, format!("{}{rest}", route.path)))
        });
        named.filter(|(route, public)| self.route_of(public) == Some(*route)).collect()
    }

    /// The route of the longest prefix, as requests are routed.
    fn route_of(&self, public: &str) -> Option<&DescribedRoute> {
        let leading = self.routes.iter().filter(|route| rest_of(public, &route.path).is_some());
        leading.max_by_key(|route| route.path.len())
    }
}

impl DescribedRoute {
    /// Whether a call needs no token.
    pub(super) fn is_public(&self, method: &str, public_path: &str) -> bool {
        self.public.iter().any(|(verb, path)| verb.eq_ignore_ascii_case(method) && path == public_path)
    }
}

/// Returns what follows `prefix`, where that ends at the end of a segment.
fn rest_of<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix.trim_end_matches('/')).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, target: &str, upstream: &str) -> DescribedRoute {
        DescribedRoute {
            path: path.to_owned(),
            target: target.to_owned(),
            upstream: upstream.to_owned(),
            public: Vec::new(),
        }
    }

    fn public(outline: &Outline, upstream: &str, path: &str) -> Vec<String> {
        outline.public_paths(upstream, path).into_iter().map(|(_, public)| public).collect()
    }

    #[test]
    fn a_path_is_public_where_the_routing_table_leads_to_it() {
        let routes = vec![
            route("/api/users", "/users", "users"),
            route("/v2/users", "/users", "users"),
            route("/api/users/top", "/top", "orders"),
        ];
        let outline = Outline { routes, ..Outline::default() };

        assert_eq!(public(&outline, "users", "/users/{id}"), ["/api/users/{id}", "/v2/users/{id}"]);
        assert_eq!(public(&outline, "orders", "/top"), ["/api/users/top"]);
        // Another route takes it away.
        assert_eq!(public(&outline, "users", "/users/top"), ["/v2/users/top"]);
        for (upstream, path) in [("users", "/metrics"), ("users", "/usersx"), ("orders", "/users")] {
            assert_eq!(public(&outline, upstream, path), [""; 0], "{upstream} {path}");
        }
    }
}
