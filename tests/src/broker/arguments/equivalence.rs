//! Whether what is declared again is what is there.

use amq_protocol::types::{AMQPValue, FieldTable};

use super::erlang::{plain, term, type_of};
use crate::broker::Refusal;

/// The thing that is declared again.
pub struct Declared<'a> {
    /// `queue` or `exchange`.
    pub kind: &'a str,
    pub name: &'a str,
    pub vhost: &'a str,
}

impl Declared<'_> {
    /// Compares what is no argument.
    pub fn same<T: PartialEq + ToString>(&self, field: &str, current: T, received: T) -> Result<(), Refusal> {
        if current == received {
            return Ok(());
        }
        let quoted = |value: T| format!("'{}'", value.to_string());
        Err(self.differs(field, &quoted(received), &quoted(current)))
    }

    /// Compares one argument.
    pub fn same_argument(
        &self,
        key: &str,
        current: &FieldTable,
        received: &FieldTable,
    ) -> Result<(), Refusal> {
        match (current.inner().get(key), received.inner().get(key)) {
            (None, None) => Ok(()),
            (Some(current), Some(received)) if term(current) == term(received) => Ok(()),
            (Some(current), Some(received)) => {
                let quoted = |value| format!("'{}'", plain(value));
                Err(self.differs(key, &quoted(received), &quoted(current)))
            }
            // The type of a classic queue need not be said.
            (None, Some(AMQPValue::LongString(kind))) | (Some(AMQPValue::LongString(kind)), None)
                if key == "x-queue-type" && kind.as_bytes() == b"classic" =>
            {
                Ok(())
            }
            (current, received) => Err(self.differs(key, &described(received), &described(current))),
        }
    }

    fn differs(&self, field: &str, received: &str, current: &str) -> Refusal {
        let Self { kind, name, vhost } = self;
        Refusal::precondition_failed(format_args!(
            "inequivalent arg '{field}' for {kind} '{name}' in vhost '{vhost}': received {received} but current is \
             {current}"
        ))
    }
}

/// A value where the other side has none.
fn described(value: Option<&AMQPValue>) -> String {
    match value {
        Some(value) => format!("the value '{}' of type '{}'", plain(value), type_of(value)),
        None => "none".to_owned(),
    }
}
