//! The id of the request that a task works for, so that entries carry it without its being passed around.
//!
//! It does not follow work into another task by itself: whoever starts one hands it on.

tokio::task_local! {
    static REQUEST: Option<String>;
}

/// Runs work for the request of this id.
pub async fn in_request<T>(id: Option<String>, work: impl Future<Output = T>) -> T {
    REQUEST.scope(id, work).await
}

/// The request that this task works for.
#[must_use]
pub fn current_request() -> Option<String> {
    REQUEST.try_with(Clone::clone).ok().flatten()
}
