use std::fmt::Display;

use actix_web::http::StatusCode;

use super::{FieldError, Problem};

/// Parses the fields of a body one after the other and notes all that is wrong, so that a client learns of
/// everything at once.
#[derive(Debug, Default)]
pub struct Fields(Vec<FieldError>);

impl Fields {
    /// Parses a field that must be there; `None` where it is missing or wrong, which is noted.
    pub fn required<R, T, E: Display>(
        &mut self,
        name: &'static str,
        raw: Option<R>,
        parse: impl FnOnce(R) -> Result<T, E>,
    ) -> Option<T> {
        match raw.map(parse) {
            Some(Ok(value)) => return Some(value),
            Some(Err(error)) => self.wrong(name, error),
            None => self.wrong(name, "is missing"),
        }
        None
    }

    /// Notes what is wrong with a field.
    pub fn wrong(&mut self, name: impl Into<String>, what: impl Display) {
        self.0.push(FieldError::new(name.into(), what.to_string()));
    }

    /// Ends the parsing; `parsed` holds everything where nothing is wrong.
    ///
    /// # Errors
    /// 422 with one entry per field that is wrong.
    pub fn finish<T>(self, parsed: Option<T>) -> Result<T, Problem> {
        match parsed {
            Some(parsed) if self.0.is_empty() => Ok(parsed),
            _ => Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid fields").fields(self.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_that_is_missing_or_wrong_is_named() {
        let mut fields = Fields::default();

        let one = fields.required("one", Some("1"), str::parse::<u8>);
        let two = fields.required("two", Some("x"), str::parse::<u8>);
        let three = fields.required("three", None, str::parse::<u8>);

        assert_eq!((one, two, three), (Some(1), None, None));
        let problem = fields.finish(one.zip(two)).expect_err("two are wrong");
        let said = format!("{problem:?}");
        assert_eq!(problem.status(), 422);
        assert!(said.contains("two") && said.contains("is missing") && !said.contains("\"one\""), "{said}");
    }
}
