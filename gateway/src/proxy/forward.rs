use std::{cell::Cell, error::Error, fmt, rc::Rc};

use actix::{
    Actor, Handler, Message,
    dev::{MessageResponse, OneshotSender},
};
use futures_util::{FutureExt, future::LocalBoxFuture};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::client::legacy;

use super::{ProxyActor, RequestBody, actor::Counts};

/// Asks the service that the request's URI names. Replies with the head of its answer as soon as that is there;
/// the body follows.
///
/// Whoever stops waiting for the reply ends the exchange: the connection to the service is closed.
#[derive(Debug)]
pub struct Forward {
    /// Everything that the service gets.
    pub request: Request<RequestBody>,
}

impl Message for Forward {
    type Result = Result<Response<Incoming>, ForwardError>;
}

/// Why a service gave no answer.
#[derive(Debug)]
pub enum ForwardError {
    /// The exchange came to no answer.
    Exchange(legacy::Error),
    /// It changed the protocol, which nobody had asked for.
    Switched,
}

/// A [`ForwardError`] in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection came about: the service knows nothing of the request.
    Connect,
    /// The connection ended, or what came was no HTTP. Whether the service acted on the request is unknown.
    Answer,
}

impl ForwardError {
    /// What kind of failure it is.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Exchange(error) if error.is_connect() => Failure::Connect,
            Self::Exchange(_) | Self::Switched => Failure::Answer,
        }
    }
}

impl fmt::Display for ForwardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exchange(error) if error.is_connect() => "cannot connect",
            Self::Exchange(_) => "no valid answer",
            Self::Switched => "an answer in another protocol",
        })
    }
}

impl Error for ForwardError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Exchange(error) => Some(error),
            Self::Switched => None,
        }
    }
}

impl Handler<Forward> for ProxyActor {
    type Result = WhileAwaited<<Forward as Message>::Result>;

    fn handle(&mut self, forward: Forward, _: &mut Self::Context) -> Self::Result {
        let exchange = self.client.request(forward.request);
        let mut outcome = Outcome::awaited(self.counts.clone());
        WhileAwaited(
            async move {
                let answer = match exchange.await {
                    Ok(answer) if answer.status().is_informational() => Err(ForwardError::Switched),
                    other => other.map_err(ForwardError::Exchange),
                };
                outcome.is(&answer);
                answer
            }
            .boxed_local(),
        )
    }
}

/// Counts what became of one exchange, also where it is dropped half-way.
struct Outcome {
    counts: Rc<Counts>,
    known: bool,
}

impl Outcome {
    fn awaited(counts: Rc<Counts>) -> Self {
        add(&counts.waiting);
        Self { counts, known: false }
    }

    fn is<T, E>(&mut self, answer: &Result<T, E>) {
        self.known = true;
        add(if answer.is_ok() { &self.counts.answered } else { &self.counts.failed });
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        self.counts.waiting.set(self.counts.waiting.get() - 1);
        if !self.known {
            add(&self.counts.abandoned);
        }
    }
}

fn add(count: &Cell<u64>) {
    count.set(count.get() + 1);
}

/// A reply that comes later, and that is no longer worked on once nobody waits for it.
///
/// actix's own `ResponseFuture` runs to its end even then.
pub struct WhileAwaited<T>(LocalBoxFuture<'static, T>);

impl<A, M> MessageResponse<A, M> for WhileAwaited<M::Result>
where
    A: Actor,
    M: Message,
{
    fn handle(self, _: &mut A::Context, asker: Option<OneshotSender<M::Result>>) {
        let Some(mut asker) = asker else {
            return;
        };
        actix::spawn(async move {
            tokio::select! {
                reply = self.0 => {
                    // Fails where the asker has just gone; then the reply is dropped, and with it the exchange.
                    let _ = asker.send(reply);
                }
                () = asker.closed() => {}
            }
        });
    }
}
