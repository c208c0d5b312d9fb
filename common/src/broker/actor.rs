use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, fut::wrap_future};

use super::{
    BrokerConfig, BrokerMetrics, BrokerState, LinkStatus, Subscription,
    link::{Link, Running},
};
use crate::{
    ledger::Ledger,
    supervision::{Life, Spec},
    timeline::Timeline,
};

/// Where a link tells what happens over it.
#[derive(Clone, Debug)]
pub struct History {
    /// The steps of each event.
    pub ledger: Ledger,
    /// What goes wrong and heals.
    pub timeline: Timeline,
}

/// Owns one link to the broker, from the attempt to make it to its end. See the [room](super).
pub struct BrokerActor {
    config: BrokerConfig,
    subscriptions: Vec<Subscription>,
    metrics: BrokerMetrics,
    pub(super) history: History,
    pub(super) life: Life,
    pub(super) link: Option<Link>,
}

impl BrokerActor {
    /// Builds a generation, which begins to connect when it is started.
    pub fn new(
        config: BrokerConfig,
        subscriptions: Vec<Subscription>,
        metrics: BrokerMetrics,
        history: History,
        life: Life,
    ) -> Self {
        Self { config, subscriptions, metrics, history, life, link: None }
    }

    /// How its guardian keeps it alive: for ever, whatever the broker does, with the configured backoff.
    pub fn spec(config: &BrokerConfig) -> Spec {
        Spec::new("broker").backoff(config.reconnect).healthy_when_it_says_so().is_link()
    }

    pub(super) fn state(&self) -> BrokerState {
        let link = self.link.as_ref();
        let blocked_since = link.and_then(Link::blocked_since);
        let status = match (link, blocked_since) {
            (None, _) => LinkStatus::Connecting,
            (Some(_), None) => LinkStatus::Connected,
            (Some(_), Some(_)) => LinkStatus::Blocked,
        };
        let tallies = link.map_or(&[][..], |link| &link.tallies);
        BrokerState {
            link: status,
            broker: match link.and_then(|link| link.product.as_deref()) {
                Some(product) => format!("{} ({product})", self.config),
                None => self.config.to_string(),
            },
            connected_since: link.map(|link| link.since),
            blocked_since,
            unconfirmed: link.map_or(0, |link| link.publisher.unconfirmed()),
            consumers: tallies.iter().map(|(queue, tally)| tally.state(queue)).collect(),
            generation: self.life.generation(),
        }
    }

    fn connected(&mut self, link: Link, running: Running, context: &mut Context<Self>) {
        log::info!(
            "event=connected broker={} product={:?} queues={} generation={}",
            self.config,
            link.product.as_deref().unwrap_or("unknown"),
            self.subscriptions.len(),
            self.life.generation(),
        );
        self.link = Some(link);
        self.life.healthy();
        context.spawn(wrap_future::<_, Self>(running.until_lost()).map(|reason, actor, context| {
            actor.lost(&reason, context);
        }));
    }

    fn lost(&mut self, reason: &str, context: &mut Context<Self>) {
        self.life.lost(reason);
        if let Some(link) = self.link.take() {
            link.publisher.close(reason);
        }
        context.stop();
    }
}

impl Actor for BrokerActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let (config, subscriptions) = (self.config.clone(), self.subscriptions.clone());
        let (metrics, history) = (self.metrics.clone(), self.history.clone());
        let connecting = Link::connect(config, subscriptions, metrics, history, self.life.generation());
        context.spawn(wrap_future::<_, Self>(connecting).map(|connected, actor, context| match connected {
            Ok((link, running)) => actor.connected(link, running, context),
            Err(error) => actor.lost(&error.to_string(), context),
        }));
    }
}
