//! What can be asked of the users' store: one message a file, with what it does under it.
//!
//! The actor is [`common::store::Repository`]; these are the commands and queries that it carries out.

mod find_login;
mod find_user;
mod give_password;
mod list_users;
mod maintain_keys;
mod make_admin;
mod record_order;
mod register_user;

pub use find_login::{FindLogin, Login};
pub use find_user::{FindUser, KnownUser};
pub use give_password::GivePassword;
pub use list_users::ListUsers;
pub use maintain_keys::{KeptKey, MaintainKeys};
pub use make_admin::MakeAdmin;
pub use record_order::{OrderChange, RecordOrder, Recorded};
pub use register_user::{EmailTaken, RegisterUser};

use common::store::Table;

use crate::domain::{OrderTally, PasswordHash, Role, User, UserId};

/// Users by id.
const USERS: Table<User> = Table::new("users");

/// Ids by [`Email::key`](crate::domain::Email::key); what makes addresses unique.
const EMAILS: Table<UserId> = Table::new("emails");

/// Password hashes by id, apart from the users so that nothing answers with one by mistake.
const PASSWORDS: Table<PasswordHash> = Table::new("passwords");

/// Roles by id, apart from the users for the same reason; who is not there is an ordinary user.
const ROLES: Table<Role> = Table::new("roles");

/// The keys that tokens are signed by, by name.
const SIGNING_KEYS: Table<maintain_keys::StoredKey> = Table::new("signing_keys");

/// Tallies by id, apart from the users because events change them often.
const TALLIES: Table<OrderTally> = Table::new("order_tallies");

#[cfg(test)]
mod tests;
