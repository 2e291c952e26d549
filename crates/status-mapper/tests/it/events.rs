//! What was published, as a subscriber sees it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use bus::From;
use domain::ServerId;
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use wire::streams;

use crate::ground::Ground;
use crate::waiting::{PATIENCE, within};

impl Ground {
    /// Everything published on the status stream from now on, after what is there.
    pub(crate) fn events(&self) -> Events {
        let stop = CancellationToken::new();
        let mut stream = self.bus.follow(
            &streams::MCP_STATUS,
            Vec::new(),
            From::LastPerSubject,
            stop.clone(),
        );
        let seen: Arc<Mutex<Vec<Event>>> = Arc::default();
        let collected = Arc::clone(&seen);
        tokio::spawn(async move {
            let mut ids = HashSet::new();
            while let Some(delivery) = stream.next().await {
                let header = |name: &str| delivery.header(name).map(str::to_owned);
                // After a reconnection the last of each subject come again.
                if ids.insert(header(wire::headers::CE_ID)) {
                    collected.lock().unwrap().push(Event {
                        subject: delivery.subject.clone(),
                        body: serde_json::from_slice(&delivery.body).unwrap(),
                        traceparent: header("traceparent"),
                        ttl: header("Nats-TTL"),
                        rollup: header("Nats-Rollup"),
                    });
                }
            }
        });
        Events { seen, stop }
    }
}

/// An event as it was published.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) subject: String,
    pub(crate) body: Value,
    pub(crate) traceparent: Option<String>,
    pub(crate) ttl: Option<String>,
    pub(crate) rollup: Option<String>,
}

impl Event {
    pub(crate) fn version(&self) -> u64 {
        self.body["version"].as_u64().unwrap()
    }

    /// `state/health/code`, or `deleted`.
    pub(crate) fn view(&self) -> String {
        if self.body["kind"] == "deleted" {
            return "deleted".to_owned();
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        format!(
            "{}/{}/{}",
            text(&self.body["state"]),
            text(&self.body["health"]),
            text(&self.body["lastError"]["code"])
        )
    }
}

/// What was published, in the order of the stream.
pub(crate) struct Events {
    seen: Arc<Mutex<Vec<Event>>>,
    stop: CancellationToken,
}

impl Events {
    /// Those of one server, under whichever account.
    pub(crate) fn of(&self, server: ServerId) -> Vec<Event> {
        let end = format!(".{server}");
        self.seen
            .lock()
            .unwrap()
            .iter()
            .filter(|event| event.subject.ends_with(&end))
            .cloned()
            .collect()
    }

    /// Waits for an event of a server.
    pub(crate) async fn wait(&self, server: ServerId, what: &str, is: impl Fn(&Event) -> bool) -> Event {
        let found = within(PATIENCE, async || {
            self.of(server).into_iter().find(|event| is(event))
        })
        .await;
        found.unwrap_or_else(|| panic!("no event {what} of {server}: {:#?}", self.of(server)))
    }

    /// The views told of a server, in order.
    pub(crate) fn views(&self, server: ServerId) -> Vec<String> {
        self.of(server).iter().map(Event::view).collect()
    }

    /// Checks that nothing was told twice, left out or told after something newer.
    pub(crate) fn assert_gapless(&self, server: ServerId) {
        let versions: Vec<u64> = self.of(server).iter().map(Event::version).collect();
        let first = versions.first().copied().unwrap_or(1);
        let expected: Vec<u64> = (first..).take(versions.len()).collect();
        assert_eq!(versions, expected, "{server}");
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
