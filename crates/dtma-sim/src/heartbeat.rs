//! Heartbeats: one scheduler for the whole fleet, and the posting of one.
//!
//! The agents' turns stand in one queue ordered by time; a turn that is due becomes a post if fewer than the allowed
//! number are under way, else it waits and is counted as late. So an idle fleet costs one entry an agent, and a slow
//! receiver costs lateness, never memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use url::Url;

use crate::config::SimConfig;
use crate::error::SimError;
use crate::payload;
use crate::seed::Lane;
use crate::sim::Shared;
use crate::toolbox::Toolbox;

/// Where and how heartbeats are posted.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    client: reqwest::Client,
    url: Option<Url>,
    interval: Duration,
    concurrency: usize,
    /// Bounds the posts that scripts order, beside the scheduled ones.
    ordered: Semaphore,
}

impl Heartbeats {
    pub(crate) fn new(config: &SimConfig) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(config.heartbeat_timeout)
            .redirect(reqwest::redirect::Policy::none())
            // The target is named outright; a proxy from the environment would only stand in between.
            .no_proxy()
            .build()?;
        let url = match &config.heartbeat_url {
            None => None,
            Some(base) => {
                let mut url = base.clone();
                let path = format!(
                    "{}{}",
                    base.path().trim_end_matches('/'),
                    config.heartbeat_path.as_str()
                );
                url.set_path(&path);
                Some(url)
            }
        };
        Ok(Self {
            client,
            url,
            interval: config.heartbeat_interval,
            concurrency: config.heartbeat_concurrency,
            ordered: Semaphore::new(config.heartbeat_concurrency),
        })
    }

    pub(crate) fn are_sent(&self) -> bool {
        self.url.is_some()
    }

    /// Posts one heartbeat and counts it. The answer's status code is not judged: agents do not either.
    async fn post(&self, toolbox: &Toolbox, body: Bytes) -> Result<u16, SimError> {
        let url = self.url.clone().ok_or(SimError::NoHeartbeatUrl)?;
        let request = self.client.post(url).bearer_auth(&toolbox.token);
        let sent = request
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .send()
            .await;
        let code = sent.map(|response| response.status().as_u16());
        toolbox.lock().stats.heartbeat(code.as_ref().ok().copied());
        code.map_err(|error| {
            let error = error.without_url();
            tracing::debug!(toolbox = %toolbox.id, %error, "heartbeat not answered");
            SimError::HeartbeatUnanswered(error.to_string())
        })
    }
}

/// Posts a heartbeat of this toolbox now, silent or not; `body` replaces its own.
pub(crate) async fn post_now(
    shared: &Shared,
    toolbox: &Toolbox,
    body: Option<Bytes>,
) -> Result<u16, SimError> {
    let heartbeats = &shared.heartbeats;
    let _permit = heartbeats.ordered.acquire().await;
    let body = body.unwrap_or_else(|| own_body(shared, toolbox));
    heartbeats.post(toolbox, body).await
}

/// The heartbeat this agent would send now.
fn own_body(shared: &Shared, toolbox: &Toolbox) -> Bytes {
    let now = shared.clock.now();
    let state = toolbox.settled(now);
    payload::heartbeat(toolbox, &state, toolbox.time(&state, now)).into()
}

/// Sends every agent's heartbeats until the shutdown. The first ones are spread over an interval, as those of agents
/// that have been up for long.
pub(crate) async fn schedule(shared: Arc<Shared>) {
    let heartbeats = &shared.heartbeats;
    let start = Instant::now();
    let mut queue: BinaryHeap<Reverse<(Instant, usize)>> = (0..shared.fleet.toolboxes.len())
        .map(|index| {
            let phase = shared.fleet.seed.at(Lane::Phase, index as u64).unit();
            Reverse((start + heartbeats.interval.mul_f64(phase), index))
        })
        .collect();
    let mut posts = JoinSet::new();
    while let Some(Reverse((due, index))) = queue.peek().copied() {
        tokio::select! {
            biased;
            () = shared.shutdown.cancelled() => break,
            Some(_) = posts.join_next(), if !posts.is_empty() => {}
            () = tokio::time::sleep_until(due), if posts.len() < heartbeats.concurrency => {
                queue.pop();
                let now = Instant::now();
                let (next, late) = next_turn(due, now, heartbeats.interval);
                if late {
                    shared.heartbeats_late.fetch_add(1, Ordering::Relaxed);
                }
                queue.push(Reverse((next, index)));
                turn(&shared, index, &mut posts);
            }
        }
    }
    posts.shutdown().await;
}

/// The turn after the one that was due; turns that have passed already are left out.
fn next_turn(due: Instant, now: Instant, interval: Duration) -> (Instant, bool) {
    let next = due + interval;
    if next > now {
        return (next, false);
    }
    let behind = now.duration_since(due).as_nanos() % interval.as_nanos();
    let wait = interval - Duration::from_nanos(u64::try_from(behind).unwrap_or(0));
    (now + wait, true)
}

fn turn(shared: &Arc<Shared>, index: usize, posts: &mut JoinSet<()>) {
    let toolbox = &shared.fleet.toolboxes[index];
    {
        let mut state = toolbox.lock();
        if state.faults.silent() {
            state.stats.heartbeats.silenced += 1;
            return;
        }
    }
    let shared = Arc::clone(shared);
    posts.spawn(async move {
        let toolbox = &shared.fleet.toolboxes[index];
        let body = own_body(&shared, toolbox);
        // No retry: the next turn is the retry, as with the real agent. The failure has been counted.
        let _ = shared.heartbeats.post(toolbox, body).await;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_keep_their_phase_and_skip_what_has_passed() {
        let due = Instant::now();
        let minute = Duration::from_secs(60);
        assert_eq!(
            next_turn(due, due + Duration::from_secs(3), minute),
            (due + minute, false)
        );
        let late = due + Duration::from_secs(150);
        assert_eq!(next_turn(due, late, minute), (due + 3 * minute, true));
        assert_eq!(next_turn(due, due + minute, minute), (due + 2 * minute, true));
    }
}
