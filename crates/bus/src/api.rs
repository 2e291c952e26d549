//! The requests of the JetStream API that the bus makes, each bounded in time and with one way to fail.
//!
//! The client's own functions return a dozen error types and parse configurations into types that cannot tell "not
//! set" from "unknown to this server"; here everything fails as [`BusError`], and configurations stay as the server
//! sent them.

use std::collections::HashMap;

use async_nats::jetstream::context::{RequestError, RequestErrorKind};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::RawMessage;
use async_nats::jetstream::{self, ErrorCode, consumer, stream};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Bus, BusError, ServerAnswer};

/// What the server says of a stream.
#[derive(Deserialize)]
pub(crate) struct StreamInfo {
    pub(crate) config: Value,
    pub(crate) created: jiff::Timestamp,
    pub(crate) state: StoredState,
    /// Subjects in all, where a page of them was asked for.
    #[serde(default)]
    pub(crate) total: usize,
    /// The server's clock when it answered.
    #[serde(default)]
    pub(crate) ts: Option<jiff::Timestamp>,
}

/// What is in a stream.
#[derive(Deserialize)]
pub(crate) struct StoredState {
    pub(crate) messages: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    #[serde(default)]
    pub(crate) subjects: Option<HashMap<String, u64>>,
}

/// What the server says of a consumer.
#[derive(Deserialize)]
pub(crate) struct ConsumerInfo {
    pub(crate) name: String,
    pub(crate) config: Value,
    pub(crate) num_pending: u64,
    pub(crate) num_ack_pending: u64,
    pub(crate) delivered: Progress,
    /// All before this was acknowledged.
    pub(crate) ack_floor: Progress,
}

/// How far a consumer has come.
#[derive(Deserialize)]
pub(crate) struct Progress {
    /// In deliveries.
    pub(crate) consumer_seq: u64,
    /// In messages of the stream.
    pub(crate) stream_seq: u64,
}

/// A message as it lies in its stream, binary parts in base64.
#[derive(Deserialize)]
pub(crate) struct StoredMessage {
    pub(crate) subject: String,
    pub(crate) seq: u64,
    #[serde(default)]
    pub(crate) hdrs: String,
    #[serde(default)]
    pub(crate) data: String,
    pub(crate) time: jiff::Timestamp,
}

#[derive(Deserialize)]
struct Got<T> {
    message: T,
}

/// The API, as one connection reaches it.
pub(crate) struct Api<'a>(pub(crate) &'a Bus);

impl Api<'_> {
    /// What is known of a stream.
    pub(crate) async fn stream(&self, name: &str) -> Result<StreamInfo, BusError> {
        self.call(
            format!("look up stream {name}"),
            format!("STREAM.INFO.{name}"),
            &json!({}),
        )
        .await
    }

    /// One page of the subjects of a stream that match a filter.
    pub(crate) async fn subjects(
        &self,
        name: &str,
        filter: &str,
        offset: usize,
    ) -> Result<StreamInfo, BusError> {
        let page = json!({ "subjects_filter": filter, "offset": offset });
        self.call(
            format!("list subjects of stream {name}"),
            format!("STREAM.INFO.{name}"),
            &page,
        )
        .await
    }

    /// Creates a stream; one that exists with the very same configuration is as good.
    pub(crate) async fn create_stream(&self, config: &stream::Config) -> Result<StreamInfo, BusError> {
        let name = &config.name;
        self.call(
            format!("create stream {name}"),
            format!("STREAM.CREATE.{name}"),
            config,
        )
        .await
    }

    /// What is known of a consumer.
    pub(crate) async fn consumer(&self, stream: &str, name: &str) -> Result<ConsumerInfo, BusError> {
        let what = format!("look up consumer {name} of {stream}");
        self.call(what, format!("CONSUMER.INFO.{stream}.{name}"), &json!({}))
            .await
    }

    /// Creates a consumer; one that exists with the very same configuration is as good.
    pub(crate) async fn create_consumer(
        &self,
        stream: &str,
        config: &consumer::Config,
    ) -> Result<ConsumerInfo, BusError> {
        let (name, subject) = match &config.durable_name {
            // The filter stands in the subject so that permissions can be given by it.
            Some(name) => (
                name.as_str(),
                format!("CONSUMER.CREATE.{stream}.{name}.{}", config.filter_subject),
            ),
            None => ("for reading", format!("CONSUMER.CREATE.{stream}")),
        };
        let request = json!({ "stream_name": stream, "config": config, "action": "create" });
        self.call(format!("create consumer {name} of {stream}"), subject, &request)
            .await
    }

    /// Removes all messages of a subject.
    pub(crate) async fn purge(&self, stream: &str, subject: &str) -> Result<(), BusError> {
        let request = json!({ "filter": subject });
        let what = format!("purge {subject}");
        let _: Value = self
            .call(what, format!("STREAM.PURGE.{stream}"), &request)
            .await?;
        Ok(())
    }

    /// Removes the messages of a subject up to and including one of them.
    pub(crate) async fn purge_until(
        &self,
        stream: &str,
        subject: &str,
        sequence: u64,
    ) -> Result<(), BusError> {
        let request = json!({ "filter": subject, "seq": sequence + 1 });
        let what = format!("purge {stream} to {sequence}");
        let _: Value = self
            .call(what, format!("STREAM.PURGE.{stream}"), &request)
            .await?;
        Ok(())
    }

    /// Removes one message; one that is gone already is as good.
    pub(crate) async fn delete_message(&self, stream: &str, sequence: u64) -> Result<(), BusError> {
        let request = json!({ "seq": sequence, "no_erase": true });
        let what = format!("delete message {sequence} of {stream}");
        match self
            .call::<Value>(what, format!("STREAM.MSG.DELETE.{stream}"), &request)
            .await
        {
            Err(BusError::Refused { error, .. }) if is_gone(&error) => Ok(()),
            deleted => deleted.map(|_| ()),
        }
    }

    /// The last message of a subject.
    pub(crate) async fn last(&self, stream: &str, subject: &str) -> Result<Option<StreamMessage>, BusError> {
        let what = format!("read the last message of {subject}");
        let message: Option<RawMessage> = self
            .get(what.clone(), stream, &json!({ "last_by_subj": subject }))
            .await?;
        let message = message.map(StreamMessage::try_from).transpose();
        message.map_err(|_| BusError::Client {
            what,
            problem: "its headers cannot be read".to_owned(),
        })
    }

    /// The first message that matches `filter` from a sequence on, whatever its headers are.
    pub(crate) async fn message_from(
        &self,
        stream: &str,
        sequence: u64,
        filter: &str,
    ) -> Result<Option<StoredMessage>, BusError> {
        let what = format!("read message {sequence} of {stream}");
        self.get(what, stream, &json!({ "seq": sequence, "next_by_subj": filter }))
            .await
    }

    async fn get<T: DeserializeOwned>(
        &self,
        what: String,
        stream: &str,
        request: &Value,
    ) -> Result<Option<T>, BusError> {
        match self
            .call::<Got<T>>(what, format!("STREAM.MSG.GET.{stream}"), request)
            .await
        {
            Ok(got) => Ok(Some(got.message)),
            Err(BusError::Refused { error, .. }) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        what: String,
        subject: String,
        request: &impl Serialize,
    ) -> Result<T, BusError> {
        // Read as JSON first: of an untagged enum that fails, nobody would learn which field was wrong.
        // The server says nothing to a request that is not permitted: it says it to the connection.
        let forbidden = self.0.forbidden(&format!("$JS.API.{subject}"));
        let answer: Value = tokio::select! {
            answer = self.0.context().request(subject, request) => match answer {
                Ok(answer) => answer,
                Err(error) => return Err(self.failed(what, &error)),
            },
            () = forbidden => return Err(BusError::Forbidden { what }),
        };
        if let Some(error) = answer.get("error") {
            return match jetstream::Error::deserialize(error) {
                Ok(error) => Err(BusError::answered(&what, &error)),
                Err(_) => Err(BusError::Client {
                    what,
                    problem: "an error that cannot be read".to_owned(),
                }),
            };
        }
        T::deserialize(answer).map_err(|error| BusError::Client {
            what,
            problem: format!("unexpected answer: {error}"),
        })
    }

    fn failed(&self, what: String, error: &RequestError) -> BusError {
        match error.kind() {
            RequestErrorKind::NoResponders => BusError::Client {
                what,
                problem: "JetStream does not answer on this server".to_owned(),
            },
            RequestErrorKind::TimedOut => self.0.unanswered(what),
            _ if !self.0.is_connected() => self.0.unanswered(what),
            _ => BusError::Client {
                what,
                problem: error.to_string(),
            },
        }
    }
}

/// Whether the server says that there is no such message.
fn is_gone(error: &ServerAnswer) -> bool {
    [ErrorCode::NO_MESSAGE_FOUND, ErrorCode::SEQUENCE_NOT_FOUND]
        .iter()
        .any(|code| code.0 == error.code())
}
