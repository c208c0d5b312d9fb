//! Users and orders are killed by signal 9 at random moments under load, again and again.

use std::time::{Duration, Instant};

use warren::harness::{Child, Folder, eventually};
use warren::note;
use warren::service::Service;

use crate::support::{Door, Habits, Shoppers, seeded, start_services, system};

/// For each service; a soak can ask for more with `WARREN_SOAK_KILLS`.
const KILLS: usize = 20;

async fn services_killed_at_random_moments_lose_and_double_nothing() {
    let kills = std::env::var("WARREN_SOAK_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    // By default orders trusts users again only a second after it has failed.
    let system = start_services(system().env(Service::Orders, "CUSTOMERS_BREAKER_OPEN_MS", "50")).await;
    let mut rng = seeded("services killed");
    let habits = Habits { orders_a_user: 20, ..Habits::default() };
    let shoppers = Shoppers::start(&Door::internal(&system), habits, &mut rng);
    let begun = Instant::now();

    for _ in 0..kills {
        let mut victims = [&system.users, &system.orders];
        rng.shuffle(&mut victims);
        for victim in victims {
            shoppers.wait_placed(rng.usize(1..25)).await;
            victim.kill9();
            victim.start();
            if rng.u8(0..4) == 0 {
                // Again, while it recovers.
                tokio::task::yield_now().await;
                victim.start();
            }
        }
    }
    note!("services killed: {} kills in {:?}", 2 * kills, begun.elapsed());
    shoppers.wait_placed(25).await;
    let ledger = shoppers.go_home().await;

    ledger.print("services killed");
    assert!(!ledger.unknown.is_empty(), "no kill met a request on its way, so the test proves nothing");
    ledger.audit(&system).await;
    system.finish().await;
}

async fn whoever_is_killed_while_it_makes_its_file_starts_on_what_is_there() {
    const ROUNDS: u32 = 20;
    let system = system().without_broker().prepare().await;
    let mut rng = seeded("killed at its first start");
    let folder = Folder::new();
    let users = &system.users;

    for round in 0..ROUNDS {
        let data = folder.path().join(round.to_string());
        users.set_env("DATA_DIR", &data.to_string_lossy());
        users.start();
        let is_begun = || {
            let entries = std::fs::read_dir(&data).into_iter().flatten().flatten();
            entries.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("users."))
        };
        eventually(Duration::from_secs(20), "it makes a file", async || match is_begun() {
            true => Ok(()),
            false => Err("there is none"),
        })
        .await;
        tokio::time::sleep(Duration::from_micros(rng.u64(0..12_000))).await;
        users.kill9();

        users.start();
        users.wait_ready().await;
        users.kill9();
    }
    system.expect_no_broker();
    system.finish().await;
}

async fn killing_anyone_the_gateway_too_loses_and_doubles_nothing() {
    const ROUNDS: usize = 5;
    let system = system().env(Service::Orders, "CUSTOMERS_BREAKER_OPEN_MS", "50").start().await;
    let mut rng = seeded("anyone killed");
    let shoppers = Shoppers::start(&Door::public(&system), Habits::default(), &mut rng);

    for _ in 0..ROUNDS {
        let mut victims: Vec<&Child> = system.children().collect();
        rng.shuffle(&mut victims);
        for victim in victims {
            shoppers.wait_placed(rng.usize(1..25)).await;
            victim.kill9();
            victim.start();
        }
    }
    shoppers.wait_placed(25).await;
    let ledger = shoppers.go_home().await;

    ledger.print("anyone killed");
    ledger.audit(&system).await;
    system.finish().await;
}

warren::stories! {
    on both brokers:
        services_killed_at_random_moments_lose_and_double_nothing,
        killing_anyone_the_gateway_too_loses_and_doubles_nothing;
    without a broker:
        whoever_is_killed_while_it_makes_its_file_starts_on_what_is_there;
}
