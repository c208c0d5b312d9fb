//! Two readers of the same bytes must not see two different things: whatever is odd is refused, and whatever passes
//! is written anew, with one framing.

use std::{
    io,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use crate::harness::{Gateway, Service, eventually, request};

/// So that connections that nobody needs any more end soon.
const SHORT: &str = "[deadlines]\nclient_head = \"300ms\"\nkeep_alive = \"300ms\"\nbody_idle = \"300ms\"\n";

/// What somebody would like to have taken for a request of its own.
const EVIL: &str = "GET /api/orders/evil HTTP/1.1\r\nHost: a\r\n\r\n";

/// The honest last request on a connection.
const LAST: &str = "GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// A service that writes down each request that arrives whole, with its body.
struct Recorder {
    service: Service,
    whole: Arc<Mutex<Vec<(String, String)>>>,
}

impl Recorder {
    fn start() -> Self {
        let whole = Arc::new(Mutex::new(Vec::new()));
        let noted = whole.clone();
        let service = Service::start(move |visit| {
            assert_one_framing(&visit.head.raw);
            let body = visit.body()?;
            let target = format!("{} {body}", visit.head.target());
            let head = visit.head.first.clone();
            noted.lock().expect("no thread panics with it").push((head, body));
            visit.reply(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len()))
        });
        Self { service, whole }
    }

    /// First line and body of every request that has arrived whole since the last time, and how many have begun.
    fn take(&self, begun_before: usize) -> (Vec<(String, String)>, usize) {
        let whole = std::mem::take(&mut *self.whole.lock().expect("no thread panics with it"));
        (whole, self.service.seen().len() - begun_before)
    }
}

/// Whoever reads this head, leniently or not, takes it for the same request.
#[track_caller]
fn assert_one_framing(raw: &[u8]) {
    let text = String::from_utf8_lossy(raw);
    assert!(!text.contains('\0') && !text.contains('\u{b}'), "{text:?}");
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "{text:?}");
    assert_eq!(text.matches('\r').count(), text.matches("\r\n").count(), "{text:?}");
    let mut framings = Vec::new();
    for line in text.trim_end().split("\r\n").skip(1) {
        let (name, value) = line.split_once(": ").expect("a name and a value");
        assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'_'), "{text:?}");
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                value.parse::<u64>().expect("a plain number");
                framings.push(line.to_owned());
            }
            "transfer-encoding" => {
                assert_eq!(value, "chunked");
                framings.push(line.to_owned());
            }
            _ => {}
        }
    }
    assert!(framings.len() <= 1, "{framings:?}");
    assert_eq!(text.to_ascii_lowercase().matches("\r\nhost: ").count(), 1, "{text:?}");
}

/// The statuses of every answer that came over a connection until it was closed.
fn statuses(gateway: &Gateway, bytes: impl AsRef<[u8]>) -> Vec<u16> {
    let mut client = gateway.connect();
    client.send(bytes);
    let text = client.until_closed().expect("the gateway closes the connection");
    text.match_indices("HTTP/1.1 ").filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok()).collect()
}

#[test]
fn a_head_that_readers_could_disagree_about_is_refused_before_anybody_else_reads_it() {
    let recorder = Recorder::start();
    let gateway = Gateway::configured(&recorder.service, SHORT, &[]);
    let post =
        |lines: &str| format!("POST /api/orders HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n0\r\n\r\n{EVIL}");
    let get = |start: &str| format!("{start}{EVIL}");
    let mut odd = Vec::new();
    for (bytes, status) in [
        // Two lengths, of which a reader may believe the one or the other.
        (post("Content-Length: 6\r\nTransfer-Encoding: chunked"), 400),
        (post("Transfer-Encoding: chunked\r\nContent-Length: 6"), 400),
        (post("Content-Length: 0\r\nTransfer-Encoding: chunked"), 400),
        (post("Content-Length: 5\r\nContent-Length: 5"), 400),
        (post("Content-Length: 5\r\nContent-Length: 6"), 400),
        (post("Content-Length: 5\r\nX: y\r\ncontent-length: 0"), 400),
        // Codings that a reader may overlook.
        (post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), 501),
        (post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"), 501),
        (post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"), 501),
        (post("Transfer-Encoding: chunked, chunked"), 501),
        (post("Transfer-Encoding: chunked, identity"), 501),
        (post("Transfer-Encoding: identity, chunked"), 501),
        (post("Transfer-Encoding: gzip, chunked"), 501),
        (post("Transfer-Encoding: ,chunked"), 501),
        (post("Transfer-Encoding: chunked,"), 501),
        (post("Transfer-Encoding: \"chunked\""), 501),
        (post("Transfer-Encoding: 'chunked'"), 501),
        (post("Transfer-Encoding: chunked;q=1"), 501),
        (post("Transfer-Encoding: xchunked"), 501),
        (post("Transfer-Encoding: x chunked"), 501),
        (post("Transfer-Encoding: identity"), 501),
        (post("Transfer-Encoding: \u{e7}hunked"), 501),
        (post("Transfer-Encoding:"), 501),
        (post("Transfer-Encoding: \u{b}chunked"), 400),
        (post("Transfer-Encoding: chunked\u{b}"), 400),
        (post("Transfer-Encoding: \u{c}chunked"), 400),
        (post("Transfer-Encoding: chunked\0"), 400),
        (post("Transfer-Encoding: chunked\r"), 400),
        // Names that a reader may take for another.
        (post("Transfer-Encoding : chunked"), 400),
        (post("Transfer-Encoding\t: chunked"), 400),
        (post("Transfer-Encoding\u{b}: chunked"), 400),
        (post("Transfer-Encoding\0: chunked"), 400),
        (post("\0Transfer-Encoding: chunked"), 400),
        (post("Transfer\0-Encoding: chunked"), 400),
        (post("Content-Length : 5"), 400),
        (post(": chunked"), 400),
        (post("Transfer-Encoding"), 400),
        // Lines that a reader may fold or part.
        (post(" Transfer-Encoding: chunked"), 400),
        (post("\tTransfer-Encoding: chunked"), 400),
        (post("X: y\r\n Transfer-Encoding: chunked"), 400),
        (post("Transfer-Encoding:\r\n chunked"), 400),
        (post("Content-Length: 5\r\n 0"), 400),
        (post("X: y\nTransfer-Encoding: chunked"), 400),
        (post("X: y\rTransfer-Encoding: chunked"), 400),
        (post("X: y\r\n\rTransfer-Encoding: chunked"), 400),
        (post("Transfer-Encoding: chunked\n"), 400),
        (post("X: y\r\n\nX: y"), 400),
        // Numbers that a reader may read in another way.
        (post("Content-Length: +5"), 400),
        (post("Content-Length: -5"), 400),
        (post("Content-Length: -0"), 400),
        (post("Content-Length: 0x5"), 400),
        (post("Content-Length: 5.0"), 400),
        (post("Content-Length: 5e0"), 400),
        (post("Content-Length: 5 5"), 400),
        (post("Content-Length: 5, 5"), 400),
        (post("Content-Length: 5,5"), 400),
        (post("Content-Length: 5,"), 400),
        (post("Content-Length: 5;"), 400),
        (post("Content-Length: \"5\""), 400),
        (post("Content-Length:"), 400),
        (post("Content-Length: \u{665}"), 400),
        (post("Content-Length: 18446744073709551621"), 400),
        (post("Content-Length: 99999999999999999999999999"), 400),
        (post("Content-Length: 00000000000000000000000005"), 400),
        // Hosts.
        (post("Host: b"), 400),
        (post("host: a"), 400),
        (post("Host : b"), 400),
        (get("GET /api/orders HTTP/1.1\r\n\r\n"), 400),
        (get("GET /api/orders HTTP/1.1\r\nHost: a, b\r\n\r\n"), 400),
        (get("GET /api/orders HTTP/1.1\r\nHost: a@b\r\n\r\n"), 400),
        (get("GET /api/orders HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400),
        (get("GET /api/orders HTTP/1.1\r\nHost: a?b\r\n\r\n"), 400),
        (get("GET http://b/api/orders HTTP/1.1\r\n\r\n"), 400),
        (get("GET http://b c/api/orders HTTP/1.1\r\nHost: a\r\n\r\n"), 505),
        (get("GET gopher://b/api/orders HTTP/1.1\r\nHost: a\r\n\r\n"), 400),
        // First lines.
        (get("GET  /api/orders HTTP/1.1\r\nHost: a\r\n\r\n"), 400),
        (get("GET\t/api/orders\tHTTP/1.1\r\nHost: a\r\n\r\n"), 400),
        (get("GET /api/orders HTTP/1.1 \r\nHost: a\r\n\r\n"), 400),
        (get("GET /api/orders  HTTP/1.1\r\nHost: a\r\n\r\n"), 505),
        (get("GET /api/orders HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n"), 400),
        (get("GET /api/orders HTTP/01.1\r\nHost: a\r\n\r\n"), 505),
        (get("GET /api/orders HTTP/1.10\r\nHost: a\r\n\r\n"), 400),
        (get("GET /api/orders http/1.1\r\nHost: a\r\n\r\n"), 505),
        (get("GET /api/orders HTTP/1.1\r\r\nHost: a\r\n\r\n"), 400),
        (get("GET /api/orders\r\n\r\n"), 400),
        (get("GET /api/orders\0 HTTP/1.1\r\nHost: a\r\n\r\n"), 400),
        (get("GET /api/orders/\u{fc} HTTP/1.1\r\nHost: a\r\n\r\n"), 400),
        (get("GET /api/orders#x HTTP/1.1\r\nHost: a\r\n\r\n"), 400),
        (get("G\0T /api/orders HTTP/1.1\r\nHost: a\r\n\r\n"), 400),
        (get("GET: /api/orders HTTP/1.1\r\nHost: a\r\n\r\n"), 400),
        (get(" GET /api/orders HTTP/1.1\r\nHost: a\r\n\r\n"), 400),
        (get("GET /api/orders HTTP/1.1\nHost: a\n\n"), 400),
        (get("GET /api/orders HTTP/1.1\r\nHost: a\r\n\n"), 400),
        // A length is no matter of the connection, and neither is for whom the request is.
        (post("Content-Length: 5\r\nConnection: content-length"), 400),
        (post("Transfer-Encoding: chunked\r\nConnection: transfer-encoding"), 400),
        (post("Content-Length: 5\r\nConnection: close, Host"), 400),
        // Others that change what a body is.
        (post("Expect: 200-ok\r\nContent-Length: 5"), 417),
        (post("Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 5"), 400),
        (post("Upgrade: websocket\r\nConnection: upgrade\r\nTransfer-Encoding: chunked"), 400),
        (
            "POST /api/orders HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
            501,
        ),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
    ] {
        let came = statuses(&gateway, &bytes);
        if came != [status] || recorder.take(0) != (Vec::new(), 0) {
            odd.push((bytes, came));
        }
    }
    assert!(odd.is_empty(), "{odd:#?}");
}

#[test]
fn what_passes_arrives_with_the_framing_that_the_gateway_saw() {
    let recorder = Recorder::start();
    let gateway = Gateway::configured(&recorder.service, SHORT, &[]);
    let line = |method: &str, path: &str| format!("{method} {path} HTTP/1.1");
    let (orders, evil) = (line("POST", "/orders"), line("GET", "/orders/evil"));
    let alone = |body: &str| vec![(orders.clone(), body.to_owned())];
    let both = |body: &str| vec![(orders.clone(), body.to_owned()), (evil.clone(), String::new())];
    let post = |lines: &str, body: &str| {
        format!("POST /api/orders HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n{body}{EVIL}{LAST}")
    };
    let mut begun = 0;
    for (bytes, arrive, status) in [
        // What follows the end of a body is the next request, and nothing else.
        (post("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"), both("hello"), vec![200, 200, 200]),
        (post("transfer-encoding:\t CHUNKED \t", "0\r\n\r\n"), both(""), vec![200, 200, 200]),
        (post("Content-Length: 5", "hello"), both("hello"), vec![200, 200, 200]),
        (post("Content-Length:5", "hello"), both("hello"), vec![200, 200, 200]),
        (post("Content-Length: 0005", "hello"), both("hello"), vec![200, 200, 200]),
        (post("Content-Length: 5", "0\r\n\r\n"), both("0\r\n\r\n"), vec![200, 200, 200]),
        (post("Content-Length: 0", ""), both(""), vec![200, 200, 200]),
        (post("X: y", ""), both(""), vec![200, 200, 200]),
        (post("X: y", "\r\n"), both(""), vec![200, 200, 200]),
        // What the gateway alone says cannot be taken away by the client.
        (
            post("Content-Length: 5\r\nConnection: x-request-timeout-ms, x-warren-subject", "hello"),
            both("hello"),
            vec![200; 3],
        ),
        // What some servers take for a length is none, and does not arrive.
        (post("Transfer_Encoding: chunked", "0\r\n\r\n"), alone(""), vec![200, 400]),
        (post("Content_Length: 5", "0\r\n\r\n"), alone(""), vec![200, 400]),
        (
            post("Content-Length: 5\r\nTransfer_Encoding: chunked", "0\r\n\r\n"),
            both("0\r\n\r\n"),
            vec![200; 3],
        ),
        (post("Content-Length: 5\r\nContent_Length: 0", "hello"), both("hello"), vec![200; 3]),
        (post("Content-Length: 5\r\nX-Content-Length: 0", "hello"), both("hello"), vec![200; 3]),
        // What stands beside the chunks does not arrive.
        (
            post("Transfer-Encoding: chunked", "5;a=\"b;c\";d\r\nhello\r\n0;e\r\n\r\n"),
            both("hello"),
            vec![200; 3],
        ),
        (post("Transfer-Encoding: chunked", "00005 \r\nhello\r\n000\r\n\r\n"), both("hello"), vec![200; 3]),
        (
            post(
                "Transfer-Encoding: chunked",
                "5\r\nhello\r\n0\r\nContent-Length: 99\r\nTransfer-Encoding: x\r\nX-Warren-Subject: u1\r\n\r\n",
            ),
            both("hello"),
            vec![200; 3],
        ),
        // Without the empty line at the end, what follows is a trailer and no request.
        (post("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n"), alone("hello"), vec![200, 200]),
    ] {
        assert_eq!(statuses(&gateway, &bytes), status, "{bytes:?}");
        let (whole, new) = recorder.take(begun);
        assert_eq!(whole, arrive, "{bytes:?}");
        assert_eq!(new, arrive.len(), "{bytes:?}");
        begun += new;
    }
}

#[test]
fn chunks_that_readers_could_disagree_about_end_the_request_unfinished() {
    let recorder = Recorder::start();
    let gateway = Gateway::configured(&recorder.service, SHORT, &[]);
    for body in [
        "x\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloworld\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\0\r\nhello\r\n0\r\n\r\n",
        "5\u{b}\r\nhello\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
        "5,\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\r\nX: y\n\r\n",
        "5\r\nhello\r\n0\r\nX: y\rZ: z\r\n\r\n",
        "5\r\nhello\r\n0\r\n\rX",
    ] {
        let head = "POST /api/orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let bytes = format!("{head}{body}{EVIL}{LAST}");

        assert_eq!(statuses(&gateway, &bytes), [400], "{body:?}");
        // The service may have seen its head, and not more.
        assert!(recorder.take(0).0.is_empty(), "{body:?}");
    }
    assert!(recorder.service.seen().iter().all(|head| head.first == "POST /orders HTTP/1.1"));
    assert!(recorder.take(0).0.is_empty());
}

#[test]
fn the_host_of_a_url_is_the_only_one() {
    let recorder = Recorder::start();
    let gateway = Gateway::before(&recorder.service, &[]);

    let answer = gateway.ask("GET http://one.example/api/orders HTTP/1.1\nX-Forwarded-Host: two.example");

    assert_eq!(answer.status, 200);
    let [head] = &recorder.service.seen()[..] else { panic!("one request arrives") };
    assert_eq!(head.first, "GET /orders HTTP/1.1");
    assert_eq!(head.all("host"), [recorder.service.authority()]);
    assert_eq!(head.all("x-forwarded-host"), ["one.example"]);
}

#[test]
fn requests_that_come_at_once_are_answered_in_their_order() {
    let service = Service::start(|visit| {
        let body = visit.body()?;
        // The first takes longest.
        if visit.head.target() == "/orders/1" {
            thread::sleep(Duration::from_millis(100));
        }
        let text = format!("{} {body}", visit.head.target());
        visit.reply(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()))
    });
    let gateway = Gateway::before(&service, &[]);
    let mut client = gateway.connect();

    client.send(
        "GET /api/orders/1 HTTP/1.1\r\nHost: a\r\n\r\n\
         POST /api/orders/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab\
         GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n\
         POST /api/orders/3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nc\r\n0\r\n\r\n\
         GET /api/orders/4 HTTP/1.1\r\nHost: a\r\n\r\n",
    );

    for (status, body) in
        [(200, "/orders/1 "), (200, "/orders/2 ab"), (404, ""), (200, "/orders/3 c"), (200, "/orders/4 ")]
    {
        let answer = client.answer(false).expect("a whole answer");
        assert_eq!(answer.status, status);
        assert!(status == 404 || answer.body == body, "{answer:?}");
    }
    assert_eq!(service.seen().len(), 4);
}

#[test]
fn an_answer_that_readers_could_disagree_about_is_none() {
    for head in [
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 2",
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: 2, 2",
        "Content-Length: +2",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Content-Length : 2",
        "X: y\r\n Content-Length: 2",
        "X: y\nContent-Length: 2",
        "X: y\rContent-Length: 2",
        "X: \0",
    ] {
        let service = Service::start(move |visit| {
            visit.body()?;
            visit.reply(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\nok"))
        });
        let gateway = Gateway::before(&service, &[]);

        gateway.ask("POST /api/orders HTTP/1.1").assert_problem(502, "bad gateway");
        assert_eq!(service.seen().len(), 1, "{head:?}");
    }
}

#[test]
fn bytes_beyond_an_answer_are_not_the_next_one() {
    for pause in [0, 30] {
        let service = Service::start(move |visit| {
            let text = visit.head.target().to_owned();
            let honest = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
            let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
            if pause == 0 {
                return visit.reply(honest + evil);
            }
            visit.reply(honest)?;
            thread::sleep(Duration::from_millis(pause));
            visit.reply(evil)
        });
        let gateway = Gateway::before(&service, &[("HTTP_WORKERS", "1")]);
        let mut client = gateway.connect();

        for number in 0..3 {
            let answer = client.ask(&request(&format!("GET /api/orders/{number} HTTP/1.1")));
            assert_eq!((answer.status, answer.body), (200, format!("/orders/{number}")));
            // Until what nobody asked for has come.
            thread::sleep(Duration::from_millis(pause * 3));
        }

        assert_eq!(service.connections(), 3, "each connection is given up");
    }
}

#[test]
fn answers_before_the_final_one_go_on_where_the_client_knows_them() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for together in [true, false] {
        let service = Service::start(move |visit| {
            let first = format!("HTTP/1.1 100 Continue\r\n\r\n{early}{early}");
            match together {
                true => visit.reply(format!("{first}{last}")),
                false => {
                    visit.reply(first)?;
                    thread::sleep(Duration::from_millis(30));
                    visit.reply(last)
                }
            }
        });
        let gateway = Gateway::before(&service, &[]);
        let mut client = gateway.connect();

        client.send(request("GET /api/orders HTTP/1.1"));
        for _ in 0..2 {
            let hint = client.answer(false).expect("it comes before the final one");
            assert_eq!((hint.status, hint.head.get("link")), (103, Some("</a.css>")), "{together}");
            assert_eq!((hint.head.get("x-hop"), hint.head.get("connection")), (None, None));
        }
        assert_eq!(client.answer(false).expect("a whole answer").body, "ok");
        assert_eq!(client.ask(&request("GET /health/live HTTP/1.1")).status, 200);

        let old = gateway.ask("GET /api/orders HTTP/1.0");
        assert_eq!((old.status, old.body.as_str()), (200, "ok"), "an old client knows none of them");
    }
}

#[test]
fn an_answer_that_never_becomes_final_is_none() {
    let service = Service::start(|visit| -> io::Result<()> {
        loop {
            visit.reply("HTTP/1.1 102 Processing\r\n\r\n")?;
        }
    });
    let gateway = Gateway::before(&service, &[]);
    let mut client = gateway.connect();

    client.send(request("GET /api/orders HTTP/1.1"));
    let mut statuses = Vec::new();
    eventually("the gateway has had enough", || {
        let answer = client.answer(false).expect("a whole answer");
        statuses.push(answer.status);
        answer.status != 102
    });

    assert_eq!(statuses.last(), Some(&502));
    assert!(statuses.len() < 100, "{}", statuses.len());
}

#[test]
fn what_follows_a_large_body_that_was_passed_on_is_not_skipped_with_it() {
    let service = Service::start(|visit| {
        visit.body()?;
        // Meanwhile the gateway reads on.
        thread::sleep(Duration::from_millis(100));
        visit.reply("nonsense\r\n\r\n")
    });
    let settings = "[limits]\nhead_bytes = \"1 MiB\"\n[[routes]]\npath = \"/api/users\"\ntarget = \"/users\"\n\
                    upstream = \"users\"\nbody_bytes = \"1 MiB\"\n";
    let gateway = Gateway::configured(&service, settings, &[]);
    let mut client = gateway.connect();
    let body = "x".repeat(70_000);
    // A large head makes room for as much of what follows the body.
    let pad = "p".repeat(300_000);
    let post = format!(
        "POST /api/users/first HTTP/1.1\r\nHost: a\r\nX-Pad: {pad}\r\nContent-Length: 70000\r\n\r\n{body}"
    );
    // Where 70,000 more bytes were skipped, this would be what is left.
    let inner = "GET /api/users/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let second = "POST /api/users/second HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n";
    let padding = "y".repeat(70_000 - second.len());

    client.send(post + second + &padding + inner);
    let answer = client.answer(false).expect("a whole answer");

    answer.assert_problem(502, "bad gateway");
    assert!(answer.closes(), "{answer:?}");
    assert!(service.seen().iter().all(|head| head.target() == "/users/first"), "{:?}", service.seen());
}
