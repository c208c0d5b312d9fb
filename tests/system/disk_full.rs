//! The disk is full: no false 2xx, reads go on, writes resume when there is space again.

use std::time::{Duration, Instant};

use serde_json::json;
use warren::harness::{Folder, System, eventually};
use warren::note;
use warren::service::Service;

use crate::support::{
    Actors, Door, Habits, Shoppers, SmallDisk, can_mount, limit_files, seeded, start_services, wrapped,
};

/// How long the store fails: at a restart a second, that is more of them than an actor may have before its supervision
/// escalates.
const FAILS_FOR: Duration = Duration::from_secs(25);

async fn a_nearly_full_disk_refuses_requests_while_reads_and_events_go_on() {
    const RESERVE: u64 = 4 << 20;
    let Some((system, disk)) = on_small_disk(&[("STORE_RESERVE_BYTES", &RESERVE.to_string())]).await else {
        return;
    };
    let shoppers = Shoppers::start(&Door::internal(&system), Habits::default(), &mut seeded("nearly full"));
    shoppers.wait_placed(100).await;

    disk.fill_up_to(RESERVE - 8192);
    let refused = eventually(Duration::from_secs(10), "an order is refused", async || {
        let answer = order(&system).await;
        if answer.status == 201 { Err("accepted") } else { Ok(answer) }
    })
    .await;
    let problem = refused.clone().expect(503).json();
    assert_eq!(problem["error"], "storage full", "{refused}");
    assert!(refused.header("retry-after").is_some(), "{refused}");
    let known = shoppers.so_far(|ledger| ledger.placed.keys().next().cloned()).expect("an order was placed");
    system.orders.http.get(&format!("/orders/{known}")).await.expect(200);
    system.orders.http.post(&format!("/orders/{known}/cancel")).await.expect(503);
    // What was accepted before still leaves: the reserve is there for this.
    system.wait_outboxes_empty().await;
    let placed = shoppers.placed();
    assert_eq!(Actors::of(&system.orders).await.generation("repository"), 1);

    disk.clear();
    shoppers.wait_placed(50).await;
    let ledger = shoppers.go_home().await;
    ledger.print(&format!("nearly full, {placed} orders before"));
    ledger.audit(&system).await;
    system.finish().await;
}

async fn a_full_disk_accepts_nothing_falsely_and_the_service_lives_through_it() {
    let Some((system, disk)) = on_small_disk(&[("STORE_RESERVE_BYTES", "0")]).await else { return };
    let pid = system.orders.pid();
    let shoppers = Shoppers::start(&Door::internal(&system), Habits::default(), &mut seeded("full"));
    shoppers.wait_placed(100).await;

    disk.fill_up_to(0);
    the_store_fails_and_reads_go_on(&system, &shoppers).await;
    disk.clear();
    let cleared = Instant::now();
    shoppers.wait_placed(50).await;

    note!("full: 50 orders {:?} after there was space again", cleared.elapsed());
    let ledger = shoppers.go_home().await;
    ledger.print("full");
    assert_eq!(system.orders.pid(), pid);
    ledger.audit(&system).await;
    system.finish().await;
}

async fn a_file_that_may_not_grow_is_lived_through_like_a_full_disk() {
    let folder = Folder::new();
    let setup = wrapped(&folder);
    let system = start_services(setup.env(Service::Orders, "STORE_RESERVE_BYTES", "0")).await;
    let pid = system.orders.pid();
    let shoppers = Shoppers::start(&Door::internal(&system), Habits::default(), &mut seeded("no growth"));
    shoppers.wait_placed(100).await;

    // Less than the file has, so that even what it overwrites at its end fails.
    limit_files(&system.orders, Some(256 * 1024));
    the_store_fails_and_reads_go_on(&system, &shoppers).await;
    limit_files(&system.orders, None);
    let lifted = Instant::now();
    shoppers.wait_placed(50).await;

    note!("no growth: 50 orders {:?} after the bound was lifted", lifted.elapsed());
    let ledger = shoppers.go_home().await;
    ledger.print("no growth");
    assert_eq!(system.orders.pid(), pid);
    ledger.audit(&system).await;
    system.finish().await;
}

/// Waits until many writes have failed, and reads all the while.
async fn the_store_fails_and_reads_go_on(system: &System, shoppers: &Shoppers) {
    let known = shoppers.so_far(|ledger| ledger.placed.keys().next().cloned()).expect("an order was placed");
    let path = format!("/orders/{known}");
    let (mut reads, mut failed_reads, mut longest) = (0, 0, Duration::ZERO);
    let mut last_read = Instant::now();
    let troubles = |shoppers: &Shoppers| -> u64 {
        shoppers.so_far(|ledger| ledger.refused.values().sum::<u64>() + ledger.unknown.values().sum::<u64>())
    };
    let (before, begun) = (troubles(shoppers), Instant::now());
    eventually(FAILS_FOR * 2, "writes fail again and again", async || {
        assert!(system.orders.is_running(), "orders ended: {:?}", system.orders.exit_status());
        let answer = system.orders.http.get(&path).await;
        reads += 1;
        match answer.status.as_u16() {
            200 => {
                longest = longest.max(last_read.elapsed());
                last_read = Instant::now();
            }
            503 => failed_reads += 1,
            _ => panic!("{answer}"),
        }
        let failures = troubles(shoppers) - before;
        if failures > 100 && begun.elapsed() >= FAILS_FOR {
            Ok(())
        } else {
            Err(format!("{failures} failures"))
        }
    })
    .await;
    let actors = Actors::of(&system.orders).await;
    note!(
        "{reads} reads while the store failed, {failed_reads} refused, {longest:?} the longest time without one; \
         repository generation {}",
        actors.generation("repository")
    );
    assert!(longest < Duration::from_secs(10), "no read was answered for {longest:?}");
}

/// Orders on a disk of 16 MiB with these variables; `None`, said aloud, where the machine lets nobody mount.
async fn on_small_disk(variables: &[(&str, &str)]) -> Option<(System, SmallDisk)> {
    if !can_mount() {
        eprintln!(
            "left out: this machine lets us mount nothing, not even in a namespace of our own: \
             a_file_that_may_not_grow_is_lived_through_like_a_full_disk stands for this test"
        );
        return None;
    }
    let folder = Folder::new();
    let setup = wrapped(&folder);
    let setup = SmallDisk::give(setup, Service::Orders, "16m");
    let setup = variables.iter().fold(setup, |setup, (name, value)| setup.env(Service::Orders, name, value));
    let system = start_services(setup).await;
    let disk = SmallDisk::of(&system.orders, system.folder());
    Some((system, disk))
}

async fn order(system: &System) -> warren::http::Answer {
    system.orders.http.post("/orders").json(&json!({ "userId": "u1", "items": ["book"] })).await
}

warren::stories! {
    on both brokers:
        a_nearly_full_disk_refuses_requests_while_reads_and_events_go_on,
        a_full_disk_accepts_nothing_falsely_and_the_service_lives_through_it,
        a_file_that_may_not_grow_is_lived_through_like_a_full_disk;
}
