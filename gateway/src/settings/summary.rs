use std::fmt;

use super::{
    AuthMode, PublicCall, Rate, RouteSettings, Settings,
    quantity::{show_duration, show_size},
};

/// Settings in a few lines for people: who answers what, for whom, and how much.
pub struct Summary<'a>(pub(super) &'a Settings);

impl Settings {
    /// Returns what can be shown to people.
    pub fn summary(&self) -> Summary<'_> {
        Summary(self)
    }
}

const COLUMNS: [&str; 5] = ["route", "answered by", "without a token", "body", "rate"];

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(settings) = self;
        let rows: Vec<[String; 5]> = [COLUMNS.map(str::to_owned)]
            .into_iter()
            .chain(settings.routes.iter().map(|route| row(settings, route)))
            .collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3, 4].map(width);
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                line += &format!("{cell:width$}  ");
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        for upstream in &settings.upstreams {
            let urls: Vec<String> = upstream.urls.iter().map(ToString::to_string).collect();
            writeln!(
                f,
                "upstream {}: {}; {} requests at a time",
                upstream.name,
                urls.join(", "),
                upstream.in_flight
            )?;
        }
        let origins = settings.cors.as_ref().map(|cors| cors.settings().origins.join(", "));
        write!(
            f,
            "auth {}; {} requests at a time in all; CORS {}",
            settings.auth.mode.name(),
            settings.limits.in_flight,
            origins.as_deref().unwrap_or("off"),
        )
    }
}

fn row(settings: &Settings, route: &RouteSettings) -> [String; 5] {
    let public: Vec<String> = route.public.iter().map(ToString::to_string).collect();
    let public = match settings.auth.mode {
        AuthMode::Open => "all".to_owned(),
        AuthMode::Required if public.is_empty() => "nothing".to_owned(),
        AuthMode::Required => public.join(", "),
    };
    let rate = route.rate_limit.as_ref().or(settings.rate_limit.as_ref());
    [
        route.path.clone(),
        format!("{} {}", route.upstream, route.target),
        public,
        show_size(route.body_bytes),
        rate.map_or("no limit".to_owned(), ToString::to_string),
    ]
}

impl fmt::Display for PublicCall {
    /// As in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl fmt::Display for Rate {
    /// `100 per 1s, 200 at once`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {}, {} at once", self.requests, show_duration(self.window), self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_shown_as_it_works() {
        let mut settings = Settings::default();
        assert_eq!(
            settings.summary().to_string(),
            "\
route                   answered by                   without a token             body    rate
/api/users              users /users                  POST /api/users             64 KiB  100 per 1s, 200 at once
/api/users/sessions     users /users/sessions         POST /api/users/sessions    64 KiB  10 per 10s, 20 at once
/api/orders             orders /orders                nothing                     64 KiB  100 per 1s, 200 at once
/.well-known/jwks.json  users /.well-known/jwks.json  GET /.well-known/jwks.json  64 KiB  100 per 1s, 200 at once
upstream users: http://127.0.0.1:3001; 1024 requests at a time
upstream orders: http://127.0.0.1:3002; 1024 requests at a time
auth required; 2048 requests at a time in all; CORS off"
        );

        settings.auth.mode = AuthMode::Open;
        settings.rate_limit = None;
        let text = settings.summary().to_string();
        assert!(text.contains("/api/orders             orders /orders                all "), "{text}");
        assert!(text.contains("64 KiB  no limit\n"), "{text}");
    }
}
