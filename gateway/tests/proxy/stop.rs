//! A gateway that is told to stop fails no request.

use std::{
    io,
    process::ExitCode,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use actix_web::{HttpResponse, web};
use common::{
    http::{HttpConfig, HttpMetrics, Internal, Probes, Server, ServerHandle},
    supervision::Supervisor,
    telemetry::metrics::{Metrics, Registry},
    timeline::Timeline,
};
use tokio::sync::oneshot;

use crate::harness::{Client, Gateway, Service, eventually, request};

#[test]
fn requests_in_progress_are_finished_and_the_exit_code_is_0() {
    let service = Service::start(|visit| {
        visit.reply("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none")?;
        thread::sleep(Duration::from_millis(500));
        visit.reply("two")
    });
    let mut gateway = Gateway::before(&service, &[]);
    let mut client = gateway.connect();
    client.send(request("GET /api/users HTTP/1.1"));
    eventually("the request is on its way", || service.seen().len() == 1);

    let asked = Instant::now();
    gateway.begin_stop();

    assert_eq!(client.answer(false).expect("a whole answer").body, "onetwo");
    assert_eq!(gateway.wait(), ExitCode::SUCCESS);
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
}

#[test]
fn a_stop_under_load_fails_no_request() {
    static ANSWERED: AtomicUsize = AtomicUsize::new(0);
    let service = Service::ok();
    let mut gateway = Gateway::before(&service, &[]);
    let port = gateway.port;
    let clients: Vec<_> =
        (0..16).map(|number| thread::spawn(move || ask_until_refused(port, number, &ANSWERED))).collect();
    eventually("the load is on", || ANSWERED.load(Ordering::Relaxed) > 500);

    gateway.begin_stop();

    for client in clients {
        client.join().expect("the client does not panic").expect("no request fails");
    }
    assert_eq!(gateway.wait(), ExitCode::SUCCESS);
}

#[test]
fn a_service_that_stops_under_load_fails_no_request_that_it_took() {
    static ANSWERED: AtomicUsize = AtomicUsize::new(0);
    let (tell, told) = mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let service = thread::spawn(move || {
        actix::System::new().block_on(async move {
            let (server, handle) = real_service();
            tell.send(server.port()).expect("the test waits");
            let running = actix::spawn(server.run());
            let _ = stopped.await;
            handle.stop_gracefully().await;
            running.await.expect("the server does not panic").expect("the server runs");
        });
    });
    let url = format!("http://127.0.0.1:{}", told.recv().expect("the service starts"));
    let gateway = Gateway::start(&[("USER_URL", url.as_str())]);
    let port = gateway.port;
    let clients: Vec<_> = (0..8)
        .map(|_| {
            thread::spawn(move || {
                let mut client = Client::connect(port).expect("the gateway listens");
                loop {
                    let answer = client.ask(&request("GET /api/users HTTP/1.1"));
                    match answer.status {
                        200 => ANSWERED.fetch_add(1, Ordering::Relaxed),
                        _ => return answer,
                    };
                }
            })
        })
        .collect();
    eventually("the load is on", || ANSWERED.load(Ordering::Relaxed) > 300);

    stop.send(()).expect("the service runs");

    for client in clients {
        let last = client.join().expect("the client does not panic");
        last.assert_problem(503, "users unavailable");
    }
    service.join().expect("the service does not panic");
}

/// A service as all of them are built.
fn real_service() -> (Server, ServerHandle) {
    let mut registry = Registry::default();
    let metrics = HttpMetrics::register("users", &mut registry);
    let internal = Internal {
        service: "users",
        ledger: None,
        probes: Probes::new(),
        supervisor: Supervisor::new("users", Timeline::open("users", None), &mut registry),
        metrics: Metrics::new(registry),
        faults: false,
        link: None,
    };
    let routes = |routes: &mut web::ServiceConfig| {
        routes.service(web::resource("/users").get(|| async { HttpResponse::Ok().body("ok") }));
    };
    let server = Server::bind("users", &HttpConfig::default(), internal, metrics, None, routes)
        .expect("there is a free port");
    let handle = server.handle();
    (server, handle)
}

/// Asks over one kept-alive connection after another, as a pool does: a connection whose answer says so is left.
/// Ends well when a new connection is refused.
fn ask_until_refused(port: u16, number: usize, answered: &AtomicUsize) -> io::Result<()> {
    let ask = match number % 2 {
        0 => request("GET /api/users/u1 HTTP/1.1"),
        _ => request("POST /api/orders HTTP/1.1\nContent-Length: 5") + "order",
    };
    loop {
        let mut client = match Client::connect(port) {
            Ok(client) => client,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
            Err(error) => return Err(error),
        };
        loop {
            let answer = client.try_ask(&ask)?;
            if answer.status != 200 || answer.body != "ok" {
                return Err(io::Error::other(format!("{answer:?}")));
            }
            answered.fetch_add(1, Ordering::Relaxed);
            if answer.closes() {
                break;
            }
        }
    }
}
