//! What this service hears: an event becomes a repository message.

mod user_created;

pub use user_created::OnUserCreated;
