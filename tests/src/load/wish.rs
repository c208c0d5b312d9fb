//! A request that is asked under one key until it is known what became of it.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::Value;
use tokio::time::sleep;
use uuid::Uuid;

use super::Door;
use super::ledger::SharedLedger;
use crate::http::{Answer, Call, HttpError};

/// Between two attempts at a wish of unknown outcome, and after a refusal.
const AFTER_TROUBLE: Duration = Duration::from_millis(10);

/// How long one goes on asking what became of a wish.
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of a wish.
pub(super) enum Wish {
    Granted(Value),
    Refused,
    /// Still unknown after a minute; the ledger says which.
    Undecided,
}

/// Asks until it is known what became of the wish. A refusal is believed where no attempt before it may have been granted.
pub(super) async fn wish(door: &Door, ledger: &SharedLedger, call: impl Fn(&Door) -> Call) -> Wish {
    let key = Uuid::now_v7().to_string();
    let begun = Instant::now();
    let mut may_be_granted = false;
    loop {
        let answer = call(door).header("Idempotency-Key", &key).send().await;
        let trouble = match answer {
            Ok(answer) if answer.status.is_success() => match serde_json::from_slice(&answer.body) {
                Ok(resource) => return Wish::Granted(resource),
                Err(error) => {
                    ledger.lock().contradictions.push(format!("{error} in {answer}"));
                    return Wish::Undecided;
                }
            },
            Ok(answer) if is_unknown(&answer) => {
                may_be_granted = true;
                in_short(&answer)
            }
            // The first attempt's answer was lost, and it is still at work.
            Ok(answer) if answer.status == StatusCode::CONFLICT && may_be_granted => in_short(&answer),
            Ok(answer) => {
                ledger.lock().refused(in_short(&answer));
                sleep(AFTER_TROUBLE).await;
                if !may_be_granted {
                    return Wish::Refused;
                }
                in_short(&answer)
            }
            Err(error) if is_not_connected(&error) && !may_be_granted => {
                ledger.lock().not_connected(error.to_string());
                sleep(AFTER_TROUBLE).await;
                return Wish::Refused;
            }
            Err(error) => {
                may_be_granted = true;
                error.to_string()
            }
        };
        ledger.lock().unknown(trouble.clone());
        if begun.elapsed() > PATIENCE {
            ledger.lock().undecided.push(format!("{trouble} (key {key})"));
            return Wish::Undecided;
        }
        sleep(AFTER_TROUBLE).await;
    }
}

/// Whether the request may have been carried out in spite of its answer.
fn is_unknown(answer: &Answer) -> bool {
    match answer.status {
        StatusCode::SERVICE_UNAVAILABLE => answer.text().contains("outcome unknown"),
        status => status.is_server_error(),
    }
}

/// Whether the request never left, because nobody listens.
fn is_not_connected(error: &HttpError) -> bool {
    matches!(error, HttpError::Exchange(error) if error.is_connect())
}

fn in_short(answer: &Answer) -> String {
    let text = answer.text();
    let error = serde_json::from_str::<Value>(&text).ok().and_then(|problem| {
        let detail = problem["detail"].as_str().unwrap_or_default();
        Some(format!("{}: {detail}", problem["error"].as_str()?))
    });
    format!("{} {}", answer.status.as_u16(), error.unwrap_or(text))
}
