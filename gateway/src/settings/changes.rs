use std::fmt;

use super::Settings;

/// What a reload changed, in one line for the log: `limits; routes: +/api/stock ~/api/users`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(Vec<String>);

impl Changes {
    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares part by part.
    pub fn between(old: &Settings, new: &Settings) -> Self {
        let parts = [
            ("limits", old.limits != new.limits),
            ("deadlines", old.deadlines != new.deadlines),
            ("trusted", old.trusted != new.trusted),
            ("auth", old.auth != new.auth),
            ("rate_limit", old.rate_limit != new.rate_limit),
            ("cors", old.cors != new.cors),
        ];
        let mut changes: Vec<String> =
            parts.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name.to_owned()).collect();
        changes.extend(of_list("upstreams", &old.upstreams, &new.upstreams, |upstream| &upstream.name));
        changes.extend(of_list("routes", &old.routes, &new.routes, |route| &route.path));
        Self(changes)
    }
}

/// Says what came (`+`), what went (`-`) and what is different (`~`).
fn of_list<T: PartialEq>(what: &str, old: &[T], new: &[T], name: impl Fn(&T) -> &str) -> Option<String> {
    let find = |list: &[T], wanted: &str| list.iter().position(|item| name(item) == wanted);
    let mut line = format!("{what}:");
    for item in new {
        match find(old, name(item)) {
            None => line += &format!(" +{}", name(item)),
            Some(index) if old[index] != *item => line += &format!(" ~{}", name(item)),
            Some(_) => {}
        }
    }
    for item in old {
        if find(new, name(item)).is_none() {
            line += &format!(" -{}", name(item));
        }
    }
    // The order alone says nothing: the longest path decides.
    (line.len() > what.len() + 1).then_some(line)
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        f.write_str(&self.0.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_went_and_differs_is_said() {
        let old = Settings::default();
        let mut new = old.clone();
        assert_eq!(Changes::between(&old, &new).to_string(), "nothing");

        new.rate_limit = None;
        new.upstreams[1].in_flight = 1;
        new.routes[0].websocket = true;
        new.routes[2].path = "/api/stock".to_owned();

        let changes = Changes::between(&old, &new);

        assert_eq!(
            changes.to_string(),
            "rate_limit; upstreams: ~orders; routes: ~/api/users +/api/stock -/api/orders"
        );
    }

    #[test]
    fn no_part_is_forgotten() {
        let settings = |text: &str| Settings::parse(text, "test").expect("the text is sound");
        let default = settings("");
        for text in [
            "[limits]\nin_flight = 1",
            "[deadlines]\nwhole = \"1s\"",
            "trusted = [\"::1\"]",
            "[auth]\nmode = \"open\"",
            "rate_limit = \"off\"",
            "[cors]\norigins = [\"*\"]",
            "[upstreams.stock]\nurls = [\"http://stock\"]",
            "[[routes]]\npath = \"/a\"\nupstream = \"users\"",
        ] {
            assert!(!Changes::between(&default, &settings(text)).is_empty(), "{text}");
        }
    }
}
