use actix_web::http::StatusCode;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Problem;
use crate::store::Page;

/// Entries of a page where the client doesn't say.
const DEFAULT_LIMIT: usize = 20;

/// Most entries of a page.
const MOST: usize = 100;

/// What a client asks of a list: `?limit` and `?cursor`.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageRequest {
    /// At most so many entries.
    #[param(value_type = u8, required = false, minimum = 1, maximum = 100, default = 20)]
    limit: Option<String>,
    /// The `nextCursor` of the page before; the first page where it is not given.
    #[param(value_type = String, required = false, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
}

impl PageRequest {
    /// Returns how many entries are asked for.
    ///
    /// # Errors
    /// 400 where that is not a number from 1 to 100.
    pub fn limit(&self) -> Result<usize, Problem> {
        let Some(raw) = &self.limit else { return Ok(DEFAULT_LIMIT) };
        raw.parse().ok().filter(|limit| (1..=MOST).contains(limit)).ok_or_else(|| {
            Problem::new(StatusCode::BAD_REQUEST, "invalid limit")
                .detail(format!("limit must be a number from 1 to {MOST}"))
        })
    }

    /// Returns the id after which the page begins.
    ///
    /// # Errors
    /// 400 where the cursor is none that this service has given out.
    pub fn after(&self) -> Result<Option<String>, Problem> {
        let Some(raw) = &self.cursor else { return Ok(None) };
        let bytes = URL_SAFE_NO_PAD.decode(raw).ok();
        let id = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        id.filter(|id| !id.is_empty() && id.is_ascii()).map(Some).ok_or_else(|| {
            Problem::new(StatusCode::BAD_REQUEST, "invalid cursor")
                .detail("cursor must be a nextCursor of an earlier page")
        })
    }
}

/// A page as a client sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Page, description = "A page.")]
#[serde(rename_all = "camelCase")]
pub struct PageView<T> {
    /// The entries.
    pub items: Vec<T>,
    /// What to send as `cursor` for the next page; null at the end.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

impl<T> PageView<T> {
    /// Shows a page of the store; `id` returns what the next page begins after.
    pub fn of<S>(page: Page<S>, id: impl Fn(&S) -> &str, view: impl Fn(S) -> T) -> Self {
        let last = page.items.last().filter(|_| page.more);
        let next_cursor = last.map(|last| URL_SAFE_NO_PAD.encode(id(last)));
        Self { items: page.items.into_iter().map(view).collect(), next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(limit: Option<&str>, cursor: Option<&str>) -> PageRequest {
        PageRequest { limit: limit.map(str::to_owned), cursor: cursor.map(str::to_owned) }
    }

    #[test]
    fn a_cursor_leads_to_where_the_page_before_ended() {
        let page = Page { items: vec!["a", "b"], more: true };

        let view = PageView::of(page, |item| *item, str::to_owned);

        let cursor = view.next_cursor.expect("more follow");
        assert_eq!(asked(None, Some(&cursor)).after().expect("our own cursor"), Some("b".to_owned()));
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let page = Page { items: vec!["a"], more: false };

        assert_eq!(PageView::of(page, |item| *item, str::to_owned).next_cursor, None);
    }

    #[test]
    fn limits_and_cursors_from_nowhere_are_refused() {
        assert_eq!(asked(None, None).limit().expect("the default"), DEFAULT_LIMIT);
        for limit in ["0", "101", "-1", "ten", ""] {
            assert!(asked(Some(limit), None).limit().is_err(), "{limit:?}");
        }
        for cursor in ["", "***", "_w", "w7w"] {
            assert!(asked(None, Some(cursor)).after().is_err(), "{cursor:?}");
        }
    }
}
