//! What is posted, by template. Pure: the same event makes the same bytes.

use jiff::Timestamp;
use serde_json::{Value, json};
use wire::{StatusEvent, WebhookTemplate};

use crate::webhooks::sentence;

/// Servers that a summary names; the rest are counted.
const NAMED: usize = 100;

/// What there is to tell.
#[derive(Debug, Clone, Copy)]
pub(crate) enum News<'a> {
    /// A server changed, or is gone; with its name, where the event does not have it.
    Changed(&'a StatusEvent, Option<&'a str>),
    /// Many changed: of each the newest.
    Summary(&'a [StatusEvent]),
    /// Nothing: somebody wants to see whether it arrives.
    Test(Timestamp),
}

impl News<'_> {
    /// What programs branch on.
    pub(crate) fn event_type(self) -> &'static str {
        match self {
            Self::Changed(StatusEvent::Status(_), _) => "mcp.server.status_changed",
            Self::Changed(StatusEvent::Deleted(_), _) => "mcp.server.deleted",
            Self::Summary(_) => "mcp.servers.changed",
            Self::Test(_) => "mcp.webhook.test",
        }
    }

    fn timestamp(self) -> Timestamp {
        match self {
            Self::Changed(event, _) => changed_at(event),
            Self::Summary(events) => events.iter().map(changed_at).max().unwrap_or_default(),
            Self::Test(at) => at,
        }
    }

    /// What people read.
    pub(crate) fn sentence(self) -> String {
        match self {
            Self::Changed(event, name) => sentence::of(event, name),
            Self::Summary(events) => sentence::summary(events),
            Self::Test(_) => sentence::TEST.to_owned(),
        }
    }
}

fn changed_at(event: &StatusEvent) -> Timestamp {
    match event {
        StatusEvent::Status(status) => status.changed_at,
        StatusEvent::Deleted(end) => end.changed_at,
    }
}

/// The body.
pub(crate) fn body(template: WebhookTemplate, news: News<'_>) -> String {
    let body = match template {
        WebhookTemplate::Standard => standard(news),
        // Nothing in it is markup: a container's name may hold any character.
        WebhookTemplate::Slack => json!({ "text": slack_text(&news.sentence()), "mrkdwn": false }),
        WebhookTemplate::Json => flat(news),
    };
    body.to_string()
}

fn standard(news: News<'_>) -> Value {
    let data = match news {
        News::Changed(event, name) => {
            let mut data = plain(event);
            if let (Some(name), Some(data)) = (name, data.as_object_mut()) {
                data.entry("name").or_insert_with(|| name.into());
            }
            data
        }
        News::Summary(events) => {
            let servers: Vec<_> = events.iter().take(NAMED).map(plain).collect();
            json!({
                "count": events.len(),
                "servers": servers,
                "more": events.len().saturating_sub(NAMED),
                "sentence": news.sentence(),
            })
        }
        News::Test(_) => json!({ "sentence": news.sentence() }),
    };
    json!({ "type": news.event_type(), "timestamp": news.timestamp(), "data": data })
}

/// An event as subscribers get it.
fn plain(event: &StatusEvent) -> Value {
    serde_json::to_value(event).unwrap_or_default()
}

fn flat(news: News<'_>) -> Value {
    let mut body = json!({
        "type": news.event_type(),
        "timestamp": news.timestamp(),
        "sentence": news.sentence(),
    });
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            body[name] = value;
        }
    };
    match news {
        News::Changed(StatusEvent::Status(status), _) => {
            put("serverId", json!(status.server_id));
            put("toolboxId", json!(status.toolbox_id));
            put("accountId", json!(status.account_id));
            put("name", json!(status.name));
            put("version", json!(status.version));
            put("state", json!(status.state));
            put("health", json!(status.health));
            put(
                "previousState",
                json!(status.previous.as_ref().map(|before| &before.state)),
            );
            put(
                "previousHealth",
                json!(status.previous.as_ref().map(|before| &before.health)),
            );
            put(
                "errorCode",
                json!(status.last_error.as_ref().map(|error| &error.code)),
            );
            put(
                "errorMessage",
                json!(status.last_error.as_ref().map(|error| &error.message)),
            );
        }
        News::Changed(StatusEvent::Deleted(end), name) => {
            put("serverId", json!(end.server_id));
            put("toolboxId", json!(end.toolbox_id));
            put("accountId", json!(end.account_id));
            put("name", json!(name));
            put("version", json!(end.version));
        }
        News::Summary(events) => put("count", json!(events.len())),
        News::Test(_) => {}
    }
    body
}

/// Slack's three characters that are markup wherever they stand.
fn slack_text(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use wire::{LastError, Previous};

    use super::*;
    use crate::webhooks::decide::tests::status;

    fn crashed(name: &str) -> StatusEvent {
        let before = Previous {
            state: "running".to_owned(),
            health: "healthy".to_owned(),
        };
        let mut status = status("error", "unhealthy", Some(before));
        status.name = name.to_owned();
        status.last_error = Some(LastError {
            code: "oom_killed".to_owned(),
            message: "exit code 137 (out of memory)".to_owned(),
            at: status.changed_at,
        });
        StatusEvent::Status(status)
    }

    #[test]
    fn bodies() {
        let event = crashed("mcp-github");
        let many = [event.clone(), crashed("mcp-slack")];
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let mut shown = String::new();
        for template in [
            WebhookTemplate::Standard,
            WebhookTemplate::Slack,
            WebhookTemplate::Json,
        ] {
            for news in [News::Changed(&event, None), News::Summary(&many), News::Test(at)] {
                let body: Value = serde_json::from_str(&body(template, news)).unwrap();
                shown.push_str(&format!(
                    "{} {}: {body:#}\n",
                    template.as_str(),
                    news.event_type()
                ));
            }
        }
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn slack_gets_text_and_no_markup() {
        let event = crashed("<!channel> & <http://x|y> *b* _i_");
        let body: Value =
            serde_json::from_str(&body(WebhookTemplate::Slack, News::Changed(&event, None))).unwrap();
        assert_eq!(
            body["text"],
            "&lt;!channel&gt; &amp; &lt;http://x|y&gt; *b* _i_ went from running to error: exit code 137 (out of memory)"
        );
        assert_eq!(body["mrkdwn"], false);
    }

    #[test]
    fn a_summary_of_thousands_stays_small() {
        let events: Vec<_> = (0..2000).map(|_| crashed("mcp")).collect();
        let text = body(WebhookTemplate::Standard, News::Summary(&events));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["data"]["servers"].as_array().unwrap().len(), NAMED);
        assert_eq!(
            (&value["data"]["count"], &value["data"]["more"]),
            (&2000.into(), &1900.into())
        );
        assert!(text.len() < 100_000);
    }
}
