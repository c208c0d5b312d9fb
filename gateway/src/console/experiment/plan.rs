use serde::{Deserialize, Serialize};

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

/// What somebody asks for; what is left out has a default, but for the service.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wish {
    /// What is to be broken.
    pub kind: Kind,
    /// Of which service.
    pub service: Option<String>,
    /// Which actor.
    pub actor: Option<String>,
    /// For how many milliseconds.
    pub ms: Option<u64>,
    /// How many orders.
    pub orders: Option<u64>,
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
    /// Which actor, where the kind is about one.
    pub actor: String,
    /// For how long; 0 where it is over as soon as it has begun.
    pub ms: u64,
}

impl Plan {
    /// Makes a plan of a wish.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn of(wish: Wish) -> Result<Self, String> {
        let Wish { kind, service, actor, ms, orders } = wish;
        if kind == Kind::PlaceOrders {
            let orders = orders.unwrap_or(ORDERS_DEFAULT);
            return match (1..=ORDERS_MOST).contains(&orders) {
                true => Ok(Self::PlaceOrders(orders)),
                false => Err(format!("orders must be a number from 1 to {ORDERS_MOST}, not {orders}")),
            };
        }
        let service = service.unwrap_or_default();
        if !SERVICES.contains(&service.as_str()) {
            return Err(format!("service must be one of {}, not {service:?}", SERVICES.join(", ")));
        }
        let ms = match kind {
            Kind::CrashActor | Kind::KillProcess => 0,
            _ => ms.unwrap_or(MS_DEFAULT),
        };
        if ms > MS_MOST || (ms == 0 && !matches!(kind, Kind::CrashActor | Kind::KillProcess)) {
            return Err(format!("ms must be a number from 1 to {MS_MOST}, not {ms}"));
        }
        let actor = match kind {
            Kind::CrashActor => actor.unwrap_or_else(|| REPOSITORY.to_owned()),
            Kind::CutLink | Kind::BlockLink => "broker".to_owned(),
            _ => REPOSITORY.to_owned(),
        };
        // It becomes part of a path; names have a shape, and whether there is such an actor the service knows.
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if actor.is_empty() || actor.len() > 100 || !actor.bytes().all(is_name) {
            return Err(format!("actor must be the name of an actor such as {REPOSITORY}, not {actor:?}"));
        }
        Ok(Self::Break(Breaking { kind, service, actor, ms }))
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
    pub fn request(&self) -> (String, serde_json::Value) {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(wish: serde_json::Value) -> Result<Plan, String> {
        Plan::of(serde_json::from_value(wish).expect("a wish"))
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let titles = [
            json!({ "kind": "crashActor", "service": "users" }),
            json!({ "kind": "crashActor", "service": "users", "actor": "consumer:users.order-created", "ms": 9 }),
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
            (json!({ "kind": "crashActor" }), "service must be one of users, orders, not \"\""),
            (json!({ "kind": "cutLink", "service": "gateway" }), "service must be one of"),
            (
                json!({ "kind": "cutLink", "service": "users", "ms": 0 }),
                "ms must be a number from 1 to 60000",
            ),
            (json!({ "kind": "stallService", "service": "users", "ms": 60_001 }), "ms must be"),
            (json!({ "kind": "crashActor", "service": "users", "actor": "../x" }), "actor must be"),
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
