//! Watching over HTTP: everything is asked for every two seconds.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::api::{Server, Toolbox};

use crate::api::{Client, ServerFilter};
use crate::ctl::Context;
use crate::exit::{Exit, Failure};
use crate::find;
use crate::place::{Installation, TokenSource};
use crate::watch::Options;
use crate::watch::print_line;
use crate::watch::screen::{Screen, TICK};
use crate::watch::table::Board;

/// Between two questions.
const EVERY: Duration = Duration::from_secs(2);

/// What is asked for, and of whom.
pub(crate) struct Poll<'a> {
    context: &'a Context,
    installation: &'a Installation,
    options: &'a Options,
    client: Client,
    filter: ServerFilter,
}

impl<'a> Poll<'a> {
    /// # Errors
    /// When it is not known whom to ask, or there is no such toolbox.
    pub(crate) async fn begin(
        context: &'a Context,
        installation: &'a Installation,
        options: &'a Options,
    ) -> Result<Self, Failure> {
        let client = context.client_of(installation).await?;
        let toolbox = match &options.filters.toolbox {
            Some(text) => Some(find::toolbox(&client, text).await?),
            None => None,
        };
        Ok(Self {
            context,
            installation,
            options,
            client,
            filter: ServerFilter {
                toolbox,
                ..ServerFilter::default()
            },
        })
    }

    /// One server a line, as the API has it, whenever it is another than before.
    pub(crate) async fn lines(mut self, snapshot: bool, shutdown: CancellationToken) -> Result<(), Failure> {
        let mut known: Option<HashMap<Uuid, Server>> = None;
        let mut ticks = ticks();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.cancelled() => return Ok(()),
            }
            let (servers, _) = match self.ask().await {
                Ok(answer) => answer,
                Err(failure) if known.is_some() && failure.exit == Exit::Unreachable => {
                    tracing::warn!(%failure, "asking again");
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            for server in &servers {
                let before = known.as_ref().map(|known| known.get(&server.server_id));
                let news = match before {
                    None => snapshot,
                    Some(before) => before.is_none_or(|before| changed(before, server)),
                };
                let line = serde_json::to_string(server).unwrap_or_default();
                if news && print_line(&line).is_err() {
                    return Ok(());
                }
            }
            let by_id = servers.into_iter().map(|server| (server.server_id, server));
            known = Some(by_id.collect());
        }
    }

    /// A table that updates by itself.
    pub(crate) async fn live_table(mut self, shutdown: CancellationToken) -> Result<(), Failure> {
        let mut board = Board::new(self.options.filters.clone());
        let first = self.ask().await?;
        board.replace(first.0, &first.1);
        let screen = Screen::open()?;
        let (mut ticks, mut redraw) = (ticks(), tokio::time::interval(TICK));
        let mut away = None;
        loop {
            tokio::select! {
                _ = redraw.tick() => {}
                _ = ticks.tick() => match self.ask().await {
                    Ok((servers, toolboxes)) => {
                        board.replace(servers, &toolboxes);
                        away = None;
                    }
                    Err(failure) if failure.exit == Exit::Unreachable => away = Some("API"),
                    Err(failure) => return Err(failure),
                },
                () = shutdown.cancelled() => return Ok(()),
            }
            screen.draw(self.context, &board, away)?;
        }
    }

    async fn ask(&mut self) -> Result<(Vec<Server>, Vec<Toolbox>), Failure> {
        match self.ask_once().await {
            // Tokens end, and this may run for days: what can be fetched anew is.
            Err(failure)
                if failure.exit == Exit::NotPermitted
                    && !matches!(self.installation.token, TokenSource::Stdin) =>
            {
                self.client = self.context.client_of(self.installation).await?;
                self.ask_once().await
            }
            answer => answer,
        }
    }

    async fn ask_once(&self) -> Result<(Vec<Server>, Vec<Toolbox>), Failure> {
        let (servers, toolboxes) = tokio::join!(self.client.servers(&self.filter), self.client.toolboxes());
        let (mut servers, toolboxes) = (servers?.items, toolboxes?.items);
        let filters = &self.options.filters;
        servers.retain(|server| {
            filters.take(server.state.as_str(), server.health.as_str(), &server.name)
                && self
                    .options
                    .account
                    .is_none_or(|account| account == server.account_id)
        });
        Ok((servers, toolboxes))
    }
}

fn ticks() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Whether something happened to it; that it has grown older is nothing.
fn changed(before: &Server, after: &Server) -> bool {
    let still = |server: &Server| Server {
        age: None,
        as_of: None,
        uptime: None,
        ..server.clone()
    };
    still(before) != still(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::testing::servers;

    #[test]
    fn growing_older_is_no_news() {
        let before = servers().remove(0);
        let mut after = before.clone();
        after.age = Some(12);
        after.uptime = after.uptime.map(|uptime| uptime + 2);
        assert!(!changed(&before, &after));
        after.version += 1;
        assert!(changed(&before, &after));
    }
}
