//! What all messages have in common.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A body that travels under one of [`crate::subjects`].
pub trait Message: Serialize + DeserializeOwned + schemars::JsonSchema {
    /// The CloudEvents type, with the version of the body.
    const TYPE: &'static str;
}

/// Why a body was refused. The texts name the field and what was expected, and never repeat the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not JSON, or not of the type's shape.
    #[error("body is not a {type_name}: {problem}")]
    Undecodable {
        /// The CloudEvents type expected.
        type_name: &'static str,
        /// Where and what, from the parser.
        problem: String,
    },
    /// Of the right shape, with a value that cannot be.
    #[error("field {field}: expected {expected}")]
    Invalid {
        /// Path of the field.
        field: &'static str,
        /// What would have been taken.
        expected: &'static str,
    },
}

impl Refused {
    pub(crate) fn invalid(field: &'static str, expected: &'static str) -> Self {
        Self::Invalid { field, expected }
    }
}

/// Decodes a body.
///
/// # Errors
/// [`Refused::Undecodable`], with the position and the problem but no part of the body.
pub(crate) fn decode<M: Message>(body: &[u8]) -> Result<M, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused::Undecodable {
        type_name: M::TYPE,
        problem: match error.classify() {
            // serde's text for data errors names fields and types; values that it may quote are cut off.
            serde_json::error::Category::Data => {
                let text = error.to_string();
                format!(
                    "{} at line {} column {}",
                    shape_only(&text),
                    error.line(),
                    error.column()
                )
            }
            category => format!("{category:?} at line {} column {}", error.line(), error.column()),
        },
    })
}

/// The part of serde's text that comes from the type, not from the body: up to the first quoted value.
fn shape_only(text: &str) -> String {
    let end = text.find(['"', '(']).unwrap_or(text.len());
    let end = text.find(" at line").map_or(end, |at| at.min(end));
    text[..end].trim().trim_end_matches([':', ',']).to_owned()
}

macro_rules! message {
    ($type:ty, $name:literal) => {
        impl crate::Message for $type {
            const TYPE: &'static str = $name;
        }

        impl $type {
            /// Decodes a body.
            ///
            /// # Errors
            /// [`crate::Refused`], naming what was expected and never repeating the body.
            pub fn decode(body: &[u8]) -> Result<Self, crate::Refused> {
                crate::message::decode(body)
            }
        }
    };
}
pub(crate) use message;
