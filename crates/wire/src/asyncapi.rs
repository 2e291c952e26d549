//! The AsyncAPI 3 document, built from the subjects, streams and schemas, so that it cannot say anything else.

use serde_json::{Map, Value, json};

use crate::schema::{self, Schema};
use crate::streams::{self, StreamSpec};
use crate::{headers, subjects};

struct Channel {
    key: &'static str,
    address: &'static str,
    stream: &'static StreamSpec,
    schema: &'static str,
    sender: &'static str,
    description: &'static str,
}

const CHANNELS: [Channel; 14] = [
    Channel {
        key: "serverStatus",
        address: subjects::SERVER_STATUS,
        stream: &streams::MCP_STATUS,
        schema: "server-status",
        sender: "status-mapper",
        description: "A server's status changed, or the server is gone. Subscribe to all accounts or to one; a \
                      JetStream consumer that delivers the last per subject gets the present state of everything \
                      first. Drop an event whose version is not newer than the one you have.",
    },
    Channel {
        key: "toolboxStatus",
        address: subjects::TOOLBOX_STATUS,
        stream: &streams::MCP_STATUS,
        schema: "toolbox-status",
        sender: "status-mapper",
        description: "A toolbox's agent answers, or no longer does.",
    },
    Channel {
        key: "rawReport",
        address: subjects::RAW,
        stream: &streams::DTMA_RAW,
        schema: "raw-report",
        sender: "dtma-poller",
        description: "One observation of one toolbox: the agent's words, not their meaning.",
    },
    Channel {
        key: "pollSchedule",
        address: subjects::SCHEDULES,
        stream: &streams::POLLS,
        schema: "poll-plan",
        sender: "dtma-poller",
        description: "The poll schedule of a toolbox (a NATS message schedule); publishing replaces it, purging ends it.",
    },
    Channel {
        key: "pollDue",
        address: subjects::DUE,
        stream: &streams::POLLS,
        schema: "poll-plan",
        sender: "nats-server, or whoever wants a toolbox observed now",
        description: "A poll is due. An empty body asks for a poll now.",
    },
    Channel {
        key: "command",
        address: subjects::COMMANDS,
        stream: &streams::DTMA_COMMANDS,
        schema: "command",
        sender: "status-api",
        description: "Something an agent is to do.",
    },
    Channel {
        key: "commandOutcome",
        address: subjects::OUTCOMES,
        stream: &streams::DTMA_OUTCOMES,
        schema: "command-outcome",
        sender: "dtma-poller",
        description: "What an agent made of a command. Whether it had its effect, only a later observation tells.",
    },
    Channel {
        key: "webhookDue",
        address: subjects::WEBHOOK_DUE,
        stream: &streams::WEBHOOKS,
        schema: "webhook-delivery",
        sender: "notifier, status-api for a replay, nats-server for a retry",
        description: "Something to be posted to an endpoint now.",
    },
    Channel {
        key: "webhookLater",
        address: subjects::WEBHOOK_LATER,
        stream: &streams::WEBHOOKS,
        schema: "webhook-delivery",
        sender: "notifier",
        description: "The schedule of a delivery's next attempt (a NATS message schedule).",
    },
    Channel {
        key: "webhookLook",
        address: subjects::WEBHOOK_LOOKS,
        stream: &streams::WEBHOOKS,
        schema: "webhook-look",
        sender: "nats-server, status-api for a test",
        description: "Look what has become of a server, or of all that was gathered, and tell an endpoint of it.",
    },
    Channel {
        key: "webhookCheck",
        address: subjects::WEBHOOK_CHECKS,
        stream: &streams::WEBHOOKS,
        schema: "webhook-look",
        sender: "notifier",
        description: "The schedule of such a look (a NATS message schedule); publishing replaces it.",
    },
    Channel {
        key: "webhookHeld",
        address: subjects::WEBHOOK_HELD,
        stream: &streams::WEBHOOKS,
        schema: "webhook-held",
        sender: "notifier",
        description: "A change that waits for others to be told with.",
    },
    Channel {
        key: "webhookLog",
        address: subjects::WEBHOOK_LOG,
        stream: &streams::WEBHOOK_LOG,
        schema: "webhook-attempt",
        sender: "notifier",
        description: "How an attempt to reach an endpoint went.",
    },
    Channel {
        key: "webhookDead",
        address: subjects::WEBHOOK_DEAD,
        stream: &streams::WEBHOOK_DEAD,
        schema: "webhook-dead-letter",
        sender: "notifier",
        description: "A delivery that no endpoint took, until it is replayed.",
    },
];

/// The names of the wildcard tokens of a subject, in order.
fn parameters(address: &str) -> &'static [(&'static str, &'static str)] {
    match address {
        subjects::SERVER_STATUS => &[
            ("account", "whose server, a UUID"),
            ("server", "which server, a UUID"),
        ],
        subjects::TOOLBOX_STATUS => &[
            ("account", "whose toolbox, a UUID"),
            ("toolbox", "which toolbox, a UUID"),
        ],
        subjects::WEBHOOK_DUE | subjects::WEBHOOK_HELD => &[("webhook", "which endpoint, a UUID")],
        subjects::WEBHOOK_LATER => &[
            ("webhook", "which endpoint, a UUID"),
            ("delivery", "which delivery, a UUID"),
        ],
        subjects::WEBHOOK_LOOKS | subjects::WEBHOOK_CHECKS => &[
            ("webhook", "which endpoint, a UUID"),
            (
                "server",
                "which server, a UUID; `all`: all that was gathered, or a test",
            ),
        ],
        subjects::WEBHOOK_LOG | subjects::WEBHOOK_DEAD => &[
            ("account", "whose endpoint, a UUID"),
            ("webhook", "which endpoint, a UUID"),
        ],
        _ => &[("toolbox", "which toolbox, a UUID")],
    }
}

/// What a client watches by, beside the bus.
fn watching(channels: &mut Map<String, Value>, operations: &mut Map<String, Value>) {
    let reference = |name: &str| json!({ "$ref": format!("#/components/messages/{name}") });
    channels.insert(
        "watchBySocket".to_owned(),
        json!({
            "address": "/v1/ws",
            "description": "notifier's WebSocket, subprotocol mcp-status.v1. Authenticate by the Authorization header, by a \
                            second subprotocol `bearer.` with the token behind it, or by the first message; a token in \
                            the URL is refused.",
            "messages": { "stream-message": reference("stream-message"), "stream-request": reference("stream-request") },
            "x-sender": "notifier",
        }),
    );
    channels.insert(
        "watchByEvents".to_owned(),
        json!({
            "address": "/v1/events",
            "description": "notifier's server-sent events: `?servers=id,id` or `?all=true`, `&toolboxes=true`, `&cursor=` or \
                            Last-Event-ID, `&ticket=` for who cannot set an Authorization header. The event's name is the \
                            message's type, its id the cursor, its data the message.",
            "messages": { "stream-message": reference("stream-message") },
            "x-sender": "notifier",
        }),
    );
    for (operation, action, channel, message) in [
        (
            "receiveWatchBySocket",
            "receive",
            "watchBySocket",
            "stream-message",
        ),
        ("sendWatchBySocket", "send", "watchBySocket", "stream-request"),
        (
            "receiveWatchByEvents",
            "receive",
            "watchByEvents",
            "stream-message",
        ),
    ] {
        let messages = [json!({ "$ref": format!("#/channels/{channel}/messages/{message}") })];
        operations.insert(
            operation.to_owned(),
            json!({
                "action": action,
                "channel": { "$ref": format!("#/channels/{channel}") },
                "messages": messages,
            }),
        );
    }
}

/// The document.
pub fn document() -> Value {
    let schemas = schema::all();
    let mut channels = Map::new();
    let mut operations = Map::new();
    for channel in &CHANNELS {
        channels.insert(channel.key.to_owned(), describe(channel));
        operations.insert(
            format!("receive{}{}", channel.key[..1].to_uppercase(), &channel.key[1..]),
            json!({ "action": "receive", "channel": { "$ref": format!("#/channels/{}", channel.key) } }),
        );
    }
    watching(&mut channels, &mut operations);
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "mcp-status-sync",
            "version": "1.0.0",
            "description": "Status of MCP servers over NATS JetStream. Bodies are JSON; metadata travels as CloudEvents 1.0 \
                            headers (binary mode) with W3C trace context. Readers ignore fields that they do not know.",
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": headers::JSON,
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": schemas.iter().map(|schema| (schema.name.to_owned(), message(schema))).collect::<Map<_, _>>(),
            "messageTraits": { "cloudEvent": { "headers": header_schema() } },
        },
    })
}

fn describe(channel: &Channel) -> Value {
    let names = parameters(channel.address);
    let mut tokens = names.iter();
    let address: Vec<String> = channel
        .address
        .split('.')
        .map(|token| match token {
            "*" => tokens
                .next()
                .map_or_else(|| token.to_owned(), |(name, _)| format!("{{{name}}}")),
            token => token.to_owned(),
        })
        .collect();
    json!({
        "address": address.join("."),
        "description": channel.description,
        "parameters": names.iter()
            .map(|(name, text)| ((*name).to_owned(), json!({ "description": text }))).collect::<Map<_, _>>(),
        "messages": { channel.schema: { "$ref": format!("#/components/messages/{}", channel.schema) } },
        "x-stream": channel.stream.name,
        "x-sender": channel.sender,
    })
}

fn message(schema: &Schema) -> Value {
    // What travels without the bus has no headers.
    let traits = if schema.name.starts_with("stream-") {
        json!([])
    } else {
        json!([{ "$ref": "#/components/messageTraits/cloudEvent" }])
    };
    json!({
        "name": schema.type_name,
        "contentType": headers::JSON,
        "traits": traits,
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": { "$ref": format!("./schemas/v1/{}.json", schema.name) },
        },
    })
}

fn header_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            headers::CE_SPECVERSION: { "const": headers::SPEC_VERSION },
            headers::CE_ID: { "type": "string", "description": "Unique per message; equal to Nats-Msg-Id." },
            headers::CE_SOURCE: { "type": "string", "description": "The service that published it." },
            headers::CE_TYPE: { "type": "string", "description": "The message's name above." },
            headers::CE_TIME: { "type": "string", "format": "date-time" },
            headers::CONTENT_TYPE: { "const": headers::JSON },
            "traceparent": { "type": "string", "description": "W3C trace context, where the change is traced." },
        },
    })
}
