//! Who is told of changes by HTTP request, and what came of it.

use wire::api::{DeadLetter, Webhook};
use wire::{WebhookAttempt, WebhookOutcome};

use crate::show::pairs::Pairs;
use crate::show::table::{Cell, Column, render};
use crate::show::when::{instant, since, span};
use crate::show::{Look, Tint};

const WEBHOOKS: [Column; 5] = [
    Column::fixed("WEBHOOK-ID"),
    Column::fixed("ENABLED"),
    Column::fixed("TEMPLATE"),
    Column::fixed("KINDS").rank(1),
    Column::elastic("URL"),
];
const DELIVERIES: [Column; 7] = [
    Column::fixed("AGO"),
    Column::fixed("OUTCOME"),
    Column::fixed("ATTEMPT"),
    Column::fixed("STATUS"),
    Column::fixed("TOOK").rank(2),
    Column::fixed("DELIVERY-ID").rank(1),
    Column::elastic("WHY"),
];
const DEAD_LETTERS: [Column; 5] = [
    Column::fixed("AGO"),
    Column::fixed("DELIVERY-ID"),
    Column::fixed("ATTEMPTS"),
    Column::fixed("TYPE").rank(1),
    Column::elastic("WHY"),
];

fn yes(is: bool) -> Cell {
    Cell::tinted(
        if is { "yes" } else { "no" },
        Some(if is { Tint::Good } else { Tint::Dim }),
    )
}

/// What it is told of.
fn kinds(webhook: &Webhook) -> String {
    let kinds: Vec<_> = webhook.filters.kinds.iter().map(|kind| kind.as_str()).collect();
    if kinds.is_empty() {
        "all".to_owned()
    } else {
        kinds.join(",")
    }
}

/// The list.
pub(crate) fn list(webhooks: &[Webhook], look: Look) -> String {
    let row = |webhook: &Webhook| {
        vec![
            Cell::new(webhook.webhook_id.to_string()),
            yes(webhook.enabled),
            Cell::new(webhook.template.as_str()),
            Cell::new(kinds(webhook)),
            Cell::new(&webhook.url),
        ]
    };
    let rows: Vec<Vec<Cell>> = webhooks.iter().map(row).collect();
    render(&WEBHOOKS, &rows, look)
}

/// One webhook.
pub(crate) fn one(webhook: &Webhook, look: Look) -> String {
    let (filters, quiet) = (&webhook.filters, &webhook.options);
    let time = |seconds: u32| (seconds > 0).then(|| span(seconds.into()));
    let summary = (quiet.summary_from > 0).then(|| {
        let window = if quiet.summary_window == 0 {
            10
        } else {
            quiet.summary_window
        };
        format!(
            "from {} servers within {}",
            quiet.summary_from,
            span(window.into())
        )
    });
    let ids = |ids: &[uuid::Uuid]| {
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    };
    let mut pairs = Pairs::default();
    pairs
        .add("URL", &webhook.url)
        .add("Enabled", if webhook.enabled { "yes" } else { "no" })
        .add("Template", webhook.template.as_str())
        .add("Kinds", kinds(webhook))
        .maybe("Servers", ids(&filters.servers))
        .maybe("Toolboxes", ids(&filters.toolboxes))
        .maybe("Only after", time(quiet.after_seconds))
        .maybe("At most every", time(quiet.at_most_every_seconds))
        .maybe(
            "Own commands",
            quiet.not_during_own_commands.then_some("not told"),
        )
        .maybe("Summary", summary)
        .maybe(
            "Former secret",
            webhook
                .previous_secret_until
                .map(|at| format!("until {}", instant(at))),
        )
        .add("Since", instant(webhook.created_at))
        .add("Account", webhook.account_id.to_string())
        .add("Webhook ID", webhook.webhook_id.to_string());
    pairs.render(look)
}

/// Attempts.
pub(crate) fn deliveries(attempts: &[WebhookAttempt], look: Look) -> String {
    let row = |one: &WebhookAttempt| {
        let tint = match one.outcome {
            WebhookOutcome::Delivered => Tint::Good,
            WebhookOutcome::Failed => Tint::Warning,
            WebhookOutcome::Dead => Tint::Bad,
        };
        let why = one.error.clone().unwrap_or_default();
        let again = one
            .next
            .map_or_else(String::new, |at| format!("; again {}", instant(at)));
        vec![
            Cell::new(since(look.now, one.at)),
            Cell::tinted(one.outcome.as_str(), Some(tint)),
            Cell::new(one.attempt.to_string()),
            Cell::new(one.status.map_or_else(String::new, |status| status.to_string())),
            Cell::new(format!("{} ms", one.duration_ms)),
            Cell::new(one.delivery_id.to_string()),
            Cell::new(format!("{why}{again}")),
        ]
    };
    let rows: Vec<Vec<Cell>> = attempts.iter().map(row).collect();
    render(&DELIVERIES, &rows, look)
}

/// What was given up.
pub(crate) fn dead_letters(letters: &[DeadLetter], look: Look) -> String {
    let row = |one: &DeadLetter| {
        vec![
            Cell::new(since(look.now, one.at)),
            Cell::new(one.delivery_id.to_string()),
            Cell::new(one.attempts.to_string()),
            Cell::new(&one.event_type),
            Cell::new(&one.reason),
        ]
    };
    let rows: Vec<Vec<Cell>> = letters.iter().map(row).collect();
    render(&DEAD_LETTERS, &rows, look)
}

#[cfg(test)]
mod tests {
    use wire::api::{WebhookFilters, WebhookOptions};
    use wire::{WebhookKind, WebhookTemplate};

    use super::*;
    use crate::show::testing::{at, id, look};

    fn webhook() -> Webhook {
        Webhook {
            webhook_id: id(800),
            account_id: id(901),
            url: "https://hooks.example/services/T0".to_owned(),
            enabled: true,
            filters: WebhookFilters {
                servers: vec![id(1)],
                toolboxes: Vec::new(),
                kinds: vec![WebhookKind::Error, WebhookKind::Recovery],
            },
            template: WebhookTemplate::Slack,
            options: WebhookOptions {
                after_seconds: 30,
                not_during_own_commands: true,
                at_most_every_seconds: 300,
                summary_from: 5,
                summary_window: 0,
            },
            previous_secret_until: Some(at("2026-11-23T12:00:00Z")),
            created_at: at("2026-11-20T12:00:00Z"),
        }
    }

    #[test]
    fn webhooks() {
        let off = Webhook {
            enabled: false,
            filters: WebhookFilters::default(),
            template: WebhookTemplate::Standard,
            options: WebhookOptions::default(),
            previous_secret_until: None,
            ..webhook()
        };
        insta::assert_snapshot!("webhooks", list(&[webhook(), off.clone()], look(None)));
        insta::assert_snapshot!("webhook", one(&webhook(), look(None)));
        insta::assert_snapshot!("webhook_off", one(&off, look(None)));
    }

    #[test]
    fn what_came_of_it() {
        let attempt = |attempt, outcome, status| WebhookAttempt {
            delivery_id: id(810),
            webhook_id: id(800),
            event_type: "mcp.server.status_changed".to_owned(),
            server_id: None,
            at: at("2026-11-22T11:59:50Z"),
            attempt,
            outcome,
            status,
            error: (outcome != WebhookOutcome::Delivered).then(|| "the endpoint answered 503".to_owned()),
            response: None,
            duration_ms: 41,
            next: (outcome == WebhookOutcome::Failed).then(|| at("2026-11-22T12:00:20Z")),
        };
        let all = [
            attempt(2, WebhookOutcome::Delivered, Some(204)),
            attempt(1, WebhookOutcome::Failed, Some(503)),
            attempt(12, WebhookOutcome::Dead, None),
        ];
        insta::assert_snapshot!("webhook_deliveries", deliveries(&all, look(None)));
        let letter = DeadLetter {
            delivery_id: id(810),
            event_type: "mcp.server.status_changed".to_owned(),
            server_id: None,
            reason: "given up: the endpoint answered 503".to_owned(),
            at: at("2026-11-22T10:00:00Z"),
            attempts: 12,
            first_at: at("2026-11-21T10:00:00Z"),
            payload: "{}".to_owned(),
        };
        insta::assert_snapshot!("webhook_dead_letters", dead_letters(&[letter], look(None)));
    }
}
