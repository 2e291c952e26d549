//! Reading JSON that nobody vouches for.
//!
//! Values are looked at where they stand in the body (`RawValue`), never built into a tree: a tree of a hostile body
//! is an order of magnitude larger than the body. Nothing here recurses, so nesting cannot exhaust the stack either.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

/// A field's value where it stands; `None` when the field is missing or null, which agents use alike.
pub(super) type Raw<'a> = Option<&'a RawValue>;

/// Why a body cannot be read. The texts name the place and what was expected there, and never repeat the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no JSON at all, or not all of it.
    #[error("expected JSON, found {0}")]
    NotJson(String),
    /// It is JSON of another shape.
    #[error("{field}: expected {expected}")]
    WrongShape {
        /// Path of the field, such as `tool_instances[3].status`; `body` for the whole.
        field: String,
        /// What would have been taken there.
        expected: &'static str,
    },
}

impl Unreadable {
    pub(super) fn wrong(field: impl Into<String>, expected: &'static str) -> Self {
        Self::WrongShape {
            field: field.into(),
            expected,
        }
    }

    /// The same, seen from the value that holds `field` under `parent`.
    pub(super) fn under(self, parent: impl fmt::Display) -> Self {
        match self {
            Self::WrongShape { field, expected } => {
                let field = if field.is_empty() {
                    parent.to_string()
                } else {
                    format!("{parent}.{field}")
                };
                Self::WrongShape { field, expected }
            }
            other => other,
        }
    }
}

/// The whole body as one value.
pub(super) fn body(bytes: &[u8]) -> Result<&RawValue, Unreadable> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| Unreadable::NotJson("bytes that are no text".to_owned()))?;
    serde_json::from_str(text).map_err(|error| {
        Unreadable::NotJson(match error.classify() {
            _ if text.trim_start().is_empty() => "nothing".to_owned(),
            _ if text.trim_start().starts_with('<') => "an HTML page".to_owned(),
            Category::Eof => format!("text that ends too early, after {} bytes", text.len()),
            _ => format!(
                "something else at line {} column {}",
                error.line(),
                error.column()
            ),
        })
    })
}

/// An object as `T`, a struct of [`Raw`] fields.
pub(super) fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, Unreadable> {
    // Derived structs would also take a list, field by field.
    if !raw.get().starts_with('{') {
        return Err(Unreadable::wrong("", "an object"));
    }
    serde_json::from_str(raw.get()).map_err(|_| Unreadable::wrong("", "an object that has each field once"))
}

/// An optional value of a plain type.
pub(super) fn plain<'a, T: Deserialize<'a>>(
    raw: Raw<'a>,
    field: &str,
    expected: &'static str,
) -> Result<Option<T>, Unreadable> {
    raw.map(|raw| serde_json::from_str(raw.get()).map_err(|_| Unreadable::wrong(field, expected)))
        .transpose()
}

/// An optional text; blank counts as missing, because agents send `""` for "none".
pub(super) fn text(raw: Raw<'_>, field: &str) -> Result<Option<String>, Unreadable> {
    let text: Option<String> = plain(raw, field, "a text")?;
    Ok(text.filter(|text| !text.trim().is_empty()))
}

/// An instant; text that is none, and Go's zero date, count as missing: an instant is never worth a whole report.
pub(super) fn instant(raw: Raw<'_>, field: &str) -> Result<Option<jiff::Timestamp>, Unreadable> {
    let text = text(raw, field)?;
    Ok(text
        .and_then(|text| text.trim().parse().ok())
        .filter(|at: &jiff::Timestamp| at.as_second() > 0))
}

/// The first elements of a list.
pub(super) struct Few<T> {
    pub(super) items: Vec<T>,
    /// There were more than were asked for.
    pub(super) more: bool,
}

/// At most `limit` elements of a list; the rest is read over without being kept.
pub(super) fn list<'a, T: Deserialize<'a>>(
    raw: Raw<'a>,
    field: &str,
    limit: usize,
    expected: &'static str,
) -> Result<Few<T>, Unreadable> {
    let wrong = || Unreadable::wrong(field, expected);
    let raw = raw.ok_or_else(wrong)?;
    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    deserializer
        .deserialize_seq(Limited {
            limit,
            kind: PhantomData,
        })
        .map_err(|_| wrong())
}

struct Limited<T> {
    limit: usize,
    kind: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Limited<T> {
    type Value = Few<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Few<T>, A::Error> {
        let mut items = Vec::new();
        while items.len() < self.limit {
            match list.next_element()? {
                Some(item) => items.push(item),
                None => return Ok(Few { items, more: false }),
            }
        }
        let mut more = false;
        while list.next_element::<IgnoredAny>()?.is_some() {
            more = true;
        }
        Ok(Few { items, more })
    }
}

/// The longest beginning of `text` that has at most `max` bytes.
pub(super) fn cut(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
}
