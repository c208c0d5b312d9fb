//! Who starts this process again when it dies, such as `cargo up`.

use std::env;

/// Where whoever does so gives its name.
pub const KEEPER: &str = "WARREN_KEEPER";

/// The keeper's name; `None` where nobody says that there is one.
pub(super) fn keeper() -> Option<String> {
    env::var(KEEPER).ok().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
}
