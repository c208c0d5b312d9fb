//! What a user is: plain types and pure functions, which name no library of the outside.

mod email;
mod name;
mod password;
mod user;

pub use email::{Email, EmailError};
pub use name::{Name, NameError};
pub use password::{Password, PasswordError};
pub use user::{OrderTally, PasswordHash, User, UserId};
