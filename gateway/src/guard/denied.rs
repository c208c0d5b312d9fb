use std::fmt;

use common::{
    auth::TokenError,
    http::{CHALLENGE, Problem},
};

/// Why a request gets no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// There is no token where one is needed. The guard's caller says this: it knows what is public.
    Missing,
    /// There are credentials, but not one bearer token.
    Scheme,
    /// The token is refused.
    Token(TokenError),
    /// No keys are known yet, so nobody can tell whether the token is good.
    KeysUnavailable,
}

impl Denied {
    /// The answer: 401 or 503.
    pub fn problem(&self) -> Problem {
        match self {
            Self::KeysUnavailable => Problem::no_keys(self.detail()),
            Self::Missing | Self::Scheme => {
                Problem::unauthorized("token required", self.challenge()).detail(self.detail())
            }
            Self::Token(_) => Problem::unauthorized("invalid token", self.challenge()).detail(self.detail()),
        }
    }

    /// The value of `WWW-Authenticate` by RFC 6750 section 3; empty for a 503, which has no such field.
    ///
    /// That a token has expired helps its owner. What else is wrong with one helps nobody but a forger.
    pub fn challenge(&self) -> &'static str {
        match self {
            Self::Missing | Self::Scheme => CHALLENGE,
            Self::Token(TokenError::Expired) => {
                "Bearer realm=\"warren\", error=\"invalid_token\", error_description=\"the token has expired\""
            }
            Self::Token(TokenError::NotYet) => {
                "Bearer realm=\"warren\", error=\"invalid_token\", error_description=\"the token is not valid yet\""
            }
            Self::Token(_) => {
                "Bearer realm=\"warren\", error=\"invalid_token\", error_description=\"the token is not valid\""
            }
            Self::KeysUnavailable => "",
        }
    }

    /// A word for metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Scheme => "scheme",
            Self::Token(error) => error.label(),
            Self::KeysUnavailable => "keys_unavailable",
        }
    }

    fn detail(&self) -> &'static str {
        match self {
            Self::Missing => {
                "send Authorization: Bearer <token>; POST /api/users/sessions with email and password gives one"
            }
            Self::Scheme => "Authorization must be Bearer and one token; no other scheme is taken",
            Self::Token(TokenError::Expired) => "the token has expired; log in again",
            Self::Token(TokenError::NotYet) => "the token is not valid yet",
            Self::Token(_) => "the token is not valid",
            Self::KeysUnavailable => {
                "the users service has not given its keys yet, so no token can be verified; send it again"
            }
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

impl std::error::Error for Denied {}
