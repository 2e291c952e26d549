//! The JSON Schemas of all messages, generated from the types.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::stream::{StreamMessage, StreamRequest};
use crate::{
    Command, CommandOutcome, ConnectionEntry, Message, PollPlan, RawReport, SignInEntry, StatusEvent,
    TicketEntry, ToolboxEntry, ToolboxEvent, WebhookAttempt, WebhookDeadLetter, WebhookDelivery,
    WebhookEntry, WebhookHeld, WebhookLook,
};

/// A message's schema (JSON Schema 2020-12) and the name of its file in `proto/schemas/v1`.
pub struct Schema {
    /// File name without `.json`.
    pub name: &'static str,
    /// The CloudEvents type.
    pub type_name: &'static str,
    /// The schema.
    pub body: Value,
}

/// The schemas of all messages of version 1.
pub fn all() -> Vec<Schema> {
    vec![
        schema::<RawReport>("raw-report"),
        schema::<Command>("command"),
        schema::<CommandOutcome>("command-outcome"),
        schema::<PollPlan>("poll-plan"),
        schema::<StatusEvent>("server-status"),
        schema::<ToolboxEvent>("toolbox-status"),
        schema::<ToolboxEntry>("toolbox-entry"),
        schema::<ConnectionEntry>("connection-entry"),
        schema::<TicketEntry>("ticket-entry"),
        schema::<SignInEntry>("sign-in-entry"),
        schema::<WebhookEntry>("webhook-entry"),
        schema::<WebhookDelivery>("webhook-delivery"),
        schema::<WebhookLook>("webhook-look"),
        schema::<WebhookHeld>("webhook-held"),
        schema::<WebhookAttempt>("webhook-attempt"),
        schema::<WebhookDeadLetter>("webhook-dead-letter"),
        schema::<StreamMessage>("stream-message"),
        schema::<StreamRequest>("stream-request"),
    ]
}

fn schema<M: Message>(name: &'static str) -> Schema {
    let body = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<M>()
        .to_value();
    Schema {
        name,
        type_name: M::TYPE,
        body,
    }
}

/// Every generated file of `proto/`: path below it and text.
pub fn files() -> Vec<(String, String)> {
    let pretty = |value: &Value| format!("{value:#}\n");
    let mut files: Vec<_> = all()
        .iter()
        .map(|schema| (format!("schemas/v1/{}.json", schema.name), pretty(&schema.body)))
        .collect();
    files.push(("asyncapi.json".to_owned(), pretty(&crate::asyncapi::document())));
    files
}
