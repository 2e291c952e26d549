//! What the services say of themselves.

use std::time::Duration;

use futures_util::future::join_all;
use wire::api::{Problem, ToolboxLabel};

use crate::ctl::Context;
use crate::doctor::base::Unresponsive;
use crate::exit::{Exit, Failure};
use crate::place::Installation;
use crate::show::clean;

/// For one answer.
const WITHIN: Duration = Duration::from_secs(5);
/// Largest answer taken.
const LARGEST: usize = 64 << 10;

/// What was heard.
#[derive(Debug)]
pub(crate) struct Services {
    /// What status-api said to a question with our token; `None`: it is not known where it is.
    pub(crate) api: Option<Result<(), Failure>>,
    /// Where status-api is, for people.
    pub(crate) place: String,
    /// What it said of toolboxes, where it said something.
    pub(crate) unresponsive: Option<Vec<Unresponsive>>,
    /// `/readyz` of each service whose address is known: `Err` says what it waits for.
    pub(crate) ready: Vec<(String, Result<(), String>)>,
}

/// Asks.
pub(crate) async fn facts(context: &Context, installation: &Installation) -> Services {
    let (api, ready) = tokio::join!(api(context, installation), ready(installation));
    let place = installation.api.as_ref().map_or_else(
        |_| installation.name.clone(),
        |url| url.origin().ascii_serialization(),
    );
    let (api, unresponsive) = match api {
        None => (None, None),
        Some(Ok(unresponsive)) => (Some(Ok(())), Some(unresponsive)),
        Some(Err(failure)) => (Some(Err(failure)), None),
    };
    Services {
        api,
        place,
        unresponsive,
        ready,
    }
}

async fn api(context: &Context, installation: &Installation) -> Option<Result<Vec<Unresponsive>, Failure>> {
    if matches!(&installation.api, Err(failure) if failure.exit == Exit::Unreachable) {
        return None;
    }
    let asked = async {
        let client = context.client_of(installation).await?;
        client.fleet().await?;
        let toolboxes = client.toolboxes().await?.items.into_iter();
        let silent = toolboxes.filter(|toolbox| toolbox.status == ToolboxLabel::Unresponsive);
        let unresponsive = silent.map(|toolbox| Unresponsive {
            problem: toolbox
                .problem
                .map_or_else(String::new, |problem| problem.message),
            name: toolbox.name,
        });
        Ok(unresponsive.collect())
    };
    Some(asked.await)
}

async fn ready(installation: &Installation) -> Vec<(String, Result<(), String>)> {
    let Ok(http) = http() else { return Vec::new() };
    let asked = installation.services.iter().map(|(name, url)| {
        let http = &http;
        async move { (name.clone(), is_ready(http, url).await) }
    });
    join_all(asked).await
}

async fn is_ready(http: &reqwest::Client, url: &str) -> Result<(), String> {
    let unreachable = |_| "it does not answer".to_owned();
    let response = http
        .get(format!("{url}/readyz"))
        .send()
        .await
        .map_err(unreachable)?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let body = crate::api::bounded(response, LARGEST)
        .await
        .map_err(unreachable)?;
    let problem = body.and_then(|body| serde_json::from_slice::<Problem>(&body).ok());
    Err(problem.map_or_else(
        || format!("it answers {status}"),
        |problem| clean(&problem.detail),
    ))
}

/// Asks without a token, and goes nowhere else.
pub(crate) fn http() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .user_agent(concat!("statusctl/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .timeout(WITHIN)
        .build()
}
