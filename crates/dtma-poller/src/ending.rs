//! How work that is under way ends with the service: within a time, and what is not done by then goes to another.

use std::time::Duration;

use bus::Verdict;
use tokio_util::sync::CancellationToken;

/// How long work may go on when the service is to stop, whatever the time limits are set to.
const LAST_WORDS: Duration = Duration::from_secs(12);

/// Returns when the time is up that work has after the end was asked for.
pub(crate) async fn out_of_time(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(LAST_WORDS).await;
}

/// The verdict on what this replica no longer comes to: another takes it at once.
pub(crate) fn put_back() -> Verdict {
    Verdict::Retry {
        after: Duration::ZERO,
        reason: "stopping".to_owned(),
    }
}
