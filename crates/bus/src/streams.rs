//! Making what is missing, and refusing what is different.

use std::borrow::Cow;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy, ReplayPolicy};
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, StorageType};
use wire::streams::{BucketSpec, ConsumerSpec, StreamSpec};

use crate::api::{Api, ConsumerInfo, StreamInfo};
use crate::error::{Difference, Differences};
use crate::verify::{self, Kind};
use crate::{Bus, BusError, bucket};

/// A stream that the bus knows how to make.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    Stream(&'static StreamSpec),
    Bucket(&'static BucketSpec),
}

impl Target {
    /// The stream's name on the server.
    pub(crate) fn name(self) -> Cow<'static, str> {
        match self {
            Self::Stream(spec) => spec.name.into(),
            Self::Bucket(spec) => bucket::stream_name(spec).into(),
        }
    }

    fn config(self, replicas: usize) -> stream::Config {
        match self {
            Self::Stream(spec) => stream_config(spec, replicas),
            Self::Bucket(spec) => bucket::stream_config(spec, replicas),
        }
    }
}

/// A stream as the specification wants it.
fn stream_config(spec: &StreamSpec, replicas: usize) -> stream::Config {
    stream::Config {
        name: spec.name.to_owned(),
        description: Some(spec.description.to_owned()),
        subjects: spec
            .subjects
            .iter()
            .map(|subject| (*subject).to_owned())
            .collect(),
        max_messages_per_subject: spec.max_per_subject.map_or(-1, i64::from),
        max_messages: -1,
        // No stream here comes near the 8 EiB that an i64 can say.
        max_bytes: spec
            .max_bytes
            .map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        max_message_size: -1,
        max_consumers: -1,
        max_age: spec.max_age.unwrap_or_default(),
        discard: DiscardPolicy::Old,
        retention: if spec.work_queue {
            RetentionPolicy::WorkQueue
        } else {
            RetentionPolicy::Limits
        },
        storage: StorageType::File,
        num_replicas: replicas,
        duplicate_window: spec.duplicate_window,
        allow_message_ttl: spec.message_ttl,
        allow_message_schedules: spec.schedules,
        allow_rollup: spec.rollup,
        ..Default::default()
    }
}

/// A consumer as the specification wants it.
fn consumer_config(spec: &ConsumerSpec) -> consumer::Config {
    consumer::Config {
        durable_name: Some(spec.name.to_owned()),
        filter_subject: spec.filter.to_owned(),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        replay_policy: ReplayPolicy::Instant,
        ack_wait: spec.ack_wait,
        max_ack_pending: spec.max_ack_pending.into(),
        // Who gives up is the one ack policy, with a dead letter: a limit here would drop messages in silence.
        max_deliver: -1,
        ..Default::default()
    }
}

/// Creates a stream where it is missing; in any case its configuration must then be the one needed. What a server
/// echoes after creating is compared too: one that does not know a setting leaves it out without a word.
///
/// # Errors
/// [`BusError::Differs`] with all differences; nothing is changed, and never is anything deleted.
pub(crate) async fn ensure(bus: &Bus, target: Target) -> Result<(), BusError> {
    let (api, name, config) = (Api(bus), target.name(), target.config(bus.replicas()));
    let info: StreamInfo = match api.stream(&name).await {
        Err(BusError::NotFound { .. }) => match api.create_stream(&config).await {
            Ok(info) => {
                tracing::info!(stream = %name, "stream created");
                info
            }
            // Another replica, or an older version of this program, was faster: see what it made.
            Err(BusError::Refused { error, .. }) if error.code() == ErrorCode::STREAM_NAME_EXIST.0 => {
                api.stream(&name).await?
            }
            Err(error) => return Err(error),
        },
        found => found?,
    };
    same(verify::differences(
        Kind::Stream,
        &format!("stream {name}"),
        &config,
        &info.config,
    ))
}

/// Creates a durable consumer where it is missing; in any case its configuration must then be the one needed.
///
/// # Errors
/// [`BusError::NotFound`] when its stream is missing, [`BusError::Differs`] with all differences.
pub(crate) async fn ensure_consumer(bus: &Bus, spec: &ConsumerSpec) -> Result<ConsumerInfo, BusError> {
    let (api, stream, config) = (Api(bus), spec.stream.name, consumer_config(spec));
    let info = match api.consumer(stream, spec.name).await {
        Err(BusError::NotFound { .. }) => match api.create_consumer(stream, &config).await {
            Ok(info) => {
                tracing::info!(stream, consumer = spec.name, "consumer created");
                info
            }
            Err(BusError::Refused { error, .. }) if error.code() == ErrorCode::CONSUMER_ALREADY_EXISTS.0 => {
                api.consumer(stream, spec.name).await?
            }
            Err(error) => return Err(error),
        },
        found => found?,
    };
    let of = format!("consumer {} of {stream}", spec.name);
    same(verify::differences(Kind::Consumer, &of, &config, &info.config))?;
    Ok(info)
}

/// How a stream that is there differs; `None`: it is not there.
pub(crate) async fn inspect(bus: &Bus, target: Target) -> Result<Option<Vec<Difference>>, BusError> {
    let name = target.name();
    match Api(bus).stream(&name).await {
        Ok(info) => {
            let config = target.config(bus.replicas());
            let of = format!("stream {name}");
            Ok(Some(verify::differences(
                Kind::Stream,
                &of,
                &config,
                &info.config,
            )))
        }
        Err(BusError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How a shared consumer that is there differs; `None`: it is not there.
pub(crate) async fn inspect_consumer(
    bus: &Bus,
    spec: &ConsumerSpec,
) -> Result<Option<Vec<Difference>>, BusError> {
    let (stream, config) = (spec.stream.name, consumer_config(spec));
    match Api(bus).consumer(stream, spec.name).await {
        Ok(info) => {
            let of = format!("consumer {} of {stream}", spec.name);
            Ok(Some(verify::differences(
                Kind::Consumer,
                &of,
                &config,
                &info.config,
            )))
        }
        Err(BusError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn same(differences: Vec<Difference>) -> Result<(), BusError> {
    if differences.is_empty() {
        Ok(())
    } else {
        Err(Differences(differences).into())
    }
}

#[cfg(test)]
mod tests {
    use wire::streams;

    use super::*;

    #[test]
    fn every_setting_of_a_specification_reaches_the_server_under_its_name() {
        let polls = serde_json::to_value(stream_config(&streams::POLLS, 3)).unwrap();
        for (field, value) in [
            ("max_msgs_per_subject", serde_json::json!(1)),
            ("allow_msg_schedules", true.into()),
            ("allow_rollup_hdrs", true.into()),
            ("num_replicas", 3.into()),
            ("storage", "file".into()),
            ("discard", "old".into()),
            ("retention", "limits".into()),
            ("duplicate_window", 120_000_000_000_u64.into()),
            ("max_age", 0.into()),
        ] {
            assert_eq!(polls[field], value, "{field}");
        }
        let status = serde_json::to_value(stream_config(&streams::MCP_STATUS, 1)).unwrap();
        assert_eq!(status["allow_msg_ttl"], true);
        let commands = serde_json::to_value(stream_config(&streams::DTMA_COMMANDS, 1)).unwrap();
        assert_eq!(
            (&commands["retention"], &commands["max_bytes"]),
            (&"workqueue".into(), &(256 << 20).into())
        );
    }

    #[test]
    fn the_server_never_gives_up_on_a_message_by_itself() {
        let config = serde_json::to_value(consumer_config(&streams::MAPPER)).unwrap();
        assert_eq!(config["max_deliver"], -1);
        assert_eq!(config["ack_policy"], "explicit");
    }
}
