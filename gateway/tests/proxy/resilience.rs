//! One of two endpoints fails, stalls or goes away, and clients notice as little as can be.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use crate::harness::{Answer, Gateway, SOON, Service, eventually, request};

/// Leaves no endpoint alone, however much it fails, and grants so many retries for a request.
fn patient(retry_budget: f64) -> String {
    format!(
        "[upstreams.users]\nretry_budget = {retry_budget:.1}\n\
         [upstreams.users.breaker]\nfailures_in_a_row = 100000\nleast_requests = 100000\n"
    )
}

/// Never asks again how the services are, so that only requests decide.
const QUIET: (&str, &str) = ("GATEWAY_HEALTH_MS", "60000");

/// Both services behind one route.
fn before_both(one: &Service, other: &Service, settings: &str, variables: &[(&str, &str)]) -> Gateway {
    let urls = format!("{},{}", one.url(), other.url());
    let mut all = vec![("USER_URL", urls.as_str())];
    all.extend_from_slice(variables);
    let gateway = Gateway::configured(one, settings, &all);
    until_heard(&gateway, 2);
    gateway
}

/// Waits until so many endpoints of users are found ready.
fn until_heard(gateway: &Gateway, count: u64) {
    eventually("the endpoints are found ready", || {
        gateway.metric("gateway_upstream_endpoints{upstream=\"users\",state=\"ready\"}") == count
    });
}

/// Reads the request and leaves.
fn failing() -> Service {
    Service::start(|visit| {
        visit.body()?;
        visit.close()
    })
}

fn post(gateway: &Gateway, lines: &str, body: &str) -> Answer {
    let head = request(&format!("POST /api/users HTTP/1.1\n{lines}\nContent-Length: {}", body.len()));
    gateway.connect().ask(&(head + body))
}

#[test]
fn what_may_be_repeated_is_asked_elsewhere() {
    let (tell, told) = mpsc::channel();
    let well = Service::start(move |visit| {
        tell.send(visit.body()?).expect("the test listens");
        visit.reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    for failure in [
        None,
        Some("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
        Some("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops"),
        Some("nonsense\r\n\r\n"),
    ] {
        let ill = match failure {
            None => failing(),
            Some(bytes) => Service::answering(bytes),
        };
        let gateway = before_both(&ill, &well, &patient(1.0), &[QUIET]);
        let before = well.seen().len();

        for _ in 0..2 {
            assert_eq!(gateway.ask("GET /api/users HTTP/1.1").status, 200, "{failure:?}");
            assert_eq!(told.recv_timeout(SOON).as_deref(), Ok(""));
            let answer = post(&gateway, "Idempotency-Key: k", "order");
            assert_eq!(answer.status, 200, "{failure:?}");
            assert_eq!(told.recv_timeout(SOON).as_deref(), Ok("order"), "with the whole body");
        }

        assert_eq!(well.seen().len() - before, 4);
        let asked = ill.seen();
        assert!((1..=4).contains(&asked.len()), "it is asked first: {asked:?}");
    }
}

#[test]
fn a_write_without_a_key_is_sent_once() {
    let (ill, well) = (failing(), Service::ok());
    let gateway = before_both(&ill, &well, &patient(1.0), &[QUIET]);

    let statuses: Vec<_> = (0..10).map(|_| post(&gateway, "X: y", "order").status).collect();

    let (failed, answered) = (ill.seen().len(), well.seen().len());
    assert_eq!(failed + answered, 10, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 502).count(), failed);
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), answered);
    assert!(failed > 0 && answered > 0, "{statuses:?}");
}

#[test]
fn a_body_that_was_passed_on_as_it_came_is_sent_once() {
    let (ill, also) = (failing(), failing());
    let gateway = before_both(&ill, &also, &patient(1.0), &[QUIET]);
    let head = "PUT /api/users HTTP/1.1\nIdempotency-Key: k\nTransfer-Encoding: chunked";

    for _ in 0..4 {
        let answer = gateway.connect().ask(&(request(head) + "3\r\none\r\n0\r\n\r\n"));
        answer.assert_problem(502, "bad gateway");
    }

    assert_eq!(ill.seen().len() + also.seen().len(), 4);
}

/// A service that is ready until it is taken away.
struct Fleeting {
    url: String,
    gone: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Fleeting {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        listener.set_nonblocking(true).expect("a listener can be asked");
        let gone = Arc::new(AtomicBool::new(false));
        let stop = gone.clone();
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    thread::sleep(Duration::from_millis(1));
                    continue;
                };
                stream.set_nonblocking(false).expect("a connection can wait");
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                while stream.read_line(&mut line).is_ok_and(|length| length > 2) {
                    line.clear();
                }
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
                let _ = stream.get_mut().write_all(answer.as_bytes());
            }
        });
        Self { url, gone, thread: Some(thread) }
    }

    fn go(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
        self.thread.take().expect("it goes once").join().expect("it does not panic");
    }
}

#[test]
fn what_was_never_sent_is_sent_elsewhere_whatever_it_is() {
    let well = Service::ok();
    let mut fleeting = Fleeting::start();
    let urls = format!("{},{}", fleeting.url, well.url());
    let gateway = Gateway::configured(&well, &patient(1.0), &[("USER_URL", urls.as_str()), QUIET]);
    until_heard(&gateway, 2);

    fleeting.go();

    for number in 1..=6 {
        let answer = post(&gateway, "X: y", "order");
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
        assert_eq!(well.seen().len(), number);
    }
    let vain = gateway.metric("gateway_upstream_failures_total{upstream=\"users\",kind=\"connect\"}");
    assert!(vain > 0, "the other one was tried as well");
}

#[test]
fn repeating_has_a_budget() {
    for (budget, least, most) in [(0.0, 0, 0), (0.1, 4, 8)] {
        let (one, other) = (failing(), failing());
        let gateway = before_both(&one, &other, &patient(budget), &[QUIET]);

        for _ in 0..30 {
            gateway.ask("GET /api/users HTTP/1.1").assert_problem(502, "bad gateway");
        }

        // A tenth of the requests, and the few that are always free.
        let repeated = one.seen().len() + other.seen().len() - 30;
        assert!((least..=most).contains(&repeated), "{repeated} with {budget}");
    }
}

#[test]
fn a_service_that_says_when_to_come_back_is_passed_on_and_not_left_alone() {
    let service = Service::answering(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nfull",
    );
    let gateway = Gateway::before(&service, &[QUIET]);

    for number in 1..=20 {
        let answer = gateway.ask("GET /api/users HTTP/1.1");
        assert_eq!((answer.status, answer.body.as_str()), (503, "full"));
        assert_eq!(answer.head.all("retry-after"), ["7"]);
        assert_eq!(service.seen().len(), number, "and nobody else was asked");
    }
}

#[test]
fn a_service_that_keeps_failing_is_left_alone_until_it_is_well() {
    let status = Arc::new(AtomicU16::new(500));
    let shown = status.clone();
    let service = Service::start(move |visit| {
        visit.body()?;
        visit.reply(format!("HTTP/1.1 {} X\r\nContent-Length: 2\r\n\r\nok", shown.load(Ordering::Relaxed)))
    });
    let gateway = Gateway::before(&service, &[]);
    for _ in 0..5 {
        assert_eq!(post(&gateway, "X: y", "order").status, 500, "what it says is passed on");
    }

    for _ in 0..20 {
        let asked = Instant::now();
        let answer = gateway.ask("GET /api/users HTTP/1.1");
        answer.assert_problem(503, "users unavailable");
        let after: u64 = answer.head.get("retry-after").and_then(|it| it.parse().ok()).expect("seconds");
        assert!((1..=5).contains(&after), "{after}");
        assert!(asked.elapsed() < Duration::from_millis(500));
    }
    assert_eq!(service.seen().len(), 5, "it is spared");
    assert_eq!(gateway.ask("GET /api/orders HTTP/1.1").status, 500, "orders are another upstream");

    service.say_health(503);
    status.store(200, Ordering::Relaxed);
    eventually("it is found away", || {
        gateway.admin("/health/ready").json()["reasons"].to_string().contains("users: answers 503")
    });
    service.say_health(200);
    eventually("it is asked again", || gateway.ask("GET /api/users HTTP/1.1").status == 200);
}

#[test]
fn one_request_tries_a_service_that_was_left_alone() {
    let status = Arc::new(AtomicU16::new(500));
    let shown = status.clone();
    let service = Service::start(move |visit| {
        visit.body()?;
        visit.reply(format!("HTTP/1.1 {} X\r\nContent-Length: 2\r\n\r\nok", shown.load(Ordering::Relaxed)))
    });
    let settings = "[upstreams.users.breaker]\nfailures_in_a_row = 2\nprobe_after = \"300ms\"\n";
    let gateway = Gateway::configured(&service, settings, &[QUIET]);
    for _ in 0..2 {
        assert_eq!(gateway.ask("GET /api/users HTTP/1.1").status, 500);
    }
    assert_eq!(gateway.ask("GET /api/users HTTP/1.1").status, 503);
    status.store(200, Ordering::Relaxed);

    eventually("it is tried", || gateway.ask("GET /api/users HTTP/1.1").status == 200);

    assert_eq!(service.seen().len(), 3);
    assert_eq!(gateway.ask("GET /api/users HTTP/1.1").status, 200, "and trusted");
}

#[test]
fn both_endpoints_share_the_load() {
    let (one, other) = (Service::ok(), Service::ok());
    let gateway = before_both(&one, &other, "", &[]);
    let mut client = gateway.connect();

    for _ in 0..100 {
        assert_eq!(client.ask(&request("GET /api/users HTTP/1.1")).status, 200);
    }

    let (one, other) = (one.seen().len(), other.seen().len());
    assert_eq!(one + other, 100);
    assert!(one >= 30 && other >= 30, "{one} and {other}");
}

#[test]
fn an_endpoint_that_stalls_delays_only_what_it_was_asked() {
    let stalled = Service::start(|visit| visit.until_closed().map(drop));
    let well = Service::ok();
    let url = well.url();
    let variables = [("GATEWAY_HEAD_MS", "1000"), ("ORDER_URL", url.as_str()), QUIET];
    let gateway = before_both(&stalled, &well, &patient(1.0), &variables);
    let mut waiting = gateway.connect();
    let ask = request("POST /api/users HTTP/1.1\nContent-Length: 0");
    eventually("one is stalled", || {
        waiting = gateway.connect();
        waiting.send(&ask);
        waiting.socket().set_read_timeout(Some(Duration::from_millis(200))).expect("a sound timeout");
        waiting.answer(false).is_err()
    });
    let began = Instant::now();

    for _ in 0..10 {
        let asked = Instant::now();
        // The one that stalls has more on its way, so the other is asked.
        assert_eq!(gateway.ask("GET /api/users HTTP/1.1").status, 200);
        assert_eq!(gateway.ask("GET /api/orders HTTP/1.1").status, 200);
        assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
    }

    waiting.socket().set_read_timeout(Some(SOON)).expect("a sound timeout");
    waiting.answer(false).expect("a whole answer").assert_problem(504, "gateway timeout");
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(stalled.seen().len(), 1);
}

#[test]
fn a_service_is_told_how_long_it_may_take() {
    let (tell, told) = mpsc::channel();
    let seen = Mutex::new(false);
    let service = Service::start(move |visit| {
        let left: Vec<u64> = visit
            .head
            .all("x-request-timeout-ms")
            .iter()
            .map(|left| left.parse().expect("whole milliseconds"))
            .collect();
        tell.send(left).expect("the test listens");
        visit.body()?;
        // The first time it takes a while to fail.
        if visit.head.target() == "/users/again"
            && !std::mem::replace(&mut *seen.lock().expect("nobody panics"), true)
        {
            thread::sleep(Duration::from_millis(300));
            return visit.close();
        }
        visit.reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let other = format!("{}/", service.url().replace("127.0.0.1", "localhost"));
    let urls = format!("{},{other}", service.url());
    let variables =
        [("USER_URL", urls.as_str()), ("GATEWAY_WHOLE_MS", "1000"), ("GATEWAY_HEAD_MS", "900"), QUIET];
    let gateway = Gateway::configured(&service, &patient(1.0), &variables);
    let left = |range: std::ops::RangeInclusive<u64>| {
        let left = told.recv_timeout(SOON).expect("it arrives");
        assert!(left.len() == 1 && range.contains(&left[0]), "{left:?} is not within {range:?}");
    };

    gateway.ask("GET /api/users HTTP/1.1\nX-Request-Timeout-Ms: 5\nX_Request_Timeout_Ms: 6");
    left(500..=900);

    let mut client = gateway.connect();
    client.send(request("POST /api/users HTTP/1.1\nContent-Length: 1"));
    thread::sleep(Duration::from_millis(400));
    client.send("x");
    assert_eq!(client.answer(false).expect("a whole answer").status, 200);
    // The time counts from when its head has come.
    left(1..=800);

    assert_eq!(gateway.ask("GET /api/users/again HTTP/1.1").status, 200);
    left(500..=900);
    left(1..=700);
}

#[test]
fn a_second_refusal_does_not_hide_that_the_first_try_may_have_changed_something() {
    // Whoever is asked first leaves without a word; the other one refuses.
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let service = || {
        let seen = seen.clone();
        Service::start(move |visit| {
            visit.body()?;
            match seen.lock().expect("no thread panics with it").insert(visit.head.target().to_owned()) {
                true => visit.close(),
                false => visit.reply(
                    "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\nno",
                ),
            }
        })
    };
    let (one, other) = (service(), service());
    let gateway = before_both(&one, &other, &patient(1.0), &[QUIET]);

    let write = gateway.ask("POST /api/users/1 HTTP/1.1\nIdempotency-Key: k");
    write.assert_problem(502, "bad gateway");
    assert_eq!(write.head.get("retry-after"), None);

    let read = gateway.ask("GET /api/users/2 HTTP/1.1");
    assert_eq!((read.status, read.body.as_str()), (503, "no"), "reading has changed nothing");
    assert_eq!(one.seen().len() + other.seen().len(), 4);
}

/// Answers, but for what it is asked to lose: with that it goes away, once it is told to.
fn losing() -> (Service, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (tell, taken) = mpsc::channel();
    let (go, gone) = mpsc::channel();
    let gone = Mutex::new(gone);
    let lost = AtomicBool::new(false);
    let service = Service::start(move |visit| {
        visit.body()?;
        if visit.head.target() != "/users/lost" || lost.swap(true, Ordering::Relaxed) {
            return visit.reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        tell.send(()).expect("the test listens");
        let _ = gone.lock().expect("no thread panics with it").recv_timeout(SOON);
        visit.close()
    });
    (service, taken, go)
}

#[test]
fn a_write_that_comes_again_has_its_key() {
    let (service, taken, go) = losing();
    let gateway = Gateway::configured(&service, &patient(1.0), &[("HTTP_WORKERS", "1"), QUIET]);
    assert_eq!(gateway.ask("GET /api/users HTTP/1.1").status, 200, "there is a connection to be used again");
    let lost = "POST /api/users/lost HTTP/1.1\nIdempotency-Key: k-1\nConnection: X-Hop\nX-Hop: 1";

    let mut client = gateway.connect();
    client.send(request(lost));
    taken.recv_timeout(SOON).expect("it arrives");
    go.send(()).expect("it waits");
    assert_eq!(client.answer(false).expect("a whole answer").status, 200);

    let seen = service.seen();
    let keys: Vec<_> = seen.iter().skip(1).map(|head| head.all("idempotency-key")).collect();
    assert_eq!(keys, [["k-1"], ["k-1"]]);

    // Whoever says that the key is for the gateway alone would have it written twice.
    let answer = gateway.ask(&lost.replace("Connection: X-Hop", "Connection: close, idempotency-key"));
    answer.assert_problem(400, "bad request");
    let detail = answer.json()["detail"].to_string();
    assert!(detail.contains("Connection names Idempotency-Key"), "{detail}");
    assert_eq!(service.seen().len(), seen.len(), "it stays here");
}

#[test]
fn being_too_busy_for_the_second_try_does_not_hide_that_the_first_one_may_have_changed_something() {
    /// As many connections to one service as a worker opens at the same time.
    const OPENING: u64 = 64;
    let (service, taken, go) = losing();
    let variables = [
        ("HTTP_WORKERS", "1"),
        ("GATEWAY_CONNECT_MS", "20000"),
        ("GATEWAY_HEAD_MS", "3000"),
        ("SHUTDOWN_DRAIN_MS", "100"),
        QUIET,
    ];
    let gateway = Gateway::configured(&service, &patient(1.0), &variables);
    assert_eq!(gateway.ask("GET /api/users HTTP/1.1").status, 200, "there is a connection to be used again");
    let mut client = gateway.connect();
    client.send(request("POST /api/users/lost HTTP/1.1\nIdempotency-Key: k-1"));
    taken.recv_timeout(SOON).expect("the service has it, and may have acted on it");

    let _crowd = service.accept_no_more();
    let ask = |_| {
        let mut waiting = gateway.connect();
        waiting.send(request("GET /api/users HTTP/1.1"));
        waiting
    };
    let _waiting: Vec<_> = (0..OPENING).map(ask).collect();
    eventually("no more connections are opened", || service.half_open() >= OPENING as usize);
    go.send(()).expect("it waits");

    client.socket().set_read_timeout(Some(4 * SOON)).expect("a sound timeout");
    let write = client.answer(false).expect("a whole answer");
    write.assert_problem(502, "bad gateway");
    assert_eq!(write.head.get("retry-after"), None);
    // What has changed nothing may be told so.
    gateway.ask("GET /api/users HTTP/1.1").assert_problem(503, "too busy");
}

#[test]
fn connections_that_a_service_has_closed_are_not_taken_for_its_failure() {
    let service = Service::start(|visit| {
        visit.body()?;
        visit.reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        visit.close()
    });
    let gateway = Gateway::before(&service, &[QUIET]);

    for _ in 0..20 {
        assert_eq!(gateway.ask("GET /api/users HTTP/1.1").status, 200);
    }

    assert_eq!(service.seen().len(), 20);
}

#[test]
fn a_body_that_is_passed_on_as_it_comes_may_take_longer_than_an_answer() {
    let service = Service::ok();
    let gateway = Gateway::before(&service, &[("GATEWAY_HEAD_MS", "1500"), ("GATEWAY_WHOLE_MS", "20000")]);

    let chunked =
        "POST /api/orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    assert_eq!(gateway.connect().ask(chunked).status, 200);
    assert_eq!(gateway.ask("GET /api/orders HTTP/1.1").status, 200);

    let left: Vec<u64> = (service.seen().iter())
        .map(|head| head.get("x-request-timeout-ms").and_then(|left| left.parse().ok()).expect("it is said"))
        .collect();
    assert!(left[0] > 1500 && left[0] <= 20_000, "{left:?}");
    assert!(left[1] <= 1500, "{left:?}");
}
