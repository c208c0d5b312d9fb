use crate::{
    store::{Command, RepositoryError},
    telemetry::{
        spans::{Span, SpanKind},
        trace::Origin,
    },
};

/// Begins the span of waiting for `C`'s turn and its commit, where a request or a delivery is at work.
pub(super) fn committing<C: Command>() -> Option<Span> {
    let parent = Origin::with_current(|origin| origin.map(|origin| origin.traceparent))?;
    Some(Span::child_of(parent, SpanKind::Internal, || {
        format!("commit {}", short(std::any::type_name::<C>()))
    }))
}

/// Says what came of it.
pub(super) fn committed<T>(span: Option<Span>, outcome: &Result<T, RepositoryError>) {
    if let (Some(mut span), Err(error)) = (span, outcome) {
        let kind = if error.is_unknown() { "unknown" } else { "refused" };
        span.note(|record| {
            record.fail(kind, error.to_string());
        });
    }
}

/// A type's name without the paths in it.
fn short(name: &str) -> String {
    let parts = name.split_inclusive(['<', '>', ',', ' ', '(', ')']);
    parts.map(|part| part.rsplit("::").next().unwrap_or(part)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_called_by_its_name() {
        assert_eq!(short("orders::repository::place::PlaceOrder"), "PlaceOrder");
        assert_eq!(
            short("common::a::Keyed<orders::b::PlaceOrder, alloc::string::String>"),
            "Keyed<PlaceOrder, String>"
        );
    }
}
