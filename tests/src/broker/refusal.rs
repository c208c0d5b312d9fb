//! Why the broker does not do what a client asked for, in RabbitMQ's own words.

use std::fmt;

use super::arguments::QueueKind;

/// AMQP carries the text as a short string.
const LONGEST: usize = 255;

/// What a refusal closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The channel that asked.
    Channel,
    /// The whole connection.
    Connection,
}

/// What a `channel.close` or `connection.close` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// As AMQP numbers them.
    pub code: u16,
    /// The code's name and what was wrong. At most 255 bytes.
    pub text: String,
    /// What is closed.
    pub scope: Scope,
}

/// The codes, and what RabbitMQ closes for each.
impl Refusal {
    /// The broker itself ends the connection, 320.
    pub fn connection_forced(explanation: impl fmt::Display) -> Self {
        Self::connection(320, "CONNECTION_FORCED", explanation)
    }

    /// 403.
    pub fn access_refused(explanation: impl fmt::Display) -> Self {
        Self::channel(403, "ACCESS_REFUSED", explanation)
    }

    /// There is no such `kind`, a queue or an exchange, 404.
    pub fn not_found(kind: &str, name: &str, vhost: &str) -> Self {
        Self::channel(404, "NOT_FOUND", format_args!("no {kind} '{name}' in vhost '{vhost}'"))
    }

    /// The queue is another connection's, or is declared exclusive and was not, or the other way round, 405.
    pub fn resource_locked(queue: &str, vhost: &str) -> Self {
        let explanation = format_args!(
            "cannot obtain exclusive access to locked queue '{queue}' in vhost '{vhost}'. It could be originally \
             declared on another connection or the exclusive property value does not match that of the original \
             declaration."
        );
        Self::channel(405, "RESOURCE_LOCKED", explanation)
    }

    /// 406.
    pub fn precondition_failed(explanation: impl fmt::Display) -> Self {
        Self::channel(406, "PRECONDITION_FAILED", explanation)
    }

    /// A frame that cannot be read, 501.
    pub fn frame_error(explanation: impl fmt::Display) -> Self {
        Self::connection(501, "FRAME_ERROR", explanation)
    }

    /// A field of a frame that cannot be read, 502.
    pub fn syntax_error(explanation: impl fmt::Display) -> Self {
        Self::connection(502, "SYNTAX_ERROR", explanation)
    }

    /// A method that makes no sense here, 503.
    pub fn command_invalid(explanation: impl fmt::Display) -> Self {
        Self::connection(503, "COMMAND_INVALID", explanation)
    }

    /// A channel that is not open, or is already, 504.
    pub fn channel_error(explanation: impl fmt::Display) -> Self {
        Self::connection(504, "CHANNEL_ERROR", explanation)
    }

    /// A frame where another was due, 505.
    pub fn unexpected_frame(explanation: impl fmt::Display) -> Self {
        Self::connection(505, "UNEXPECTED_FRAME", explanation)
    }

    /// 530.
    pub fn not_allowed(explanation: impl fmt::Display) -> Self {
        Self::connection(530, "NOT_ALLOWED", explanation)
    }

    /// What this broker does not do, 540.
    pub fn not_implemented(explanation: impl fmt::Display) -> Self {
        Self::connection(540, "NOT_IMPLEMENTED", explanation)
    }

    /// The broker's own mistake, 541.
    pub fn internal_error(explanation: impl fmt::Display) -> Self {
        Self::connection(541, "INTERNAL_ERROR", explanation)
    }

    /// What somebody ordered to close a channel with, as it is.
    pub fn ordered(code: u16, text: impl Into<String>) -> Self {
        Self { code, text: shorten(text.into()), scope: Scope::Channel }
    }

    fn channel(code: u16, name: &str, explanation: impl fmt::Display) -> Self {
        Self { code, text: shorten(format!("{name} - {explanation}")), scope: Scope::Channel }
    }

    fn connection(code: u16, name: &str, explanation: impl fmt::Display) -> Self {
        Self { code, text: shorten(format!("{name} - {explanation}")), scope: Scope::Connection }
    }
}

/// The texts that are always the same.
impl Refusal {
    /// A client means the queue that it declared last, by the empty name, and declared none.
    pub fn no_previous_queue() -> Self {
        Self::channel(404, "NOT_FOUND", "no previously declared queue")
    }

    /// A new queue or exchange may not be called `amq.` and something.
    pub fn reserved_name(kind: &str, name: &str) -> Self {
        Self::access_refused(format_args!("{kind} name '{name}' contains reserved prefix 'amq.*'"))
    }

    /// The default exchange is neither declared, deleted nor bound.
    pub fn default_exchange() -> Self {
        Self::access_refused("operation not permitted on the default exchange")
    }

    /// The exchanges that are called `amq.` and something stay.
    pub fn system_exchange(name: &str, vhost: &str) -> Self {
        Self::access_refused(format_args!(
            "deletion of system exchange '{name}' in vhost '{vhost}' not allowed"
        ))
    }

    /// No client publishes to an internal exchange.
    pub fn internal_exchange(name: &str, vhost: &str) -> Self {
        Self::access_refused(format_args!("cannot publish to internal exchange '{name}' in vhost '{vhost}'"))
    }

    /// A queue has an exclusive consumer, or has consumers and shall get an exclusive one.
    pub fn exclusive_use(queue: &str, vhost: &str) -> Self {
        Self::access_refused(format_args!("queue '{queue}' in vhost '{vhost}' in exclusive use"))
    }

    /// A quorum queue is consumed on a channel whose consumers share one limit of deliveries.
    pub fn no_global_qos(queue: &str, vhost: &str) -> Self {
        Self::not_implemented(format_args!("queue '{queue}' in vhost '{vhost}' does not support global qos"))
    }

    /// The login is wrong. Nothing of the connection is open yet, so this ends it whole.
    pub fn login(mechanism: &str) -> Self {
        let explanation = format_args!(
            "Login was refused using authentication mechanism {mechanism}. For details see the broker logfile."
        );
        Self { scope: Scope::Connection, ..Self::access_refused(explanation) }
    }

    /// The `kind` was to be deleted only if unused.
    pub fn in_use(kind: &str, name: &str, vhost: &str) -> Self {
        Self::precondition_failed(format_args!("{kind} '{name}' in vhost '{vhost}' in use"))
    }

    /// The queue was to be deleted only if empty.
    pub fn not_empty(queue: &str, vhost: &str) -> Self {
        Self::precondition_failed(format_args!("queue '{queue}' in vhost '{vhost}' not empty"))
    }

    /// A quorum queue is declared without a name.
    pub fn nameless_quorum() -> Self {
        Self::precondition_failed("Cannot declare a server-named queue for type rabbit_quorum_queue")
    }

    /// An argument is for queues of another type, or for their consumers.
    pub fn not_of_this_type(key: &str, queue: &str, kind: QueueKind) -> Self {
        let of = match kind {
            QueueKind::Classic => "rabbit_classic_queue",
            QueueKind::Quorum => "rabbit_quorum_queue",
        };
        Self::precondition_failed(format_args!("invalid arg '{key}' for {queue} of queue type {of}"))
    }

    /// A quorum queue was to be deleted only if `condition`.
    pub fn no_conditional_delete(queue: &str, vhost: &str, condition: &str) -> Self {
        Self::not_implemented(format_args!(
            "cannot delete queue '{queue}' in vhost '{vhost}'. queue.delete operations with {condition} flag set are \
             not supported by quorum queues"
        ))
    }

    /// The queue that RabbitMQ answers over without there being one.
    pub fn no_direct_reply_to() -> Self {
        Self::not_implemented("queue 'amq.rabbitmq.reply-to': the embedded broker has no direct reply-to")
    }

    /// A delivery is settled that is not open on this channel.
    pub fn unknown_delivery_tag(tag: u64) -> Self {
        Self::precondition_failed(format_args!("unknown delivery tag {tag}"))
    }

    /// A message's expiration is no number of milliseconds, or more than ten years.
    pub fn expiration(text: &str) -> Self {
        let digits = text.find(|c: char| !c.is_ascii_digit() && !"+-".contains(c)).unwrap_or(text.len());
        let why = match text[..digits].parse::<i128>() {
            Err(_) => "no_integer".to_owned(),
            Ok(_) if digits < text.len() => format!("{{leftover_string,{:?}}}", &text[digits..]),
            Ok(number) if number < 0 => format!("{{value_negative,{number}}}"),
            Ok(number) => format!("{{value_too_large,{number}}}"),
        };
        Self::precondition_failed(format_args!("invalid expiration '{text}': {why}"))
    }

    /// The channel has a consumer of this name.
    pub fn consumer_tag_in_use(tag: &str) -> Self {
        Self::not_allowed(format_args!("attempt to reuse consumer tag '{tag}'"))
    }

    /// A connection is opened to a virtual host that is not there.
    pub fn no_vhost(vhost: &str) -> Self {
        Self::not_allowed(format_args!("vhost {vhost} not found"))
    }
}

/// Cuts a text as RabbitMQ does.
fn shorten(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST - 3));
        text.push_str("...");
    }
    text
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_to_what_amqp_carries() {
        let refusal = Refusal::not_found("queue", &"ü".repeat(200), "/");

        assert!(
            refusal.text.len() <= 255 && refusal.text.starts_with("NOT_FOUND - no queue 'üü"),
            "{refusal}"
        );
        assert!(refusal.text.ends_with("ü..."), "{refusal}");
    }

    #[test]
    fn an_expiration_is_refused_in_rabbitmqs_words() {
        let cases = [
            ("abc", "no_integer"),
            ("", "no_integer"),
            (" 1", "no_integer"),
            ("-1", "{value_negative,-1}"),
            ("1.5", "{leftover_string,\".5\"}"),
            ("10ms", "{leftover_string,\"ms\"}"),
            ("315360000001", "{value_too_large,315360000001}"),
        ];

        for (text, why) in cases {
            let expected = format!("PRECONDITION_FAILED - invalid expiration '{text}': {why}");
            assert_eq!(Refusal::expiration(text).text, expected);
        }
    }

    #[test]
    fn each_code_closes_what_rabbitmq_closes() {
        let channel = [
            Refusal::access_refused(""),
            Refusal::not_found("", "", ""),
            Refusal::resource_locked("", ""),
            Refusal::precondition_failed(""),
        ];
        let connection = [
            Refusal::login("PLAIN"),
            Refusal::command_invalid(""),
            Refusal::not_allowed(""),
            Refusal::not_implemented(""),
            Refusal::internal_error(""),
        ];

        assert_eq!(channel.map(|refusal| (refusal.code, refusal.scope)), {
            [403, 404, 405, 406].map(|code| (code, Scope::Channel))
        });
        assert_eq!(connection.map(|refusal| (refusal.code, refusal.scope)), {
            [403, 503, 530, 540, 541].map(|code| (code, Scope::Connection))
        });
    }
}
