//! The page that shows the description: Swagger UI, from the binary.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;

use super::Static;

/// The page, with the slash that its relative links need.
const PAGE: &str = "/api/docs/";

/// Scripts only from here. Swagger UI writes styles into its elements, and has its icons in `data:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: &[(&str, &str)] = &[
    ("cache-control", "no-cache"),
    ("content-security-policy", POLICY),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
];

/// What the page is made of.
#[derive(Clone, Debug)]
pub(super) struct Docs {
    script: Bytes,
    style: Bytes,
}

impl Docs {
    pub(super) fn load() -> Self {
        Self { script: vendored("swagger-ui-bundle.js"), style: vendored("swagger-ui.css") }
    }

    /// Answers what is the page's.
    pub(super) fn answer(&self, path: &str) -> Option<Static> {
        if path == "/api/docs" {
            return Some(Static {
                status: 308,
                content_type: "text/plain; charset=utf-8",
                body: Bytes::from_static(b"/api/docs/\n"),
                headers: &[("location", PAGE), ("cache-control", "no-cache")],
            });
        }
        let (content_type, body) = match path.strip_prefix(PAGE)? {
            "" => ("text/html; charset=utf-8", Bytes::from_static(include_bytes!("docs/page.html"))),
            "page.css" => ("text/css; charset=utf-8", Bytes::from_static(include_bytes!("docs/page.css"))),
            "page.js" => {
                ("text/javascript; charset=utf-8", Bytes::from_static(include_bytes!("docs/page.js")))
            }
            "swagger-ui.css" => ("text/css; charset=utf-8", self.style.clone()),
            "swagger-ui-bundle.js" => ("text/javascript; charset=utf-8", self.script.clone()),
            _ => return None,
        };
        Some(Static { status: 200, content_type, body, headers: HEADERS })
    }
}

/// A file of Swagger UI.
fn vendored(name: &str) -> Bytes {
    let file = utoipa_swagger_ui::serve(name, Arc::new(utoipa_swagger_ui::Config::from("")));
    match file {
        Ok(Some(file)) => match file.bytes {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        },
        // A test sees to it that there are such files.
        Ok(None) | Err(_) => Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_comes_whole_from_the_binary() {
        let docs = Docs::load();

        let page = docs.answer(PAGE).expect("the page");

        let html = String::from_utf8(page.body.to_vec()).expect("text");
        let links: Vec<&str> =
            html.split(['"', '\'']).filter(|part| part.ends_with(".css") || part.ends_with(".js")).collect();
        assert_eq!(links.len(), 4, "{links:?}");
        for link in links {
            let part = docs.answer(&format!("{PAGE}{link}")).unwrap_or_else(|| panic!("{link}"));
            assert!(part.body.len() > 100, "{link}");
        }
        assert!(!html.contains("://"), "nothing from elsewhere");
    }

    #[test]
    fn scripts_within_the_page_would_not_run_and_there_are_none() {
        let page = Docs::load().answer(PAGE).expect("the page");

        let policy = page.headers.iter().find(|(name, _)| *name == "content-security-policy");
        assert!(policy.is_some_and(|(_, policy)| policy.contains("script-src 'self';")), "{policy:?}");
        let html = String::from_utf8(page.body.to_vec()).expect("text");
        assert!(
            !html.contains("onload=")
                && html.matches("<script ").count() == html.matches("<script src=").count()
        );
    }

    #[test]
    fn without_the_slash_one_is_led_to_the_page() {
        let answer = Docs::load().answer("/api/docs").expect("a redirect");

        assert_eq!(answer.status, 308);
        assert!(answer.headers.contains(&("location", PAGE)));
    }
}
