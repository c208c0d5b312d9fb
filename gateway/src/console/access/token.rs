use std::{fmt, hint::black_box};

/// The shortest token that is taken.
const SHORTEST: usize = 8;

/// What those who run the gateway show at its admin port (`ADMIN_TOKEN`). Never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken(String);

impl AdminToken {
    /// Takes a token.
    ///
    /// # Errors
    /// Says what it must be like; without repeating it.
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        // A header field carries nothing else.
        if !raw.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err("must be of printable ASCII characters");
        }
        match raw.len() {
            0..SHORTEST => Err("must be at least 8 characters long"),
            _ => Ok(Self(raw.to_owned())),
        }
    }

    /// Whether it is `said`; takes as long wherever the two differ, so that nobody can guess one character after the other.
    pub fn is(&self, said: &str) -> bool {
        let (own, said) = (self.0.as_bytes(), said.as_bytes());
        let differences = own.iter().zip(said).fold(0, |found, (a, b)| black_box(found | (a ^ b)));
        own.len() == said.len() && differences == 0
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = AdminToken::parse("correct battery").expect("a good token");

        assert!(token.is("correct battery"));
        for wrong in ["", "correct", "correct batterY", "correct battery ", "Correct battery"] {
            assert!(!token.is(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_token_that_is_short_or_cannot_be_sent_is_none() {
        assert!(AdminToken::parse("1234567").is_err());
        assert!(AdminToken::parse("12345678").is_ok());
        assert!(AdminToken::parse("correct\nbattery").is_err());
    }

    #[test]
    fn it_is_not_shown() {
        let token = AdminToken::parse("correct battery").expect("a good token");

        assert_eq!(format!("{token:?}"), "AdminToken(…)");
    }
}
