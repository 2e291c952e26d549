//! Asking the agents from here, without a token: only whether something answers.

use futures_util::{StreamExt as _, stream};

use crate::doctor::base::Base;
use crate::doctor::nats::Nats;
use crate::doctor::services::http;

/// Asked at once.
const AT_ONCE: usize = 32;
/// Agents asked at most: some minutes of waiting in the worst case.
const MOST: usize = 2_000;

/// What came of asking one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    /// The toolbox's name, else its id.
    pub(crate) name: String,
    /// `Err` says why it is not well.
    pub(crate) outcome: Result<(), String>,
}

/// Asks every agent whose address is known.
pub(crate) async fn probe(nats: &Nats, base: &Base) -> Vec<Probe> {
    let Ok(http) = http() else { return Vec::new() };
    let asked = addresses(nats, base).into_iter().take(MOST).map(|(name, url)| {
        let http = &http;
        async move {
            let answer = http
                .get(format!("{}/health", url.trim_end_matches('/')))
                .send()
                .await;
            let outcome = match answer {
                Ok(response) if response.status().is_success() => Ok(()),
                Ok(response) => Err(format!("it answers {}", response.status())),
                Err(error) if error.is_timeout() => Err("no answer in time".to_owned()),
                Err(_) => Err("no connection".to_owned()),
            };
            Probe { name, outcome }
        }
    });
    stream::iter(asked).buffered(AT_ONCE).collect().await
}

/// Where agents are, as the pollers know it; names are the tables'.
fn addresses(nats: &Nats, base: &Base) -> Vec<(String, String)> {
    let Nats::Seen(seen) = nats else {
        return Vec::new();
    };
    let entries = seen.entries.iter().flatten();
    let name = |id: uuid::Uuid| {
        let Base::Seen(seen) = base else {
            return id.to_string();
        };
        let rows = seen.rows.as_ref().ok();
        let toolbox = rows.and_then(|rows| rows.registry.toolboxes.iter().find(|one| one.id.0 == id));
        toolbox.map_or_else(|| id.to_string(), |toolbox| toolbox.name.clone())
    };
    entries
        .filter_map(|entry| Some((name(entry.toolbox_id), entry.base_url.clone()?)))
        .collect()
}
