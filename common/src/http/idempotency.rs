use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix_web::{HttpRequest, http::StatusCode};
use serde::de::DeserializeOwned;

use super::Problem;
use crate::store::{Fingerprint, IdempotencyKey, Recall, Recalled, RepositoryHandle};

/// The header by which a client names an operation, so that it is carried out once however often it is sent
/// (draft-ietf-httpapi-idempotency-key-header).
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The header that marks an answer as that of an earlier request.
pub const IDEMPOTENCY_REPLAYED: &str = "idempotency-replayed";

/// Returns the key of a request, within the scope of its method and path, or `None` where it has none.
///
/// # Errors
/// When there are several, or one that is not 1 to 255 visible ASCII characters.
pub fn idempotency_key(request: &HttpRequest) -> Result<Option<IdempotencyKey>, Problem> {
    let mut given = request.headers().get_all(IDEMPOTENCY_KEY);
    let key = match (given.next(), given.next()) {
        (None, _) => return Ok(None),
        (Some(key), None) => key.to_str().unwrap_or_default().trim(),
        (Some(_), Some(_)) => "",
    };
    if !(1..=255).contains(&key.len()) || !key.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid idempotency key")
            .detail("Idempotency-Key must be sent once, with 1 to 255 visible ASCII characters"));
    }
    Ok(Some(IdempotencyKey(format!("{} {} {key}", request.method(), request.path()))))
}

/// The keyed requests that are being carried out in this process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct InProgress(Arc<Mutex<HashSet<String>>>);

/// A keyed request that is being carried out; dropping it lets the next one with its key in.
#[derive(Debug)]
pub struct Running {
    entered: Entered,
    fingerprint: Fingerprint,
}

impl Running {
    /// The key and what was asked for under it.
    pub fn operation(&self) -> (IdempotencyKey, Fingerprint) {
        (self.entered.key.clone(), self.fingerprint.clone())
    }
}

#[derive(Debug)]
struct Entered {
    all: InProgress,
    key: IdempotencyKey,
}

/// What to do with a request, by its key.
#[derive(Debug)]
pub enum Admission<T> {
    /// Carry it out, and keep [`Running`] while that lasts.
    Fresh(Option<Running>),
    /// It was carried out before, with this outcome.
    Replay(T),
}

impl InProgress {
    /// Decides by the request's key whether it is to be carried out.
    ///
    /// `fingerprint` may be slow: it is asked for once no other request with the key is being carried out.
    ///
    /// # Errors
    /// 409 while another request with the key is being carried out, 422 where another request was carried out
    /// under the key, and whatever the repository fails with.
    pub async fn admit<T: DeserializeOwned + Send + 'static>(
        &self,
        key: Option<IdempotencyKey>,
        fingerprint: impl AsyncFnOnce(&IdempotencyKey) -> Result<Fingerprint, Problem>,
        repository: &RepositoryHandle,
    ) -> Result<Admission<T>, Problem> {
        let Some(key) = key else {
            return Ok(Admission::Fresh(None));
        };
        let entered = self.enter(key).ok_or_else(still_running)?;
        let fingerprint = fingerprint(&entered.key).await?;
        match repository.read(Recall::new(entered.key.clone(), fingerprint.clone())).await? {
            Recalled::Nothing => Ok(Admission::Fresh(Some(Running { entered, fingerprint }))),
            Recalled::Same(outcome) => Ok(Admission::Replay(outcome)),
            Recalled::Other => Err(used_otherwise()),
        }
    }

    fn enter(&self, key: IdempotencyKey) -> Option<Entered> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key.0.clone()).then(|| Entered { all: self.clone(), key })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key.0);
    }
}

fn still_running() -> Problem {
    Problem::new(StatusCode::CONFLICT, "request in progress")
        .detail("a request with this Idempotency-Key is still being carried out")
        .retry_after(Duration::from_secs(1))
}

/// The answer where a key comes with another request than the one it was first used for.
pub fn used_otherwise() -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency key reused")
        .detail("this Idempotency-Key was used with another request; use a new key for a new request")
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_key_counts_for_its_method_and_path() {
        let request =
            |path| TestRequest::post().uri(path).insert_header((IDEMPOTENCY_KEY, "k 1")).to_http_request();
        let key = |path| idempotency_key(&request(path)).expect("a sound key");

        assert_eq!(key("/orders"), Some(IdempotencyKey("POST /orders k 1".to_owned())));
        assert_ne!(key("/orders/1/cancel"), key("/orders/2/cancel"));
        assert_eq!(idempotency_key(&TestRequest::post().to_http_request()).expect("none is sound"), None);
    }

    #[test]
    fn a_key_that_is_empty_too_long_or_not_ascii_is_refused() {
        for raw in ["", " ", "ü", &"x".repeat(256)] {
            let request = TestRequest::post().insert_header((IDEMPOTENCY_KEY, raw)).to_http_request();

            let problem = idempotency_key(&request).expect_err(raw);

            assert_eq!(problem.status(), StatusCode::BAD_REQUEST, "{raw:?}");
        }
    }

    #[test]
    fn one_request_at_a_time_runs_under_a_key() {
        let all = InProgress::default();
        let enter = |key: &str| all.enter(IdempotencyKey(key.to_owned()));

        let running = enter("k").expect("the first");
        assert!(enter("k").is_none());
        assert!(enter("other").is_some());
        drop(running);

        assert!(enter("k").is_some());
    }
}
