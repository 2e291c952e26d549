//! Comparing a configuration as the server echoes it with the one that was asked for.
//!
//! Everything counts, also what was *not* asked for: a stream that somebody sealed, mirrored or gave a size limit
//! is not the stream the code was written for. Only what changes nothing for us is left to operators.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::Difference;

/// Left to operators: words, where copies lie, how they are packed, and what is offered beyond our needs.
const FREE_IN_STREAMS: [&str; 7] = [
    "description",
    "metadata",
    "placement",
    "compression",
    "allow_direct",
    "allow_atomic",
    "allow_batched",
];
/// Left to operators and to the server: `name` repeats the durable name, copies follow the stream, and a paused
/// consumer is somebody's decision of the moment.
const FREE_IN_CONSUMERS: [&str; 6] = [
    "name",
    "description",
    "metadata",
    "num_replicas",
    "max_waiting",
    "pause_until",
];

/// What is compared.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Stream,
    Consumer,
}

/// Every field in which `have`, the server's echo, is not what `want` asks for.
pub(crate) fn differences(kind: Kind, of: &str, want: &impl Serialize, have: &Value) -> Vec<Difference> {
    let want = serde_json::to_value(want).expect("a configuration of plain fields is always JSON");
    let (empty, free): (Map<_, _>, &[&str]) = match kind {
        Kind::Stream => (Map::new(), &FREE_IN_STREAMS),
        Kind::Consumer => (Map::new(), &FREE_IN_CONSUMERS),
    };
    let (want, have) = (
        want.as_object().unwrap_or(&empty),
        have.as_object().unwrap_or(&empty),
    );
    let mut fields: Vec<&String> = want.keys().chain(have.keys()).collect();
    fields.sort_unstable();
    fields.dedup();
    fields
        .into_iter()
        .filter(|field| !free.contains(&field.as_str()))
        .filter_map(|field| {
            let (have, want) = (set(have.get(field)), set(want.get(field)));
            (have != want).then(|| Difference {
                of: of.to_owned(),
                field: field.clone(),
                have: shown(field, have),
                want: shown(field, want),
            })
        })
        .collect()
}

/// A value that says something: the server writes out what is not limited, not allowed or empty in several ways.
fn set(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => !matches!(number.as_i64(), Some(-1 | 0)),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    })
}

/// For people: durations are nanoseconds on the wire.
fn shown(field: &str, value: Option<&Value>) -> String {
    let is_duration = [
        "max_age",
        "duplicate_window",
        "ack_wait",
        "inactive_threshold",
        "max_expires",
    ];
    match value {
        None => "not set".to_owned(),
        Some(value) => match value.as_u64() {
            Some(nanoseconds) if is_duration.contains(&field) => {
                format!("{:?}", Duration::from_nanos(nanoseconds))
            }
            _ => value.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(want: &Value, have: &Value) -> Vec<String> {
        differences(Kind::Stream, "stream X", want, have)
            .into_iter()
            .map(|it| format!("{}: have {}, want {}", it.field, it.have, it.want))
            .collect()
    }

    #[test]
    fn the_server_s_ways_to_say_nothing_are_all_alike() {
        let want = json!({ "name": "X", "max_msgs": 0, "sealed": false });
        let have = json!({ "name": "X", "max_msgs": -1, "consumer_limits": {}, "mirror": null, "template_owner": "",
            "sources": [], "deny_purge": false, "metadata": { "_nats.ver": "2.15.1" }, "compression": "s2" });
        assert_eq!(lines(&want, &have), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_told_and_durations_are_readable() {
        let want =
            json!({ "max_age": 86_400_000_000_000_u64, "allow_msg_schedules": true, "subjects": ["a", "b"] });
        let have = json!({ "max_age": 1_500_000_000_u64, "subjects": ["a"], "sealed": true });
        assert_eq!(
            lines(&want, &have),
            [
                "allow_msg_schedules: have not set, want true",
                "max_age: have 1.5s, want 86400s",
                "sealed: have true, want not set",
                "subjects: have [\"a\"], want [\"a\",\"b\"]",
            ]
        );
    }

    #[test]
    fn an_older_server_that_ignored_a_field_is_found_out() {
        // What Debian's 2.9.10 echoes of a request with newer fields.
        let want = json!({ "name": "POLLS", "allow_msg_schedules": true, "allow_msg_ttl": true });
        let have = json!({ "name": "POLLS" });
        assert_eq!(lines(&want, &have).len(), 2);
    }
}
