//! What a user is: plain types and pure functions, which name no library of the outside.

mod email;
mod key_schedule;
mod name;
mod password;
mod role;
mod user;

pub use email::{Email, EmailError};
pub use key_schedule::KeySchedule;
pub use name::{Name, NameError};
pub use password::{Password, PasswordError};
pub use role::Role;
pub use user::{OrderTally, PasswordHash, User, UserId};
