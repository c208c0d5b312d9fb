//! What can be asked of the users' store: one message a file, with what it does under it.
//!
//! The actor is [`common::store::Repository`]; these are the commands and queries that it carries out.

mod find_user;
mod list_users;
mod record_order;
mod register_user;

pub use find_user::{FindUser, KnownUser};
pub use list_users::ListUsers;
pub use record_order::{OrderChange, RecordOrder, Recorded};
pub use register_user::{EmailTaken, RegisterUser};

use common::store::Table;

use crate::domain::{OrderTally, PasswordHash, User, UserId};

/// Users by id.
const USERS: Table<User> = Table::new("users");

/// Ids by [`Email::key`](crate::domain::Email::key); what makes addresses unique.
const EMAILS: Table<UserId> = Table::new("emails");

/// Password hashes by id, apart from the users so that nothing answers with one by mistake.
const PASSWORDS: Table<PasswordHash> = Table::new("passwords");

/// Tallies by id, apart from the users because events change them often.
const TALLIES: Table<OrderTally> = Table::new("order_tallies");
