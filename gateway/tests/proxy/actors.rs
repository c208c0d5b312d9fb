//! The gateway's own actors, and what it says about itself and its services.

use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use crate::harness::{Client, Gateway, Service, eventually, request};

fn fault(gateway: &Gateway, actor: &str, kind: &str) -> u16 {
    let body = format!("{{\"kind\":\"{kind}\"}}");
    let mut client = Client::connect(gateway.admin_port).expect("the admin server listens");
    let head = format!(
        "POST /actors/{actor}/fault HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    );
    client.ask(&format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())).status
}

#[test]
fn a_proxy_that_dies_is_back_within_a_second_and_takes_no_request_with_it() {
    let service = Service::start(|visit| {
        visit.body()?;
        thread::sleep(Duration::from_millis(300));
        visit.reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let gateway = Gateway::before(&service, &[("DEMO_FAULTS", "true"), ("HTTP_WORKERS", "1")]);
    let mut client = gateway.connect();
    client.send(request("GET /api/users HTTP/1.1"));
    eventually("the request is on its way", || service.seen().len() == 1);

    assert_eq!(fault(&gateway, "proxy-0", "panic"), 202);

    assert_eq!(client.answer(false).expect("a whole answer").body, "ok");
    let restarted = || {
        let actors = gateway.admin("/actors").json();
        let proxy = actors["actors"].as_array().and_then(|all| all.iter().find(|a| a["name"] == "proxy-0"));
        proxy.is_some_and(|proxy| proxy["restarts"] == 1 && proxy["status"] == "running")
    };
    eventually("the proxy is back", restarted);
    assert_eq!(gateway.ask("GET /api/users HTTP/1.1").body, "ok");
    assert_eq!(fault(&gateway, "nobody", "stop"), 404);
}

#[test]
fn a_proxy_that_keeps_dying_ends_the_gateway() {
    let service = Service::ok();
    let mut gateway = Gateway::before(&service, &[("DEMO_FAULTS", "true"), ("HTTP_WORKERS", "1")]);

    let end = Instant::now() + Duration::from_secs(30);
    while !gateway.has_ended() {
        assert!(Instant::now() < end, "more than 20 failures within a minute are too many");
        if let Ok(mut client) = Client::connect(gateway.admin_port) {
            let ask = "POST /actors/proxy-0/fault HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                       Content-Length: 15\r\n\r\n{\"kind\":\"stop\"}";
            // The last one may find nobody.
            let _ = client.try_ask(ask);
        }
        thread::sleep(Duration::from_millis(20));
    }

    assert_eq!(gateway.wait(), ExitCode::from(70));
}

#[test]
fn faults_are_refused_unless_they_are_allowed() {
    let service = Service::ok();
    let gateway = Gateway::before(&service, &[]);

    assert_eq!(fault(&gateway, "proxy-0", "panic"), 404);
}

#[test]
fn readiness_names_the_service_that_is_away() {
    let service = Service::ok();
    let url = service.url();
    let gateway = Gateway::start(&[("USER_URL", "http://127.0.0.1:1"), ("ORDER_URL", url.as_str())]);

    eventually("orders are found ready", || {
        let ready = gateway.ask("GET /health/ready HTTP/1.1");
        ready.status == 200
            && ready.json()["status"] == "degraded"
            && ready.json()["reasons"] == serde_json::json!(["users: cannot connect"])
    });
    assert_eq!(gateway.ask("GET /health/live HTTP/1.1").json()["status"], "live");
    assert_eq!(gateway.admin("/health/ready").json()["status"], "degraded");
    assert_eq!(common::http::healthcheck(gateway.port), ExitCode::SUCCESS);
}

#[test]
fn the_admin_server_shows_metrics_by_route_and_every_actor() {
    let service = Service::ok();
    let gateway = Gateway::before(&service, &[]);
    gateway.ask("GET /api/users/u1 HTTP/1.1");
    gateway.ask("GET /api/users/u2 HTTP/1.1");

    let metrics = gateway.admin("/metrics").body;
    let line = "gateway_http_requests_total{method=\"GET\",route=\"/api/users/*\",status=\"200\"} 2";
    assert!(metrics.contains(line), "{metrics}");
    let actors = gateway.admin("/actors").json();
    let names: Vec<_> =
        actors["actors"].as_array().expect("a list").iter().map(|actor| actor["name"].as_str()).collect();
    for name in ["proxy-0", "proxy-1", "upstream-health"] {
        assert!(names.contains(&Some(name)), "{names:?}");
    }
}
