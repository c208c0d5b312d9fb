use std::{cell::Cell, rc::Rc, time::Duration};

use actix_web::{rt, web};
use futures_util::StreamExt;
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use crate::proxy::BodySender;

/// Carries a request's body from the client to the service, in a task of its own, as long as it lives: the
/// service may begin its answer before it has the whole body.
pub struct Upload {
    task: JoinHandle<()>,
    fault: Rc<Cell<Option<BodyFault>>>,
    uploaded: Option<oneshot::Receiver<()>>,
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
        let fault = Rc::new(Cell::new(None));
        let (done, uploaded) = oneshot::channel();
        let noted = fault.clone();
        let task = rt::spawn(async move {
            match carry(payload, sender, idle).await {
                // Fails where nobody waits for it any more.
                Ok(()) => drop(done.send(())),
                Err(fault) => noted.set(Some(fault)),
            }
        });
        Self { task, fault, uploaded: Some(uploaded) }
    }

    /// What the client did wrong, if anything.
    pub fn fault(&self) -> Option<BodyFault> {
        self.fault.get()
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
async fn carry(mut payload: web::Payload, sender: BodySender, idle: Duration) -> Result<(), BodyFault> {
    loop {
        match timeout(idle, payload.next()).await {
            Err(_) => return Err(BodyFault::Slow),
            Ok(Some(Err(_))) => return Err(BodyFault::Broken),
            Ok(Some(Ok(data))) => {
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
