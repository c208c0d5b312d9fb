use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use actix::{Actor, ActorContext, Arbiter, Context, Handler, Message};

use super::*;
use crate::{
    backoff::Backoff,
    telemetry::metrics::Registry,
    timeline::{Incident, IncidentKind, Timeline},
};

/// Counts what it is told, and ends in the way it is told.
struct Counter {
    count: u32,
    life: Life,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Handler<Observe> for Counter {
    type Result = actix::MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        Observe::answer::<Self>(&self.count)
    }
}

#[derive(Message)]
#[rtype(result = "u32")]
struct Count;

impl Handler<Count> for Counter {
    type Result = u32;

    fn handle(&mut self, _: Count, _: &mut Self::Context) -> u32 {
        self.count += 1;
        self.count
    }
}

#[derive(Message)]
#[rtype(result = "()")]
enum End {
    Stop,
    Fail,
    Lose,
    Panic,
}

impl Handler<End> for Counter {
    type Result = ();

    fn handle(&mut self, end: End, context: &mut Self::Context) {
        match end {
            End::Stop => {}
            End::Fail => self.life.failed("out of order"),
            End::Lose => self.life.lost("the line"),
            End::Panic => panic!("on purpose"),
        }
        context.stop();
    }
}

const DEADLINE: Duration = Duration::from_secs(5);

fn quick(name: &str) -> Spec {
    Spec::new(name).backoff(Backoff::new(Duration::from_millis(1), Duration::from_millis(5)))
}

fn counter(life: Life) -> Result<Counter, Box<dyn std::error::Error + Send + Sync>> {
    Ok(Counter { count: 0, life })
}

/// Asks until a generation answers.
async fn count(handle: &Handle<Counter>) -> u32 {
    let counted = async {
        loop {
            if let Ok(count) = handle.ask(Count, DEADLINE).await {
                return count;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, counted).await.expect("the actor comes back")
}

/// What is told, oldest first.
fn incidents(supervisor: &Supervisor) -> Vec<Incident> {
    let mut incidents = supervisor.timeline().page(usize::MAX, None);
    incidents.reverse();
    incidents
}

#[actix::test]
async fn however_an_actor_ends_a_fresh_one_takes_its_place_and_the_cause_is_kept() {
    let supervisor = Supervisor::new("test", Timeline::open("test", None), &mut Registry::default());
    let handle = supervisor.supervise(&Arbiter::current(), quick("counter"), counter);

    for end in [End::Stop, End::Fail, End::Lose, End::Panic] {
        assert_eq!(count(&handle).await, 1, "every generation starts afresh");
        // The actor may end before it answers.
        let _ = handle.ask(end, DEADLINE).await;
    }
    count(&handle).await;

    let incidents = incidents(&supervisor);
    let causes: Vec<&str> = incidents.iter().map(|incident| incident.cause.as_str()).collect();
    assert_eq!(causes, ["stopped", "failed: out of order", "lost: the line", "panicked: on purpose"]);
    assert!(incidents.iter().all(|incident| incident.ended_at.is_some() && incident.attempts == 1));
    let report = supervisor.report().await;
    assert_eq!(report[0].generation, 5);
    assert_eq!(report[0].observed, Some(serde_json::json!(1)));
    assert_eq!(report[0].last_cause, Some(Exit::Panicked("on purpose".to_owned())));
    assert_eq!(report[0].mailbox, 0);
}

#[actix::test]
async fn a_factory_that_fails_or_panics_is_tried_again() {
    let supervisor = Supervisor::new("test", Timeline::open("test", None), &mut Registry::default());
    let tries = AtomicU32::new(0);

    let handle = supervisor.supervise(&Arbiter::current(), quick("counter"), move |life| {
        match tries.fetch_add(1, Ordering::Relaxed) {
            0 => Err("no file".into()),
            1 => panic!("no luck"),
            _ => counter(life),
        }
    });

    assert_eq!(count(&handle).await, 1);
    let incidents = incidents(&supervisor);
    let [incident] = incidents.as_slice() else { panic!("until it worked, all is one: {incidents:?}") };
    assert_eq!((incident.cause.as_str(), incident.attempts), ("failed: no file", 2));
    let last = supervisor.report().await[0].last_cause.clone();
    assert_eq!(last, Some(Exit::Panicked("no luck".to_owned())));
}

#[actix::test]
async fn an_injected_fault_ends_the_living_generation() {
    let supervisor = Supervisor::new("test", Timeline::open("test", None), &mut Registry::default());
    let handle = supervisor.supervise(&Arbiter::current(), quick("counter"), counter);
    assert_eq!(count(&handle).await, 1);
    assert_eq!(count(&handle).await, 2);

    supervisor.inject("counter", Fault::Panic).expect("the actor exists");

    let again = async { while count(&handle).await != 1 {} };
    tokio::time::timeout(DEADLINE, again).await.expect("a fresh generation counts from 1");
    assert_eq!(supervisor.inject("nobody", Fault::Stop), Err(NoSuchActor));
    let kinds: Vec<_> = incidents(&supervisor).into_iter().map(|incident| incident.kind).collect();
    assert_eq!(kinds, [IncidentKind::Operator, IncidentKind::Actor], "who asked for it, and what came of it");
}

#[actix::test]
async fn a_stalled_actor_does_nothing_loses_nothing_and_holds_up_nobody_else() {
    const LONG: Fault = Fault::Stall(Duration::from_secs(3600));
    let supervisor = Supervisor::new("test", Timeline::open("test", None), &mut Registry::default());
    let stalled = supervisor.supervise(&Arbiter::current(), quick("stalled"), counter);
    let other = supervisor.supervise(&Arbiter::current(), quick("other"), counter);
    assert_eq!((count(&stalled).await, count(&other).await), (1, 1));

    supervisor.inject("stalled", LONG).expect("the actor exists");
    let silent = async {
        let pause = Duration::from_millis(20);
        while stalled.ask(Observe, pause).await.is_ok() {
            tokio::time::sleep(pause).await;
        }
    };
    tokio::time::timeout(DEADLINE, silent).await.expect("it is silent soon");
    stalled.notify(Count);
    assert_eq!(count(&other).await, 2, "on the same thread");

    // The next fault takes the place of this one, and the end of a stall is the end of it.
    supervisor.inject("stalled", Fault::Stall(Duration::ZERO)).expect("the actor exists");
    assert_eq!(stalled.ask(Count, DEADLINE).await, Ok(3), "the same generation, and it has got its mail");
    let told: Vec<_> = incidents(&supervisor).into_iter().map(|it| (it.kind, it.subject, it.cause)).collect();
    let asked = |cause: &str| (IncidentKind::Operator, "stalled".to_owned(), cause.to_owned());
    assert_eq!(
        told,
        [asked("told to stall for 3600000 ms"), asked("told to stall for 0 ms")],
        "nothing has ended"
    );

    supervisor.inject("stalled", LONG).expect("the actor exists");
    tokio::task::yield_now().await;
    supervisor.inject("stalled", Fault::Panic).expect("the actor exists");
    let again = async {
        while stalled.ask(Count, DEADLINE).await != Ok(1) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, again).await.expect("a stalled actor can be ended");
}

#[actix::test]
async fn an_actor_that_keeps_failing_escalates_and_is_not_restarted_any_more() {
    let supervisor = Supervisor::new("test", Timeline::open("test", None), &mut Registry::default());
    let window = RestartWindow::new(3, Duration::from_secs(60));

    let handle =
        supervisor.supervise::<Counter, _>(&Arbiter::current(), quick("counter").window(window), |_| {
            Err("broken for good".into())
        });

    tokio::time::timeout(DEADLINE, supervisor.escalated()).await.expect("four failures are too many");
    assert!(supervisor.has_escalated());
    assert!(matches!(handle.ask(Count, DEADLINE).await, Err(AskError::Restarting { .. })));
    let incidents = incidents(&supervisor);
    assert_eq!((incidents.len(), incidents[0].attempts, incidents[0].ended_at), (1, 4, None));
}

#[actix::test]
async fn losing_something_outside_the_process_never_escalates() {
    let supervisor = Supervisor::new("test", Timeline::open("test", None), &mut Registry::default());
    let window = RestartWindow::new(3, Duration::from_secs(60));
    let handle = supervisor.supervise(&Arbiter::current(), quick("counter").window(window), counter);

    for _ in 0..10 {
        count(&handle).await;
        let _ = handle.ask(End::Lose, DEADLINE).await;
    }

    assert_eq!(count(&handle).await, 1);
    assert!(!supervisor.has_escalated());
}

#[actix::test]
async fn an_actor_that_says_itself_when_it_works_is_not_healthy_before() {
    let supervisor = Supervisor::new("test", Timeline::open("test", None), &mut Registry::default());
    let (tell, told) = std::sync::mpsc::channel();
    let handle =
        supervisor.supervise(&Arbiter::current(), quick("counter").healthy_when_it_says_so(), move |life| {
            tell.send(life.clone()).expect("the test listens");
            counter(life)
        });
    assert_eq!(count(&handle).await, 1);

    assert!(!handle.is_healthy());
    told.recv().expect("the actor was built").healthy();

    assert!(handle.is_healthy());
}

#[actix::test]
async fn stopping_drops_every_actor_and_restarts_none() {
    let supervisor = Supervisor::new("test", Timeline::open("test", None), &mut Registry::default());
    let handle = supervisor.supervise(&Arbiter::current(), quick("counter"), counter);
    count(&handle).await;

    tokio::time::timeout(DEADLINE, supervisor.stop()).await.expect("the guardian ends");

    assert!(matches!(handle.ask(Count, DEADLINE).await, Err(AskError::Restarting { .. })));
}
