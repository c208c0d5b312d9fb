//! A broker of one's own, embedded or RabbitMQ: what can be done to either.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;

use rustix::process::Signal;

use crate::broker::{EmbeddedError, EmbeddedNode};
use crate::rabbit::{Node, RabbitError, Server};
use crate::watched::Watched;

/// A private broker. Dropping it kills it, and it ends with the process that started it.
#[derive(Debug)]
pub enum Broker {
    /// Warren's own.
    Embedded(EmbeddedNode),
    /// A node of the installed RabbitMQ.
    RabbitMq(Node),
}

/// Does the same to either.
macro_rules! either {
    ($self:ident, $node:ident => $body:expr) => {
        match $self {
            Broker::Embedded($node) => $body,
            Broker::RabbitMq($node) => $body,
        }
    };
}

impl Broker {
    /// Starts it, for the first time or again on the same port and data, and waits until connections work.
    ///
    /// # Errors
    ///
    /// It ended, or takes no connections within a minute; both name the file that says why.
    pub async fn start(&self) -> Result<Server, BrokerError> {
        either!(self, node => Ok(node.start().await?))
    }

    /// Where it listens for AMQP.
    pub fn address(&self) -> SocketAddr {
        self.process().address()
    }

    /// The AMQP URL of one of its virtual hosts, `/` among them.
    pub fn url(&self, vhost: &str) -> String {
        self.process().url(vhost)
    }

    /// Its process, where it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process().pid()
    }

    /// How it ended, where it has ended by itself or by somebody else's hand since its last start.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.process().exit_status()
    }

    /// The folder of its logs.
    pub fn logs(&self) -> PathBuf {
        self.process().logs()
    }

    /// Ends it by signal 9 and returns when it is gone. Does nothing where it does not run.
    pub fn kill9(&self) {
        self.process().kill9();
    }

    /// Stops the process (SIGSTOP): its sockets stay open and answer nothing.
    pub fn stop(&self) {
        self.process().signal(Signal::STOP);
    }

    /// Continues the stopped process (SIGCONT).
    pub fn cont(&self) {
        self.process().signal(Signal::CONT);
    }

    /// Ends it the way an operator does (SIGTERM), by force after 25 s.
    pub async fn shut_down(&self) {
        self.process().shut_down().await;
    }

    /// Blocks every connection that publishes, as when memory is short.
    ///
    /// # Errors
    ///
    /// It did not do as it was told.
    pub async fn block_publishers(&self) -> Result<(), BrokerError> {
        either!(self, node => Ok(node.block_publishers().await?))
    }

    /// Lets them publish again.
    ///
    /// # Errors
    ///
    /// It did not do as it was told.
    pub async fn unblock_publishers(&self) -> Result<(), BrokerError> {
        either!(self, node => Ok(node.unblock_publishers().await?))
    }

    /// Makes more virtual hosts, many in one call because RabbitMQ takes a second for it.
    ///
    /// # Errors
    ///
    /// It did not do as it was told.
    pub async fn add_vhosts(&self, vhosts: &[String]) -> Result<(), BrokerError> {
        either!(self, node => Ok(node.add_vhosts(vhosts).await?))
    }

    fn process(&self) -> &Watched {
        either!(self, node => node.process())
    }

    /// The embedded one, which takes orders that RabbitMQ does not know.
    pub fn embedded(&self) -> Option<&EmbeddedNode> {
        match self {
            Self::Embedded(node) => Some(node),
            Self::RabbitMq(_) => None,
        }
    }
}

/// What went wrong with a private broker.
#[derive(Debug)]
pub enum BrokerError {
    /// With the embedded one.
    Embedded(EmbeddedError),
    /// With RabbitMQ.
    RabbitMq(RabbitError),
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(error) => error.fmt(f),
            Self::RabbitMq(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BrokerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Embedded(error) => error.source(),
            Self::RabbitMq(error) => error.source(),
        }
    }
}

impl From<EmbeddedError> for BrokerError {
    fn from(error: EmbeddedError) -> Self {
        Self::Embedded(error)
    }
}

impl From<RabbitError> for BrokerError {
    fn from(error: RabbitError) -> Self {
        Self::RabbitMq(error)
    }
}
