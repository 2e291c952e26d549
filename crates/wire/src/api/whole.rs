//! Whole numbers, however they are written: to JSON Schema `10.0` is one too (JSON Schema Core 2020-12, 4.2.3).

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Number;

/// Reads one.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    of(&Number::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Reads one that may be missing.
pub(super) fn read_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let number = Option::<Number>::deserialize(deserializer)?;
    number
        .map(|number| of(&number).map_err(D::Error::custom))
        .transpose()
}

fn of(number: &Number) -> Result<u32, &'static str> {
    let text = number.to_string();
    let whole = text.strip_suffix(".0").unwrap_or(&text);
    // Zero has a sign when it is written with a point.
    let unsigned = if whole == "-0" { "0" } else { whole };
    unsigned
        .parse()
        .map_err(|_| "invalid value, expected a whole number")
}

#[cfg(test)]
mod tests {
    use crate::api::WebhookRotation;

    #[test]
    fn a_whole_number_however_it_is_written() {
        for (text, value) in [
            ("10", Some(Some(10))),
            ("10.0", Some(Some(10))),
            ("-0.0", Some(Some(0))),
            ("null", Some(None)),
            ("10.5", None),
            ("-1", None),
            ("1e99", None),
            ("\"10\"", None),
        ] {
            let text = format!(r#"{{"overlapSeconds":{text}}}"#);
            let read = serde_json::from_str::<WebhookRotation>(&text).ok();
            assert_eq!(read.map(|request| request.overlap_seconds), value, "{text}");
        }
        let nothing = serde_json::from_str::<WebhookRotation>("{}").unwrap();
        assert_eq!(nothing.overlap_seconds, None);
    }
}
