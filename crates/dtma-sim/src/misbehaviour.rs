//! The ways an agent can misbehave on demand, and how a script names them.

use std::time::Duration;

use serde::{Serialize, Serializer};
use url::Url;

use crate::config::offset_hours;
use crate::fields::{BadField, Fields};

/// Largest body a misbehaviour sends, in MiB; sent from one repeated chunk, so it costs time but no memory.
const MAX_MIB: u32 = 4_096;

const CODE: &str = "a status code from 200 to 599";
const MIB: &str = "a whole number of MiB from 1 to 4096";
const HOURS: &str = "a number of hours within ten years";

/// One way to misbehave. Of the kinds that replace the answer one holds at a time, the newest; the others add up.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Misbehaviour {
    /// Answer late.
    Slow {
        /// How late.
        #[serde(rename = "delay_ms", serialize_with = "millis")]
        delay: Duration,
        /// Read the state before the wait instead of after it: the answer is then old news when it arrives.
        stale: bool,
    },
    /// Take the request and never answer.
    Hang,
    /// Close the connection without a byte.
    Refuse,
    /// Answer with this status code and a short JSON error.
    Status {
        /// 200 to 599.
        code: u16,
    },
    /// Answer 200 with bytes that are no JSON.
    Garbage {
        /// Send the bytes in place of HTTP itself.
        wire: bool,
    },
    /// Answer 200 with a well-formed JSON object of this size, of an endless string.
    HugeBody {
        /// Size in MiB, at most 4096.
        mib: u32,
        /// Announce the size in `Content-Length`; otherwise it is chunked and only counting tells.
        content_length: bool,
    },
    /// Answer well, but only half of the body, as if that were all.
    TruncatedJson,
    /// Announce the whole body, send half and close.
    CutBody,
    /// Answer 200 with an HTML page, as a proxy in between does.
    Html,
    /// Answer 302 to another place.
    Redirect {
        /// The `Location`.
        to: Url,
    },
    /// Answer 200 with a small gzip body that unpacks to this size, whether or not gzip was asked for.
    GzipBomb {
        /// Unpacked size in MiB, at most 4096.
        mib: u32,
    },
    /// Misbehave on the first request, behave on the second, and so on in turns.
    Flapping {
        /// What every other request meets.
        bad: Box<Misbehaviour>,
    },
    /// Docker does not answer the agent: C and heartbeats carry an error item, A `error_inspecting`, B and commands
    /// a 500.
    DockerUnavailable,
    /// The agent has lost its own token: every authenticated request is a 500 `DTMA configuration error`.
    NoToken,
    /// The machine's clock is wrong by this, and always was.
    ClockOffset {
        /// Positive is ahead.
        hours: f64,
    },
    /// Send no heartbeats.
    Silent,
}

impl Misbehaviour {
    /// The kinds of the control API.
    pub const KINDS: [&'static str; 16] = [
        "slow",
        "hang",
        "refuse",
        "status",
        "garbage",
        "huge_body",
        "truncated_json",
        "cut_body",
        "html",
        "redirect",
        "gzip_bomb",
        "flapping",
        "docker_unavailable",
        "no_token",
        "clock_offset",
        "silent",
    ];

    /// The kind's name in the control API.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Slow { .. } => "slow",
            Self::Hang => "hang",
            Self::Refuse => "refuse",
            Self::Status { .. } => "status",
            Self::Garbage { .. } => "garbage",
            Self::HugeBody { .. } => "huge_body",
            Self::TruncatedJson => "truncated_json",
            Self::CutBody => "cut_body",
            Self::Html => "html",
            Self::Redirect { .. } => "redirect",
            Self::GzipBomb { .. } => "gzip_bomb",
            Self::Flapping { .. } => "flapping",
            Self::DockerUnavailable => "docker_unavailable",
            Self::NoToken => "no_token",
            Self::ClockOffset { .. } => "clock_offset",
            Self::Silent => "silent",
        }
    }

    /// Whether it changes how requests are answered, rather than what the machine is like.
    pub(crate) fn is_of_answers(&self) -> bool {
        !matches!(
            self,
            Self::DockerUnavailable | Self::NoToken | Self::ClockOffset { .. } | Self::Silent
        )
    }

    fn replaces_the_answer(&self) -> bool {
        self.is_of_answers() && !matches!(self, Self::Slow { .. } | Self::Flapping { .. })
    }

    /// Refuses numbers out of their ranges, and turns that could not be taken.
    fn check(&self) -> Result<(), BadField> {
        let complaint = match self {
            Self::Status { code } if !(200..=599).contains(code) => ("code", CODE),
            Self::HugeBody { mib, .. } | Self::GzipBomb { mib } if !(1..=MAX_MIB).contains(mib) => {
                ("mib", MIB)
            }
            Self::ClockOffset { hours } if offset_hours(*hours).is_none() => ("hours", HOURS),
            Self::Flapping { bad } if !bad.replaces_the_answer() => {
                ("bad", "a kind that replaces the answer")
            }
            Self::Flapping { bad } => return bad.check().map_err(in_bad),
            _ => return Ok(()),
        };
        Err(BadField::new(complaint.0, format!("must be {}", complaint.1)))
    }

    fn read(fields: &mut Fields) -> Result<Self, BadField> {
        let kinds = format!("one of {}", Self::KINDS.join(", "));
        let kind: String = fields.need("kind", &kinds)?;
        Ok(match kind.as_str() {
            "slow" => Self::Slow {
                delay: fields
                    .millis("delay_ms")?
                    .ok_or_else(|| BadField::new("delay_ms", "is missing; it must be milliseconds"))?,
                stale: fields.opt("stale", "true or false")?.unwrap_or(false),
            },
            "hang" => Self::Hang,
            "refuse" => Self::Refuse,
            "status" => Self::Status {
                code: fields.need("code", CODE)?,
            },
            "garbage" => Self::Garbage {
                wire: fields.opt("wire", "true or false")?.unwrap_or(false),
            },
            "huge_body" => Self::HugeBody {
                mib: fields.opt("mib", MIB)?.unwrap_or(64),
                content_length: fields.opt("content_length", "true or false")?.unwrap_or(false),
            },
            "truncated_json" => Self::TruncatedJson,
            "cut_body" => Self::CutBody,
            "html" => Self::Html,
            "redirect" => Self::Redirect {
                to: fields.need("to", "an absolute URL")?,
            },
            "gzip_bomb" => Self::GzipBomb {
                mib: fields.opt("mib", MIB)?.unwrap_or(256),
            },
            "flapping" => Self::Flapping {
                bad: Box::new(bad_turn(fields)?),
            },
            "docker_unavailable" => Self::DockerUnavailable,
            "no_token" => Self::NoToken,
            "clock_offset" => Self::ClockOffset {
                hours: fields.need("hours", HOURS)?,
            },
            "silent" => Self::Silent,
            _ => return Err(BadField::new("kind", format!("must be {kinds}"))),
        })
    }
}

/// Which requests a misbehaviour touches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All of them.
    #[default]
    All,
    /// Status reads and health.
    Reads,
    /// Install, start, stop, delete.
    Commands,
}

/// A misbehaviour with its limits, as a script orders it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Order {
    /// What to do.
    #[serde(flatten)]
    pub what: Misbehaviour,
    /// Which requests it touches. Only for kinds that change answers.
    pub scope: Scope,
    /// How many requests it touches before it ends by itself; none is until cleared.
    pub times: Option<u32>,
}

impl From<Misbehaviour> for Order {
    fn from(what: Misbehaviour) -> Self {
        Self {
            what,
            scope: Scope::All,
            times: None,
        }
    }
}

impl Order {
    /// Touch only these requests.
    #[must_use]
    pub fn on(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// End after so many requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Refuses what no script could order.
    pub(crate) fn check(&self) -> Result<(), BadField> {
        self.what.check()
    }

    /// Reads the order out of a control body, leaving the fields that are not its own.
    pub(crate) fn read(fields: &mut Fields) -> Result<Self, BadField> {
        let what = Misbehaviour::read(fields)?;
        what.check()?;
        if !what.is_of_answers() {
            return Ok(what.into());
        }
        let scopes = "one of all, reads, commands";
        let scope = match fields.opt::<String>("scope", scopes)?.as_deref() {
            None | Some("all") => Scope::All,
            Some("reads") => Scope::Reads,
            Some("commands") => Scope::Commands,
            Some(_) => return Err(BadField::new("scope", format!("must be {scopes}"))),
        };
        let times = fields.opt::<u32>("times", "a whole number of requests")?;
        if times == Some(0) {
            return Err(BadField::new("times", "must be at least 1"));
        }
        Ok(Self { what, scope, times })
    }
}

fn bad_turn(fields: &mut Fields) -> Result<Misbehaviour, BadField> {
    let Some(raw) = fields.raw("bad") else {
        return Ok(Misbehaviour::Status { code: 503 });
    };
    let mut inner = Fields::parse(raw.get().as_bytes()).map_err(in_bad)?;
    let bad = Misbehaviour::read(&mut inner).map_err(in_bad)?;
    inner.finish().map_err(in_bad)?;
    Ok(bad)
}

/// The same complaint, about a field of `bad`.
fn in_bad(error: BadField) -> BadField {
    BadField {
        field: format!("bad.{}", error.field),
        ..error
    }
}

fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Order, BadField> {
        let mut fields = Fields::parse(body.as_bytes())?;
        let order = Order::read(&mut fields)?;
        fields.finish()?;
        Ok(order)
    }

    #[test]
    fn every_kind_is_read_and_written_back() {
        for kind in Misbehaviour::KINDS {
            let extra = match kind {
                "slow" => r#","delay_ms":5,"stale":true"#,
                "status" => r#","code":503"#,
                "redirect" => r#","to":"http://elsewhere.test/x""#,
                "clock_offset" => r#","hours":-26.5"#,
                _ => "",
            };
            let order = read(&format!(r#"{{"kind":"{kind}"{extra}}}"#)).unwrap();
            assert_eq!(order.what.kind(), kind);
            let written = serde_json::to_string(&order.what).unwrap();
            assert_eq!(read(&written).unwrap().what, order.what, "{written}");
        }
    }

    #[test]
    fn refusals_name_the_field() {
        let table = [
            ("{}", "kind"),
            (r#"{"kind":"sulk"}"#, "kind"),
            (r#"{"kind":"slow"}"#, "delay_ms"),
            (r#"{"kind":"status","code":42}"#, "code"),
            (r#"{"kind":"status","code":"500"}"#, "code"),
            (r#"{"kind":"huge_body","mib":0}"#, "mib"),
            (r#"{"kind":"redirect","to":"elsewhere"}"#, "to"),
            (r#"{"kind":"clock_offset","hours":1e9}"#, "hours"),
            (r#"{"kind":"hang","scope":"some"}"#, "scope"),
            (r#"{"kind":"hang","times":0}"#, "times"),
            (r#"{"kind":"silent","times":3}"#, "times"),
            (r#"{"kind":"flapping","bad":{"kind":"status"}}"#, "bad.code"),
            (r#"{"kind":"flapping","bad":{"kind":"silent"}}"#, "bad"),
            (r#"{"kind":"hang","delay_ms":1}"#, "delay_ms"),
        ];
        for (body, field) in table {
            assert_eq!(read(body).unwrap_err().field, field, "{body}");
        }
    }

    #[test]
    fn limits_are_read() {
        let order = read(r#"{"kind":"refuse","scope":"commands","times":2}"#).unwrap();
        assert_eq!(
            order,
            Order::from(Misbehaviour::Refuse).on(Scope::Commands).times(2)
        );
    }
}
