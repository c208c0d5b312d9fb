use common::http::{Caller, Problem};

use super::problem::not_yours;
use crate::domain::CustomerId;

/// Whose orders alone the caller may see and change; `None` where that is everybody's.
///
/// # Errors
/// 403 where the caller's name cannot be a customer's: then nothing is theirs.
pub(super) fn only(caller: &Caller) -> Result<Option<CustomerId>, Problem> {
    caller.only().map(|subject| CustomerId::parse(subject).ok_or_else(not_yours)).transpose()
}
