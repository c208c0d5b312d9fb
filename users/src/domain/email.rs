use std::fmt;

use serde::{Deserialize, Serialize};

/// An address that mail can be sent to, as far as its form tells: `local@domain` within the lengths of
/// RFC 5321 section 4.5.3.1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Email(String);

impl Email {
    /// Takes an address as its owner writes it.
    ///
    /// # Errors
    /// Says what is wrong with its form.
    pub fn parse(raw: &str) -> Result<Self, EmailError> {
        let raw = raw.trim();
        if raw.is_empty() {
            return Err(EmailError::Empty);
        }
        if raw.len() > 254 {
            return Err(EmailError::TooLong);
        }
        let (local, domain) = raw.rsplit_once('@').ok_or(EmailError::Form)?;
        let sound = |part: &str| {
            !part.is_empty() && !part.chars().any(|c| c.is_whitespace() || c.is_control() || c == '@')
        };
        let labels_sound = domain.split('.').all(|label| !label.is_empty());
        if local.len() <= 64 && sound(local) && sound(domain) && labels_sound {
            Ok(Self(raw.to_owned()))
        } else {
            Err(EmailError::Form)
        }
    }

    /// As its owner writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form by which addresses are compared: without regard to case.
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailError {
    /// Nothing is there.
    Empty,
    /// More than 254 bytes.
    TooLong,
    /// Not `local@domain`.
    Form,
}

impl fmt::Display for EmailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "must not be empty",
            Self::TooLong => "must be at most 254 bytes long",
            Self::Form => "must be an address such as ada@example.com",
        })
    }
}

impl std::error::Error for EmailError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_kept_as_written_and_compared_without_regard_to_case() {
        let email = Email::parse(" Ada@Example.COM ").expect("an address");

        assert_eq!(email.as_str(), "Ada@Example.COM");
        assert_eq!(email.key(), "ada@example.com");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        assert_eq!(Email::parse("  "), Err(EmailError::Empty));
        assert_eq!(Email::parse(&format!("{}@example.com", "a".repeat(300))), Err(EmailError::TooLong));
        for raw in
            ["ada", "@example.com", "ada@", "a da@example.com", "a@b@c", "ada@example..com", "a\u{0}@b.c"]
        {
            assert_eq!(Email::parse(raw), Err(EmailError::Form), "{raw:?}");
        }
    }
}
