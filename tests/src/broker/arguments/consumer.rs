//! The arguments of a `basic.consume`.

use amq_protocol::types::FieldTable;

use super::QueueKind;
use super::erlang::integer;
use super::known::CONSUMER;
use crate::broker::Refusal;

/// Checks what a consumer of this queue says, in RabbitMQ's order. What RabbitMQ does not know means nothing, as there.
///
/// # Errors
///
/// RabbitMQ would not take it, or this broker does not do what it asks for.
pub fn check_consumer(
    queue: &str,
    vhost: &str,
    kind: QueueKind,
    arguments: &FieldTable,
) -> Result<(), Refusal> {
    let queue = format!("queue '{queue}' in vhost '{vhost}'");
    for known in CONSUMER {
        let key = known.key;
        if !arguments.contains_key(key) {
            continue;
        }
        if !known.is_for(kind) {
            return Err(Refusal::not_of_this_type(key, &queue, kind));
        }
        known.check(arguments).map_err(|why| {
            Refusal::precondition_failed(format_args!("invalid arg '{key}' for {queue}: {why}"))
        })?;
    }
    // Zero is what every consumer has.
    if arguments.inner().get("x-priority").and_then(integer).is_some_and(|priority| priority != 0) {
        return Err(Refusal::not_implemented(format_args!(
            "argument 'x-priority' of a consumer of {queue}: the embedded broker has no consumer priorities"
        )));
    }
    Ok(())
}
