use std::fmt;

/// A password as its owner typed it. It is never written anywhere: not stored, logged, answered or published.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Takes a password of 8 to 128 characters, as NIST SP 800-63B section 5.1.1.2 asks: no rules of what it
    /// must hold, and an upper bound only against abuse.
    ///
    /// # Errors
    /// Says what is wrong with its length.
    pub fn parse(raw: &str) -> Result<Self, PasswordError> {
        match raw.chars().count() {
            ..8 => Err(PasswordError::TooShort),
            129.. => Err(PasswordError::TooLong),
            _ => Ok(Self(raw.to_owned())),
        }
    }

    /// The password itself, for hashing.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Why a text is no password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordError {
    /// Fewer than 8 characters.
    TooShort,
    /// More than 128 characters.
    TooLong,
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort => "must be at least 8 characters long",
            Self::TooLong => "must be at most 128 characters long",
        })
    }
}

impl std::error::Error for PasswordError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_length_of_a_password_is_ruled() {
        assert!(Password::parse("correct horse").is_ok());
        assert_eq!(Password::parse("short"), Err(PasswordError::TooShort));
        assert_eq!(Password::parse(&"x".repeat(129)), Err(PasswordError::TooLong));
    }

    #[test]
    fn a_password_does_not_show_itself_in_debug_output() {
        let password = Password::parse("correct horse").expect("long enough");

        assert!(!format!("{password:?}").contains("horse"));
    }
}
