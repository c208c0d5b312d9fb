use std::fmt;

use serde::{Deserialize, Serialize};

/// What a user is called: 1 to 200 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// Takes a name, without the white space around it.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(raw: &str) -> Result<Self, NameError> {
        let raw = raw.trim();
        if raw.is_empty() {
            Err(NameError::Empty)
        } else if raw.chars().count() > 200 {
            Err(NameError::TooLong)
        } else if raw.chars().any(char::is_control) {
            Err(NameError::Control)
        } else {
            Ok(Self(raw.to_owned()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Nothing is there.
    Empty,
    /// More than 200 characters.
    TooLong,
    /// It holds a control character.
    Control,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "must not be empty",
            Self::TooLong => "must be at most 200 characters long",
            Self::Control => "must not hold control characters",
        })
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_200_characters_whatever_their_bytes() {
        assert_eq!(Name::parse(" Grace ").as_ref().map(Name::as_str), Ok("Grace"));
        assert!(Name::parse(&"ü".repeat(200)).is_ok());
        assert_eq!(Name::parse(&"ü".repeat(201)), Err(NameError::TooLong));
        assert_eq!(Name::parse(" \t"), Err(NameError::Empty));
        assert_eq!(Name::parse("Gra\u{7}ce"), Err(NameError::Control));
    }
}
