//! Stages that panicked: the process ends, and answers nobody meanwhile.
//!
//! A stage owns what it works on, so nobody can go on in its place, and a process without it would
//! answer for nothing: traces of a shard that nobody decides, a log that nobody writes. What is on
//! disk is there for the next start, as after any crash. Not for the threads that serve connections:
//! a panic there takes its own request along and nothing else.

use tokio::sync::watch;
use tracing::error;

/// Which stage panicked first, if any. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Panics {
    first: watch::Sender<Option<&'static str>>,
}

/// Held by a stage for as long as it runs.
#[derive(Debug)]
pub struct Guard {
    stage: &'static str,
    panics: Panics,
}

impl Panics {
    /// For the thread or the task of a stage.
    pub fn guard(&self, stage: &'static str) -> Guard {
        Guard { stage, panics: self.clone() }
    }

    /// The task of a stage under a guard.
    pub fn guarded<F: Future>(
        &self,
        stage: &'static str,
        task: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        let guard = self.guard(stage);
        async move {
            let _guard = guard;
            task.await
        }
    }

    /// The stage that panicked first.
    pub fn first(&self) -> Option<&'static str> {
        *self.first.borrow()
    }

    /// Waits until a stage panics; which.
    pub async fn wait(&self) -> &'static str {
        let mut changes = self.first.subscribe();
        // The sender is in this struct, so the wait cannot fail.
        let found = changes.wait_for(Option::is_some).await.map(|first| *first);
        match found {
            Ok(Some(stage)) => stage,
            _ => std::future::pending().await,
        }
    }
}

impl Guard {
    /// Whose it is.
    pub const fn stage(&self) -> &'static str {
        self.stage
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        error!(stage = self.stage, "stage panicked: nothing is taken any more, the process ends");
        self.panics.first.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(self.stage);
            is_first
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stage_that_ends_or_is_aborted_has_not_panicked() {
        let panics = Panics::default();
        tokio::spawn(panics.guarded("ends", async {})).await.unwrap();
        let aborted = tokio::spawn(panics.guarded("aborted", std::future::pending::<()>()));
        aborted.abort();
        drop(aborted.await);
        assert_eq!(panics.first(), None);
    }

    #[tokio::test]
    async fn the_first_that_panics_is_named() {
        let panics = Panics::default();
        for stage in ["first", "second"] {
            let panicking = async {
                tokio::task::yield_now().await;
                assert!(stage.is_empty(), "as a test wants");
            };
            tokio::spawn(panics.guarded(stage, panicking)).await.unwrap_err();
        }
        assert_eq!(panics.first(), Some("first"));
        assert_eq!(panics.wait().await, "first");
    }
}
