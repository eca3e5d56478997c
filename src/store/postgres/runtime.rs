//! The runtime of a PostgreSQL store.

use std::future::Future;

use tokio::runtime::Runtime;

use crate::store::StoreError;
use crate::store::postgres::error::closed;
use crate::store::postgres::open_error::PostgresOpenError;

/// A runtime for the connections, so that they outlive the runtime of the caller. `None` after the drop.
pub(super) struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    pub(super) fn start() -> Result<Self, std::io::Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("store-postgres")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Starts work on this runtime, and discards its result.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            runtime.spawn(work);
        }
    }

    /// Runs on this runtime.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Some(runtime) = &self.0 else { return Err(closed()) };
        runtime.spawn(work).await.unwrap_or_else(|_| Err(closed()))
    }

    /// Waits on a thread of its own, because the caller may be in a runtime.
    pub(super) fn block_on<T: Send>(
        &self,
        future: impl Future<Output = Result<T, PostgresOpenError>> + Send,
    ) -> Result<T, PostgresOpenError> {
        let Some(runtime) = &self.0 else {
            return Err(std::io::Error::other("the store is closed").into());
        };
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| runtime.block_on(future));
            waiting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
