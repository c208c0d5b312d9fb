use actix_web::{FromRequest, HttpRequest, dev::Payload, http::StatusCode};
use futures_util::{FutureExt, future::LocalBoxFuture};
use serde::de::DeserializeOwned;

use super::{JsonBody, Problem};

/// What only browsers say, and with every request that changes something: which page asks, and from where.
const SAID_BY_BROWSERS: [&str; 2] = ["origin", "sec-fetch-site"];

/// A [`JsonBody`] with which those who run the system change something in a service, and no browser does: the console asks through
/// the gateway.
///
/// Fails like [`JsonBody`], and before that with 403 where a browser sent it. A page that somebody visits who runs the system
/// could otherwise let a name of its own lead here (DNS rebinding), and then `Origin` and `Host` are the same.
#[derive(Clone, Debug)]
pub(super) struct OperatorBody<T> {
    /// What the body says.
    pub value: T,
}

impl<T: DeserializeOwned + 'static> FromRequest for OperatorBody<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if SAID_BY_BROWSERS.iter().any(|name| request.headers().contains_key(*name)) {
            return async { Err(cross_site()) }.boxed_local();
        }
        JsonBody::from_request(request, payload).map(|body| Ok(Self { value: body?.value })).boxed_local()
    }
}

fn cross_site() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "cross-site request").detail(format!(
        "no web page changes anything here: send neither {}, or ask at the gateway's console",
        SAID_BY_BROWSERS.join(" nor ")
    ))
}
