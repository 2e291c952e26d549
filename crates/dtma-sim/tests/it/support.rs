//! What the tests share.

use std::time::{Duration, Instant};

use dtma_sim::{Clock, ManualClock, Sim, SimConfig, SimHandle, ToolboxInfo};
use jiff::Timestamp;
use reqwest::{Client, Response, redirect};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything; only a failing test waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn client() -> Client {
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

pub(crate) async fn start(config: SimConfig) -> SimHandle {
    Sim::start(config, CancellationToken::new()).await.unwrap()
}

pub(crate) fn noon() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// A simulation whose clock stands at noon until it is moved.
pub(crate) async fn start_at_noon(config: SimConfig) -> (SimHandle, ManualClock) {
    let clock = ManualClock::new(noon());
    let running: Clock = clock.clock();
    (
        Sim::start_at(config, running, CancellationToken::new())
            .await
            .unwrap(),
        clock,
    )
}

pub(crate) fn config(toolboxes: usize, dialect: dtma_sim::DialectMix) -> SimConfig {
    SimConfig {
        toolboxes,
        dialect,
        ..SimConfig::default()
    }
}

/// An authenticated GET below the agent's base URL.
pub(crate) async fn get(toolbox: &ToolboxInfo, path: &str) -> Response {
    let url = format!("{}{path}", toolbox.base_url);
    client()
        .get(url)
        .bearer_auth(&toolbox.token)
        .send()
        .await
        .unwrap()
}

pub(crate) async fn get_json(toolbox: &ToolboxInfo, path: &str) -> Value {
    let response = get(toolbox, path).await;
    assert_eq!(response.status(), 200, "{path}");
    response.json().await.unwrap()
}

/// The item of a container in a list of dialect B or C.
pub(crate) fn item<'a>(list: &'a Value, name: &str) -> Option<&'a Value> {
    list["tool_instances"]
        .as_array()?
        .iter()
        .find(|item| item["instance_name_on_toolbox"] == name || item["names"][0] == name)
}

/// Waits until the condition holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
