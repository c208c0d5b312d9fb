use std::time::Duration;

use common::config::Environment;
use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Settings {
    Settings::parse(text, "gateway.toml").unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn mistakes(text: &str) -> String {
    Settings::parse(text, "gateway.toml").expect_err("there is a mistake").to_string()
}

fn overrides(variables: &[(&str, &str)]) -> Result<Overrides, String> {
    let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut env = Environment::from_pairs(pairs);
    let overrides = Overrides::from_env(&mut env);
    env.finish().map(|()| overrides).map_err(|error| error.to_string())
}

fn overridden(text: &str, variables: &[(&str, &str)]) -> Settings {
    let overrides = overrides(variables).expect("the variables are sound");
    Settings::read("gateway.toml", text, &overrides).expect("the text is sound")
}

#[test]
fn the_documented_file_says_what_holds_without_one() {
    assert_eq!(parse(DEFAULT_FILE), Settings::default());
    assert_eq!(parse(""), Settings::default());
    assert_eq!(Settings::load(None, &Overrides::default()).as_ref(), Ok(&Settings::default()));
}

#[test]
fn the_documented_file_has_every_key() {
    // Each section names the keys it knows when it meets another.
    let text = DEFAULT_FILE.lines().map(|line| match line.starts_with('[') {
        true => format!("{line}\nunknown = 1\n"),
        false => format!("{line}\n"),
    });
    let mistakes = mistakes(&format!("unknown = 1\n{}", text.collect::<String>()));

    let (_, top) = mistakes.split_once("known are ").expect("an unknown key on top");
    for name in top.lines().next().unwrap_or_default().split(", ") {
        let header = [format!("\n[{name}"), format!("\n[[{name}]]"), format!("\n{name} = ")];
        assert!(header.iter().any(|header| DEFAULT_FILE.contains(header)), "{name} is not documented");
    }
    for line in mistakes.lines().skip(1) {
        let (_, known) = line.split_once("known are ").unwrap_or_else(|| panic!("{line}"));
        for name in known.split(", ") {
            let documented =
                [format!("\n{name} = "), format!("{{ {name} = "), format!("[upstreams.users.{name}]")];
            assert!(documented.iter().any(|text| DEFAULT_FILE.contains(text)), "{name} is not documented");
        }
    }
}

#[test]
fn a_short_file_says_what_differs() {
    let settings = parse(
        r#"
        trusted = ["10.0.0.0/8", "::1"]
        rate_limit = "off"
        [limits]
        head_bytes = 8192
        body_bytes = "2 MiB"
        [auth]
        mode = "open"
        [cors]
        origins = ["https://shop.example"]
        [upstreams.users]
        in_flight = 9
        [upstreams.stock]
        urls = ["http://stock:1/base/", "http://stock:2"]
        breaker.failure_ratio = 1
        [[routes]]
        path = "/api/stock"
        upstream = "stock"
        websocket = true
        rate_limit = { requests = 5, window = "1m" }
        "#,
    );

    let defaults = Settings::default();
    assert_eq!(settings.trusted, "10.0.0.0/8,::1".parse().expect("two networks"));
    assert_eq!(settings.rate_limit, None);
    assert_eq!((settings.limits.head_bytes, settings.limits.in_flight), (8192, 2048));
    assert_eq!(settings.auth, AuthSettings { mode: AuthMode::Open, ..defaults.auth });
    assert_eq!(settings.cors.expect("CORS is on").settings().origins, ["https://shop.example"]);
    let [users, stock] = &settings.upstreams[..] else { panic!("{:?}", settings.upstreams) };
    assert_eq!(*users, UpstreamSettings { in_flight: 9, ..defaults.upstreams[0].clone() });
    assert_eq!(stock.name, "stock");
    assert_eq!(
        stock.urls.iter().map(UpstreamUrl::to_string).collect::<Vec<_>>(),
        ["http://stock:1/base", "http://stock:2"]
    );
    assert_eq!(stock.breaker.failure_ratio.to_bits(), 1.0_f64.to_bits());
    let route = RouteSettings {
        path: "/api/stock".to_owned(),
        target: "/api/stock".to_owned(),
        upstream: "stock".to_owned(),
        public: Vec::new(),
        body_bytes: 2 * 1024 * 1024,
        rate_limit: Some(Rate { requests: 5, window: Duration::from_secs(60), burst: 5 }),
        websocket: true,
    };
    assert_eq!(settings.routes, [route]);
}

#[test]
fn every_mistake_is_said_at_once_with_line_and_key() {
    let found = mistakes(
        r#"trusted = ["10.0.0.0/33"]
[limits]
in_flight = "many"
conections = 5
[deadlines]
whole = "0s"
connect = 500
[auth]
keys_upstream = "keys"
[upstreams.users]
urls = [
    "http://users:3001",
    "users:3001",
    "http://me:secret@users:3001",
]
[upstreams.stock]
in_flight = 1
[[routes]]
path = "/api/users/"
upstream = "user"
public = ["post /api/users/", "/api"]
[[routes]]
upstream = "stock"
rate_limit = { requests = 0, window = "1500ms" }
"#,
    );

    let expected = r#"gateway.toml:1: trusted: "10.0.0.0/33" must be a network such as "10.0.0.0/8"
gateway.toml:3: limits.in_flight: "many" must be a whole number
gateway.toml:4: limits.conections: is no key here; known are in_flight, connections, connections_per_client, uploads_waiting, head_bytes, header_count, body_bytes
gateway.toml:6: deadlines.whole: must be from 1ms to 24h
gateway.toml:7: deadlines.connect: 500 must be a duration such as "500ms", "5s" or "1m"
gateway.toml:9: auth.keys_upstream: no upstream is called "keys"; there are users, orders, stock
gateway.toml:13: upstreams.users.urls: "users:3001" must be a URL such as http://host:3001, without user and password
gateway.toml:14: upstreams.users.urls: "http://***@users:3001" must be a URL such as http://host:3001, without user and password
gateway.toml:16: upstreams.stock.urls: must name at least one URL such as http://host:3001
gateway.toml:19: routes[1].path: "/api/users/" must be a path"#;
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
    for expected in [
        "gateway.toml:20: routes[1].upstream: no upstream is called \"user\"; there are users, orders, stock",
        "gateway.toml:21: routes[1].public: \"post\" must be one of GET, ",
        "gateway.toml:21: routes[1].public: \"/api\" must be a method and a path such as \"POST /api/users\"",
        "gateway.toml:22: routes[2].path: is missing",
        "gateway.toml:24: routes[2].rate_limit.requests: must be at least 1",
        "gateway.toml:24: routes[2].rate_limit.window: must be whole seconds",
    ] {
        assert!(found.lines().any(|line| line.starts_with(expected)), "{expected}\n\n{found}");
    }
    assert!(!found.contains("secret"));
}

#[test]
fn each_rule_is_kept() {
    let route = |rest: &str| format!("[[routes]]\npath = \"/a\"\nupstream = \"users\"\n{rest}");
    for (text, expected) in [
        ("[limits]\nhead_bytes = 100", "2: limits.head_bytes: must be from 1 KiB to 1 MiB"),
        ("[limits]\nheader_count = 5", "2: limits.header_count: must be from 10 to 128"),
        ("[limits]\nin_flight = -1", "2: limits.in_flight: -1 must be a whole number"),
        ("[limits]\nbody_bytes = \"1 MB\"", "2: limits.body_bytes: \"1 MB\" must be a size"),
        ("[limits]\nbody_bytes = -1", "2: limits.body_bytes: -1 must be a size"),
        ("limits = 5", "1: limits: 5 must be a table"),
        ("trusted = \"10.0.0.0/8\"", "1: trusted: \"10.0.0.0/8\" must be a list"),
        ("rate_limit = \"on\"", "1: rate_limit: \"on\" must be a table"),
        ("[rate_limit]\nrequests = 0", "2: rate_limit.requests: must be at least 1"),
        ("[rate_limit]\nburst = 0", "2: rate_limit.burst: must be at least 1"),
        ("[rate_limit]\nwindow = \"48h\"", "2: rate_limit.window: must be from 1s to 24h"),
        ("[rate_limit]\nrequests = 1\nburst = 86401", "3: rate_limit.burst: takes 86401 s to come back"),
        ("[auth]\nmode = \"maybe\"", "2: auth.mode: \"maybe\" must be \"open\" or \"required\""),
        ("[auth]\nissuer = \"\"", "2: auth.issuer: must not be empty"),
        ("[auth]\nleeway = \"1h\"", "2: auth.leeway: must be from 0ms to 5m"),
        ("[auth]\nkeys_path = \"jwks\"", "2: auth.keys_path: \"jwks\" must be a path"),
        ("[cors]\norigins = [\"https://x/\"]", "2: cors.origins: \"https://x/\" must be an origin"),
        ("[cors]\norigins = [\"https://a:b@x\"]", "2: cors.origins: \"https://***@x\" must be an origin"),
        ("[cors]\norigins = [\"*\", \"https://x\"]", "2: cors.origins: \"*\" stands for all"),
        ("[cors]\norigins = [\"*\"]\ncredentials = true", "3: cors.credentials: must be false"),
        ("[cors]\nheaders = [\"*\"]", "2: cors.headers: \"*\" must be a name"),
        ("[cors]\nexpose = [\"a b\"]", "2: cors.expose: \"a b\" must be a name"),
        ("[upstreams.users]\nurls = []", "2: upstreams.users.urls: must name at least one URL"),
        (
            "[upstreams.users]\nurls = [\"http://a\", \"http://a/\"]",
            "2: upstreams.users.urls: http://a is listed twice",
        ),
        ("[upstreams.Users]\nurls = [\"http://a\"]", "1: upstreams.Users: a name must be made of"),
        ("[upstreams.users]\nhealth_every = \"0s\"", "2: upstreams.users.health_every: must be from 1ms"),
        ("[upstreams.users]\nretry_budget = 2", "2: upstreams.users.retry_budget: must be from 0 to 1"),
        ("[upstreams.users]\nretry_budget = nan", "2: upstreams.users.retry_budget: must be from 0 to 1"),
        (
            "[upstreams.users.breaker]\nfailure_ratio = 0",
            "2: upstreams.users.breaker.failure_ratio: must be above 0",
        ),
        ("[upstreams]\nusers = 1", "2: upstreams.users: 1 must be a table"),
        ("routes = []", "1: routes: must not be empty"),
        ("[[routes]]\npath = \"/a\"", "1: routes[1].upstream: is missing"),
        ("[routes]", "1: routes: "),
        (&route("target = \"/\""), "4: routes[1].target: \"/\" must be a path"),
        (&route("target = \"/a/../b\""), "4: routes[1].target: \"/a/../b\" must be a path"),
        (&route("target = \"/a%2f\""), "4: routes[1].target: \"/a%2f\" must be a path"),
        (&route("rate_limit = { requests = 1 }"), "4: routes[1].rate_limit.window: is missing"),
        (&route("public = [\"GET /b\"]"), "4: routes[1].public: \"/b\" is not under the route's path \"/a\""),
        (
            &route("public = [\"GET /ab\"]"),
            "4: routes[1].public: \"/ab\" is not under the route's path \"/a\"",
        ),
        (&route(&route("")), "5: routes[2].path: \"/a\" has a route already"),
        (
            &route("public = [\"GET /a/b/c\"]\n[[routes]]\npath = \"/a/b\"\nupstream = \"users\""),
            "4: routes[1].public: \"/a/b/c\" is answered by the route \"/a/b\"",
        ),
        (
            "[[routes]]\npath = \"/api/docs/x\"\nupstream = \"users\"",
            "2: routes[1].path: /api/docs is answered by the gateway",
        ),
    ] {
        let found = mistakes(text);
        let expected = format!("gateway.toml:{expected}");
        assert!(found.lines().any(|line| line.starts_with(&expected)), "{text}\n{expected}\n\n{found}");
    }
}

#[test]
fn what_is_no_toml_is_said_line_by_line() {
    let found = mistakes("[limits]\nin_flight = \n\n[limits]\nx = 1 1\n");

    for line in [2, 4, 5] {
        assert!(found.contains(&format!("gateway.toml:{line}: ")), "{found}");
    }
}

#[test]
fn an_upstream_that_nothing_names_is_not_asked_after() {
    let settings = parse("[[routes]]\npath = \"/api\"\nupstream = \"users\"");

    assert_eq!(settings.upstreams, UpstreamSettings::defaults()[..1]);
}

#[test]
fn the_environment_wins_over_the_file() {
    let text = DEFAULT_FILE;
    let settings = overridden(
        text,
        &[
            ("AUTH", "open"),
            ("USER_URL", "http://a:1, http://b:2,http://a:1"),
            ("ORDER_URL", "http://o"),
            ("GATEWAY_CONNECT_MS", "1"),
            ("GATEWAY_HEAD_MS", "2"),
            ("GATEWAY_WHOLE_MS", "3"),
            ("GATEWAY_BODY_IDLE_MS", "4"),
            ("GATEWAY_IN_FLIGHT", "5"),
            ("GATEWAY_TRUSTED", "10.0.0.0/8,::1"),
            ("GATEWAY_HEALTH_MS", "6"),
            ("CORS_ORIGINS", "https://a.example, http://localhost:5173"),
        ],
    );

    let mut expected = Settings::default();
    expected.auth.mode = AuthMode::Open;
    let urls = |urls: &[&str]| urls.iter().map(|url| url.parse().expect("a URL")).collect();
    expected.upstreams[0].urls = urls(&["http://a:1", "http://b:2"]);
    expected.upstreams[1].urls = urls(&["http://o"]);
    expected.deadlines.connect = Duration::from_millis(1);
    expected.deadlines.answer_head = Duration::from_millis(2);
    expected.deadlines.whole = Duration::from_millis(3);
    expected.deadlines.body_idle = Duration::from_millis(4);
    expected.limits.in_flight = 5;
    expected.trusted = "10.0.0.0/8,::1".parse().expect("two networks");
    for upstream in &mut expected.upstreams {
        upstream.health_every = Duration::from_millis(6);
    }
    let origins = vec!["https://a.example".to_owned(), "http://localhost:5173".to_owned()];
    expected.cors = Some(Cors::new(CorsSettings { origins, ..CorsSettings::default() }));
    assert_eq!(settings, expected);
}

#[test]
fn a_rate_limit_of_the_environment_stands_for_all_of_them() {
    for (raw, rate) in [
        ("off", None),
        ("100000/1", Some(Rate { requests: 100_000, window: Duration::from_secs(1), burst: 100_000 })),
        ("6000/60", Some(Rate { requests: 6000, window: Duration::from_secs(60), burst: 6000 })),
    ] {
        let settings = overridden("", &[("RATE_LIMIT", raw)]);

        assert_eq!(settings.rate_limit, rate, "{raw}");
        assert!(settings.routes.iter().all(|route| route.rate_limit.is_none()), "{raw}");
    }
    assert!(Settings::default().routes.iter().any(|route| route.rate_limit.is_some()));
}

#[test]
fn mistakes_of_the_environment_are_said_by_the_variable_and_without_secrets() {
    let refused = |name: &str, value: &str| {
        let message = overrides(&[(name, value)]).expect_err("there is a mistake");
        assert!(message.starts_with(&format!("{name} must be ")), "{message}");
        message
    };
    for (name, values) in [
        ("AUTH", &["maybe", "OPEN", "true"][..]),
        ("RATE_LIMIT", &["on", "0", "100", "0/1", "1/0", "-1/1", "1/86401", "1/1/1", "1/1s", "4294967296/1"]),
        ("USER_URL", &["users:3001", "https://users", "http://a,", "http://a,http://", "http://a http://b"]),
        ("ORDER_URL", &["orders"]),
        ("GATEWAY_CONNECT_MS", &["0", "-1", "1.5", "86400001", "99999999999999999999"]),
        ("GATEWAY_HEALTH_MS", &["0"]),
        ("GATEWAY_IN_FLIGHT", &["0", "-1"]),
        ("GATEWAY_TRUSTED", &["10.0.0.0/33", "proxy"]),
        ("CORS_ORIGINS", &["null", "https://a/", "*,https://a", ","]),
    ] {
        for value in values {
            refused(name, value);
        }
    }
    let message = refused("USER_URL", "http://ok,http://me:secret@users:3001");
    assert!(message.ends_with("not \"http://***@users:3001\"") && !message.contains("secret"), "{message}");
    assert_eq!(overrides(&[("AUTH", ""), ("USER_URL", " ")]), Ok(Overrides::default()));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,200}") {
        let _ = Settings::parse(&text, "gateway.toml");
    }

    #[test]
    fn a_documented_file_with_a_part_missing_or_doubled_makes_no_panic(
        start in 0..DEFAULT_FILE.len(), length in 0..200_usize, doubled in any::<bool>(), noise in "[\\[\\]{}=\",.0-9a-z\n ]{0,8}",
    ) {
        let end = (start + length).min(DEFAULT_FILE.len());
        let part = DEFAULT_FILE.get(start..end).unwrap_or_default();
        let (before, after) = (DEFAULT_FILE.get(..start).unwrap_or_default(), DEFAULT_FILE.get(end..).unwrap_or_default());
        let text = format!("{before}{noise}{}{after}", if doubled { part.repeat(2) } else { String::new() });
        if let Err(mistakes) = Settings::parse(&text, "gateway.toml") {
            let lines = text.lines().count() + 1;
            for mistake in mistakes.iter() {
                prop_assert!(mistake.line.is_none_or(|line| (1..=lines).contains(&line)), "{mistake}");
                prop_assert!(!mistake.reason.is_empty());
            }
        }
    }
}
