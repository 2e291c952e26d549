//! The JSON columns. Read leniently: what cannot be understood is as good as absent and is recomputed from the next
//! report, while an error would hold up every row that is read beside it.

use domain::{ContainerId, DockerHealth, LastError, Observation, Reason, ReasonCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Serialize, Deserialize)]
struct ReasonJson {
    code: String,
    #[serde(default)]
    message: String,
}

impl ReasonJson {
    fn of(reason: &Reason) -> Self {
        Self {
            code: reason.code.as_str().to_owned(),
            message: reason.message.clone(),
        }
    }

    /// Built as it stands: the message was made safe when it was first taken.
    fn read(self) -> Option<Reason> {
        let code: ReasonCode = self.code.parse().ok()?;
        Some(Reason {
            code,
            message: self.message,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct LastErrorJson {
    #[serde(flatten)]
    reason: ReasonJson,
    #[serde(default)]
    at: Timestamp,
}

/// `{code, message, at}`.
pub(crate) fn write_last_error(error: &LastError) -> Value {
    as_value(&LastErrorJson {
        reason: ReasonJson::of(&error.reason),
        at: error.at,
    })
}

/// The inverse; `None` where the column is empty or its code is not known.
pub(crate) fn read_last_error(column: Option<Value>) -> Option<LastError> {
    let json: LastErrorJson = serde_json::from_value(column?).ok()?;
    Some(LastError {
        reason: json.reason.read()?,
        at: json.at,
    })
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DetailJson {
    reason: Option<ReasonJson>,
    asked: bool,
    docker_health: Option<String>,
    former: Option<FormerJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FormerJson {
    container_id: String,
    until: Timestamp,
}

/// What of an observation has no column of its own: `{reason, asked, dockerHealth, former}`.
pub(crate) fn write_detail(seen: &Observation) -> Value {
    as_value(&DetailJson {
        reason: seen.reason.as_ref().map(ReasonJson::of),
        asked: seen.asked,
        docker_health: seen.docker_health.map(|health| health.as_str().to_owned()),
        former: seen.former.as_ref().map(|(id, until)| FormerJson {
            container_id: id.as_str().to_owned(),
            until: *until,
        }),
    })
}

/// What [`write_detail`] wrote, to be completed with the columns beside it.
pub(crate) struct Detail {
    pub(crate) reason: Option<Reason>,
    pub(crate) asked: bool,
    pub(crate) docker_health: Option<DockerHealth>,
    pub(crate) former: Option<(ContainerId, Timestamp)>,
}

/// The inverse of [`write_detail`].
pub(crate) fn read_detail(column: Option<Value>) -> Detail {
    let json: DetailJson = column
        .and_then(|value| serde_json::from_value(value).ok())
        .unwrap_or_default();
    Detail {
        reason: json.reason.and_then(ReasonJson::read),
        asked: json.asked,
        docker_health: json.docker_health.and_then(|label| label.parse().ok()),
        former: json
            .former
            .and_then(|former| Some((ContainerId::new(&former.container_id)?, former.until))),
    }
}

fn as_value(json: &impl Serialize) -> Value {
    // Text keys and no map of our own: this cannot fail, and `null` would be read as absent.
    serde_json::to_value(json).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_shape_is_what_others_read() {
        let error = LastError {
            reason: Reason::new(ReasonCode::ExitCode, "exit code 3"),
            at: Timestamp::from_second(1_700_000_000).unwrap(),
        };
        let written = write_last_error(&error);
        assert_eq!(
            written,
            json!({"code": "exit_code", "message": "exit code 3", "at": "2023-11-14T22:13:20Z"})
        );
        assert_eq!(read_last_error(Some(written)), Some(error));
    }

    #[test]
    fn what_is_not_understood_is_absent() {
        for column in [
            json!(null),
            json!(7),
            json!({}),
            json!({"code": "from_the_future", "message": "x"}),
        ] {
            assert_eq!(read_last_error(Some(column)), None);
        }
        let by_hand = read_last_error(Some(json!({"code": "missing"}))).unwrap();
        assert_eq!(by_hand.reason.code, ReasonCode::Missing);
        let detail = read_detail(Some(
            json!({"dockerHealth": "odd", "asked": true, "former": null}),
        ));
        assert!(detail.asked && detail.docker_health.is_none() && detail.former.is_none());
        assert!(!read_detail(None).asked);
    }
}
