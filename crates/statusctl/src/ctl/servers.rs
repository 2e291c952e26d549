//! `get`, `list`, `history` and `fleet`.

use futures_util::future::OptionFuture;
use wire::api::{HealthLabel, StateLabel};

use crate::api::ServerFilter;
use crate::ctl::Context;
use crate::exit::Failure;
use crate::find;
use crate::show::server::{Sort, details, list, names, sort};
use crate::show::{fleet, history};

/// A state, as people may ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[expect(missing_docs, reason = "the labels say it")]
pub enum State {
    Running,
    Stopped,
    Starting,
    Stopping,
    Error,
    Unknown,
}

impl From<State> for StateLabel {
    fn from(state: State) -> Self {
        match state {
            State::Running => Self::Running,
            State::Stopped => Self::Stopped,
            State::Starting => Self::Starting,
            State::Stopping => Self::Stopping,
            State::Error => Self::Error,
            State::Unknown => Self::Unknown,
        }
    }
}

/// A health, as people may ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[expect(missing_docs, reason = "the labels say it")]
pub enum Health {
    Healthy,
    Degraded,
    Unhealthy,
    Unknown,
}

impl From<Health> for HealthLabel {
    fn from(health: Health) -> Self {
        match health {
            Health::Healthy => Self::Healthy,
            Health::Degraded => Self::Degraded,
            Health::Unhealthy => Self::Unhealthy,
            Health::Unknown => Self::Unknown,
        }
    }
}

/// Which servers to show; of several values of one option, any will do.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Filters")]
pub struct Filters {
    /// Only servers in this state; several: --state error --state unknown, or --state error,unknown
    #[arg(long, value_enum, value_delimiter = ',')]
    pub state: Vec<State>,
    /// Only servers of this health
    #[arg(long, value_enum, value_delimiter = ',')]
    pub health: Vec<Health>,
    /// Only servers on this toolbox: its name, its id, or the beginning of its id
    #[arg(long, value_name = "TOOLBOX")]
    pub toolbox: Option<String>,
    /// Only servers with this text in their name
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
}

impl Filters {
    /// Whether a server is let through, by everything but its toolbox.
    pub(crate) fn take(&self, state: &str, health: &str, name: &str) -> bool {
        let states: Vec<StateLabel> = self.state.iter().map(|state| (*state).into()).collect();
        let healths: Vec<HealthLabel> = self.health.iter().map(|health| (*health).into()).collect();
        (states.is_empty() || states.iter().any(|wanted| wanted.as_str() == state))
            && (healths.is_empty() || healths.iter().any(|wanted| wanted.as_str() == health))
            && self
                .name
                .as_ref()
                .is_none_or(|part| name.to_lowercase().contains(&part.to_lowercase()))
    }
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// Everything there is to know of each, however wide that gets
    Wide,
    /// One a line, as commands take them
    Name,
}

/// Options of `list`.
#[derive(Debug, Clone, clap::Args)]
pub struct List {
    /// In which order
    #[arg(long, value_enum, default_value_t = Sort::Trouble)]
    pub sort: Sort,
    /// How to print it
    #[arg(long, short, value_enum, value_name = "FORM", conflicts_with = "json")]
    pub output: Option<Form>,
    /// Which servers.
    #[command(flatten)]
    pub filters: Filters,
    /// Only servers that nobody watches
    #[arg(long)]
    pub unmonitored: bool,
}

/// Prints one server.
///
/// # Errors
/// When it cannot be found, or asked for.
pub async fn get(context: &Context, server: &str) -> Result<(), Failure> {
    let client = context.client().await?;
    let found = find::server(&client, server).await?;
    let server = client.server(found.id).await?;
    context.note_stale(server.stale);
    let toolbox = match context.global.json {
        true => None,
        // Of a server that somebody else owns, the toolbox may not be seen.
        false => client.toolbox(server.toolbox_id).await.ok(),
    };
    context.answer(&server, |look| {
        details(
            &server,
            toolbox.as_ref().map(|toolbox| toolbox.name.as_str()),
            look,
        )
    });
    Ok(())
}

/// Prints many.
///
/// # Errors
/// When they cannot be asked for.
pub async fn run_list(context: &Context, options: &List) -> Result<(), Failure> {
    let client = context.client().await?;
    let filters = &options.filters;
    let toolbox: OptionFuture<_> = filters
        .toolbox
        .as_ref()
        .map(|text| find::toolbox(&client, text))
        .into();
    let only = |count: usize| count == 1;
    let filter = ServerFilter {
        state: filters
            .state
            .first()
            .filter(|_| only(filters.state.len()))
            .map(|state| (*state).into()),
        health: filters
            .health
            .first()
            .filter(|_| only(filters.health.len()))
            .map(|health| (*health).into()),
        toolbox: toolbox.await.transpose()?,
        name: filters.name.clone(),
        monitored: options.unmonitored.then_some(false),
    };
    let (all, toolboxes) = tokio::join!(client.servers(&filter), find::names(&client));
    let (all, toolboxes) = (all?, toolboxes?);
    context.note_stale(all.stale);
    let mut servers = all.items;
    servers.retain(|server| {
        filters.take(server.state.as_str(), server.health.as_str(), &server.name)
            && (!options.unmonitored || !server.monitored)
    });
    sort(&mut servers, &toolboxes, options.sort);
    if servers.is_empty() && !context.global.json {
        context.note("no servers");
        return Ok(());
    }
    context.answer(&servers, |look| match options.output {
        Some(Form::Name) => names(&servers, &toolboxes),
        form => list(&servers, &toolboxes, form == Some(Form::Wide), look),
    });
    Ok(())
}

/// Prints how a server came to where it is.
///
/// # Errors
/// When it cannot be found, or asked for.
pub async fn run_history(context: &Context, server: &str, limit: u32) -> Result<(), Failure> {
    let client = context.client().await?;
    let found = find::server(&client, server).await?;
    let history = client.history(found.id, limit as usize).await?;
    if history.stale {
        context.note("the database is away: only the newest change is known");
    }
    if history.items.is_empty() && !context.global.json {
        context.note("nothing was announced of it yet");
        return Ok(());
    }
    context.answer(&history.items, |look| history::table(&history.items, look));
    Ok(())
}

/// Prints all of it in a few lines.
///
/// # Errors
/// When it cannot be asked for.
pub async fn run_fleet(context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let fleet = client.fleet().await?;
    context.note_stale(fleet.stale);
    let oldest = match &fleet.oldest_knowledge {
        Some(knowledge) if !context.global.json => client.server(knowledge.server_id).await.ok(),
        _ => None,
    };
    context.answer(&fleet, |look| {
        fleet::summary(&fleet, oldest.as_ref().map(|server| server.name.as_str()), look)
    });
    Ok(())
}
