//! Waiting for conditions, and small things that tests say often.

use std::time::Duration;

use domain::ToolboxId;
use jiff::Timestamp;
use tokio::time::Instant;
use wire::{RawContainer, RawCoverage, RawOutcome, RawReport, RawSource};

/// Longest wait for anything: far beyond what it takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The container's name of a server made by [`Ground::server`].
pub(crate) fn name(number: u128) -> String {
    format!("mcp-{number}")
}

#[expect(clippy::disallowed_methods, reason = "tests run in real time")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// A poll's report of a whole list: container numbers and their words.
pub(crate) fn list(toolbox: ToolboxId, as_of: Timestamp, containers: &[(u128, &str)]) -> RawReport {
    let container = |(number, word): &(u128, &str)| RawContainer {
        names: vec![name(*number)],
        word: (*word).to_owned(),
        container_id: Some(format!("{number:064x}")),
        ..RawContainer::default()
    };
    RawReport {
        toolbox_id: toolbox.0,
        as_of,
        source: RawSource::Poll,
        agent_time: None,
        agent_version: Some("1.2.3".to_owned()),
        next_within_seconds: None,
        missed_heartbeat: false,
        outcome: RawOutcome::Containers {
            coverage: RawCoverage::Whole,
            containers: containers.iter().map(container).collect(),
        },
    }
}

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, ask)
        .await
        .unwrap_or_else(|| panic!("waited in vain: {what}"))
}

/// The same for so long; `None`: there was none.
pub(crate) async fn within<T>(limit: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask().await {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
