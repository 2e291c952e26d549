//! `webhook`: who is told of changes by HTTP request, and what came of it.

use std::time::Duration;

use uuid::Uuid;
use wire::WebhookKind;
use wire::WebhookTemplate;
use wire::api::{NewWebhook, WebhookChange, WebhookFilters, WebhookOptions, WebhookSent, WebhookWithSecret};

use crate::ctl::Context;
use crate::exit::Failure;
use crate::show::webhook;

/// What to do with webhooks.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Webhooks {
    /// List your webhooks
    List,
    /// Have changes posted to a URL; prints the secret they are signed with, this once
    ///
    ///   statusctl webhook add https://hooks.slack.com/services/… --template slack --kind error,recovery
    ///   statusctl webhook add https://example.com/hook --after 30s --summary-from 5
    #[command(verbatim_doc_comment)]
    Add(Box<AddOptions>),
    /// Show a webhook
    Show(Which),
    /// Change where a webhook is, what it is told, or whether it is
    ///
    ///   statusctl webhook change 5b2d… --disable
    ///   statusctl webhook change 5b2d… --kind error,recovery --after 1m
    ///
    /// Of filters and of quiet options, those that are given take the place of all there
    /// were.
    #[command(verbatim_doc_comment)]
    Change(Box<ChangeOptions>),
    /// Take a webhook out; what is on its way to it is dropped
    Remove(Which),
    /// Replace the secret, and print the new one, this once
    ///
    /// The former signs as well until the overlap ends, so that the receiver can change
    /// over.
    #[command(verbatim_doc_comment)]
    Rotate {
        /// Which webhook.
        #[command(flatten)]
        which: Which,
        /// How long the former secret signs as well; a day, if not given
        #[arg(long, value_name = "DURATION", value_parser = service::duration)]
        overlap: Option<Duration>,
    },
    /// Have a test posted now; the deliveries tell what came of it
    Test(Which),
    /// Show the last attempts, the newest first
    Deliveries(Which),
    /// Show what was given up after a day of attempts, the oldest first
    DeadLetters(Which),
    /// Have dead letters posted again: one, or all of them
    ///
    ///   statusctl webhook replay 5b2d… 77a0…
    ///   statusctl webhook replay 5b2d… --all
    #[command(verbatim_doc_comment)]
    Replay {
        /// Which webhook.
        #[command(flatten)]
        which: Which,
        /// Which delivery: its id
        #[arg(value_name = "DELIVERY", required_unless_present = "all")]
        delivery: Option<Uuid>,
        /// All of them
        #[arg(long, conflicts_with = "delivery")]
        all: bool,
    },
}

/// Which webhook.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Which {
    /// Its id
    #[arg(value_name = "WEBHOOK")]
    pub id: Uuid,
}

/// What to enter.
#[derive(Debug, Clone, clap::Args)]
pub struct AddOptions {
    /// Where to post: an https URL
    pub url: String,
    /// What is posted: standard, slack or json
    #[arg(long, value_parser = template, default_value = "standard", value_name = "TEMPLATE")]
    pub template: WebhookTemplate,
    /// Whose it is; yours, if not given
    #[arg(long, value_name = "UUID")]
    pub account: Option<Uuid>,
    /// Give it this id; else one is made up
    #[arg(long, value_name = "UUID")]
    pub id: Option<Uuid>,
    /// Not told anything yet
    #[arg(long)]
    pub disabled: bool,
    /// What it is told of.
    #[command(flatten)]
    pub filters: Filters,
    /// What keeps it quiet.
    #[command(flatten)]
    pub quiet: Quiet,
}

/// What to change.
#[derive(Debug, Clone, clap::Args)]
pub struct ChangeOptions {
    /// Which webhook.
    #[command(flatten)]
    pub which: Which,
    /// Where to post
    #[arg(long)]
    pub url: Option<String>,
    /// What is posted: standard, slack or json
    #[arg(long, value_parser = template, value_name = "TEMPLATE")]
    pub template: Option<WebhookTemplate>,
    /// Tell it again
    #[arg(long, conflicts_with = "disable")]
    pub enable: bool,
    /// Tell it nothing
    #[arg(long)]
    pub disable: bool,
    /// What it is told of.
    #[command(flatten)]
    pub filters: Filters,
    /// What keeps it quiet.
    #[command(flatten)]
    pub quiet: Quiet,
}

/// What a webhook is told of.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Filters")]
pub struct Filters {
    /// Only of these kinds of change: state, health, error, recovery, deleted
    #[arg(long = "kind", value_parser = kind, value_delimiter = ',', value_name = "KINDS")]
    pub kinds: Vec<WebhookKind>,
    /// Only of these servers, by id
    #[arg(long = "server", value_delimiter = ',', value_name = "UUIDS")]
    pub servers: Vec<Uuid>,
    /// Only of servers on these toolboxes, by id
    #[arg(long = "toolbox", value_delimiter = ',', value_name = "UUIDS")]
    pub toolboxes: Vec<Uuid>,
}

/// What keeps a webhook quiet.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Quiet options")]
pub struct Quiet {
    /// Tell only what still holds after this time
    #[arg(long, value_name = "DURATION", value_parser = service::duration)]
    pub after: Option<Duration>,
    /// Tell of one server at most once in this time
    #[arg(long, value_name = "DURATION", value_parser = service::duration)]
    pub at_most_every: Option<Duration>,
    /// Do not tell what a command brings about, unless it ends in an error
    #[arg(long)]
    pub not_during_own_commands: bool,
    /// When so many servers change at once, tell of them in one message
    #[arg(long, value_name = "N")]
    pub summary_from: Option<u32>,
    /// How long "at once" is; 10s, if not given
    #[arg(long, value_name = "DURATION", value_parser = service::duration, requires = "summary_from")]
    pub summary_window: Option<Duration>,
}

fn template(label: &str) -> Result<WebhookTemplate, String> {
    WebhookTemplate::from_label(label).ok_or_else(|| "expected standard, slack or json".to_owned())
}

fn kind(label: &str) -> Result<WebhookKind, String> {
    let expected = "expected state, health, error, recovery or deleted";
    WebhookKind::from_label(label).ok_or_else(|| expected.to_owned())
}

fn seconds(duration: Option<Duration>) -> u32 {
    // In whole seconds, up: half a second of quiet is not none.
    let whole = duration.map(|it| it.as_secs() + u64::from(it.subsec_nanos() > 0));
    u32::try_from(whole.unwrap_or_default()).unwrap_or(u32::MAX)
}

impl From<Filters> for WebhookFilters {
    fn from(filters: Filters) -> Self {
        Self {
            servers: filters.servers,
            toolboxes: filters.toolboxes,
            kinds: filters.kinds,
        }
    }
}

impl From<Quiet> for WebhookOptions {
    fn from(quiet: Quiet) -> Self {
        Self {
            after_seconds: seconds(quiet.after),
            not_during_own_commands: quiet.not_during_own_commands,
            at_most_every_seconds: seconds(quiet.at_most_every),
            summary_from: quiet.summary_from.unwrap_or_default(),
            summary_window: seconds(quiet.summary_window),
        }
    }
}

/// Does it.
///
/// # Errors
/// When it is refused.
pub async fn run(context: &Context, what: Webhooks) -> Result<(), Failure> {
    let client = context.client().await?;
    let key = Uuid::new_v4();
    match what {
        Webhooks::List => {
            let all = client.webhooks().await?;
            context.answer(&all.items, |look| webhook::list(&all.items, look));
        }
        Webhooks::Add(options) => {
            let new = NewWebhook {
                webhook_id: options.id,
                account_id: options.account,
                url: options.url,
                enabled: options.disabled.then_some(false),
                filters: options.filters.into(),
                template: options.template,
                options: options.quiet.into(),
            };
            secret(context, &client.add_webhook(&new, key).await?, "added");
        }
        Webhooks::Show(Which { id }) => {
            let one = client.webhook(id).await?;
            context.answer(&one, |look| webhook::one(&one, look));
        }
        Webhooks::Change(options) => {
            let filters = WebhookFilters::from(options.filters);
            let quiet = WebhookOptions::from(options.quiet);
            let change = WebhookChange {
                url: options.url,
                enabled: (options.enable || options.disable).then_some(options.enable),
                filters: Some(filters).filter(|given| *given != WebhookFilters::default()),
                template: options.template,
                options: Some(quiet).filter(|given| *given != WebhookOptions::default()),
            };
            let one = client.change_webhook(options.which.id, &change, key).await?;
            context.answer(&one, |look| webhook::one(&one, look));
        }
        Webhooks::Remove(Which { id }) => {
            client.remove_webhook(id, key).await?;
            let gone = serde_json::json!({ "webhookId": id });
            context.told(&gone, &format!("webhook {id} removed"));
        }
        Webhooks::Rotate { which, overlap } => {
            let overlap = overlap.map(|overlap| seconds(Some(overlap)));
            let rotated = client.rotate_webhook(which.id, overlap, key).await?;
            secret(context, &rotated, "has another secret");
        }
        Webhooks::Test(Which { id }) => {
            let sent = client.test_webhook(id, key).await?;
            let told = format!("a test is on its way; see `statusctl webhook deliveries {id}`");
            context.told(&sent, &told);
        }
        Webhooks::Deliveries(Which { id }) => {
            let log = client.deliveries(id).await?;
            context.answer(&log.items, |look| webhook::deliveries(&log.items, look));
        }
        Webhooks::DeadLetters(Which { id }) => {
            let all = client.dead_letters(id).await?;
            context.answer(&all.items, |look| webhook::dead_letters(&all.items, look));
        }
        Webhooks::Replay { which, delivery, .. } => {
            let mut sent = client.replay(which.id, delivery, key).await?;
            // All, where that is more than the API takes at once.
            let mut more = delivery.is_none() && !sent.delivery_ids.is_empty();
            while more {
                let WebhookSent { delivery_ids } = client.replay(which.id, None, Uuid::new_v4()).await?;
                more = !delivery_ids.is_empty();
                sent.delivery_ids.extend(delivery_ids);
            }
            let told = format!("{} on their way again", sent.delivery_ids.len());
            context.told(&sent, &told);
        }
    }
    Ok(())
}

/// Tells of a webhook that has a new secret.
fn secret(context: &Context, made: &WebhookWithSecret, what: &str) {
    let id = made.webhook.webhook_id;
    match &made.secret {
        Some(secret) => {
            let told = format!("webhook {id} {what}\n{secret}\n");
            context.answer(made, |_| told);
            context.note("this secret is not shown again");
        }
        // The answer was lost on its way, and it is told in the first one only.
        None => {
            context.told(made, &format!("webhook {id} {what}"));
            context.note(&format!(
                "its secret was lost on the way: get another with `statusctl webhook rotate {id}`"
            ));
        }
    }
}
