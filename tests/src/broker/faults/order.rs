//! What the broker can be told over its control socket.

use amq_protocol::protocol::AMQPErrorKind;
use serde::{Deserialize, Serialize};

use super::Rule;

/// The longest name or text that fits into a frame of AMQP.
pub(super) const SHORT: usize = 255;

/// One order, carried out at once and answered when it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Order {
    /// Closes the sockets of these connections without a word.
    Drop {
        /// Which.
        #[serde(default)]
        connections: Selection,
    },
    /// Closes every new connection at once, until told to accept or until the time is over.
    Refuse {
        /// For so long; for ever where it is not said.
        #[serde(default)]
        for_ms: Option<u64>,
    },
    /// Ends refusing.
    Accept,
    /// Neither reads nor writes any more on these connections, whose sockets stay open; new ones are accepted, and as
    /// silent where all are meant.
    Silence {
        /// Which.
        #[serde(default)]
        connections: Selection,
        /// For so long; until told to speak where it is not said.
        #[serde(default)]
        for_ms: Option<u64>,
    },
    /// Ends every silence.
    Speak,
    /// Tells publishers `connection.blocked` and reads nothing more from them, as under a memory alarm.
    Block,
    /// Ends blocking.
    Unblock,
    /// Cancels every consumer of a queue, as when its leader is lost.
    CancelConsumers {
        /// Its name.
        queue: String,
    },
    /// Closes every channel of these connections with an error.
    CloseChannels {
        /// Which.
        #[serde(default)]
        connections: Selection,
        /// The reply code, such as 406.
        code: u16,
        /// The reply text, of at most 255 bytes.
        text: String,
    },
    /// Deletes every queue with all that is in it, as a broker that lost its disk.
    ForgetQueues,
    /// Adds a virtual host.
    AddVhost {
        /// Its name.
        name: String,
    },
    /// Adds a rule and answers its id.
    Rule(Rule),
    /// Removes every rule, and what is known of those that fired. What they hold stays held.
    ClearRules,
    /// Lets go on whatever a rule holds.
    Release,
    /// Answers how the broker is, and how often each rule fired.
    Status,
    /// Ends the process as `kill -9` does, without an answer.
    Crash,
}

impl Order {
    /// Whether it can be carried out at all.
    ///
    /// # Errors
    ///
    /// Says what is wrong, in a sentence for whoever ordered it.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Rule(rule) => rule.check(),
            Self::CloseChannels { code, text, .. } => check_close(*code, text),
            Self::AddVhost { name } if name.is_empty() => Err("the virtual host has no name".into()),
            Self::AddVhost { name } => check_short("the name of the virtual host", name),
            _ => Ok(()),
        }
    }
}

/// Whether a channel can be closed with this: a client may end over a code that AMQP does not have.
pub(super) fn check_close(code: u16, text: &str) -> Result<(), String> {
    match AMQPErrorKind::from_id(code) {
        Some(_) => check_short("the text", text),
        None => Err(format!(
            "AMQP has no reply code {code}: it has 311, 312, 313, 320, 402 to 406, 501 to 506, 530, 540 and 541"
        )),
    }
}

fn check_short(what: &str, text: &str) -> Result<(), String> {
    match text.len() <= SHORT {
        true => Ok(()),
        false => Err(format!("{what} has {} bytes, and AMQP has room for {SHORT}", text.len())),
    }
}

/// Some of the broker's connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// A part of the `connection_name` that their clients gave; all connections where it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Selection {
    /// All connections.
    pub fn all() -> Self {
        Self::default()
    }

    /// Those whose name contains this.
    pub fn named(part: impl Into<String>) -> Self {
        Self { name: Some(part.into()) }
    }

    /// Whether a connection of this name is meant.
    pub fn has(&self, connection: &str) -> bool {
        self.name.as_ref().is_none_or(|part| connection.contains(part.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::faults::{Effect, Moment};

    fn read(line: &str) -> Result<Order, String> {
        serde_json::from_str(line).map_err(|error| error.to_string())
    }

    #[test]
    fn an_order_is_one_object_with_its_name_in_it() {
        let users = Selection::named("users");
        assert_eq!(read(r#"{"order":"drop"}"#), Ok(Order::Drop { connections: Selection::all() }));
        assert_eq!(
            read(r#"{"order":"silence","connections":{"name":"users"},"for_ms":50}"#),
            Ok(Order::Silence { connections: users, for_ms: Some(50) })
        );
        assert_eq!(read(r#"{"order":"forget-queues"}"#), Ok(Order::ForgetQueues));
        assert_eq!(
            read(r#"{"order":"rule","at":"publish-stored","effect":{"delay":{"ms":200}},"skip":9}"#),
            Ok(Order::Rule(Rule::new(Moment::PublishStored, Effect::Delay { ms: 200 }).skip(9)))
        );
    }

    #[test]
    fn every_order_is_read_as_it_was_written() {
        let connections = Selection::named("users");
        let rule = Rule::new(Moment::Method, Effect::CloseChannel { code: 406, text: "no".into() });
        let orders = [
            Order::Drop { connections: Selection::all() },
            Order::Refuse { for_ms: Some(5_000) },
            Order::Refuse { for_ms: None },
            Order::Accept,
            Order::Silence { connections: connections.clone(), for_ms: None },
            Order::Speak,
            Order::Block,
            Order::Unblock,
            Order::CancelConsumers { queue: "q".into() },
            Order::CloseChannels { connections, code: 541, text: "broken".into() },
            Order::ForgetQueues,
            Order::AddVhost { name: "a".into() },
            Order::Rule(rule.method("queue.declare").connection("orders").times(3)),
            Order::ClearRules,
            Order::Release,
            Order::Status,
            Order::Crash,
        ];

        for order in orders {
            let line = serde_json::to_string(&order).expect("an order is JSON");
            assert_eq!(read(&line), Ok(order), "{line}");
        }
    }

    #[test]
    fn what_is_misspelt_is_named_together_with_what_is_possible() {
        let error = read(r#"{"order":"dorp"}"#).expect_err("no such order");
        assert!(error.contains("`dorp`") && error.contains("`drop`"), "{error}");
        let error = read(r#"{"order":"drop","conections":{}}"#).expect_err("no such field");
        assert!(error.contains("`conections`") && error.contains("`connections`"), "{error}");
        let error =
            read(r#"{"order":"rule","at":"publish-stord","effect":"drop"}"#).expect_err("no such moment");
        assert!(error.contains("`publish-stord`") && error.contains("`publish-stored`"), "{error}");
        let error = read("{}").expect_err("no order");
        assert!(error.contains("`order`"), "{error}");
    }

    #[test]
    fn what_does_not_fit_into_a_frame_is_refused() {
        let order = |bytes| Order::CloseChannels {
            connections: Selection::all(),
            code: 406,
            text: "x".repeat(bytes),
        };

        assert_eq!(order(255).check(), Ok(()));
        assert_eq!(order(256).check(), Err("the text has 256 bytes, and AMQP has room for 255".into()));
        assert_eq!(
            Order::AddVhost { name: String::new() }.check(),
            Err("the virtual host has no name".into())
        );
    }

    #[test]
    fn a_channel_is_closed_with_a_code_that_amqp_has() {
        let order = |code| Order::CloseChannels { connections: Selection::all(), code, text: String::new() };
        let known = (0..=u16::MAX).filter(|code| order(*code).check().is_ok());

        let all = [311, 312, 313, 320, 402, 403, 404, 405, 406, 501, 502, 503, 504, 505, 506, 530, 540, 541];
        assert_eq!(known.collect::<Vec<_>>(), all);
        let error = order(407).check().expect_err("there is none");
        assert!(error.contains("no reply code 407") && error.contains("402 to 406"), "{error}");
    }

    #[test]
    fn a_selection_is_a_part_of_a_name() {
        assert!(Selection::named("users").has("users publisher"));
        assert!(!Selection::named("users").has("orders publisher"));
        assert!(Selection::all().has(""));
    }
}
