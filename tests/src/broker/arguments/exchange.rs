//! What an `exchange.declare` says.

use std::fmt;

use amq_protocol::protocol::exchange;
use amq_protocol::types::FieldTable;
use serde::{Deserialize, Serialize};

use super::equivalence::Declared;
use super::erlang::type_of;
use super::stored;
use crate::broker::Refusal;

/// How an exchange chooses queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExchangeKind {
    /// By the same key.
    Direct,
    /// All.
    Fanout,
    /// By a pattern of the key's words.
    Topic,
}

impl fmt::Display for ExchangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
        })
    }
}

/// An `exchange.declare` as it came.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeDeclaration<'a> {
    /// The name of the type.
    pub kind: &'a str,
    /// Whether it outlives the broker.
    pub durable: bool,
    /// Whether it goes with its last binding.
    pub auto_delete: bool,
    /// Whether only the broker publishes to it.
    pub internal: bool,
    /// All else.
    pub arguments: &'a FieldTable,
}

impl<'a> From<&'a exchange::Declare> for ExchangeDeclaration<'a> {
    fn from(declare: &'a exchange::Declare) -> Self {
        Self {
            kind: declare.kind.as_str(),
            durable: declare.durable,
            auto_delete: declare.auto_delete,
            internal: declare.internal,
            arguments: &declare.arguments,
        }
    }
}

impl ExchangeDeclaration<'_> {
    /// Refuses a type that RabbitMQ would not know.
    pub(crate) fn check_kind(&self) -> Result<(), Refusal> {
        match self.kind {
            "direct" | "fanout" | "topic" | "headers" => Ok(()),
            unknown => Err(Refusal::command_invalid(format_args!("unknown exchange type '{unknown}'"))),
        }
    }
}

/// What an exchange is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExchangeOptions {
    /// How it chooses queues.
    pub kind: ExchangeKind,
    /// Whether it outlives the broker.
    pub durable: bool,
    /// Whether it goes with its last binding.
    pub auto_delete: bool,
    /// Whether only the broker publishes to it, as to a dead-letter exchange.
    pub internal: bool,
    /// As declared.
    #[serde(with = "stored")]
    pub arguments: FieldTable,
}

impl ExchangeOptions {
    /// Reads a declaration.
    ///
    /// # Errors
    ///
    /// RabbitMQ would not take it, or this broker does not do what it asks for.
    pub fn parse(name: &str, vhost: &str, declaration: ExchangeDeclaration<'_>) -> Result<Self, Refusal> {
        declaration.check_kind()?;
        let ExchangeDeclaration { kind, durable, auto_delete, internal, arguments } = declaration;

        const ALTERNATE: &str = "alternate-exchange";
        if let Some(value) = arguments.inner().get(ALTERNATE) {
            return Err(match type_of(value) {
                "longstr" => Refusal::not_implemented(format_args!(
                    "argument '{ALTERNATE}' of exchange '{name}' in vhost '{vhost}': the embedded broker has no \
                     alternate exchanges"
                )),
                other => Refusal::precondition_failed(format_args!(
                    "invalid type '{other}' for arg '{ALTERNATE}' in exchange '{name}' in vhost '{vhost}'"
                )),
            });
        }
        let kind = match kind {
            "direct" => ExchangeKind::Direct,
            "fanout" => ExchangeKind::Fanout,
            "topic" => ExchangeKind::Topic,
            other => {
                return Err(Refusal::not_implemented(format_args!(
                    "type '{other}' of exchange '{name}' in vhost '{vhost}': the embedded broker has direct, fanout \
                     and topic exchanges"
                )));
            }
        };
        Ok(Self { kind, durable, auto_delete, internal, arguments: arguments.clone() })
    }

    /// Whether this exchange is what is declared again.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn check_equivalent(
        &self,
        name: &str,
        vhost: &str,
        again: ExchangeDeclaration<'_>,
    ) -> Result<(), Refusal> {
        let declared = Declared { kind: "exchange", name, vhost };
        declared.same("type", self.kind.to_string().as_str(), again.kind)?;
        declared.same("durable", self.durable, again.durable)?;
        declared.same("auto_delete", self.auto_delete, again.auto_delete)?;
        declared.same("internal", self.internal, again.internal)?;
        declared.same_argument("alternate-exchange", &self.arguments, again.arguments)
    }
}
