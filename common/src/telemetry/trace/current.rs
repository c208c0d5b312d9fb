use std::future::Future;

use super::Origin;

tokio::task_local! {
    static CURRENT: Origin;
}

impl Origin {
    /// Does `work` on behalf of this origin: every line that it logs names the request and the trace, and its spans
    /// belong to the trace. What another task or actor does meanwhile is not part of it.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// Calls `what` with the origin on whose behalf the work at hand is done, if there is one.
    pub fn with_current<T>(what: impl FnOnce(Option<&Self>) -> T) -> T {
        let mut what = Some(what);
        let told = CURRENT.try_with(|origin| what.take().map(|what| what(Some(origin))));
        // An error where there is none, or where a thread is about to end and its locals are gone.
        told.ok().flatten().or_else(|| what.map(|what| what(None))).expect("it is called either way")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current() -> Option<Origin> {
        Origin::with_current(|origin| origin.cloned())
    }

    #[tokio::test]
    async fn work_knows_on_whose_behalf_it_is_done() {
        let (outer, inner) = (Origin::fresh(), Origin::fresh());
        assert_eq!(current(), None);

        let scoped = outer.clone().scope(async {
            assert_eq!(current(), Some(outer.clone()));
            inner.clone().scope(async { assert_eq!(current(), Some(inner.clone())) }).await;
            tokio::task::yield_now().await;
            assert_eq!(current(), Some(outer.clone()));
        });
        scoped.await;

        assert_eq!(current(), None);
    }
}
