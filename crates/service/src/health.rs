//! `SERVICE health`: what a container engine runs to learn how the service in the same container is, where there is no
//! shell and no other program to ask with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Args as _, Command, FromArgMatches as _};
use serde_json::Value;

use crate::process;

pub(crate) const NAME: &str = "health";
/// Engines give a check some seconds; a service that needs longer for a word is not well.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Which service, and what of it.
#[derive(Debug, Clone, clap::Args)]
struct Options {
    /// Address that the service listens on
    #[arg(long, env = "LISTEN")]
    listen: SocketAddr,
    /// Ask whether it runs, and not whether it can do its work
    #[arg(long)]
    live: bool,
}

/// The subcommand.
pub(crate) fn command() -> Command {
    Options::augment_args(
        Command::new(NAME)
            .about("Ask the service that runs here how it is, and exit with 0 when it is well, else with 1"),
    )
}

/// Asks, and prints one line.
pub(crate) fn run(service: &str, matches: &clap::ArgMatches) -> ExitCode {
    let asked = Options::from_arg_matches(matches)
        .map_err(anyhow::Error::from)
        .and_then(|options| ask(&options));
    match asked {
        #[expect(clippy::print_stdout, reason = "what the command is for")]
        Ok(()) => {
            println!("ok");
            ExitCode::SUCCESS
        }
        Err(error) => process::failed(service, &error),
    }
}

fn ask(options: &Options) -> anyhow::Result<()> {
    let address = reachable(options.listen)?;
    let path = if options.live { "/livez" } else { "/readyz" };
    let client = reqwest::blocking::Client::builder()
        // It is asked here and nowhere else, whatever the environment says.
        .no_proxy()
        .timeout(TIMEOUT)
        .build()
        .context("failed to set up the request")?;
    let response = client
        .get(format!("http://{address}{path}"))
        .send()
        .map_err(reqwest::Error::without_url)
        .with_context(|| format!("nothing answers on {address}"))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    // A problem document says which check fails.
    let body = response.text().unwrap_or_default();
    let detail = serde_json::from_str::<Value>(&body)
        .ok()
        .and_then(|problem| Some(problem.get("detail")?.as_str()?.to_owned()));
    match detail {
        Some(detail) => bail!("not ready: {detail}"),
        None => bail!("{path} answers {status}"),
    }
}

/// Where a listener is reached from its own machine.
fn reachable(listen: SocketAddr) -> anyhow::Result<SocketAddr> {
    ensure!(
        listen.port() != 0,
        "--listen (LISTEN) names no port: the service took a free one"
    );
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, listen.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Readiness, http};

    #[test]
    fn everywhere_is_here() {
        for (listen, expected) in [
            ("0.0.0.0:8083", "127.0.0.1:8083"),
            ("[::]:8083", "[::1]:8083"),
            ("10.1.2.3:80", "10.1.2.3:80"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).unwrap().to_string(), expected);
        }
        assert!(reachable("0.0.0.0:0".parse().unwrap()).is_err());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_service_is_asked_and_says_what_is_wrong() {
        let readiness = Readiness::expecting(&["nats"]);
        let listener = http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let listen = listener.local_addr().unwrap();
        let server =
            tokio::spawn(axum::serve(listener, http::health_router(readiness.clone())).into_future());
        let asks = |live| async move {
            tokio::task::spawn_blocking(move || {
                ask(&Options { listen, live }).map_err(|error| format!("{error:#}"))
            })
            .await
            .unwrap()
        };
        assert_eq!(
            asks(false).await,
            Err("not ready: nats: not checked yet".to_owned())
        );
        assert_eq!(asks(true).await, Ok(()));
        readiness.set("nats", Ok(()));
        assert_eq!(asks(false).await, Ok(()));
        server.abort();
        assert!(server.await.unwrap_err().is_cancelled());
        let error = asks(false).await.unwrap_err();
        assert!(
            error.starts_with(&format!("nothing answers on {listen}")),
            "{error}"
        );
    }
}
