//! What a person sees: pure functions from answers to text, so that every output is tested as text.
//!
//! ```text
//!  an answer + Look { columns, color, now } ─► table · pairs · line ─► text
//! ```
//!
//! Everything that came over a wire is data: control characters, which could move a terminal's cursor or change its
//! colours, are taken out before it is shown.

pub(crate) mod command;
pub(crate) mod connection;
pub(crate) mod fleet;
pub(crate) mod history;
pub(crate) mod pairs;
pub(crate) mod server;
pub(crate) mod table;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod toolbox;
pub(crate) mod trouble;
pub(crate) mod webhook;
pub(crate) mod when;

use jiff::Timestamp;
use serde::Serialize;

/// For whom it is shown.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Where lines end; `None`: nowhere, it goes to a file or another program.
    pub columns: Option<usize>,
    /// Whether colours may be used.
    pub color: bool,
    /// What ages count from.
    pub now: Timestamp,
}

/// A colour, by what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tint {
    Good,
    Warning,
    Bad,
    Moving,
    Dim,
    Bold,
}

impl Tint {
    const fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Warning => "33",
            Self::Bad => "31",
            Self::Moving => "34",
            Self::Dim => "90",
            Self::Bold => "1",
        }
    }
}

impl Look {
    pub(crate) fn paint(self, text: &str, tint: Option<Tint>) -> String {
        match tint {
            Some(tint) if self.color && !text.is_empty() => format!("\x1b[{}m{text}\x1b[0m", tint.code()),
            _ => text.to_owned(),
        }
    }
}

/// Text of others as it may be printed: on one line, and without anything that a terminal would obey or that would make
/// it read otherwise than it stands there.
pub(crate) fn clean(text: &str) -> String {
    let blank = |letter: char| if letter.is_control() { ' ' } else { letter };
    let reorders = |letter: &char| matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .filter(|letter| !reorders(letter))
        .map(blank)
        .collect()
}

/// One JSON document, as people and jq read it.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> String {
    // The types are plain structs and maps with text keys: they always can be JSON.
    let text = serde_json::to_string_pretty(value).unwrap_or_else(|_| "null".to_owned());
    format!("{text}\n")
}

/// `1 server`, `2 servers`.
pub(crate) fn counted(count: u64, what: &str, plural: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { plural })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_taken_out() {
        assert_eq!(clean("a\x1b[31mb\r\nc\u{9b}d\u{202e}e"), "a [31mb  c de");
        assert_eq!(clean("häuser – 東京"), "häuser – 東京");
    }
}
