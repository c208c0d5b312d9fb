//! The exchanges of one virtual host, and what is bound to them.

use std::collections::BTreeMap;

use amq_protocol::types::FieldTable;
use serde::{Deserialize, Serialize};

use super::Refusal;
use super::arguments::{ExchangeDeclaration, ExchangeKind, ExchangeOptions};

mod routes;
use routes::{Bound, Routes};

mod topic;

/// How the broker tells queues apart, whatever their names.
pub type QueueId = u64;

/// The exchanges of one virtual host.
///
/// The default exchange is not among them: it is called `""`, and routes by the names of queues, which only the caller
/// knows. It cannot be declared, deleted or bound, which is told here.
#[derive(Debug)]
pub struct Exchanges {
    vhost: String,
    all: BTreeMap<String, Exchange>,
}

#[derive(Debug)]
struct Exchange {
    options: ExchangeOptions,
    routes: Routes,
}

/// One binding of a queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Binding {
    /// The exchange that it is bound to.
    pub exchange: String,
    /// The queue.
    pub queue: QueueId,
    /// Which messages.
    pub routing_key: String,
    /// Mean nothing, but tell bindings apart.
    #[serde(with = "super::arguments::stored")]
    pub arguments: FieldTable,
}

/// What came of an `exchange.declare`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declared {
    /// It is new.
    New,
    /// It was there.
    Existing,
}

/// What came of a `queue.unbind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unbound {
    /// There was no such binding, or no such exchange. That is no mistake.
    Nothing,
    /// The binding is gone.
    Binding,
    /// The binding is gone, and with it the exchange, which was to go with its last one.
    BindingAndExchange,
}

impl Exchanges {
    /// Those that every virtual host has: `amq.direct`, `amq.fanout`, `amq.topic`.
    pub fn new(vhost: &str) -> Self {
        let options = |kind| ExchangeOptions {
            kind,
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: FieldTable::default(),
        };
        let kinds = [ExchangeKind::Direct, ExchangeKind::Fanout, ExchangeKind::Topic];
        let mut exchanges = Self { vhost: vhost.to_owned(), all: BTreeMap::new() };
        for kind in kinds {
            exchanges.restore(&format!("amq.{kind}"), options(kind));
        }
        exchanges
    }

    /// Brings back what [`Exchanges::iter`] gave.
    pub fn restore(&mut self, name: &str, options: ExchangeOptions) {
        self.all.insert(name.to_owned(), Exchange { options, routes: Routes::default() });
    }

    /// Answers an `exchange.declare`.
    ///
    /// # Errors
    ///
    /// The type is unknown, the name is not free, what is there is something else, or this broker cannot do it.
    pub fn declare(&mut self, name: &str, declaration: ExchangeDeclaration<'_>) -> Result<Declared, Refusal> {
        declaration.check_kind()?;
        if name.is_empty() {
            return Err(Refusal::default_exchange());
        }
        if let Some(exchange) = self.all.get(name) {
            exchange.options.check_equivalent(name, &self.vhost, declaration)?;
            return Ok(Declared::Existing);
        }
        if name.starts_with("amq.") {
            self.check_has(name)?;
            return Err(Refusal::reserved_name("exchange", name));
        }
        let options = ExchangeOptions::parse(name, &self.vhost, declaration)?;
        self.restore(name, options);
        Ok(Declared::New)
    }

    /// Answers a passive `exchange.declare`. It is also what `queue.bind` looks at first, before the queue.
    ///
    /// # Errors
    ///
    /// It is the default exchange, or there is none of this name.
    pub fn passive(&self, name: &str) -> Result<&ExchangeOptions, Refusal> {
        if name.is_empty() {
            return Err(Refusal::default_exchange());
        }
        self.find(name).map(|exchange| &exchange.options)
    }

    /// Answers an `exchange.delete`. Gives the bindings that went with it, or nothing where there was no such exchange,
    /// which is no mistake.
    ///
    /// # Errors
    ///
    /// It is one that every virtual host has, or was to be deleted only if unused.
    pub fn delete(&mut self, name: &str, if_unused: bool) -> Result<Option<Vec<Binding>>, Refusal> {
        if name.is_empty() {
            return Err(Refusal::default_exchange());
        }
        if name.starts_with("amq.") {
            return Err(Refusal::system_exchange(name, &self.vhost));
        }
        if if_unused && self.all.get(name).is_some_and(|exchange| !exchange.routes.is_empty()) {
            return Err(Refusal::in_use("exchange", name, &self.vhost));
        }
        Ok(self.all.remove(name).map(|exchange| bindings(name, &exchange).collect()))
    }

    /// Answers a `queue.bind`, and says whether the binding is new.
    ///
    /// # Errors
    ///
    /// Those of [`Exchanges::passive`].
    pub fn bind(
        &mut self,
        exchange: &str,
        queue: QueueId,
        routing_key: &str,
        arguments: &FieldTable,
    ) -> Result<bool, Refusal> {
        self.passive(exchange)?;
        let Some(Exchange { options, routes }) = self.all.get_mut(exchange) else { return Ok(false) };
        Ok(routes.add(options.kind, routing_key, Bound { queue, arguments: arguments.clone() }))
    }

    /// Answers a `queue.unbind`.
    ///
    /// # Errors
    ///
    /// It is the default exchange.
    pub fn unbind(
        &mut self,
        exchange: &str,
        queue: QueueId,
        routing_key: &str,
        arguments: &FieldTable,
    ) -> Result<Unbound, Refusal> {
        if exchange.is_empty() {
            return Err(Refusal::default_exchange());
        }
        let Some(found) = self.all.get_mut(exchange) else { return Ok(Unbound::Nothing) };
        let is_meant = |key: &str, bound: &Bound| {
            key == routing_key && bound.queue == queue && bound.arguments == *arguments
        };
        if !found.routes.remove(is_meant) {
            return Ok(Unbound::Nothing);
        }
        if !found.is_done() {
            return Ok(Unbound::Binding);
        }
        self.all.remove(exchange);
        Ok(Unbound::BindingAndExchange)
    }

    /// Removes the bindings of a queue that is gone. Gives the names of the exchanges that went with their last one.
    pub fn forget_queue(&mut self, queue: QueueId) -> Vec<String> {
        let is_done = |_: &String, exchange: &mut Exchange| {
            exchange.routes.remove(|_, bound| bound.queue == queue) && exchange.is_done()
        };
        self.all.extract_if(.., is_done).map(|(name, _)| name).collect()
    }

    /// Adds the queues that a client's message goes to, each once.
    ///
    /// # Errors
    ///
    /// There is no such exchange, or it is internal.
    pub fn route(&self, exchange: &str, routing_key: &str, queues: &mut Vec<QueueId>) -> Result<(), Refusal> {
        let Exchange { options, routes } = self.find(exchange)?;
        if options.internal {
            return Err(Refusal::internal_exchange(exchange, &self.vhost));
        }
        routes.choose(options.kind, routing_key, queues);
        Ok(())
    }

    /// Adds the queues that a dead message goes to, each once: none where there is no such exchange, as in RabbitMQ. The
    /// exchange may be internal.
    pub fn route_dead_letter(&self, exchange: &str, routing_key: &str, queues: &mut Vec<QueueId>) {
        if let Some(Exchange { options, routes }) = self.all.get(exchange) {
            routes.choose(options.kind, routing_key, queues);
        }
    }

    /// All exchanges, by name. Those with [`ExchangeOptions::durable`] are to be kept, but for the `amq.` ones.
    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ExchangeOptions)> {
        self.all.iter().map(|(name, exchange)| (name.as_str(), &exchange.options))
    }

    /// All bindings. Those of a durable exchange and a durable queue are to be kept.
    pub fn bindings(&self) -> impl Iterator<Item = Binding> {
        self.all.iter().flat_map(|(name, exchange)| bindings(name, exchange))
    }

    /// The bindings of an exchange.
    #[cfg(test)]
    pub fn bindings_of(&self, exchange: &str) -> Vec<Binding> {
        let found = self.all.get_key_value(exchange);
        found.map(|(name, exchange)| bindings(name, exchange).collect()).unwrap_or_default()
    }

    /// The bindings of a queue.
    pub fn bindings_to(&self, queue: QueueId) -> Vec<Binding> {
        self.bindings().filter(|binding| binding.queue == queue).collect()
    }

    fn find(&self, name: &str) -> Result<&Exchange, Refusal> {
        self.check_has(name)?;
        self.all.get(name).ok_or_else(|| Refusal::not_found("exchange", name, &self.vhost))
    }

    /// Refuses the exchanges that every virtual host of RabbitMQ has, and none here.
    fn check_has(&self, name: &str) -> Result<(), Refusal> {
        let what = match name {
            "amq.headers" | "amq.match" => "headers exchanges",
            "amq.rabbitmq.trace" => "tracing",
            _ => return Ok(()),
        };
        let vhost = &self.vhost;
        Err(Refusal::not_implemented(format_args!(
            "exchange '{name}' in vhost '{vhost}': the embedded broker has no {what}"
        )))
    }
}

impl Exchange {
    /// Whether it goes, now that a binding went.
    fn is_done(&self) -> bool {
        self.options.auto_delete && self.routes.is_empty()
    }
}

fn bindings(name: &str, exchange: &Exchange) -> impl Iterator<Item = Binding> {
    exchange.routes.iter().map(move |(key, bound)| Binding {
        exchange: name.to_owned(),
        queue: bound.queue,
        routing_key: key.to_owned(),
        arguments: bound.arguments.clone(),
    })
}

#[cfg(test)]
mod tests;
