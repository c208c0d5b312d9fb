//! Brokers for tests: one of each kind that all stories share, and one of its own for each story that harms its broker.

use std::env;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

use tokio::sync::{Mutex, OnceCell};

use super::{Folder, current_broker};
use crate::Keep;
use crate::broker::EmbeddedNode;
use crate::own_broker::{Broker, BrokerError};
use crate::rabbit::{Installation, Node};

/// Names a broker that the suites did not start, for the stories that can be told on any: `amqp://…`.
pub const GIVEN: &str = "WARREN_BROKER_URL";

/// Virtual hosts made at a time: the first ones with the broker, later ones by a call that takes RabbitMQ a second.
const BATCH: usize = 24;

/// A broker that stories are told on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerKind {
    /// Warren's own.
    Embedded,
    /// The installed RabbitMQ.
    RabbitMq,
    /// The one that [`GIVEN`] names. Nobody may stop it, and its virtual host is shared by all stories.
    Given,
}

impl BrokerKind {
    /// Prepares a broker of this kind, whose address is known, but which does not run yet.
    ///
    /// All state is in `folder`. Besides `/` it has the virtual hosts named here. The embedded one is this binary's.
    ///
    /// # Errors
    ///
    /// RabbitMQ is not installed, or `folder` cannot be written.
    ///
    /// # Panics
    ///
    /// On [`BrokerKind::Given`], which is there already and not ours.
    pub fn prepare(
        self,
        warren: &Path,
        folder: &Path,
        keep: Keep,
        vhosts: &[String],
    ) -> Result<Broker, BrokerError> {
        match self {
            Self::Embedded => Ok(Broker::Embedded(EmbeddedNode::prepare(warren, folder, keep, vhosts)?)),
            Self::RabbitMq => Ok(Broker::RabbitMq(Node::prepare(folder, keep, vhosts)?)),
            Self::Given => panic!("a story that needs a broker of its own cannot be told on {self}"),
        }
    }

    /// Says why no story can be told on it, and what to do about that.
    pub(super) fn missing(self) -> Option<String> {
        match self {
            Self::RabbitMq => Installation::find().err().map(|error| error.to_string()),
            Self::Embedded | Self::Given => None,
        }
    }
}

impl fmt::Display for BrokerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "the embedded broker",
            Self::RabbitMq => "RabbitMQ",
            Self::Given => "the broker that WARREN_BROKER_URL names",
        })
    }
}

struct Shared {
    broker: Broker,
    vhosts: Mutex<Vhosts>,
}

struct Vhosts {
    made: usize,
    given: usize,
}

/// Never dropped: their watchdogs end them with this process and remove their folders.
static EMBEDDED: OnceCell<Shared> = OnceCell::const_new();
static RABBITMQ: OnceCell<Shared> = OnceCell::const_new();

/// The binary that is the embedded broker.
static WARREN: OnceLock<PathBuf> = OnceLock::new();

/// Sets the binary of the embedded brokers that stories get.
pub(super) fn use_binary(warren: &Path) {
    WARREN.get_or_init(|| warren.to_owned());
}

/// Gives the AMQP URL of an empty virtual host that nobody else uses, on the broker of this story's kind that all stories
/// share.
///
/// # Panics
///
/// In a story that is told without a broker, and where the broker does not start.
pub async fn shared_vhost() -> String {
    let kind = current_broker();
    let shared = match kind {
        BrokerKind::Embedded => &EMBEDDED,
        BrokerKind::RabbitMq => &RABBITMQ,
        BrokerKind::Given => return env::var(GIVEN).expect("it names the broker, or no story is told there"),
    };
    let Shared { broker, vhosts } = shared.get_or_init(|| start_shared(kind)).await;
    let mut vhosts = vhosts.lock().await;

    if vhosts.given == vhosts.made {
        broker.add_vhosts(&batch(vhosts.made)).await.unwrap_or_else(|error| panic!("{error}"));
        vhosts.made += BATCH;
    }
    vhosts.given += 1;
    broker.url(&vhost(vhosts.given - 1))
}

/// Starts a broker of the story's own, in its folder, with the virtual host `/`.
///
/// # Panics
///
/// Those of [`absent_node`], and where it does not start.
pub async fn private_node(folder: &Folder) -> Broker {
    let node = absent_node(folder);
    node.start().await.unwrap_or_else(|error| panic!("{error}"));
    node
}

/// A broker of the story's own, whose address is known and where nobody listens yet.
///
/// # Panics
///
/// In a story that is told without a broker, and where the folder cannot be written.
pub fn absent_node(folder: &Folder) -> Broker {
    prepare(current_broker(), &folder.path().join("broker"), &[])
}

async fn start_shared(kind: BrokerKind) -> Shared {
    // The watchdog removes the folder, so that it goes even when this process is killed.
    let folder = Folder::new().keep();
    let broker = prepare(kind, &folder, &batch(0));
    let begun = Instant::now();
    let server = broker.start().await.unwrap_or_else(|error| panic!("{error}"));

    let (address, took) = (broker.address(), begun.elapsed().as_secs_f64());
    let _ = writeln!(io::stderr(), "{server} runs at {address} for all stories, up after {took:.2} s");
    Shared { broker, vhosts: Mutex::new(Vhosts { made: BATCH, given: 0 }) }
}

fn prepare(kind: BrokerKind, folder: &Path, vhosts: &[String]) -> Broker {
    let warren = WARREN.get().expect("the runner of stories knows the binary");
    kind.prepare(warren, folder, Keep::Nothing, vhosts).unwrap_or_else(|error| panic!("{error}"))
}

fn batch(first: usize) -> Vec<String> {
    (first..first + BATCH).map(vhost).collect()
}

fn vhost(number: usize) -> String {
    format!("test-{number}")
}
