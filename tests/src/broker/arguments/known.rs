//! The arguments of queues and consumers that RabbitMQ knows, and what it accepts for each.

use amq_protocol::types::{AMQPValue, FieldTable};

use super::QueueKind;
use super::erlang::{integer, text, type_of};

/// Ten years, in milliseconds.
const LONGEST: i64 = 315_360_000_000;

/// An argument that RabbitMQ knows.
pub struct Known {
    pub key: &'static str,
    /// The types of queue that take it.
    kinds: &'static [QueueKind],
    check: Check,
}

/// What a value must be.
enum Check {
    Anything,
    Text,
    Boolean,
    OneOf(&'static [&'static str], Unknown),
    Integer,
    NotNegative,
    Positive,
    /// How long a message may wait.
    Ttl,
    /// How long a queue may be unused.
    Expiry,
    Priority,
    Version,
    /// A text, and only with an exchange.
    DeadLetterKey,
}

/// How RabbitMQ says that it does not know a word.
enum Unknown {
    Atom(&'static str),
    Sentence(&'static str),
}

use Check::*;
use QueueKind::{Classic, Quorum};

const BOTH: &[QueueKind] = &[Classic, Quorum];

const fn known(key: &'static str, kinds: &'static [QueueKind], check: Check) -> Known {
    Known { key, kinds, check }
}

/// The type comes first: what else is known depends on it.
pub const QUEUE_TYPE: Known =
    known("x-queue-type", BOTH, OneOf(&["classic", "quorum", "stream"], Unknown::Sentence("queue type")));

/// In the order in which RabbitMQ looks at them, so that of two mistakes the same is told.
pub const KNOWN: &[Known] = &[
    known("x-expires", BOTH, Expiry),
    known("x-message-ttl", BOTH, Ttl),
    known("x-dead-letter-exchange", BOTH, Text),
    known("x-dead-letter-routing-key", BOTH, DeadLetterKey),
    known(
        "x-dead-letter-strategy",
        &[Quorum],
        OneOf(&["at-most-once", "at-least-once"], Unknown::Atom("invalid_dlx_strategy")),
    ),
    known("x-max-length", BOTH, NotNegative),
    known("x-max-length-bytes", BOTH, NotNegative),
    known("x-max-in-memory-length", &[Quorum], NotNegative),
    known("x-max-in-memory-bytes", &[Quorum], NotNegative),
    known("x-max-priority", &[Classic], Priority),
    known(
        "x-overflow",
        BOTH,
        OneOf(&["drop-head", "reject-publish", "reject-publish-dlx"], Unknown::Atom("invalid_overflow")),
    ),
    known("x-queue-mode", &[Classic], OneOf(&["default", "lazy"], Unknown::Sentence("queue mode"))),
    known("x-queue-version", &[Classic], Version),
    known("x-single-active-consumer", BOTH, Boolean),
    QUEUE_TYPE,
    known("x-quorum-initial-group-size", &[Quorum], Positive),
    // Of streams.
    known("x-max-age", &[], Anything),
    known("x-stream-max-segment-size-bytes", &[], Anything),
    known("x-initial-cluster-size", &[], Anything),
    known(
        "x-queue-leader-locator",
        &[Quorum],
        OneOf(
            &["client-local", "balanced", "random", "least-leaders"],
            Unknown::Atom("invalid_queue_locator_arg"),
        ),
    ),
    known("x-queue-master-locator", &[Classic], Anything),
    known("x-delivery-limit", &[Quorum], Anything),
];

/// What consumers may say. There is nothing to fail over to, so that this is as good as done.
pub const CONSUMER: &[Known] = &[
    known("x-priority", BOTH, Integer),
    known("x-cancel-on-ha-failover", &[Classic], Boolean),
    // Of streams.
    known("x-stream-offset", &[], Anything),
];

impl Known {
    /// Whether a queue of this type takes it.
    pub fn is_for(&self, kind: QueueKind) -> bool {
        self.kinds.contains(&kind)
    }

    /// Checks the value, where there is one. The error is an Erlang term, as RabbitMQ sends it.
    pub fn check(&self, arguments: &FieldTable) -> Result<(), String> {
        let Some(value) = arguments.inner().get(self.key) else { return Ok(()) };
        let unacceptable = || format!("{{unacceptable_type,{}}}", type_of(value));
        let negative = |number| format!("{{value_negative,{number}}}");

        match &self.check {
            Anything => Ok(()),
            Text => text(value).map(drop).ok_or_else(unacceptable),
            DeadLetterKey => match text(value) {
                None => Err(unacceptable()),
                Some(_) if !arguments.contains_key("x-dead-letter-exchange") => {
                    Err("routing_key_but_no_dlx_defined".to_owned())
                }
                Some(_) => Ok(()),
            },
            Boolean => value.as_bool().map(drop).ok_or_else(unacceptable),
            OneOf(words, unknown) => match (text(value), unknown) {
                (None, _) => Err(unacceptable()),
                (Some(word), _) if words.contains(&word.as_str()) => Ok(()),
                (Some(_), Unknown::Atom(atom)) => Err((*atom).to_owned()),
                (Some(word), Unknown::Sentence(what)) => {
                    Err(format!("{:?}", format!("unsupported {what} '{word}'")))
                }
            },
            Integer => whole(value).map(drop),
            NotNegative => match whole(value)? {
                number @ ..0 => Err(negative(number)),
                _ => Ok(()),
            },
            Positive => match whole(value)? {
                number @ ..0 => Err(negative(number)),
                0 => Err("{value_zero,0}".to_owned()),
                _ => Ok(()),
            },
            Expiry if whole(value)? == 0 => Err("{value_zero,0}".to_owned()),
            Ttl | Expiry => match whole(value)? {
                number @ ..0 => Err(negative(number)),
                number if number > LONGEST => Err(format!("{{value_too_large,{number}}}")),
                _ => Ok(()),
            },
            Priority => match whole(value)? {
                number @ ..0 => Err(negative(number)),
                number @ 256.. => Err(format!("{{max_value_exceeded,{number}}}")),
                _ => Ok(()),
            },
            Version => match whole(value)? {
                number @ ..=-1 => Err(negative(number)),
                1 | 2 => Ok(()),
                number => Err(format!("\"unsupported queue version '{number}'\"")),
            },
        }
    }
}

fn whole(value: &AMQPValue) -> Result<i64, String> {
    integer(value).ok_or_else(|| format!("\"expected integer, got {}\"", type_of(value)))
}
