//! How far somebody has followed the status stream.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How far somebody has followed the status stream: of which of its incarnations, and up to which message of it. Opaque
/// to clients, who hand back the last they were given; the same at every replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// The stream's incarnation, by when it was made: another one counts anew.
    pub epoch: u64,
    /// The stream's sequence.
    pub sequence: u64,
}

impl Cursor {
    /// The epoch of a stream that was made then, in nanoseconds since 1970.
    pub fn epoch_of(created_at: Timestamp) -> u64 {
        u64::try_from(created_at.as_nanosecond()).unwrap_or_default()
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}", self.epoch, self.sequence)
    }
}

/// A text is no cursor. Says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor that was given out here")]
pub struct NoCursor;

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let (epoch, sequence) = text.split_once('.').ok_or(NoCursor)?;
        let cursor = Self {
            epoch: u64::from_str_radix(epoch, 16).map_err(|_| NoCursor)?,
            sequence: sequence.parse().map_err(|_| NoCursor)?,
        };
        // One spelling each: signs, leading zeros and capitals are not ours.
        if cursor.to_string() == text {
            Ok(cursor)
        } else {
            Err(NoCursor)
        }
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Cursor {
    fn schema_name() -> Cow<'static, str> {
        "Cursor".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "How far the receiver has followed. Opaque; hand back the last one to resume.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_there_and_back() {
        for (epoch, sequence) in [(0, 0), (0x18f2_03a4_b5c6_d7e8, 42), (u64::MAX, u64::MAX)] {
            let cursor = Cursor { epoch, sequence };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        let too_long = "1".repeat(100);
        for text in [
            "", ".", "1", "1.", ".1", "1.2.3", "+1.2", "1.+2", "01.2", "1.02", "A.1", "g.1", "1.-2",
            &too_long,
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(NoCursor), "{text}");
        }
    }
}
