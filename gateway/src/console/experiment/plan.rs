use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Longest fault, as the services take it.
const MS_MOST: u64 = 60_000;
const MS_DEFAULT: u64 = 5000;

/// Most orders of one experiment.
const ORDERS_MOST: u64 = 10_000;
const ORDERS_DEFAULT: u64 = 1000;

/// The services that experiments are made on.
pub const SERVICES: [&str; 2] = ["users", "orders"];

/// The actor that stands for its whole service when that is stalled: nothing is read or written without it.
const REPOSITORY: &str = "repository";

/// What can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// An actor panics.
    CrashActor,
    /// The sockets of a service's link to the broker are shut down, and no other link is made for a while.
    CutLink,
    /// A service's link behaves for a while as if the broker took no messages.
    BlockLink,
    /// A service's process is killed as by `kill -9`.
    KillProcess,
    /// A service reads and writes nothing for a while.
    StallService,
    /// Nothing is broken: many orders at once.
    PlaceOrders,
}

impl Kind {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 6] = [
        Self::CrashActor,
        Self::CutLink,
        Self::BlockLink,
        Self::KillProcess,
        Self::StallService,
        Self::PlaceOrders,
    ];

    /// What else a wish of this kind may say.
    fn members(self) -> &'static [&'static str] {
        match self {
            Self::CrashActor => &["service", "actor"],
            Self::CutLink | Self::BlockLink | Self::StallService => &["service", "ms"],
            Self::KillProcess => &["service"],
            Self::PlaceOrders => &["orders"],
        }
    }

    /// What it is called.
    pub fn title(self) -> &'static str {
        match self {
            Self::CrashActor => "Crash an actor",
            Self::CutLink => "Cut the link to the broker",
            Self::BlockLink => "Block the link to the broker",
            Self::KillProcess => "Kill a process",
            Self::StallService => "Stall a service",
            Self::PlaceOrders => "Place orders",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A unit variant is written as its name.
        self.serialize(f)
    }
}

/// What is going to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// A service fails in some way.
    Break(Breaking),
    /// So many orders are placed as fast as they are answered.
    PlaceOrders(u64),
}

/// How a service fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaking {
    /// Which kind.
    pub kind: Kind,
    /// Which service.
    pub service: String,
    /// Which actor, where the kind is about one; whether there is such an actor, the service knows.
    pub actor: String,
    /// For how long; 0 where it is over as soon as it has begun.
    pub ms: u64,
}

impl Plan {
    /// Makes a plan of what somebody asks for; what is left out has a default, but for the kind and the service.
    ///
    /// # Errors
    /// Names what is wrong with it, and what is possible instead.
    pub fn of(wish: &Map<String, Value>) -> Result<Self, String> {
        let said = wish.get("kind").unwrap_or(&Value::Null);
        let kind = Kind::deserialize(said).map_err(|_| {
            let known = Kind::ALL.map(|kind| kind.to_string()).join(", ");
            format!("kind must be one of {known}, not {said}")
        })?;
        let members = kind.members();
        if let Some(other) = wish.keys().find(|name| *name != "kind" && !members.contains(&name.as_str())) {
            return Err(format!("{other:?} means nothing to {kind}, which takes {}", members.join(" and ")));
        }
        if kind == Kind::PlaceOrders {
            return Ok(Self::PlaceOrders(number(wish, "orders", ORDERS_DEFAULT, ORDERS_MOST)?));
        }
        let service = named(wish, "service", &SERVICES)?;
        let ms = match members.contains(&"ms") {
            true => number(wish, "ms", MS_DEFAULT, MS_MOST)?,
            false => 0,
        };
        let actor = match kind {
            Kind::CutLink | Kind::BlockLink => "broker",
            _ => match wish.get("actor").unwrap_or(&Value::Null) {
                Value::Null => REPOSITORY,
                Value::String(actor) => actor,
                other => {
                    return Err(format!(
                        "actor must be the name of an actor, such as {REPOSITORY}, not {other}"
                    ));
                }
            },
        };
        Ok(Self::Break(Breaking { kind, service: service.to_owned(), actor: actor.to_owned(), ms }))
    }

    /// Of which kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Break(Breaking { kind, .. }) => *kind,
            Self::PlaceOrders(_) => Kind::PlaceOrders,
        }
    }

    /// Says in a few words what is going to happen.
    pub fn title(&self) -> String {
        match self {
            Self::PlaceOrders(orders) => format!("Place {orders} orders"),
            Self::Break(Breaking { kind, service, actor, ms }) => match kind {
                Kind::CrashActor => format!("Crash {actor} of {service}"),
                Kind::CutLink => format!("Cut the link of {service} to the broker for {ms} ms"),
                Kind::BlockLink => format!("Block the link of {service} to the broker for {ms} ms"),
                Kind::KillProcess => format!("Kill the process of {service}"),
                Kind::StallService => format!("Stall {service} for {ms} ms"),
                Kind::PlaceOrders => kind.title().to_owned(),
            },
        }
    }
}

impl Breaking {
    /// Where the service is told, and what.
    pub fn request(&self) -> (String, Value) {
        let Self { kind, actor, ms, .. } = self;
        let actor_path = || format!("/actors/{actor}/fault");
        match kind {
            Kind::CutLink => ("/link/fault".to_owned(), serde_json::json!({ "kind": "cut", "ms": ms })),
            Kind::BlockLink => ("/link/fault".to_owned(), serde_json::json!({ "kind": "block", "ms": ms })),
            Kind::KillProcess => ("/process/fault".to_owned(), serde_json::json!({ "kind": "kill" })),
            Kind::StallService => (actor_path(), serde_json::json!({ "kind": "stall", "ms": ms })),
            Kind::CrashActor | Kind::PlaceOrders => (actor_path(), serde_json::json!({ "kind": "panic" })),
        }
    }
}

/// Reads a member that is one of a few names.
fn named<'a>(wish: &'a Map<String, Value>, member: &str, known: &[&str]) -> Result<&'a str, String> {
    let said = wish.get(member).unwrap_or(&Value::Null);
    match said.as_str() {
        Some(name) if known.contains(&name) => Ok(name),
        _ => Err(format!("{member} must be one of {}, not {said}", known.join(", "))),
    }
}

/// Reads a member that is a number from 1 to `most`.
fn number(wish: &Map<String, Value>, member: &str, default: u64, most: u64) -> Result<u64, String> {
    let said = wish.get(member).unwrap_or(&Value::Null);
    match said.as_u64() {
        None if said.is_null() => Ok(default),
        Some(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(format!("{member} must be a number from 1 to {most}, not {said}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(wish: Value) -> Result<Plan, String> {
        Plan::of(wish.as_object().expect("a wish is an object"))
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let titles = [
            json!({ "kind": "crashActor", "service": "users" }),
            json!({ "kind": "crashActor", "service": "users", "actor": "consumer:users.order-created" }),
            json!({ "kind": "cutLink", "service": "orders" }),
            json!({ "kind": "blockLink", "service": "orders", "ms": 250 }),
            json!({ "kind": "killProcess", "service": "users" }),
            json!({ "kind": "stallService", "service": "users" }),
            json!({ "kind": "placeOrders" }),
        ]
        .map(|wish| plan(wish).expect("a sound wish").title());

        assert_eq!(
            titles,
            [
                "Crash repository of users",
                "Crash consumer:users.order-created of users",
                "Cut the link of orders to the broker for 5000 ms",
                "Block the link of orders to the broker for 250 ms",
                "Kill the process of users",
                "Stall users for 5000 ms",
                "Place 1000 orders"
            ]
        );
    }

    #[test]
    fn a_wish_that_cannot_be_granted_is_told_why() {
        for (wish, why) in [
            (json!({ "kind": "crashActor" }), "service must be one of users, orders, not null"),
            (json!({ "kind": "flood" }), "kind must be one of crashActor, cutLink,"),
            (json!({ "service": "users" }), "kind must be one of"),
            (
                json!({ "kind": "cutLink", "service": "users", "actr": 1 }),
                "\"actr\" means nothing to cutLink",
            ),
            (json!({ "kind": "crashActor", "service": "users", "actor": 7 }), "actor must be the name"),
            (json!({ "kind": "stallService", "service": "users", "ms": "5 s" }), "not \"5 s\""),
            (json!({ "kind": "cutLink", "service": "gateway" }), "service must be one of"),
            (
                json!({ "kind": "cutLink", "service": "users", "ms": 0 }),
                "ms must be a number from 1 to 60000",
            ),
            (json!({ "kind": "stallService", "service": "users", "ms": 60_001 }), "ms must be"),
            (
                json!({ "kind": "crashActor", "service": "users", "ms": 9 }),
                "\"ms\" means nothing to crashActor, which takes service and actor",
            ),
            (
                json!({ "kind": "cutLink", "service": "users", "actor": "relay" }),
                "\"actor\" means nothing to cutLink",
            ),
            (json!({ "kind": "placeOrders", "service": "users" }), "which takes orders"),
            (json!({ "kind": "placeOrders", "orders": 10_001 }), "orders must be a number from 1 to 10000"),
            (json!({ "kind": "placeOrders", "orders": 0 }), "orders must be"),
        ] {
            let said = plan(wish.clone()).expect_err("it cannot be granted");
            assert!(said.contains(why), "{wish}: {said}");
        }
    }

    #[test]
    fn a_service_is_told_what_it_understands() {
        let request = |wish| match plan(wish) {
            Ok(Plan::Break(breaking)) => breaking.request(),
            other => panic!("{other:?}"),
        };

        assert_eq!(
            request(json!({ "kind": "cutLink", "service": "orders", "ms": 7 })),
            ("/link/fault".to_owned(), json!({ "kind": "cut", "ms": 7 }))
        );
        assert_eq!(
            request(json!({ "kind": "stallService", "service": "users", "ms": 7 })),
            ("/actors/repository/fault".to_owned(), json!({ "kind": "stall", "ms": 7 }))
        );
        assert_eq!(
            request(json!({ "kind": "crashActor", "service": "users", "actor": "relay" })),
            ("/actors/relay/fault".to_owned(), json!({ "kind": "panic" }))
        );
    }
}
