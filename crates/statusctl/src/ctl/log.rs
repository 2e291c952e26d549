//! `statusctl log`: what running services log, for a while.

use std::time::Duration;

use bus::BusError;
use clap::ValueEnum as _;
use wire::LogChange;

use crate::ctl::{Context, Failures};
use crate::exit::{Exit, Failure};

/// How long a service may take to answer.
const WAIT: Duration = Duration::from_secs(5);

/// Whose log, and what it is to hold.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Which service; every replica of it
    #[arg(value_enum)]
    pub service: Service,
    /// A level, or directives such as `info,bus=debug`
    #[arg(required_unless_present = "reset")]
    pub directives: Option<String>,
    /// How long; then it logs what it was started with
    #[arg(long = "for", value_name = "DURATION", default_value = "10m", value_parser = service::duration)]
    pub lasting: Duration,
    /// Log what it was started with, now
    #[arg(long, conflicts_with_all = ["directives", "lasting"])]
    pub reset: bool,
}

/// A service, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[expect(missing_docs, reason = "their names say all")]
pub enum Service {
    DtmaPoller,
    StatusMapper,
    StatusApi,
    Notifier,
    All,
}

/// Has it done, by all that are meant, and says so.
///
/// # Errors
/// When NATS is not known or does not answer. The last failure otherwise, of a service of which none listens, or that says
/// what is wrong; those before it were told.
pub async fn run(context: &Context, options: &Options) -> Result<Exit, Failure> {
    let installation = context.installation()?;
    let Some(nats) = &installation.nats else {
        return Err(Failure::usage("the address of NATS is not known: set NATS_URL"));
    };
    let bus = nats.connect().await?;
    let change = LogChange {
        directives: options.directives.clone(),
        seconds: u32::try_from(options.lasting.as_secs()).unwrap_or(u32::MAX),
    };
    let all = Service::value_variants()
        .iter()
        .filter(|one| **one != Service::All);
    let mut failures = Failures::default();
    for service in all.filter(|one| matches!(options.service, Service::All) || options.service == **one) {
        let Some(name) = service.to_possible_value() else {
            continue;
        };
        let name = name.get_name();
        match bus.change_log(name, &change, WAIT).await {
            Ok(Ok(())) => context.note(&done(name, &change)),
            Ok(Err(problem)) => failures.add(context, Failure::usage(format!("{name}: {problem}"))),
            Err(BusError::NoResponder { .. }) => {
                failures.add(context, Failure::unreachable(format!("{name}: none listens")));
            }
            Err(error) => failures.add(context, Failure::unreachable(format!("{name}: {error}"))),
        }
    }
    failures.end()
}

fn done(name: &str, change: &LogChange) -> String {
    match &change.directives {
        None => format!("{name} logs what it was started with"),
        Some(directives) => {
            let lasting = crate::show::when::span(change.seconds.into());
            format!("{name} logs {directives} for {lasting}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_said() {
        let change = |directives: Option<&str>, seconds| LogChange {
            directives: directives.map(str::to_owned),
            seconds,
        };
        assert_eq!(
            done("notifier", &change(Some("info,bus=debug"), 600)),
            "notifier logs info,bus=debug for 10m"
        );
        assert_eq!(
            done("status-api", &change(None, 600)),
            "status-api logs what it was started with"
        );
    }
}
