use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH},
};
use common::http::{Problem, StatusCode};

use crate::console::page;

/// `GET /` and `GET /console/{file}`: 200 with a file of the page, 304 where the browser has it already.
pub(super) async fn file(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let file = page::at(request.path()).ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "not found"))?;
    let known = request.headers().get_all(IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    let is_known = known.flat_map(|tags| tags.split(',')).any(|tag| {
        let tag = tag.trim();
        // What is compared weakly (RFC 9110 section 13.1.2).
        tag.strip_prefix("W/").unwrap_or(tag) == file.etag
    });
    let mut answer = match is_known {
        true => HttpResponse::NotModified(),
        false => HttpResponse::Ok(),
    };
    answer.insert_header((ETAG, file.etag)).insert_header((CACHE_CONTROL, "no-cache"));
    Ok(match is_known {
        true => answer.finish(),
        false => answer.content_type(file.content_type).body(file.bytes),
    })
}
