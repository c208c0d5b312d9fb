use std::{
    future::{Ready, ready},
    time::{Duration, Instant},
};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    http::{StatusCode, header::HeaderMap},
};

use super::Problem;

/// The header that says for how many more milliseconds the caller waits. The gateway strips it from what comes in
/// from outside and writes its own; so does a service that asks another one.
pub(super) const TIMEOUT_MS: &str = "x-request-timeout-ms";

/// When whoever asked no longer waits for the answer: what was not begun by then need not be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// No deadline: the caller waits as long as it takes.
    pub const NONE: Self = Self(None);

    /// A deadline `left` after `now`.
    pub fn after(now: Instant, left: Duration) -> Self {
        Self(now.checked_add(left))
    }

    /// Returns the deadline of `request`.
    pub fn of(request: &HttpRequest) -> Self {
        request.extensions().get().copied().unwrap_or_default()
    }

    /// Reads it from a head that came at `now`. What is no number, or there twice, is none: the caller may wait.
    pub(super) fn read(headers: &HeaderMap, now: Instant) -> Self {
        let mut said = headers.get_all(TIMEOUT_MS);
        let (Some(raw), None) = (said.next(), said.next()) else { return Self::NONE };
        let left = raw.to_str().ok().and_then(|raw| raw.parse().ok());
        left.map_or(Self::NONE, |left| Self::after(now, Duration::from_millis(left)))
    }

    /// How long something may take that takes at most `longest`.
    pub fn within(self, longest: Duration) -> Duration {
        self.0.map_or(longest, |end| end.saturating_duration_since(Instant::now()).min(longest))
    }

    /// Makes sure that somebody still waits; to be asked before anything is changed.
    ///
    /// # Errors
    /// 503 where nobody does.
    pub fn check(self) -> Result<(), Problem> {
        match self.0 {
            Some(end) if end <= Instant::now() => Err(Problem::too_late()),
            _ => Ok(()),
        }
    }
}

impl Problem {
    /// The time of a request was over before its work began.
    fn too_late() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too late")
            .detail("the time for this request was over before its work began; nothing was changed")
            .retry_after(Duration::from_secs(1))
    }
}

impl FromRequest for Deadline {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(request)))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const LONG: Duration = Duration::from_secs(100);

    fn read(values: &[&str]) -> Deadline {
        let request = values
            .iter()
            .fold(TestRequest::get(), |request, value| request.append_header((TIMEOUT_MS, *value)));
        Deadline::read(request.to_http_request().headers(), Instant::now())
    }

    #[test]
    fn nothing_takes_longer_than_what_is_left() {
        assert_eq!(Deadline::NONE.within(LONG), LONG);
        assert_eq!(read(&["200000"]).within(LONG), LONG);
        let left = read(&["50000"]).within(LONG);
        assert!(left <= LONG / 2 && left > LONG / 4, "{left:?}");
        assert_eq!(read(&["0"]).within(LONG), Duration::ZERO);
    }

    #[test]
    fn what_nobody_waits_for_is_not_begun() {
        assert!(Deadline::NONE.check().is_ok() && read(&["50000"]).check().is_ok());

        let refused = read(&["0"]).check().expect_err("nobody waits");

        assert_eq!(
            refused.to_string(),
            "503 too late: the time for this request was over before its work began; nothing was changed"
        );
    }

    #[test]
    fn what_makes_no_sense_is_no_deadline() {
        for values in
            [&[][..], &[""], &["-1"], &["1.5"], &["soon"], &["0", "0"], &["99999999999999999999999"]]
        {
            assert_eq!(read(values), Deadline::NONE, "{values:?}");
        }
        assert_eq!(read(&[&u64::MAX.to_string()]).within(LONG), LONG);
    }
}
