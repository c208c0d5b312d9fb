//! What can go wrong.

use std::fmt;
use std::ops::Range;

use clap::ValueEnum;
use fastrand::Rng;

use crate::broker::faults::{Effect, Moment, Order, Rule, Selection};
use crate::fault_proxy::Direction;
use crate::service::Service;

/// Which broker is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BrokerChoice {
    /// Warren's own, which can also be told to fail at an exact moment
    Embedded,
    /// A private node of the installed RabbitMQ
    #[value(name = "rabbitmq")]
    RabbitMq,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// A service is killed by signal 9 and started again
    Kill,
    /// A service stands still (SIGSTOP) and goes on
    Stop,
    /// A service is asked to end (SIGTERM) and started again
    Term,
    /// An actor panics, or stops
    Actor,
    /// An actor stands still and goes on, while the rest of its service does not wait
    Stall,
    /// The disk of a service is full
    DiskFull,
    /// The broker is killed by signal 9 and started again
    BrokerKill,
    /// The broker stands still (SIGSTOP) and goes on
    BrokerStop,
    /// The broker takes no messages, for want of memory
    BrokerBlock,
    /// The network to the broker ends, delays or holds back what it should carry
    Network,
    /// The network to the broker loses everything, and nobody hears of it
    BlackHole,
    /// The network over which one service asks another ends, delays or holds back what it should carry
    Http,
    /// The network over which one service asks another loses everything, and nobody hears of it
    HttpBlackHole,
    /// The broker drops connections
    BrokerDrop,
    /// The broker drops and refuses connections
    BrokerRefuse,
    /// The broker is silent on connections that stay open
    BrokerSilence,
    /// The broker cancels consumers
    CancelConsumers,
    /// The broker closes channels
    CloseChannels,
    /// The broker drops a connection at an exact moment
    DropAt,
    /// The broker ends at an exact moment
    CrashAt,
    /// The broker answers publishes with a nack
    Nack,
    /// The broker returns messages as unroutable
    Return,
    /// Confirms come late
    DelayConfirms,
    /// Confirms come in reverse
    ReorderConfirms,
    /// Messages are delivered late
    DelayDeliveries,
    /// Messages are delivered in reverse
    ReorderDeliveries,
    /// Messages are delivered twice
    DeliverTwice,
}

/// What a fault harms. Two faults that last at the same time harm different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A service, or its disk.
    Service(Service),
    /// The broker, or the network to it.
    Broker,
    /// The network between two services.
    Link(Link),
}

/// Where one service asks another, over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// For whatever clients want of users.
    GatewayToUsers,
    /// For whatever clients want of orders.
    GatewayToOrders,
    /// For a customer of whom orders has not heard yet.
    OrdersToUsers,
}

/// One fault, with all that was drawn for it.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// [`Kind::Kill`].
    Kill(Service),
    /// [`Kind::Stop`].
    Stop(Service),
    /// [`Kind::Term`].
    Term(Service),
    /// [`Kind::Actor`].
    Actor(Service, &'static str, End),
    /// [`Kind::Stall`].
    Stall(Service, &'static str),
    /// [`Kind::DiskFull`].
    DiskFull(Service),
    /// [`Kind::BrokerKill`].
    BrokerKill,
    /// [`Kind::BrokerStop`].
    BrokerStop,
    /// [`Kind::BrokerBlock`].
    BrokerBlock,
    /// [`Kind::Network`] and [`Kind::BlackHole`].
    Network(Harm),
    /// [`Kind::Http`] and [`Kind::HttpBlackHole`].
    Http(Link, Harm),
    /// Any other: the embedded broker is told to.
    Ordered(Kind, Order),
}

/// How an actor ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By a panic.
    Panic,
    /// Without a word.
    Stop,
}

/// What a network does to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// They are closed.
    Cut,
    /// They are reset.
    Reset,
    /// They are closed, and no new ones can be made.
    Refuse,
    /// One end hears that the other has closed, which it has not.
    HalfClose(Direction),
    /// One is closed in the middle of what it carries: after so many bytes.
    CutAfter(Direction, u64),
    /// Everything arrives so many milliseconds later, and up to as many more.
    Delay(u64),
    /// So many bytes a second arrive on each.
    Throttle(u64),
    /// Nothing arrives until it is over, then everything does.
    Hold,
    /// Nothing arrives any more, and those that are open stay so.
    Lose,
}

/// The services that keep something, and publish and consume events.
pub(super) const KEEPERS: [Service; 2] = [Service::Users, Service::Orders];

/// What users and orders consume.
const QUEUES: [&str; 3] = ["users.order-created", "users.order-cancelled", "orders.user-created"];

/// The actors of each service.
const ACTORS: [(Service, &str); 13] = [
    (Service::Users, "repository"),
    (Service::Users, "broker"),
    (Service::Users, "relay"),
    (Service::Users, "consumer:users.order-created"),
    (Service::Users, "consumer:users.order-cancelled"),
    (Service::Users, "signing-keys"),
    (Service::Orders, "repository"),
    (Service::Orders, "broker"),
    (Service::Orders, "relay"),
    (Service::Orders, "consumer:orders.user-created"),
    (Service::Orders, "customers"),
    (Service::Gateway, "upstream-health"),
    (Service::Gateway, "proxy-0"),
];

impl Kind {
    /// Its name, as in the options.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether this broker can be made to.
    pub fn is_possible_on(self, broker: BrokerChoice) -> bool {
        broker == BrokerChoice::Embedded || self <= Self::HttpBlackHole
    }

    /// How long it lasts, in milliseconds.
    pub(super) fn length(self) -> Range<u64> {
        match self {
            Self::Term | Self::Actor | Self::BrokerDrop | Self::CancelConsumers | Self::CloseChannels => 0..1,
            Self::Kill => 0..3_000,
            Self::Stop | Self::Stall => 500..6_000,
            Self::DiskFull => 1_000..5_000,
            Self::BrokerKill => 0..5_000,
            // Silence is noticed after 12.5 s; some are longer.
            Self::BrokerStop | Self::BrokerSilence => 1_000..16_000,
            Self::BrokerBlock => 1_000..8_000,
            Self::BrokerRefuse => 500..5_000,
            // A connection that has lost something is found dead after at most 12.5 s, so that this is over by then.
            Self::BlackHole => 13_000..17_000,
            // The gateway gives up after 5 s, orders after 3 s: some are longer.
            Self::HttpBlackHole => 1_000..8_000,
            _ => 1_000..4_000,
        }
    }
}

impl Fault {
    /// Draws one of this kind.
    pub(super) fn draw(kind: Kind, rng: &mut Rng) -> Self {
        let service = Service::ALL[rng.usize(0..Service::ALL.len())];
        let keeper = KEEPERS[rng.usize(0..KEEPERS.len())];
        let link = Link::ALL[rng.usize(0..Link::ALL.len())];
        let connections = match rng.u8(0..3) {
            0 => Selection::all(),
            _ => Selection::named(keeper.name()),
        };
        let moment = |of: &[Moment], rng: &mut Rng| of[rng.usize(0..of.len())];
        let anywhere = &Moment::ALL[..7];
        let confirms = rng.u64(20..500);
        let rule = |at, effect, times| Order::Rule(Rule::new(at, effect).times(times));

        let order = match kind {
            Kind::Kill => return Self::Kill(service),
            Kind::Stop => return Self::Stop(service),
            Kind::Term => return Self::Term(service),
            Kind::Actor => {
                let (service, actor) = ACTORS[rng.usize(0..ACTORS.len())];
                return Self::Actor(service, actor, if rng.bool() { End::Panic } else { End::Stop });
            }
            Kind::Stall => {
                let (service, actor) = ACTORS[rng.usize(0..ACTORS.len())];
                return Self::Stall(service, actor);
            }
            Kind::DiskFull => return Self::DiskFull(keeper),
            Kind::BrokerKill => return Self::BrokerKill,
            Kind::BrokerStop => return Self::BrokerStop,
            Kind::BrokerBlock => return Self::BrokerBlock,
            Kind::Network => return Self::Network(Harm::draw(rng)),
            Kind::BlackHole => return Self::Network(Harm::Lose),
            Kind::Http => return Self::Http(link, Harm::draw(rng)),
            Kind::HttpBlackHole => return Self::Http(link, Harm::Lose),
            Kind::BrokerDrop => Order::Drop { connections },
            Kind::BrokerRefuse => Order::Refuse { for_ms: None },
            Kind::BrokerSilence => Order::Silence { connections, for_ms: None },
            Kind::CancelConsumers => {
                Order::CancelConsumers { queue: QUEUES[rng.usize(0..QUEUES.len())].to_owned() }
            }
            Kind::CloseChannels => Order::CloseChannels {
                connections,
                code: [404, 406, 541][rng.usize(0..3)],
                text: "chaos".to_owned(),
            },
            Kind::DropAt => {
                Order::Rule(Rule::new(moment(anywhere, rng), Effect::Drop).skip(rng.u64(0..300)).times(3))
            }
            Kind::CrashAt => {
                Order::Rule(Rule::new(moment(anywhere, rng), Effect::Crash).skip(rng.u64(0..300)))
            }
            Kind::Nack => rule(Moment::PublishReceived, Effect::Nack, confirms),
            Kind::Return => rule(Moment::PublishReceived, Effect::Return, confirms),
            Kind::DelayConfirms => {
                rule(Moment::PublishStored, Effect::Delay { ms: rng.u64(50..2_000) }, confirms)
            }
            Kind::ReorderConfirms => {
                rule(Moment::PublishStored, Effect::Reorder { count: rng.u32(2..50) }, confirms)
            }
            Kind::DelayDeliveries => {
                rule(Moment::BeforeDelivery, Effect::Delay { ms: rng.u64(50..2_000) }, confirms)
            }
            Kind::ReorderDeliveries => {
                rule(Moment::BeforeDelivery, Effect::Reorder { count: rng.u32(2..50) }, confirms)
            }
            Kind::DeliverTwice => rule(Moment::BeforeDelivery, Effect::Twice, confirms),
        };
        Self::Ordered(kind, order)
    }

    /// What kind it is of.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Kill(_) => Kind::Kill,
            Self::Stop(_) => Kind::Stop,
            Self::Term(_) => Kind::Term,
            Self::Actor(..) => Kind::Actor,
            Self::Stall(..) => Kind::Stall,
            Self::DiskFull(_) => Kind::DiskFull,
            Self::BrokerKill => Kind::BrokerKill,
            Self::BrokerStop => Kind::BrokerStop,
            Self::BrokerBlock => Kind::BrokerBlock,
            Self::Network(Harm::Lose) => Kind::BlackHole,
            Self::Network(_) => Kind::Network,
            Self::Http(_, Harm::Lose) => Kind::HttpBlackHole,
            Self::Http(..) => Kind::Http,
            Self::Ordered(kind, _) => *kind,
        }
    }

    /// What it harms.
    pub fn target(&self) -> Target {
        match self {
            Self::Kill(service)
            | Self::Stop(service)
            | Self::Term(service)
            | Self::Actor(service, ..)
            | Self::Stall(service, _)
            | Self::DiskFull(service) => Target::Service(*service),
            Self::Http(link, _) => Target::Link(*link),
            _ => Target::Broker,
        }
    }
}

impl Link {
    /// All of them, in the order of their numbers.
    pub(super) const ALL: [Self; 3] = [Self::GatewayToUsers, Self::GatewayToOrders, Self::OrdersToUsers];

    /// Who asks, and who answers.
    pub(super) fn ends(self) -> (Service, Service) {
        match self {
            Self::GatewayToUsers => (Service::Gateway, Service::Users),
            Self::GatewayToOrders => (Service::Gateway, Service::Orders),
            Self::OrdersToUsers => (Service::Orders, Service::Users),
        }
    }
}

impl Harm {
    /// Draws any but the black hole.
    fn draw(rng: &mut Rng) -> Self {
        let direction = if rng.bool() { Direction::ToServer } else { Direction::ToClient };
        match rng.u8(0..8) {
            0 => Self::Cut,
            1 => Self::Reset,
            2 => Self::Refuse,
            3 => Self::HalfClose(direction),
            4 => Self::CutAfter(direction, rng.u64(1..100_000)),
            5 => Self::Delay(rng.u64(5..500)),
            6 => Self::Throttle(rng.u64(10_000..200_000)),
            _ => Self::Hold,
        }
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = |direction: &Direction| match direction {
            Direction::ToServer => "to the server",
            Direction::ToClient => "to the client",
        };
        match self {
            Self::Cut => f.write_str("cut"),
            Self::Reset => f.write_str("reset"),
            Self::Refuse => f.write_str("refuse"),
            Self::HalfClose(direction) => write!(f, "half-close {}", to(direction)),
            Self::CutAfter(direction, bytes) => write!(f, "cut after {bytes} bytes {}", to(direction)),
            Self::Delay(ms) => write!(f, "delay {ms}ms"),
            Self::Throttle(bytes) => write!(f, "throttle {bytes} bytes/s"),
            Self::Hold => f.write_str("hold"),
            Self::Lose => f.write_str("lose"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind().name())?;
        match self {
            Self::Kill(service) | Self::Stop(service) | Self::Term(service) | Self::DiskFull(service) => {
                write!(f, " {service}")
            }
            Self::Actor(service, actor, end) => write!(f, " {service} {actor} {}", end.name()),
            Self::Stall(service, actor) => write!(f, " {service} {actor}"),
            Self::Network(harm) => write!(f, " {harm}"),
            Self::Http(link, harm) => {
                let (from, to) = link.ends();
                write!(f, " from {from} to {to} {harm}")
            }
            Self::Ordered(_, order) => {
                write!(f, " {}", serde_json::to_string(order).map_err(|_| fmt::Error)?)
            }
            Self::BrokerKill | Self::BrokerStop | Self::BrokerBlock => Ok(()),
        }
    }
}

impl End {
    /// As the services understand it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Stop => "stop",
        }
    }
}

impl fmt::Display for BrokerChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "the embedded broker",
            Self::RabbitMq => "RabbitMQ",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_that_can_be_drawn_is_of_its_kind_and_an_order_that_the_broker_takes() {
        let mut rng = Rng::with_seed(1);
        for &kind in Kind::value_variants() {
            for _ in 0..100 {
                let fault = Fault::draw(kind, &mut rng);
                assert_eq!(fault.kind(), kind);
                if let Fault::Ordered(_, order) = &fault {
                    assert_eq!(order.check(), Ok(()), "{fault}");
                    assert!(!kind.is_possible_on(BrokerChoice::RabbitMq), "{fault}");
                }
            }
        }
    }
}
