//! JSON bodies of the control API, read field by field so that a refusal can name the field that is wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// Longest delay a script may ask for, in milliseconds: an hour is longer than any client waits.
const MAX_MILLIS: u64 = 3_600_000;

/// A body that cannot be used, and the field that is to blame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field `{field}`: {problem}")]
pub struct BadField {
    /// The field's name, or `body` for the whole.
    pub field: String,
    /// What is wrong with it, in words that complete the field's name.
    pub problem: String,
}

impl BadField {
    pub(crate) fn new(field: &str, problem: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            problem: problem.into(),
        }
    }
}

/// An object whose fields are taken out one by one; what is left at the end is unknown and refused.
pub(crate) struct Fields(BTreeMap<String, Box<RawValue>>);

impl Fields {
    /// Reads a body; an empty one is an empty object.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, BadField> {
        if body.trim_ascii().is_empty() {
            return Ok(Self(BTreeMap::new()));
        }
        serde_json::from_slice(body)
            .map(Self)
            .map_err(|error| BadField::new("body", format!("must be a JSON object ({error})")))
    }

    /// A field that may be absent or null.
    pub(crate) fn opt<T: DeserializeOwned>(&mut self, name: &str, what: &str) -> Result<Option<T>, BadField> {
        match self.raw(name) {
            None => Ok(None),
            Some(raw) => serde_json::from_str(raw.get())
                .map(Some)
                .map_err(|_| BadField::new(name, format!("must be {what}"))),
        }
    }

    /// A field that must be there.
    pub(crate) fn need<T: DeserializeOwned>(&mut self, name: &str, what: &str) -> Result<T, BadField> {
        self.opt(name, what)?
            .ok_or_else(|| BadField::new(name, format!("is missing; it must be {what}")))
    }

    /// The field's text as it was sent, byte for byte; null counts as absent.
    pub(crate) fn raw(&mut self, name: &str) -> Option<Box<RawValue>> {
        self.0.remove(name).filter(|raw| raw.get() != "null")
    }

    /// A number of milliseconds up to an hour.
    pub(crate) fn millis(&mut self, name: &str) -> Result<Option<Duration>, BadField> {
        let what = format!("a whole number of milliseconds, at most {MAX_MILLIS}");
        match self.opt::<u64>(name, &what)? {
            Some(millis) if millis > MAX_MILLIS => Err(BadField::new(name, format!("must be {what}"))),
            millis => Ok(millis.map(Duration::from_millis)),
        }
    }

    /// Refuses whatever has not been taken.
    pub(crate) fn finish(self) -> Result<(), BadField> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(BadField::new(&name, "is not a field of this request")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Fields {
        Fields::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn refusals_name_the_field() {
        assert_eq!(fields("").need::<u64>("n", "a number").unwrap_err().field, "n");
        assert_eq!(
            fields(r#"{"n":"x"}"#)
                .need::<u64>("n", "a number")
                .unwrap_err()
                .to_string(),
            "field `n`: must be a number"
        );
        assert_eq!(fields(r#"{"d":3600001}"#).millis("d").unwrap_err().field, "d");
        assert_eq!(fields(r#"{"typo":1}"#).finish().unwrap_err().field, "typo");
        assert_eq!(Fields::parse(b"[1]").err().unwrap().field, "body");
        assert_eq!(Fields::parse(b"{").err().unwrap().field, "body");
    }

    #[test]
    fn what_is_absent_or_null_is_nothing() {
        let mut read = fields(r#"{"n":null,"d":250,"raw":{"a" : 1}}"#);
        assert_eq!(read.opt::<u64>("n", "a number").unwrap(), None);
        assert_eq!(read.opt::<u64>("m", "a number").unwrap(), None);
        assert_eq!(read.millis("d").unwrap(), Some(Duration::from_millis(250)));
        assert_eq!(read.raw("raw").unwrap().get(), r#"{"a" : 1}"#);
        read.finish().unwrap();
    }
}
