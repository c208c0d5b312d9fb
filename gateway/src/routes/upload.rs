use std::{cell::Cell, rc::Rc, time::Duration};

use actix_web::{rt, web};
use futures_util::StreamExt;
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use crate::proxy::BodySender;

/// Carries a request's body from the client to the service, in a task of its own, as long as it lives: the
/// service may begin its answer before it has the whole body.
pub struct Upload {
    task: JoinHandle<()>,
    state: Rc<Cell<State>>,
    uploaded: Option<oneshot::Receiver<()>>,
}

/// Whom an upload waits for, or what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Client,
    Service,
    Done,
    Failed(BodyFault),
}

/// What a client did wrong with its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// It was silent for too long.
    Slow,
    /// It left, or what came is no body.
    Broken,
}

impl Upload {
    /// Starts; the client may be silent for `idle`.
    pub fn start(payload: web::Payload, sender: BodySender, idle: Duration) -> Self {
        let state = Rc::new(Cell::new(State::Client));
        let (done, uploaded) = oneshot::channel();
        let noted = state.clone();
        let task = rt::spawn(async move {
            match carry(payload, sender, idle, &noted).await {
                Ok(()) => {
                    noted.set(State::Done);
                    // Fails where nobody waits for it any more.
                    let _ = done.send(());
                }
                Err(fault) => noted.set(State::Failed(fault)),
            }
        });
        Self { task, state, uploaded: Some(uploaded) }
    }

    /// What the client did wrong, if anything; where the exchange's time is over, that may be that it has not
    /// sent enough yet.
    pub fn fault(&self, overdue: bool) -> Option<BodyFault> {
        match self.state.get() {
            State::Failed(fault) => Some(fault),
            State::Client if overdue => Some(BodyFault::Slow),
            State::Client | State::Service | State::Done => None,
        }
    }

    /// Returns what resolves when the service has the whole body. To be called once.
    pub fn uploaded(&mut self) -> oneshot::Receiver<()> {
        self.uploaded.take().expect("asked for once")
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries one piece after the other; a service that has read enough ends it.
async fn carry(
    mut payload: web::Payload,
    sender: BodySender,
    idle: Duration,
    state: &Cell<State>,
) -> Result<(), BodyFault> {
    loop {
        state.set(State::Client);
        match timeout(idle, payload.next()).await {
            Err(_) => return Err(BodyFault::Slow),
            Ok(Some(Err(_))) => return Err(BodyFault::Broken),
            Ok(Some(Ok(data))) => {
                state.set(State::Service);
                if sender.send(data).await.is_err() {
                    return Ok(());
                }
            }
            Ok(None) => {
                // A service that has read enough need not know.
                let _ = sender.finish().await;
                return Ok(());
            }
        }
    }
}
