//! What the commands around logging in do to a store in memory.

use std::time::Duration;

use common::{
    auth::SigningKey,
    config::Environment,
    store::{Repository, RepositoryHandle, Shortage, StoreConfig, StoreMetrics},
    supervision::{Spec, Supervisor},
    telemetry::{metrics::Registry, trace::Origin},
    timeline::Timeline,
};

use super::*;
use crate::domain::{Email, KeySchedule, Name, UserId};

async fn store() -> RepositoryHandle {
    let mut registry = Registry::default();
    let (supervisor, metrics) = (
        Supervisor::new("test", Timeline::open("test", None), &mut registry),
        StoreMetrics::register("test", &mut registry),
    );
    let mut env = Environment::from_pairs([("STORE".to_owned(), "memory".to_owned())]);
    let config = StoreConfig::from_env(&mut env);
    let repository = supervisor.supervise_here(Spec::new("repository"), move |life| {
        Ok(Repository::open("test", &config, metrics.clone(), Shortage::default(), drop, life)?)
    });
    while !repository.is_healthy() {
        tokio::task::yield_now().await;
    }
    // What it supervises lives as long as the supervisor.
    std::mem::forget(supervisor);
    RepositoryHandle::new(repository, Duration::from_secs(10))
}

fn email(raw: &str) -> Email {
    Email::parse(raw).expect("a sound address")
}

fn hash(raw: &str) -> PasswordHash {
    PasswordHash(raw.to_owned())
}

async fn register(store: &RepositoryHandle, id: &str, address: &str, password: Option<PasswordHash>) {
    let name = Name::parse("Ada").expect("a sound name");
    let (id, email) = (UserId::given(id), email(address));
    let command = RegisterUser { id, name, email, password, origin: Origin::fresh() };
    store.write(command).await.expect("stored").expect("the address is free");
}

async fn login(store: &RepositoryHandle, address: &str) -> Option<Login> {
    store.read(FindLogin { email: email(address) }).await.expect("read")
}

#[actix::test]
async fn a_password_is_given_only_to_who_has_none() {
    let store = store().await;
    register(&store, "u1", "ada@example.com", None).await;
    let id = UserId::given("u1");
    let give = async |id: &UserId, password: &str| {
        store.write(GivePassword { id: id.clone(), password: hash(password) }).await.expect("stored");
    };

    assert_eq!(login(&store, "ada@example.com").await.and_then(|login| login.password), None);
    give(&id, "first").await;
    give(&id, "second").await;
    give(&UserId::given("u2"), "third").await;

    let known = login(&store, "Ada@Example.com").await.expect("she exists");
    assert_eq!((known.id, known.role, known.password), (id, Role::User, Some(hash("first"))));
}

#[actix::test]
async fn an_admin_is_who_has_the_address_or_somebody_new() {
    let store = store().await;
    register(&store, "u1", "ada@example.com", Some(hash("hers"))).await;
    let make = async |address: &str| {
        let (name, email) = (Name::parse("Admin").expect("a sound name"), email(address));
        let (id, password, origin) = (UserId::given("a1"), hash("given"), Origin::fresh());
        store.write(MakeAdmin { id, name, email, password, origin }).await.expect("stored");
        login(&store, address).await.expect("it exists")
    };
    let admin = |id: &str| Login { id: UserId::given(id), role: Role::Admin, password: Some(hash("given")) };

    assert_eq!(make("ADA@example.com").await, admin("u1"));
    assert_eq!(make("root@example.com").await, admin("a1"));
    assert_eq!(make("root@example.com").await, admin("a1"), "once more changes nothing");
}

#[actix::test]
async fn keys_are_made_when_they_are_due_and_go_when_they_are_over() {
    let store = store().await;
    let maintain = async |number: u8, schedule: KeySchedule| {
        let fresh = SigningKey::from_seed(&[number; 32], 0);
        let kept = store.write(MaintainKeys { schedule, fresh }).await.expect("stored");
        kept.iter().map(|kept| kept.key.expose_seed()[0]).collect::<Vec<_>>()
    };
    let later = KeySchedule { signs_for_s: 86_400, ahead_s: 120, stays_s: 3600 };
    // Whoever has just begun to sign is followed at once.
    let now = KeySchedule { signs_for_s: 0, ahead_s: 0, ..later };

    assert_eq!(maintain(1, later).await, [1], "the first key");
    assert_eq!(maintain(2, later).await, [1], "none is due");
    assert_eq!(maintain(3, now).await, [1, 3], "the one before stays for its tokens");
    assert_eq!(maintain(4, KeySchedule { stays_s: 0, ..later }).await, [3], "they have expired");
}
