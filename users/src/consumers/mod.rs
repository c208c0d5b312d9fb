//! What this service hears: an event becomes a repository message.

mod order_cancelled;
mod order_created;

pub use order_cancelled::OnOrderCancelled;
pub use order_created::OnOrderCreated;

use common::consumer::Verdict;

use crate::repository::Recorded;

/// Both consumers judge alike.
fn verdict(recorded: Recorded) -> Verdict {
    match recorded {
        Recorded::Applied => Verdict::Applied,
        Recorded::SeenBefore => Verdict::SeenBefore,
        // Nothing here guarantees that the user's own commit is older, so it may still come.
        Recorded::UnknownUser => Verdict::NotYet("no such user is known".to_owned()),
    }
}
