//! How long a request has waited for providers: whoever measures what we add to a payment takes that off.

use std::cell::Cell;
use std::time::Duration;

tokio::task_local! {
    static WAITED: Cell<Duration>;
}

/// Runs a request's work; also says how long it waited for providers.
pub async fn measure_waits<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let measured = async {
        let done = work.await;
        (done, WAITED.with(Cell::get))
    };
    WAITED.scope(Cell::default(), measured).await
}

/// The request of this task has waited so long, beside what it has waited before.
pub(crate) fn waited(time: Duration) {
    // Nobody measures what works for no request.
    let _unmeasured = WAITED.try_with(|waited| waited.set(waited.get().saturating_add(time)));
}
