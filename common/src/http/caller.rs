use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header::HeaderMap};

use super::Problem;
use crate::auth::{Role, is_subject};

/// The header that names who asks.
pub const SUBJECT: &str = "x-warren-subject";

/// The header that says what that one may do.
pub const ROLE: &str = "x-warren-role";

/// Who asks, as the gateway found out. It strips these headers from what comes in from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody is named: another service, or anybody where the gateway asks for no tokens. May do everything.
    Trusted,
    /// The subject of a verified token.
    Known {
        /// Who.
        subject: String,
        /// What that one may do.
        role: Role,
    },
}

impl Caller {
    /// Reads who sends `request`.
    ///
    /// # Errors
    /// 400 where the headers are not two, once each, that make sense: then nobody is taken for anybody.
    pub fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let headers = request.headers();
        let (subject, role) = match (once(headers, SUBJECT)?, once(headers, ROLE)?) {
            (None, None) => return Ok(Self::Trusted),
            (Some(subject), Some(role)) => (subject, role),
            _ => return Err(invalid()),
        };
        match Role::parse(role) {
            Some(role) if is_subject(subject) => Ok(Self::Known { subject: subject.to_owned(), role }),
            _ => Err(invalid()),
        }
    }

    /// The subject whose own things alone the caller may see and change; `None` where that is everybody's.
    pub fn only(&self) -> Option<&str> {
        match self {
            Self::Trusted => None,
            Self::Known { role, .. } if role.is_admin() => None,
            Self::Known { subject, .. } => Some(subject),
        }
    }

    /// Makes sure that the caller may do what `subject` may.
    ///
    /// # Errors
    /// 403 where it may not.
    pub fn act_for(&self, subject: &str) -> Result<(), Problem> {
        match self.only() {
            Some(only) if only != subject => Err(Problem::forbidden("this is not yours")),
            _ => Ok(()),
        }
    }

    /// Makes sure that the caller may do everything.
    ///
    /// # Errors
    /// 403 where it may not.
    pub fn act_for_all(&self) -> Result<(), Problem> {
        match self.only() {
            Some(_) => Err(Problem::forbidden("this takes the role admin")),
            None => Ok(()),
        }
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

fn once<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let mut given = headers.get_all(name);
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| invalid()),
        (Some(_), Some(_)) => Err(invalid()),
    }
}

fn invalid() -> Problem {
    Problem::invalid_identity(
        "x-warren-subject and x-warren-role must be sent together, once each, or not at all",
    )
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn caller(headers: &[(&'static str, &'static str)]) -> Result<Caller, u16> {
        let request =
            headers.iter().fold(TestRequest::get(), |request, header| request.append_header(*header));
        Caller::of(&request.to_http_request()).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn somebody_may_act_for_nobody_else_and_an_admin_for_everybody() {
        let ada = caller(&[(SUBJECT, "u1"), (ROLE, "user")]).expect("sound headers");
        let root = caller(&[(SUBJECT, "a1"), (ROLE, "admin")]).expect("sound headers");

        assert_eq!((ada.only(), root.only(), Caller::Trusted.only()), (Some("u1"), None, None));
        assert!(ada.act_for("u1").is_ok() && ada.act_for("u2").is_err() && ada.act_for("U1").is_err());
        assert!(ada.act_for_all().is_err());
        assert!(root.act_for("u1").is_ok() && root.act_for_all().is_ok());
        assert_eq!(caller(&[]), Ok(Caller::Trusted));
        assert!(Caller::Trusted.act_for("u1").is_ok() && Caller::Trusted.act_for_all().is_ok());
    }

    #[test]
    fn an_identity_that_is_not_clear_is_refused() {
        for headers in [
            &[(SUBJECT, "u1")][..],
            &[(ROLE, "admin")],
            &[(SUBJECT, "u1"), (SUBJECT, "u2"), (ROLE, "user")],
            &[(SUBJECT, "u1"), (ROLE, "user"), (ROLE, "admin")],
            &[(SUBJECT, "u1"), (ROLE, "user"), (ROLE, "user")],
            &[(SUBJECT, ""), (ROLE, "user")],
            &[(SUBJECT, "u1"), (ROLE, "")],
            &[(SUBJECT, "u 1"), (ROLE, "user")],
            &[(SUBJECT, "ü"), (ROLE, "user")],
            &[(SUBJECT, "u1"), (ROLE, "Admin")],
            &[(SUBJECT, "u1"), (ROLE, "user, admin")],
        ] {
            assert_eq!(caller(headers), Err(400), "{headers:?}");
        }
    }
}
