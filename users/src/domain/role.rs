use serde::{Deserialize, Serialize};

/// What a user may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees and changes what is its own.
    #[default]
    User,
    /// Sees and changes everything.
    Admin,
}

impl Role {
    /// The word that tokens carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }
}
