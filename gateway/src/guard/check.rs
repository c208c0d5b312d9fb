use std::{cell::RefCell, rc::Rc, time::Duration};

use common::{
    auth::{Claims, Issuer, Role, TokenError},
    http::{ROLE, SUBJECT},
};

use super::{Denied, Keys, cache::Cache};

/// Says who sends a request. One a worker.
#[derive(Debug)]
pub struct Guard {
    keys: Keys,
    issuer: Issuer,
    leeway: Duration,
    cache: RefCell<Cache>,
}

/// Who sends a request, by a verified token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub subject: String,
    /// What that one may do.
    pub role: Role,
    good_until: u64,
    header_lines: Vec<u8>,
}

impl Principal {
    fn new(claims: Claims, leeway: Duration) -> Self {
        let Claims { sub: subject, role, exp, .. } = claims;
        let header_lines = format!("{SUBJECT}: {subject}\r\n{ROLE}: {role}\r\n").into_bytes();
        let good_until = exp.saturating_add(leeway.as_secs());
        Self { subject, role, good_until, header_lines }
    }

    /// The lines of a request's head that tell a service who asks.
    pub fn header_lines(&self) -> &[u8] {
        &self.header_lines
    }
}

impl Guard {
    /// Takes tokens of `issuer` that verify by `keys`, with clocks apart by `leeway`; knows `cached_tokens` of them again.
    pub fn new(keys: Keys, issuer: Issuer, leeway: Duration, cached_tokens: usize) -> Self {
        Self { keys, issuer, leeway, cache: RefCell::new(Cache::new(cached_tokens)) }
    }

    /// Returns who sends the value of an `Authorization` field, or `None` where there is no such field; whether that
    /// is enough the caller decides.
    ///
    /// # Errors
    /// Where there is a value, and it is not a token that is good at `now_unix_s`.
    pub fn check(
        &self,
        authorization: Option<&[u8]>,
        now_unix_s: u64,
    ) -> Result<Option<Rc<Principal>>, Denied> {
        let Some(authorization) = authorization else { return Ok(None) };
        let token = bearer(authorization)?;
        self.verified(token, now_unix_s).map(Some)
    }

    fn verified(&self, token: &[u8], now: u64) -> Result<Rc<Principal>, Denied> {
        let current = self.keys.current();
        let Some(current) = current.as_deref() else {
            self.keys.want_newer();
            return Err(Denied::KeysUnavailable);
        };
        let mut cache = self.cache.borrow_mut();
        if let Some(principal) = cache.get(current.number, token) {
            if now < principal.good_until {
                return Ok(principal);
            }
            cache.remove(token);
            return Err(Denied::Token(TokenError::Expired));
        }
        match current.keys.verify_within(token, &self.issuer, self.leeway, now) {
            Ok(claims) => {
                let principal = Rc::new(Principal::new(claims, self.leeway));
                cache.put(token, principal.clone());
                Ok(principal)
            }
            Err(error) => {
                if error == TokenError::UnknownKey {
                    self.keys.want_newer();
                }
                Err(Denied::Token(error))
            }
        }
    }
}

/// Returns the token of `Bearer <token>` (RFC 6750 section 2.1).
fn bearer(authorization: &[u8]) -> Result<&[u8], Denied> {
    let scheme = b"Bearer ";
    match authorization.split_at_checked(scheme.len()) {
        Some((given, rest)) if given.eq_ignore_ascii_case(scheme) => {
            let token = rest.trim_ascii();
            if token.is_empty() { Err(Denied::Scheme) } else { Ok(token) }
        }
        _ => Err(Denied::Scheme),
    }
}
