use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::{
    task::coop::has_budget_remaining,
    time::{Sleep, sleep_until},
};

/// The one timer of a connection.
///
/// Deadlines change several times a request, and nearly all pass unused; so the timer is touched only where the
/// next deadline comes before the moment that it is set to, and otherwise looks again when it rings.
#[derive(Debug)]
pub struct Alarm {
    timer: Pin<Box<Sleep>>,
    due: Instant,
    /// Whether the timer will wake the task, which is always the same one.
    armed: bool,
}

/// The time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue;

impl Alarm {
    /// Rings at `due`.
    pub fn at(due: Instant) -> Self {
        Self { timer: Box::pin(sleep_until(due.into())), due, armed: false }
    }

    /// Rings at `due` instead.
    pub fn set(&mut self, due: Instant) {
        self.due = due;
        if due < self.timer.deadline().into_std() {
            self.timer.as_mut().reset(due.into());
            self.armed = false;
        }
    }

    /// Ready once the time is over.
    pub fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.armed && !self.timer.is_elapsed() {
                return Poll::Pending;
            }
            // Without budget the timer is not even set, and must be polled again.
            self.armed = has_budget_remaining();
            ready!(self.timer.as_mut().poll(context));
            if self.timer.deadline().into_std() >= self.due {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.due.into());
            self.armed = false;
        }
    }

    /// Polls `step` until it is ready, at most until `due`.
    ///
    /// # Errors
    /// When the time is over.
    pub async fn until<T>(
        &mut self,
        due: Instant,
        mut step: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, Overdue> {
        self.set(due);
        poll_fn(|context| match step(context) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => self.poll_due(context).map(|()| Err(Overdue)),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[actix::test]
    async fn it_rings_at_the_last_moment_that_was_set() {
        let start = Instant::now();
        let mut alarm = Alarm::at(start + Duration::from_millis(10));

        let first = alarm.until(start + Duration::from_millis(60), |_| Poll::<()>::Pending).await;
        let late = start.elapsed();
        let second = alarm.until(Instant::now(), |_| Poll::<()>::Pending).await;

        assert_eq!((first, second), (Err(Overdue), Err(Overdue)));
        assert!(late >= Duration::from_millis(60), "{late:?}");
        assert_eq!(alarm.until(start, |_| Poll::Ready(7)).await, Ok(7));
    }
}
