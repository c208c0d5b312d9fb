//! A link that fails on purpose: cut off for a while, or as if the broker had blocked it.

use std::{
    fmt,
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::BrokerError;

/// How a link can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFault {
    /// Its sockets are shut down, and no other link is made meanwhile.
    Cut,
    /// Nothing is published, as while the broker is short of memory or disk.
    Block,
}

impl fmt::Display for LinkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "cut",
            Self::Block => "blocked",
        })
    }
}

/// Makes the links of one [`BrokerConfig`](super::BrokerConfig) fail. Cheap to clone; clones are the same switch.
#[derive(Clone, Debug, Default)]
pub struct LinkFaults(Arc<watch::Sender<Asked>>);

/// Until when each fault was asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    cut: Option<Instant>,
    blocked: Option<Instant>,
}

const BLOCKED: &str = "a fault request";

impl LinkFaults {
    /// Has the link fail from now on, for so long. The same fault once more begins anew.
    pub fn inject(&self, fault: LinkFault, lasting: Duration) {
        let until = Some(Instant::now() + lasting);
        self.0.send_modify(|asked| match fault {
            LinkFault::Cut => asked.cut = until,
            LinkFault::Block => asked.blocked = until,
        });
    }

    /// Refuses to make a link while it is to be cut off.
    pub(super) fn check(&self) -> Result<(), BrokerError> {
        match left(self.0.borrow().cut) {
            Some(left) => Err(BrokerError::unreachable(
                "make the link",
                format!("cut off by a fault request, for another {} ms", left.as_millis()),
            )),
            None => Ok(()),
        }
    }

    /// Waits until the link is to be cut off; returns why.
    pub(super) async fn cut(&self) -> String {
        let mut asked = self.0.subscribe();
        // Fails only without a sender, which lives as long as `self`.
        let _ = asked.wait_for(|asked| left(asked.cut).is_some()).await;
        "cut off by a fault request".to_owned()
    }

    /// Tells `on_blocked` when the link is to behave as if it were blocked, and when no longer; never returns.
    pub(super) async fn block(&self, on_blocked: impl Fn(Option<String>)) {
        let mut asked = self.0.subscribe();
        loop {
            let until = asked.borrow_and_update().blocked.filter(|&until| left(Some(until)).is_some());
            on_blocked(until.map(|_| BLOCKED.to_owned()));
            let over = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = over => {}
                // The sender lives as long as `self`.
                _ = asked.changed() => {}
            }
        }
    }
}

fn left(until: Option<Instant>) -> Option<Duration> {
    until?.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
}

/// Two who may block one link: it is blocked while either does.
pub(super) struct Blockers<F> {
    reasons: Mutex<Reasons>,
    on_blocked: F,
}

#[derive(Default)]
struct Reasons {
    broker: Option<String>,
    fault: Option<String>,
}

impl<F: Fn(Option<String>)> Blockers<F> {
    /// Nobody blocks yet; tells `on_blocked` when that changes.
    pub(super) fn new(on_blocked: F) -> Self {
        Self { reasons: Mutex::default(), on_blocked }
    }

    /// The broker blocks, and why, or no longer does.
    pub(super) fn broker(&self, reason: Option<String>) {
        self.change(|reasons| reasons.broker = reason);
    }

    /// The fault does.
    pub(super) fn fault(&self, reason: Option<String>) {
        self.change(|reasons| reasons.fault = reason);
    }

    fn change(&self, change: impl FnOnce(&mut Reasons)) {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let was_blocked = reasons.first().is_some();
        change(&mut reasons);
        let reason = reasons.first();
        if was_blocked != reason.is_some() {
            (self.on_blocked)(reason.cloned());
        }
    }
}

impl Reasons {
    fn first(&self) -> Option<&String> {
        self.broker.as_ref().or(self.fault.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, time::Duration};

    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[actix::test]
    async fn no_link_is_made_while_it_is_cut_off_and_a_living_one_hears_of_it() {
        let faults = LinkFaults::default();
        assert!(faults.check().is_ok());

        faults.clone().inject(LinkFault::Cut, LONG);

        let refused = faults.check().expect_err("it is cut off").to_string();
        assert!(refused.starts_with("cannot make the link: cut off by a fault request, for another 5"));
        assert_eq!(faults.cut().await, "cut off by a fault request");
        faults.inject(LinkFault::Cut, Duration::ZERO);
        assert!(faults.check().is_ok(), "it is over");
    }

    #[actix::test]
    async fn a_block_begins_and_ends() {
        let faults = LinkFaults::default();
        let told = RefCell::new(Vec::new());
        faults.inject(LinkFault::Block, Duration::from_millis(20));

        let blocking = faults.block(|reason| told.borrow_mut().push(reason.is_some()));
        let over = async {
            while told.borrow().last() != Some(&false) {
                tokio::task::yield_now().await;
            }
        };
        let both = timeout(LONG, async {
            tokio::select! { () = blocking => {}, () = over => {} }
        });
        both.await.expect("it ends by itself");

        assert_eq!(*told.borrow(), [true, false]);
    }

    #[test]
    fn a_link_is_blocked_while_either_blocks_it() {
        let told = RefCell::new(Vec::new());
        let blockers = Blockers::new(|reason: Option<String>| told.borrow_mut().push(reason));
        let because = |reason: &str| Some(reason.to_owned());

        blockers.fault(None);
        blockers.fault(because("fault"));
        blockers.broker(because("memory"));
        blockers.fault(None);
        blockers.broker(None);
        blockers.broker(because("disk"));

        assert_eq!(*told.borrow(), [because("fault"), None, because("disk")]);
    }
}
