use common::http::{Problem, StatusCode, Visit};

use crate::console::page;

/// Refuses what a page of somewhere else asks for: a browser says so in `Sec-Fetch-Site`, and older ones in `Origin`.
/// What is no browser says neither. Reading is refused too: such a page sees no answer, but could have costly ones made.
///
/// # Errors
/// 403.
pub fn check(visit: &Visit<'_>) -> Result<(), Problem> {
    if opens_the_page(visit) {
        return Ok(());
    }
    if visit.has("sec-fetch-site") && !matches!(visit.header("sec-fetch-site"), Some("same-origin" | "none"))
    {
        return Err(cross_site());
    }
    if visit.has("origin") && !is_same(visit.header("origin"), visit.header("host")) {
        return Err(cross_site());
    }
    Ok(())
}

/// Whether somebody followed a link to the page, from wherever it was.
fn opens_the_page(visit: &Visit<'_>) -> bool {
    visit.method == "GET"
        && visit.header("sec-fetch-mode") == Some("navigate")
        && (!visit.has("sec-fetch-dest") || visit.header("sec-fetch-dest") == Some("document"))
        && page::at(visit.path).is_some()
}

fn is_same(origin: Option<&str>, host: Option<&str>) -> bool {
    let authority = origin.and_then(|origin| Some(origin.split_once("://")?.1));
    authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
}

fn cross_site() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "cross-site request")
        .detail("requests are taken only from the console's own page, or from no page at all")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_the_same_where_host_and_port_are() {
        assert!(is_same(Some("http://localhost:8081"), Some("localhost:8081")));
        assert!(is_same(Some("https://admin.example"), Some("Admin.example")));
        for other in
            ["http://localhost:8080", "http://evil.example", "null", "", "http://localhost:8081.evil.example"]
        {
            assert!(!is_same(Some(other), Some("localhost:8081")), "{other}");
        }
        assert!(!is_same(None, Some("localhost:8081")), "several, or no text");
        assert!(!is_same(Some("http://localhost:8081"), None));
    }
}
