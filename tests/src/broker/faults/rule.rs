//! One fault that waits for its moment.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::order::check_close;

/// A longer delay is a silence.
const LONGEST_DELAY: Duration = Duration::from_secs(3600);

/// What to do wrong, when, and on whose occasion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// When.
    pub at: Moment,
    /// What.
    pub effect: Effect,
    /// So many occasions pass first.
    #[serde(default)]
    pub skip: u64,
    /// On so many occasions after these it has its effect, then it is spent.
    #[serde(default = "once")]
    pub times: u64,
    /// Only on connections with this in their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Only for this queue: at deliveries and acknowledgements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Only for messages published to this exchange: at publishes and deliveries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<String>,
    /// Only for messages with this routing key: at publishes and deliveries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing_key: Option<String>,
    /// Only for this method, such as `queue.declare`: at [`Moment::Method`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

fn once() -> u64 {
    1
}

/// A point in the life of a message or a method at which the broker looks at its rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// A publish was read in full and nothing was done about it.
    PublishReceived,
    /// It is on disk in every queue that it was routed to, and no confirm was sent.
    PublishStored,
    /// Its confirm was said; what is done then is done once the confirm is written to the socket.
    ConfirmSent,
    /// A message is about to be taken from its queue for a consumer.
    BeforeDelivery,
    /// It was said; what is done then is done once it is written to the socket.
    DeliverySent,
    /// An acknowledgement was read and not applied.
    AckReceived,
    /// What it acknowledges is removed on disk, or waits again.
    AckStored,
    /// Any method frame was read and not applied.
    Method,
}

impl Moment {
    /// All of them, in the order in which a message meets them.
    pub const ALL: [Self; 8] = [
        Self::PublishReceived,
        Self::PublishStored,
        Self::ConfirmSent,
        Self::BeforeDelivery,
        Self::DeliverySent,
        Self::AckReceived,
        Self::AckStored,
        Self::Method,
    ];

    /// As it is written in an order.
    pub fn name(self) -> &'static str {
        match self {
            Self::PublishReceived => "publish-received",
            Self::PublishStored => "publish-stored",
            Self::ConfirmSent => "confirm-sent",
            Self::BeforeDelivery => "before-delivery",
            Self::DeliverySent => "delivery-sent",
            Self::AckReceived => "ack-received",
            Self::AckStored => "ack-stored",
            Self::Method => "method",
        }
    }

    fn is_publish(self) -> bool {
        matches!(self, Self::PublishReceived | Self::PublishStored | Self::ConfirmSent)
    }

    fn is_delivery(self) -> bool {
        matches!(self, Self::BeforeDelivery | Self::DeliverySent)
    }

    fn is_ack(self) -> bool {
        matches!(self, Self::AckReceived | Self::AckStored)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the broker does wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Effect {
    /// Closes the connection's socket without a goodbye, after what was said before.
    Drop,
    /// Reads and writes nothing more on this connection until [`super::Order::Release`], then goes on where it was.
    Hold,
    /// The same for ever: its socket stays open until the client gives it up.
    Silence,
    /// The broker's process ends as by `kill -9`.
    Crash,
    /// Answers the publish with `basic.nack` and stores nothing: at publish-received.
    Nack,
    /// Answers the publish with `basic.return` and a confirm, as if it could not be routed: at publish-received.
    Return,
    /// The confirm (at publish-stored) or the delivery (at before-delivery) goes out so much later.
    Delay {
        /// Milliseconds, at most an hour.
        ms: u64,
    },
    /// So many confirms (at publish-stored) or deliveries (at before-delivery) are collected and go out in reverse.
    Reorder {
        /// At least two.
        count: u32,
    },
    /// The message is delivered twice: at before-delivery.
    Twice,
    /// Cancels the consumer: at before-delivery, so that the message stays where it is, and at delivery-sent.
    Cancel,
    /// Closes the channel with an error.
    CloseChannel {
        /// The reply code, such as 406.
        code: u16,
        /// The reply text, of at most 255 bytes.
        text: String,
    },
}

impl Effect {
    /// As it is written in an order.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Hold => "hold",
            Self::Silence => "silence",
            Self::Crash => "crash",
            Self::Nack => "nack",
            Self::Return => "return",
            Self::Delay { .. } => "delay",
            Self::Reorder { .. } => "reorder",
            Self::Twice => "twice",
            Self::Cancel => "cancel",
            Self::CloseChannel { .. } => "close-channel",
        }
    }

    /// Where it means something.
    pub fn moments(&self) -> &'static [Moment] {
        match self {
            Self::Drop | Self::Hold | Self::Silence | Self::Crash | Self::CloseChannel { .. } => &Moment::ALL,
            Self::Nack | Self::Return => &[Moment::PublishReceived],
            Self::Delay { .. } | Self::Reorder { .. } => &[Moment::PublishStored, Moment::BeforeDelivery],
            Self::Twice => &[Moment::BeforeDelivery],
            Self::Cancel => &[Moment::BeforeDelivery, Moment::DeliverySent],
        }
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::Delay { ms } if u128::from(*ms) > LONGEST_DELAY.as_millis() => Err(format!(
                "a delay is at most {} ms, and {ms} are more: silence lasts as long as one likes",
                LONGEST_DELAY.as_millis()
            )),
            Self::Reorder { count } if *count < 2 => {
                Err(format!("to reorder takes a count of at least 2, and this is {count}"))
            }
            Self::CloseChannel { code, text } => check_close(*code, text),
            _ => Ok(()),
        }
    }
}

impl Rule {
    /// A rule that fires at the first such moment, once.
    pub fn new(at: Moment, effect: Effect) -> Self {
        Self {
            at,
            effect,
            skip: 0,
            times: once(),
            connection: None,
            queue: None,
            exchange: None,
            routing_key: None,
            method: None,
        }
    }

    /// Lets so many occasions pass first.
    pub fn skip(self, skip: u64) -> Self {
        Self { skip, ..self }
    }

    /// Fires so often.
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Only on connections with this in their name.
    pub fn connection(self, part: impl Into<String>) -> Self {
        Self { connection: Some(part.into()), ..self }
    }

    /// Only for this queue.
    pub fn queue(self, name: impl Into<String>) -> Self {
        Self { queue: Some(name.into()), ..self }
    }

    /// Only for messages published to this exchange.
    pub fn exchange(self, name: impl Into<String>) -> Self {
        Self { exchange: Some(name.into()), ..self }
    }

    /// Only for messages with this routing key.
    pub fn routing_key(self, key: impl Into<String>) -> Self {
        Self { routing_key: Some(key.into()), ..self }
    }

    /// Only for this method.
    pub fn method(self, name: impl Into<String>) -> Self {
        Self { method: Some(name.into()), ..self }
    }

    /// Whether it can ever have its effect.
    ///
    /// # Errors
    ///
    /// Says what is wrong and what is possible, in a sentence for whoever made the rule.
    pub fn check(&self) -> Result<(), String> {
        let (at, effect) = (self.at, self.effect.name());
        let possible = self.effect.moments();
        if !possible.contains(&at) {
            return Err(format!("{effect} means nothing at {at}: it is possible at {}", either(possible)));
        }
        if self.times == 0 {
            return Err("a rule that fires 0 times does nothing: times is at least 1".into());
        }
        let is_message = at.is_publish() || at.is_delivery();
        for (given, filter, is_known) in [
            (&self.queue, "a queue", at.is_delivery() || at.is_ack()),
            (&self.exchange, "an exchange", is_message),
            (&self.routing_key, "a routing key", is_message),
            (&self.method, "a method", at == Moment::Method),
        ] {
            if given.is_some() && !is_known {
                return Err(format!(
                    "{filter} is not known at {at}, so that this rule would never fire: leave it out, or choose another moment"
                ));
            }
        }
        self.effect.check()
    }
}

/// "a", "a and b", "a, b and c".
fn either(moments: &[Moment]) -> String {
    let names: Vec<_> = moments.iter().map(|moment| moment.name()).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_that_means_nothing_at_a_moment_is_refused_with_the_moments_where_it_does() {
        assert_eq!(
            Rule::new(Moment::DeliverySent, Effect::Nack).check(),
            Err("nack means nothing at delivery-sent: it is possible at publish-received".into())
        );
        assert_eq!(
            Rule::new(Moment::AckReceived, Effect::Delay { ms: 1 }).check(),
            Err("delay means nothing at ack-received: it is possible at publish-stored and before-delivery"
                .into())
        );
        for at in Moment::ALL {
            assert_eq!(Rule::new(at, Effect::Crash).check(), Ok(()), "{at}");
        }
    }

    #[test]
    fn a_rule_that_would_never_fire_is_refused() {
        let rule = Rule::new(Moment::PublishReceived, Effect::Drop);
        assert!(rule.clone().times(0).check().expect_err("never").contains("at least 1"));
        assert!(rule.clone().queue("q").check().expect_err("never").contains("a queue is not known"));
        assert!(rule.clone().method("basic.publish").check().is_err());
        assert!(rule.exchange("events").routing_key("order.created").connection("users").check().is_ok());
        assert!(Rule::new(Moment::AckStored, Effect::Drop).queue("q").check().is_ok());
        assert!(Rule::new(Moment::AckStored, Effect::Drop).routing_key("k").check().is_err());
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let effects = [
            Effect::Reorder { count: 1 },
            Effect::Delay { ms: 3_600_001 },
            Effect::CloseChannel { code: 406, text: "x".repeat(256) },
        ];
        for effect in effects {
            assert!(Rule::new(Moment::PublishStored, effect.clone()).check().is_err(), "{effect:?}");
        }
    }

    #[test]
    fn names_are_those_of_the_json() {
        let json = |value: serde_json::Value| match value {
            serde_json::Value::Object(fields) => fields.keys().next().expect("one field").clone(),
            value => value.as_str().expect("a name").to_owned(),
        };
        for at in Moment::ALL {
            assert_eq!(json(serde_json::to_value(at).expect("JSON")), at.name());
        }
        for effect in [
            Effect::Drop,
            Effect::Hold,
            Effect::Silence,
            Effect::Crash,
            Effect::Nack,
            Effect::Return,
            Effect::Delay { ms: 1 },
            Effect::Reorder { count: 2 },
            Effect::Twice,
            Effect::Cancel,
            Effect::CloseChannel { code: 406, text: "no".into() },
        ] {
            assert_eq!(json(serde_json::to_value(&effect).expect("JSON")), effect.name());
        }
    }
}
