//! The launcher's options.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use clap::value_parser;

use crate::service::Service;

/// Where the console is unless somebody says otherwise, as the gateway itself has it.
pub(super) const DEFAULT_ADMIN_PORT: u16 = 8081;

/// What `cargo up` accepts.
#[derive(Args, Debug)]
pub struct Options {
    /// The public port of the gateway
    #[arg(long, default_value_t = 8080, value_parser = value_parser!(u16).range(1..))]
    pub gateway_port: u16,

    /// The port of the users service
    #[arg(long, default_value_t = 3001, value_parser = value_parser!(u16).range(1..))]
    pub users_port: u16,

    /// The port of the orders service
    #[arg(long, default_value_t = 3002, value_parser = value_parser!(u16).range(1..))]
    pub orders_port: u16,

    /// The gateway's port for the console, health, metrics and actors, on the loopback interface
    #[arg(long, default_value_t = DEFAULT_ADMIN_PORT, value_parser = value_parser!(u16).range(1..))]
    pub admin_port: u16,

    /// The folder that the system keeps its data in
    #[arg(long, default_value = "target/warren")]
    pub data: PathBuf,

    /// auto: AMQP_URL, or what listens on port 5672, or a private RabbitMQ, or where none is installed the embedded broker;
    /// rabbitmq: a private one; embedded: Warren's own, for one machine; or an amqp:// URL
    #[arg(long, default_value_t = BrokerChoice::Auto)]
    pub broker: BrokerChoice,
}

impl Options {
    /// Each port, the option that sets it, and what it is for.
    pub(super) fn ports(&self) -> [(u16, &'static str, &'static str); 4] {
        [
            (self.users_port, "--users-port", "users"),
            (self.orders_port, "--orders-port", "orders"),
            (self.gateway_port, "--gateway-port", "the gateway"),
            (self.admin_port, "--admin-port", "the console"),
        ]
    }

    pub(super) fn port(&self, service: Service) -> u16 {
        match service {
            Service::Users => self.users_port,
            Service::Orders => self.orders_port,
            Service::Gateway => self.gateway_port,
        }
    }
}

/// Where the broker comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerChoice {
    /// `AMQP_URL`, else what listens on port 5672, else a private node, else the embedded broker.
    Auto,
    /// A private node.
    RabbitMq,
    /// Warren's own, which needs nothing installed.
    Embedded,
    /// This one.
    Url(String),
}

impl FromStr for BrokerChoice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "rabbitmq" => Ok(Self::RabbitMq),
            "embedded" => Ok(Self::Embedded),
            url if url.starts_with("amqp://") || url.starts_with("amqps://") => Ok(Self::Url(url.into())),
            _ => Err("is neither auto, nor rabbitmq, nor embedded, nor a URL that begins with amqp://"),
        }
    }
}

impl fmt::Display for BrokerChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::RabbitMq => f.write_str("rabbitmq"),
            Self::Embedded => f.write_str("embedded"),
            Self::Url(url) => f.write_str(url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_auto_or_rabbitmq_or_embedded_or_a_url() {
        assert_eq!("auto".parse(), Ok(BrokerChoice::Auto));
        assert_eq!("rabbitmq".parse(), Ok(BrokerChoice::RabbitMq));
        assert_eq!("embedded".parse(), Ok(BrokerChoice::Embedded));
        assert_eq!("amqp://h".parse(), Ok(BrokerChoice::Url("amqp://h".into())));
        assert!("redis://h".parse::<BrokerChoice>().is_err());
    }
}
