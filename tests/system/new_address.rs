//! A name leads to another address, as when a container is made anew, and the gateway follows.

use std::fs;
use std::time::Duration;

use warren::harness::{Folder, eventually};
use warren::service::Service;

use crate::support::{can_mount, problem, with_names};

async fn a_service_that_comes_back_at_another_address_is_found_again() {
    if !can_mount() {
        eprintln!("left out: this machine lets nobody mount anything");
        return;
    }
    let folder = Folder::new();
    let names = folder.path().join("hosts");
    fs::write(&names, "127.0.0.1 localhost\n127.0.0.2 users-of-warren\n").expect("the folder can be written");
    let setup = with_names(&folder, &names).env(Service::Users, "HOST", "127.0.0.2");
    // The harness looks for outboxes at 127.0.0.1, where users is not.
    let system = setup.without_broker().prepare().await;
    system.expect_no_broker();
    let url = format!("http://users-of-warren:{}", system.users.port());
    system.gateway.set_env("USER_URL", &url);
    system.orders.set_env("USER_URL", &url);
    let answers = async |status: u16| {
        eventually(Duration::from_secs(30), &format!("users answers {status}"), async || {
            let answer = system.api.get("/api/users/u1").await;
            if answer.status == status { Ok(answer) } else { Err(answer) }
        })
        .await
    };
    system.users.start();
    system.orders.start();
    system.gateway.restart().await;
    answers(200).await;

    system.users.kill9();
    problem(&answers(503).await, 503, "users unavailable");
    fs::write(&names, "127.0.0.1 localhost\n127.0.0.3 users-of-warren\n").expect("the folder can be written");
    system.users.set_env("HOST", "127.0.0.3");
    system.users.start();

    answers(200).await;
    assert!(system.gateway.log_contains("event=endpoints_changed upstream=users"), "it says so");
    system.finish().await;
}

warren::stories! {
    without a broker:
        a_service_that_comes_back_at_another_address_is_found_again;
}
