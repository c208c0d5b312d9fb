use std::time::Duration;

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::{StatusCode, header},
    web::{Bytes, BytesMut},
};
use futures_util::{FutureExt, StreamExt, future::LocalBoxFuture};
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::time::{Instant, timeout_at};

use super::Problem;

/// Longest body that is read, in bytes.
const MOST: usize = 64 * 1024;

/// How long the client may stay silent within a body.
const IDLE: Duration = Duration::from_secs(10);

/// How long a whole body may take.
const WHOLE: Duration = Duration::from_secs(30);

/// A JSON body, read whole and parsed.
///
/// Fails with 415 where the content type is not JSON, 413 over 64 KiB, 408 where it comes too slowly, and 400
/// where it is not JSON or not the JSON that `T` is; the detail names the place.
#[derive(Clone, Debug)]
pub struct JsonBody<T> {
    /// What the body says.
    pub value: T,
    /// The body as it was sent.
    pub raw: Bytes,
}

impl<T: DeserializeOwned> FromRequest for JsonBody<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let acceptable = check_head(request);
        let payload = payload.take();
        async move {
            acceptable?;
            let raw = read(payload, IDLE, WHOLE).await?;
            let value = parse(&raw)?;
            Ok(Self { value, raw })
        }
        .boxed_local()
    }
}

/// Refuses what need not be read at all.
fn check_head(request: &HttpRequest) -> Result<(), Problem> {
    let headers = request.headers();
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(is_json) {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported media type")
            .detail("the content type must be application/json"));
    }
    // actix has refused a Content-Length that is no number.
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > MOST as u64) {
        return Err(too_large());
    }
    Ok(())
}

/// Whether the media type is `application/json` or ends in `+json`; parameters do not matter.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || essence.strip_prefix("application/").is_some_and(|sub| sub.len() > 5 && sub.ends_with("+json"))
}

async fn read(mut payload: Payload, idle: Duration, whole: Duration) -> Result<Bytes, Problem> {
    let end = Instant::now() + whole;
    let mut body = BytesMut::new();
    loop {
        let next =
            timeout_at(end.min(Instant::now() + idle), payload.next()).await.map_err(|_| too_slow())?;
        let Some(chunk) = next else {
            return Ok(body.freeze());
        };
        let chunk = chunk.map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, "malformed body").detail(error.to_string())
        })?;
        if body.len() + chunk.len() > MOST {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
}

fn parse<T: DeserializeOwned>(raw: &[u8]) -> Result<T, Problem> {
    // serde would take an array as well, its elements for the fields in their order.
    if is_no_object(raw) {
        return Err(
            Problem::new(StatusCode::BAD_REQUEST, "invalid body").detail("the body must be a JSON object")
        );
    }
    serde_json::from_slice(raw).map_err(|error| {
        let what = if error.is_data() { "invalid body" } else { "malformed JSON" };
        Problem::new(StatusCode::BAD_REQUEST, what).detail(without_value(&error.to_string()))
    })
}

/// Whether the body is JSON, but anything else than an object.
pub(crate) fn is_no_object(raw: &[u8]) -> bool {
    let opens = raw.iter().find(|byte| !byte.is_ascii_whitespace());
    opens != Some(&b'{') && serde_json::from_slice::<IgnoredAny>(raw).is_ok()
}

/// Leaves out the value that serde repeats: it may be a password in the wrong place, and answers are kept in
/// places where passwords must not be.
fn without_value(error: &str) -> String {
    let Some((found, expected)) = error.rsplit_once(", expected ") else {
        return error.to_owned();
    };
    let kind = found.split(['"', '`']).next().unwrap_or_default().trim_end();
    format!("{kind}, expected {expected}")
}

fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body too large").detail("a body may have 65536 bytes")
}

fn too_slow() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "request timeout").detail("the body came too slowly")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn json_is_json_with_any_parameters_and_nothing_else_is() {
        for json in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=utf-8",
            "application/merge-patch+json",
        ] {
            assert!(is_json(json), "{json}");
        }
        for other in ["", "text/plain", "text/json+x", "application/jsonp", "application/+json", "json"] {
            assert!(!is_json(other), "{other}");
        }
    }

    #[actix::test]
    async fn a_body_that_stalls_or_trickles_is_given_up() {
        let (idle, whole) = (Duration::from_millis(50), Duration::from_millis(200));
        let silent = futures_util::stream::pending().boxed_local();
        let trickling = futures_util::stream::repeat_with(|| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(Bytes::from_static(b" "))
        });
        let trickling = trickling.then(|chunk| chunk).boxed_local();

        for payload in [silent, trickling] {
            let problem = read(Payload::Stream { payload }, idle, whole).await.expect_err("too slow");

            assert_eq!(problem.status(), StatusCode::REQUEST_TIMEOUT);
        }
    }

    #[test]
    fn no_value_of_the_body_is_repeated() {
        for raw in
            [r#"{"n":"secret"}"#, r#"{"n":"secret, expected `secret` or \"secret\""}"#, r#"{"n":["secret"]}"#]
        {
            let said = parse::<HashMap<String, u8>>(raw.as_bytes()).expect_err("no number");

            assert!(!said.to_string().contains("secret"), "{said}");
            assert!(said.to_string().contains(", expected "), "{said}");
        }
    }

    #[test]
    fn a_wrong_type_is_told_from_malformed_json_and_both_name_the_place() {
        let wrong =
            parse::<HashMap<String, String>>(b"{\n \"a\":5}").expect_err("a number is no text").to_string();
        let malformed = parse::<HashMap<String, String>>(b"{\"a\":").expect_err("it ends early").to_string();

        assert_eq!(wrong, "400 invalid body: invalid type: integer, expected a string at line 2 column 6");
        assert_eq!(malformed, "400 malformed JSON: EOF while parsing a value at line 1 column 5");
    }

    #[test]
    fn an_array_is_not_taken_for_the_fields_in_their_order() {
        #[derive(Debug, serde::Deserialize)]
        struct Placement {
            #[expect(dead_code, reason = "only whether it parses matters")]
            user: String,
        }

        for raw in [r#"["u1"]"#, "[]", " 7", r#""u1""#, "null"] {
            let problem = parse::<Placement>(raw.as_bytes()).expect_err(raw);
            assert_eq!(problem.status(), StatusCode::BAD_REQUEST, "{raw}");
        }
        assert!(parse::<Placement>(br#" {"user":"u1"}"#).is_ok());
    }
}
