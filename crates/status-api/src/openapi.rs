//! The OpenAPI document, made of the handlers, so that it cannot say anything else; and what is made of it in turn.

use serde_json::{Map, Value, json};
use wire::subjects;

use crate::routes;

/// Failures that any operation may answer with.
const EVERYWHERE: [(&str, &str); 6] = [
    (
        "400",
        "A parameter, header or body is not right; `field` names it",
    ),
    ("401", "No bearer token, or none that is taken"),
    ("404", "There is none, or none that the caller may know of"),
    ("429", "Too many requests; `Retry-After` says when to ask again"),
    ("500", "The service failed"),
    (
        "503",
        "What it takes is away for the moment; `Retry-After` says when to ask again",
    ),
];
/// And those that an operation may that changes something.
const CHANGES: [(&str, &str); 3] = [
    ("403", "The caller may see it, and no more"),
    (
        "409",
        "Something stands in the way: a command under way (`commandId`), or what is taken already (`field`)",
    ),
    ("422", "The Idempotency-Key was used for another request"),
];
/// And those that an operation may that reads a body.
const BODY: [(&str, &str); 2] = [
    ("413", "The body is too large"),
    ("415", "The body is not application/json"),
];
/// Where the schemas are, for who reads the document by reference.
const PROBLEM: &str = "#/components/schemas/Problem";

/// The document.
pub fn document() -> Value {
    let (_, openapi) = routes::operations().split_for_parts();
    // A document of plain structures is always JSON.
    let mut document = serde_json::to_value(&openapi).unwrap_or_default();
    document["info"] = json!({
        "title": "status-api",
        "version": "1.0.0",
        "description": "The status of MCP servers, asked for and commanded. Every operation is also asked for over NATS, \
                        by request to `status.api.v1.{operationId}`.",
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    });
    document["servers"] = json!([{ "url": "/", "description": "Where this document is served" }]);
    document["security"] = json!([{ "bearer": [] }]);
    document["tags"] = json!([
        { "name": "servers", "description": "What servers are like, and which there are" },
        { "name": "commands", "description": "What is to be done, and what became of it" },
        { "name": "toolboxes", "description": "Where servers run" },
        { "name": "connections", "description": "Which agents may use which servers" },
        { "name": "webhooks", "description": "Who is told of changes by HTTP request, and what came of it" },
        { "name": "fleet", "description": "All of it in a few numbers" },
        { "name": "sign-in", "description": "Who is asking, and how a token gets to a browser" },
    ]);
    document["components"]["securitySchemes"] = json!({
        "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
    });
    let problem = <wire::api::Problem as utoipa::PartialSchema>::schema();
    document["components"]["schemas"]["Problem"] = serde_json::to_value(problem).unwrap_or_default();
    for (_, method, operation) in operations_mut(&mut document) {
        complete(operation, Kind::of(&method, operation));
    }
    document
}

/// What an operation does, as far as all of its kind have something in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It tells something.
    Reads,
    /// It gives a secret that is not given twice, whatever the key.
    Once,
    /// It changes something.
    Changes,
}

impl Kind {
    fn of(method: &str, operation: &Value) -> Self {
        match operation["operationId"].as_str() {
            Some("createTicket" | "createSignIn" | "redeemSignIn") => Self::Once,
            _ if method == "get" => Self::Reads,
            _ => Self::Changes,
        }
    }
}

/// What all operations have in common, or all of a kind.
fn complete(operation: &mut Value, kind: Kind) {
    let changes = kind == Kind::Changes;
    let more: &[_] = if changes { &CHANGES } else { &[] };
    let body: &[_] = if operation.get("requestBody").is_some() || changes {
        &BODY
    } else {
        &[]
    };
    // One that says what it needs instead needs no token.
    let open = operation.get("security").is_some();
    let everywhere = EVERYWHERE
        .iter()
        .filter(|(status, _)| !(open && *status == "401"));
    for (status, description) in everywhere.chain(more).chain(body) {
        let mut response = json!({
            "description": description,
            "content": { service::http::PROBLEM: { "schema": { "$ref": PROBLEM } } },
        });
        if matches!(*status, "429" | "503") {
            response["headers"] = json!({ "Retry-After": {
                "description": "Seconds until it is worth another try",
                "schema": { "type": "integer", "minimum": 1 },
            } });
        }
        operation["responses"][status] = response;
    }
    let header = if changes {
        json!({
            "name": crate::ask::KEY, "in": "header", "required": false,
            "description": "Makes this request one that is done once: sent again with the same key it gets the first answer",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
        })
    } else if operation["responses"].get("304").is_some() {
        json!({
            "name": "If-None-Match", "in": "header", "required": false,
            "description": "The ETag of what is known already", "schema": { "type": "string" },
        })
    } else {
        return;
    };
    match operation.get_mut("parameters").and_then(Value::as_array_mut) {
        Some(parameters) => parameters.push(header),
        None => operation["parameters"] = json!([header]),
    }
}

fn operations_mut(document: &mut Value) -> impl Iterator<Item = (String, String, &mut Value)> {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let methods = item.as_object_mut().into_iter().flatten();
        methods.map(move |(method, operation)| (path.clone(), method.clone(), operation))
    })
}

/// One operation, as it is asked for over NATS.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) id: String,
    /// In capitals.
    pub(crate) method: String,
    /// With its parameters in braces.
    pub(crate) path: String,
    pub(crate) summary: String,
}

/// All operations of a document, by id.
pub(crate) fn operations(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let of_path = |(path, item): (&String, &Value)| {
        let methods: Vec<_> = item
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(method, operation)| {
                Some(Operation {
                    id: operation.get("operationId")?.as_str()?.to_owned(),
                    method: method.to_uppercase(),
                    path: path.clone(),
                    summary: operation["summary"].as_str().unwrap_or_default().to_owned(),
                })
            })
            .collect();
        methods
    };
    let mut operations: Vec<_> = paths.flat_map(of_path).collect();
    operations.sort_by(|one, other| one.id.cmp(&other.id));
    operations
}

/// The same operations as AsyncAPI 3 tells of them, for who has only NATS.
pub fn asyncapi() -> Value {
    let document = document();
    let (mut channels, mut requests, mut messages) = (Map::new(), Map::new(), Map::new());
    for operation in operations(&document) {
        let Operation {
            id,
            method,
            path,
            summary,
        } = operation;
        let pointer = format!(
            "/paths/{}/{}",
            path.replace('~', "~0").replace('/', "~1"),
            method.to_lowercase()
        );
        let told = document.pointer(&pointer).cloned().unwrap_or_default();
        let reply = format!("{id}Reply");
        channels.insert(
            id.clone(),
            json!({
                "address": subjects::api(&id),
                "description": format!("{summary}: {method} {path} over NATS."),
                "messages": { "request": { "$ref": format!("#/components/messages/{id}") } },
            }),
        );
        channels.insert(
            reply.clone(),
            json!({
                "address": null,
                "description": "The inbox that the request named.",
                "messages": { "reply": { "$ref": format!("#/components/messages/{reply}") } },
            }),
        );
        requests.insert(
            id.clone(),
            json!({
                "action": "receive",
                "channel": { "$ref": format!("#/channels/{id}") },
                "reply": { "channel": { "$ref": format!("#/channels/{reply}") } },
                "summary": summary,
            }),
        );
        messages.insert(id.clone(), request(&told));
        messages.insert(reply, answer(&told));
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "status-api over NATS",
            "version": "1.0.0",
            "description": "The operations of openapi.json, by request and reply. Requests bear Authorization, and may bear \
                            Idempotency-Key, If-None-Match, x-request-id and traceparent, as headers. Replies bear `status` \
                            and the headers of the HTTP answer; from 400 on also Nats-Service-Error and \
                            Nats-Service-Error-Code, with a problem document as body. Found by the NATS micro-service \
                            protocol as `status-api`.",
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": wire::headers::JSON,
        "channels": channels,
        "operations": requests,
        "components": { "messages": messages },
    })
}

fn request(operation: &Value) -> Value {
    let mut parameters = Map::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        if let (Some("path" | "query"), Some(name)) = (parameter["in"].as_str(), parameter["name"].as_str()) {
            let schema =
                json!({ "description": parameter["description"], "type": ["string", "number", "boolean"] });
            parameters.insert(name.to_owned(), schema);
        }
    }
    let mut properties = json!({
        "params": { "type": "object", "properties": parameters, "additionalProperties": false },
    });
    if let Some(schema) = operation.pointer("/requestBody/content/application~1json/schema/$ref") {
        let reference = schema.as_str().unwrap_or_default();
        properties["body"] = json!({ "$ref": format!("./openapi.json{reference}") });
    }
    json!({ "payload": { "type": "object", "properties": properties, "additionalProperties": false } })
}

fn answer(operation: &Value) -> Value {
    let responses = operation["responses"].as_object().into_iter().flatten();
    let mut schemas: Vec<Value> = Vec::new();
    for (_, response) in responses {
        for media_type in ["application~1json", "application~1problem+json"] {
            if let Some(Value::String(reference)) =
                response.pointer(&format!("/content/{media_type}/schema/$ref"))
            {
                let schema = json!({ "$ref": format!("./openapi.json{reference}") });
                if !schemas.contains(&schema) {
                    schemas.push(schema);
                }
            }
        }
    }
    json!({ "payload": { "anyOf": schemas } })
}
