use actix_web::{HttpResponse, web};
use common::{
    http::{JsonBody, Problem, StatusCode},
    timeline::{IncidentKind, LONGEST_CAUSE, LONGEST_SUBJECT},
};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::App;

/// How much later than here it may be where the teller is.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(60);

/// What whoever keeps a process saw of its end.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Told {
    subject: String,
    cause: String,
    at: String,
    ended_at: String,
}

/// `POST /timeline`: 201 with the entry, also where it was told before; 400 which names all that is wrong.
///
/// For whoever keeps a process that cannot tell of its own end, such as `cargo up` the broker.
pub(super) async fn tell_timeline(
    app: web::Data<App>,
    body: JsonBody<Told>,
) -> Result<HttpResponse, Problem> {
    let Told { subject, cause, .. } = &body.value;
    let (at, ended_at) = body.value.check(Timestamp::now()).map_err(|mistakes| {
        Problem::new(StatusCode::BAD_REQUEST, "invalid body").detail(mistakes.join("; "))
    })?;
    let incident = app.timeline.tell(IncidentKind::Process, subject, cause, at, ended_at);
    Ok(HttpResponse::Created().json(incident))
}

impl Told {
    /// Returns when it began and ended, or all that is wrong.
    fn check(&self, now: Timestamp) -> Result<(Timestamp, Timestamp), Vec<String>> {
        let mut mistakes = Vec::new();
        for (name, text, most) in
            [("subject", &self.subject, LONGEST_SUBJECT), ("cause", &self.cause, LONGEST_CAUSE)]
        {
            // Terminals show it too.
            if text.trim().is_empty() || text.len() > most || text.chars().any(char::is_control) {
                mistakes.push(format!("{name} must be a text of 1 to {most} bytes on one line"));
            }
        }
        let mut time = |name: &str, text: &str| match text.parse::<Timestamp>() {
            Ok(time) if time.duration_since(now) <= CLOCKS_DIFFER => Some(time),
            Ok(_) => {
                mistakes.push(format!("{name} must not be in the future"));
                None
            }
            Err(_) => {
                mistakes.push(format!("{name} must be a time such as 2026-11-22T13:00:27.4Z (RFC 3339)"));
                None
            }
        };
        let times = time("at", &self.at).zip(time("endedAt", &self.ended_at));
        match times {
            Some((at, ended_at)) if at > ended_at => mistakes.push("at must not be after endedAt".to_owned()),
            Some(times) if mistakes.is_empty() => return Ok(times),
            _ => {}
        }
        Err(mistakes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-22T13:00:00Z";

    fn check(subject: &str, cause: &str, at: &str, ended_at: &str) -> Result<i128, String> {
        let [subject, cause, at, ended_at] = [subject, cause, at, ended_at].map(str::to_owned);
        let checked = Told { subject, cause, at, ended_at }.check(NOW.parse().expect("a time"));
        checked.map(|(at, ended_at)| ended_at.duration_since(at).as_millis()).map_err(|all| all.join("; "))
    }

    #[test]
    fn an_end_that_can_be_understood_is_taken() {
        assert_eq!(check("broker", "signal 9", "2026-11-22T12:59:58.5Z", NOW), Ok(1500));
        assert_eq!(check("broker", "signal 9", NOW, "2026-11-22T13:00:30Z"), Ok(30_000), "clocks differ");
        assert_eq!(check(&"b".repeat(200), &"c".repeat(500), NOW, NOW), Ok(0));
    }

    #[test]
    fn every_mistake_is_named() {
        for (told, said) in [
            (["", "signal 9", NOW, NOW], "subject must be a text of 1 to 200 bytes"),
            ([&"b".repeat(201), "signal 9", NOW, NOW], "subject must be"),
            (["broker", &"c".repeat(501), NOW, NOW], "cause must be a text of 1 to 500 bytes"),
            (["broker", "\u{1b}[2J", NOW, NOW], "cause must be"),
            (["broker", "signal 9", "yesterday", NOW], "at must be a time"),
            (["broker", "signal 9", NOW, "2026-11-22T13:01:01Z"], "endedAt must not be in the future"),
            (["broker", "signal 9", NOW, "2026-11-22T12:59:59Z"], "at must not be after endedAt"),
        ] {
            let [subject, cause, at, ended_at] = told;
            let mistake = check(subject, cause, at, ended_at).expect_err(said);
            assert!(mistake.starts_with(said) && !mistake.contains("; "), "{mistake}");
        }
        let all = check(" ", "", "", "tomorrow").expect_err("all of it is wrong");
        for name in ["subject", "cause", "at", "endedAt"] {
            assert!(all.contains(&format!("{name} must")), "{all}");
        }
    }
}
