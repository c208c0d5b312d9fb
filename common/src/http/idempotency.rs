use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, http::StatusCode};
use serde::{Serialize, de::DeserializeOwned};

use super::{Caller, Deadline, Problem};
use crate::store::{
    Command, Fingerprint, IdempotencyKey, IdempotentWrite, Once, Recall, Recalled, RepositoryHandle,
};

/// The header by which a client names an operation, so that it is carried out once however often it is sent
/// (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The header that marks an answer as that of an earlier request.
const IDEMPOTENCY_REPLAYED: &str = "idempotency-replayed";

/// Returns the key of a request, within the scope of its caller, method and path, or `None` where it has none. So nobody
/// is answered with what somebody else did.
///
/// # Errors
/// When there are several, or one that is not 1 to 255 visible ASCII characters.
fn idempotency_key(request: &HttpRequest) -> Result<Option<IdempotencyKey>, Problem> {
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
    let operation = format!("{} {} {key}", request.method(), request.path());
    Ok(Some(IdempotencyKey(match Caller::of(request)? {
        Caller::Trusted => operation,
        // Subjects hold no space, and the second word of the other form is a path, which no method looks like.
        Caller::Known { subject, .. } => format!("{subject} {operation}"),
    })))
}

/// Carries out the commands of requests, each keyed one once. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KeyedWrites {
    repository: RepositoryHandle,
    retention: Duration,
    in_progress: InProgress,
}

/// What was carried out, now or before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried<T> {
    /// What it achieved.
    pub outcome: T,
    /// Whether that was before, for an earlier request with the same key.
    pub replayed: bool,
}

impl KeyedWrites {
    /// Keeps each outcome for `retention`.
    pub fn new(repository: RepositoryHandle, retention: Duration) -> Self {
        Self { repository, retention, in_progress: InProgress::default() }
    }

    /// Carries out what `command` returns, or replays what was carried out before under the request's key.
    ///
    /// `fingerprint` and `command` may be slow: they are asked for once no other request with the key is being
    /// carried out, and `command` only where the key is new.
    ///
    /// # Errors
    /// 400 for a key that is none, 409 while another request with the key is being carried out, 422 where another
    /// request was carried out under the key; and whatever `command` fails with, the command refuses with, or the
    /// repository fails with.
    pub async fn carry_out<C, T, E>(
        &self,
        request: &HttpRequest,
        fingerprint: impl AsyncFnOnce(&IdempotencyKey) -> Result<Fingerprint, Problem>,
        command: impl AsyncFnOnce() -> Result<C, Problem>,
    ) -> Result<Carried<T>, Problem>
    where
        C: Command<Outcome = Result<T, E>>,
        T: Serialize + DeserializeOwned + Send + 'static,
        E: Into<Problem> + Send + 'static,
    {
        let running = match idempotency_key(request)? {
            Some(key) => Some(self.in_progress.enter(key).ok_or_else(still_running)?),
            None => None,
        };
        let mut operation = None;
        if let Some(Running { key, .. }) = &running {
            let fingerprint = fingerprint(key).await?;
            match self.repository.read(Recall::new(key.clone(), fingerprint.clone())).await? {
                Recalled::Nothing => operation = Some((key.clone(), fingerprint)),
                Recalled::Same(outcome) => return Ok(Carried { outcome, replayed: true }),
                Recalled::Other => return Err(used_otherwise()),
            }
        }
        let command = command().await?;
        Deadline::of(request).check()?;
        let write = IdempotentWrite { key: operation, retention: self.retention, command };
        match self.repository.write(write).await.map_err(Problem::not_written)? {
            Once::Done(outcome) => Ok(Carried { outcome, replayed: false }),
            Once::Replayed(outcome) => Ok(Carried { outcome, replayed: true }),
            Once::OtherRequest => Err(used_otherwise()),
            Once::Refused(refusal) => Err(refusal.into()),
        }
    }
}

impl<T: Serialize> Carried<T> {
    /// Answers with the outcome, marked where it is a replay.
    pub fn answer(&self, mut response: HttpResponseBuilder) -> HttpResponse {
        if self.replayed {
            response.insert_header((IDEMPOTENCY_REPLAYED, "true"));
        }
        response.json(&self.outcome)
    }
}

/// The keyed requests that are being carried out in this process. Clones share them.
#[derive(Clone, Debug, Default)]
struct InProgress(Arc<Mutex<HashSet<String>>>);

/// A keyed request that is being carried out; dropping it lets the next one with its key in.
#[derive(Debug)]
struct Running {
    all: InProgress,
    key: IdempotencyKey,
}

impl InProgress {
    fn enter(&self, key: IdempotencyKey) -> Option<Running> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key.0.clone()).then(|| Running { all: self.clone(), key })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key.0);
    }
}

fn still_running() -> Problem {
    Problem::new(StatusCode::CONFLICT, "request in progress")
        .detail("a request with this Idempotency-Key is still being carried out")
        .retry_after(Duration::from_secs(1))
}

fn used_otherwise() -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency key reused")
        .detail("this Idempotency-Key was used with another request; use a new key for a new request")
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::http::{ROLE, SUBJECT};

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
    fn a_key_counts_for_its_caller() {
        let key = |subject: Option<&str>| {
            let mut request = TestRequest::post().uri("/orders").insert_header((IDEMPOTENCY_KEY, "k"));
            if let Some(subject) = subject {
                request = request.insert_header((SUBJECT, subject)).insert_header((ROLE, "user"));
            }
            idempotency_key(&request.to_http_request()).expect("a sound key").expect("a key")
        };

        assert_eq!(key(Some("u1")), key(Some("u1")));
        assert_ne!(key(Some("u1")), key(Some("u2")));
        assert_ne!(key(Some("u1")), key(None));
        assert_ne!(key(Some("POST")), key(None));
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
