//! Where a story is told: a virtual host of its own, or names of its own where the broker was given.

use std::cell::OnceCell;

use uuid::Uuid;
use warren::harness::{BrokerKind, current_broker, shared_vhost};

use super::{Answer, Channel, Connection, Login};

struct Place {
    url: String,
    /// Ends every name.
    suffix: String,
}

thread_local! {
    /// A story has a thread of its own.
    static PLACE: OnceCell<Place> = const { OnceCell::new() };
}

/// The AMQP URL of this story's virtual host.
pub async fn url() -> String {
    if let Some(url) = PLACE.with(|place| place.get().map(|place| place.url.clone())) {
        return url;
    }
    let suffix = match current_broker() {
        BrokerKind::Given => format!("-{}", Uuid::now_v7().simple()),
        _ => String::new(),
    };
    let place = Place { url: shared_vhost().await, suffix };
    PLACE.with(|only| only.get_or_init(|| place).url.clone())
}

/// A name that no other story uses, of a queue or an exchange.
pub fn named(name: &str) -> String {
    let suffix = PLACE.with(|place| place.get().map(|place| place.suffix.clone()));
    format!("{name}{}", suffix.expect("a story connects before it names things"))
}

/// A new connection.
pub async fn connection() -> Connection {
    Connection::open(&Login::to(&url().await)).await.done()
}

/// A channel on a new connection.
pub async fn channel() -> Channel {
    connection().await.channel(1).await.done()
}

/// A second channel on the connection of another one.
pub async fn another_channel(beside: &Channel) -> Channel {
    beside.connection().channel(beside.id() + 1).await.done()
}
