//! Those who watch the console cost little, and nothing while they do not.

use std::time::{Duration, Instant};

use serde_json::Value;
use warren::harness::eventually;
use warren::note;

use crate::support::{Viewer, system, wire};

/// Whoever watches is served, or missed, long before; a busy machine gets more.
const SOON: Duration = Duration::from_secs(30);

/// What they cost is measured for at least so long.
const MEASURED: Duration = Duration::from_secs(5);

async fn ten_viewers_see_the_same_and_the_sixty_fifth_is_asked_to_come_again() {
    let system = system().without_broker().start().await;
    let mut viewers = Vec::new();
    for _ in 0..10 {
        viewers.push(Viewer::of(&system).await);
    }
    for viewer in &mut viewers {
        viewer.until(SOON, "all watch", |state| watching(state) == Some(10)).await;
    }
    let (begun, used) = (Instant::now(), cpu_ms(system.gateway.pid()));
    let mut pictures = Vec::new();
    for viewer in &mut viewers {
        let mut seen = Vec::new();
        for _ in 0..6 {
            seen.push(viewer.state().await.to_string());
        }
        pictures.push(seen);
    }
    while begun.elapsed() < MEASURED {
        for viewer in &mut viewers {
            viewer.state().await;
        }
    }
    let (took, used) = (begun.elapsed(), cpu_ms(system.gateway.pid()) - used);
    note!("ten viewers cost {used} ms of a core in {took:?}");
    assert!(u128::from(used) <= took.as_millis() / 10, "more than a tenth: {used} ms of a core in {took:?}");
    for seen in &pictures {
        // Where one began a picture earlier, the others are still the same ones.
        assert!(seen.iter().filter(|picture| pictures[0].contains(picture)).count() >= 4, "the same bytes");
    }

    for _ in viewers.len()..64 {
        viewers.push(Viewer::of(&system).await);
    }
    let refused = Viewer::watch(&system).await.err().expect("there is no place");
    assert_eq!(wire::status(&refused), 503, "{refused}");
    assert!(refused.contains("too many viewers"), "{refused}");
    system.gateway.internal.get("/console/state").await.expect(200);
    drop(viewers);

    // The gateway notices their end when it writes to them.
    let place = async || Viewer::watch(&system).await;
    let mut last = eventually(SOON, "there is a place again", place).await;
    last.until(SOON, "the others have left", |state| watching(state) == Some(1)).await;
    // The gateway does not wait for those who watch.
    let stopped = Instant::now();
    assert!(system.gateway.terminate().await.success());
    last.ended().await;
    note!("stopped within {:?} while somebody watched", stopped.elapsed());
    system.expect_no_broker();
    system.finish().await;
}

async fn nobody_is_asked_while_nobody_watches() {
    let system = system().without_broker().start().await;
    let asked = async || {
        let metrics = system.users.internal.get("/metrics").await.expect(200).text();
        let counted = metrics.lines().find(|line| {
            line.starts_with("users_http_requests_total{") && line.contains("route=\"/actors\"")
        });
        counted.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    assert_eq!(asked().await, 0.0);

    let watching = Viewer::of(&system).await;
    eventually(SOON, "users is asked", async || match asked().await {
        0.0..3.0 => Err("hardly ever"),
        _ => Ok(()),
    })
    .await;
    drop(watching);

    // The gateway notices a viewer's end when it writes to it.
    eventually(SOON, "users is left alone", async || {
        let before = asked().await;
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let after = asked().await;
        if before == after { Ok(()) } else { Err(format!("{before}, then {after}")) }
    })
    .await;
    system.expect_no_broker();
    system.finish().await;
}

/// How many watch, as the board says itself.
fn watching(state: &Value) -> Option<u64> {
    let actors = state["gateway"]["actors"].as_array()?;
    actors.iter().find(|actor| actor["name"] == "status-board")?["observed"]["viewers"].as_u64()
}

/// What a process has used of a core so far.
fn cpu_ms(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The name before may hold anything but a closing parenthesis at the end.
    let fields = stat.rsplit(')').next().expect("a name").split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10
}

warren::stories! {
    without a broker:
        ten_viewers_see_the_same_and_the_sixty_fifth_is_asked_to_come_again,
        nobody_is_asked_while_nobody_watches;
}
