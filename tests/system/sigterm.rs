//! SIGTERM under load: what was accepted is answered, events leave, and the process ends with code 0.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::http::HttpConfig;
use common::service::MISCONFIGURED;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use warren::fault_proxy::{BOTH, FaultProxy};
use warren::harness::{Child, Folder, System, absent_node, eventually, eventually_equal, shared_vhost};
use warren::http::Http;
use warren::note;
use warren::ports;
use warren::service::Service;

use crate::support::{
    Door, Habits, Ledger, Shoppers, order_count, orders_of, seeded, start_services, system,
};

/// It ends within 25 s, whatever is in progress; a service without slow requests needs a fraction.
const ENDS_WITHIN: Duration = Duration::from_secs(25);

/// How often each service is ended under load.
const ROUNDS: usize = 3;

async fn orders_ends_under_load_without_failing_a_request_it_took() {
    let system = start_services(system()).await;
    let ledger =
        end_again_and_again(&system, &system.orders, &Door::internal(&system), Habits::default()).await;

    ledger.audit(&system).await;
    system.finish().await;
}

async fn users_ends_under_load_without_failing_a_request_it_took() {
    let system = start_services(system()).await;
    // One registration for each order.
    let habits = Habits { orders_a_user: 1, ..Habits::default() };
    let ledger = end_again_and_again(&system, &system.users, &Door::internal(&system), habits).await;

    ledger.audit(&system).await;
    system.finish().await;
}

async fn the_gateway_ends_under_load_without_failing_a_request_it_took() {
    let system = system().start().await;
    let ledger =
        end_again_and_again(&system, &system.gateway, &Door::public(&system), Habits::default()).await;

    ledger.audit(&system).await;
    system.finish().await;
}

async fn services_that_end_while_their_broker_is_away_keep_their_events_for_the_next_start() {
    const ORDERS: i64 = 50;
    let folder = Folder::new();
    let node = absent_node(&folder);
    let system = system().broker(node.url("/")).prepare().await;
    system.users.restart().await;
    system.orders.restart().await;
    for _ in 0..ORDERS {
        let order = json!({ "userId": "u1", "items": ["book"] });
        system.orders.http.post("/orders").json(&order).await.expect(201);
    }

    for child in [&system.orders, &system.users] {
        let asked = Instant::now();
        assert_eq!(child.terminate().await.code(), Some(0));
        note!("{} without its broker: ended {:?} after SIGTERM", child.service(), asked.elapsed());
    }
    node.start().await.expect("the port is free");
    system.users.restart().await;
    system.orders.restart().await;

    let counted = async || order_count(&system, "u1").await;
    eventually_equal(Duration::from_secs(20), "each order is counted", ORDERS, counted).await;
    assert_eq!(orders_of(&system, "u1").await.len() as i64, ORDERS);
    system.finish().await;
}

async fn a_service_does_not_end_before_its_events_have_left_if_the_broker_takes_them_in_time() {
    const ORDERS: i64 = 20;
    let url = shared_vhost().await;
    let link = FaultProxy::before(&url).await.expect("a port is free");
    let system = start_services(system().env(Service::Orders, "AMQP_URL", link.url()).broker(&url)).await;
    link.hold(BOTH);
    for _ in 0..ORDERS {
        let order = json!({ "userId": "u1", "items": ["book"] });
        system.orders.http.post("/orders").json(&order).await.expect(201);
    }

    let asked = Instant::now();
    let mut end = Box::pin(system.orders.terminate());
    let waits = timeout(Duration::from_secs(3), &mut end).await;
    assert!(waits.is_err(), "it left its events behind after {:?}", asked.elapsed());
    link.normal();
    assert_eq!(end.await.code(), Some(0));
    note!("orders with a slow broker: ended {:?} after SIGTERM", asked.elapsed());
    assert!(!system.orders.log_contains("event=outbox_not_flushed"));
    let counted = async || order_count(&system, "u1").await;
    eventually_equal(Duration::from_secs(10), "each order is counted", ORDERS, counted).await;

    // At an address where nobody listens, nothing that was left behind can leave unseen.
    system.orders.set_env("AMQP_URL", &format!("amqp://127.0.0.1:{}", ports::free()));
    system.orders.restart().await;
    assert_eq!(system.orders.metric("orders_outbox_pending").await, Some(0.0));
    system.finish().await;
}

async fn the_gateway_ends_in_time_while_a_request_on_each_of_its_ports_does_not_come_to_an_end() {
    // Twice as long would be too long.
    let drain =
        [("SHUTDOWN_DRAIN_MS", "14000"), ("GATEWAY_BODY_IDLE_MS", "60000"), ("GATEWAY_WHOLE_MS", "60000")];
    let setup = drain
        .iter()
        .fold(system().without_broker(), |setup, (name, value)| setup.env(Service::Gateway, name, value));
    let system = setup.start().await;
    let _public = half_a_request(system.api.base(), "/api/users").await;
    let _admin = half_a_request(system.gateway.internal.base(), "/dead-letters/replay").await;

    let asked = Instant::now();
    assert_eq!(system.gateway.terminate().await.code(), Some(0));
    note!("the gateway with two requests in progress: ended {:?} after SIGTERM", asked.elapsed());
    system.expect_no_broker();
    system.finish().await;
}

async fn a_service_ends_in_time_and_in_order_where_every_step_takes_as_long_as_it_may() {
    let longest = HttpConfig::DRAIN_MAX.as_millis().to_string();
    let setup = system().env(Service::Orders, "DEMO_FAULTS", "true");
    let system = start_services(setup.env(Service::Orders, "SHUTDOWN_DRAIN_MS", &longest)).await;
    let orders = &system.orders;
    let block = json!({ "kind": "block", "ms": 60_000 });
    orders.internal.post("/link/fault").json(&block).await.expect(202);
    let order = json!({ "userId": "u1", "items": ["book"] });
    orders.http.post("/orders").json(&order).await.expect(201);
    let mut visitors = Vec::new();
    for _ in 0..20 {
        visitors.push(TcpStream::connect(("127.0.0.1", orders.port())).await.expect("it listens"));
    }
    let mut request = half_a_request(orders.http.base(), "/orders").await;
    let clients = tokio::spawn(async move {
        // Requests keep coming in on connections that were there, so it is not quiet for as long as it waits for that.
        for visitor in &mut visitors {
            let _ = visitor.write_all(b"GET /health/live HTTP/1.1\r\nhost: orders\r\n\r\n").await;
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        // A body that comes byte by byte is waited for as long as the drain allows.
        while request.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });

    let asked = Instant::now();
    assert_eq!(orders.terminate().await.code(), Some(0));
    note!("orders, which waited for all that it may wait for: ended {:?} after SIGTERM", asked.elapsed());
    for cut_short in ["event=drain_cut_short", "event=outbox_not_flushed", "event=stopped"] {
        assert!(orders.log_contains(cut_short), "{cut_short}: {}", orders.log());
    }
    clients.abort();
    orders.restart().await;
    let counted = async || order_count(&system, "u1").await;
    eventually_equal(Duration::from_secs(10), "the order is counted", 1, counted).await;
    system.finish().await;
}

async fn a_drain_that_would_take_too_long_is_refused_at_the_start() {
    let system = system().without_broker().prepare().await;
    for child in [&system.orders, &system.gateway] {
        child.set_env("SHUTDOWN_DRAIN_MS", "16001");
        child.start();

        let status = child.ended(Duration::from_secs(10)).await;

        assert_eq!(status.code(), Some(i32::from(MISCONFIGURED)));
        assert!(child.log_contains("SHUTDOWN_DRAIN_MS must be at most 16000, not 16001"), "{}", child.log());
    }
    system.expect_no_broker();
    system.finish().await;
}

/// Sends the head of a request and not its whole body.
async fn half_a_request(base: &str, path: &str) -> TcpStream {
    let authority = base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(authority).await.expect("it listens");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.expect("it is taken");
    stream
}

/// Ends the service by SIGTERM while shoppers are at work, and starts it again; asserts that no call was cut off.
async fn end_again_and_again(system: &System, child: &Child, door: &Door, habits: Habits) -> Ledger {
    let story = format!("{} ends", child.service());
    let mut rng = seeded(&story);
    let shoppers = Shoppers::start(door, habits, &mut rng);

    let mut seen_draining = 0;
    for _ in 0..ROUNDS {
        shoppers.wait_placed(rng.usize(30..100)).await;
        let probe = Probe::start(child).await;
        let (refused, asked) = (refusals(&shoppers), Instant::now());
        let status = child.terminate().await;
        assert_eq!(refusals(&shoppers), refused, "refused while it ended, after what it had refused before");
        note!("{story}: {:?} after SIGTERM, {status}", asked.elapsed());
        assert_eq!(status.code(), Some(0), "{status}");
        assert!(asked.elapsed() < ENDS_WITHIN);
        seen_draining += u32::from(probe.saw_draining().await);
        assert!(!child.log_contains("event=outbox_not_flushed"), "events were left behind");
        assert!(!child.log_contains("event=drain_cut_short"), "requests were cut off");
        child.restart().await;
        eventually(Duration::from_secs(10), "it has its broker again", async || {
            let answer = child.http.get("/health/ready").await.text();
            if answer.contains("degraded") { Err(answer) } else { Ok(()) }
        })
        .await;
    }
    shoppers.wait_placed(30).await;
    let ledger = shoppers.go_home().await;

    ledger.print(&story);
    // A probe that gets no processor time may miss one drain.
    assert!(seen_draining > 0, "{} was never unready before it ended", child.service());
    assert!(ledger.unknown.is_empty(), "requests were cut off: {:?}", ledger.unknown);
    assert!(system.children().all(|child| child.exit_status().is_none()));
    ledger
}

/// How often each refusal was heard, but for the one that is true while users is away: nobody can check customers.
fn refusals(shoppers: &Shoppers) -> BTreeMap<String, u64> {
    let mut refused = shoppers.so_far(|ledger| ledger.refused.clone());
    refused.retain(|refusal, _| !refusal.starts_with("503 users unavailable"));
    refused
}

/// Asks for readiness over one kept connection, as an orchestrator would, until the service is gone.
struct Probe(tokio::task::JoinHandle<bool>, Arc<AtomicBool>);

impl Probe {
    async fn start(child: &Child) -> Self {
        let http = Http::new(child.http.base());
        // Connects, because a service that ends takes no new connection.
        http.get("/health/ready").await.expect(200);
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let task = tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                match http.get("/health/ready").send().await {
                    Ok(answer) if answer.status == 503 => return answer.text().contains("draining"),
                    Ok(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                    Err(_) => return false,
                }
            }
            false
        });
        Self(task, is_over)
    }

    async fn saw_draining(self) -> bool {
        self.1.store(true, Ordering::Relaxed);
        self.0.await.expect("a probe does not panic")
    }
}

warren::stories! {
    on both brokers:
        orders_ends_under_load_without_failing_a_request_it_took,
        users_ends_under_load_without_failing_a_request_it_took,
        the_gateway_ends_under_load_without_failing_a_request_it_took,
        services_that_end_while_their_broker_is_away_keep_their_events_for_the_next_start,
        a_service_does_not_end_before_its_events_have_left_if_the_broker_takes_them_in_time;
    on the embedded broker:
        a_service_ends_in_time_and_in_order_where_every_step_takes_as_long_as_it_may;
    without a broker:
        a_drain_that_would_take_too_long_is_refused_at_the_start,
        the_gateway_ends_in_time_while_a_request_on_each_of_its_ports_does_not_come_to_an_end;
}
