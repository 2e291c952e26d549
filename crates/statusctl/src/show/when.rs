//! Spans of time as people say them.

use jiff::Timestamp;

/// `3d 4h`, `2h 5m`, `7m 3s`, `12s`: the two largest units.
pub(crate) fn span(seconds: u64) -> String {
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let shown = parts[first..]
        .iter()
        .take(2)
        .enumerate()
        .filter(|(place, (count, _))| *place == 0 || *count > 0);
    shown
        .map(|(_, (count, unit))| format!("{count}{unit}"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Seconds from `then` to `now`; 0 where a clock is behind.
pub(crate) fn seconds(now: Timestamp, then: Timestamp) -> u64 {
    u64::try_from(now.duration_since(then).as_secs()).unwrap_or(0)
}

/// How long ago.
pub(crate) fn since(now: Timestamp, then: Timestamp) -> String {
    span(seconds(now, then))
}

/// To the second, in UTC: `2026-11-22 11:59:50Z`.
pub(crate) fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        for (then, text) in [
            ("2026-11-22T12:00:00Z", "0s"),
            ("2026-11-22T12:00:09Z", "0s"),
            ("2026-11-22T11:59:48Z", "12s"),
            ("2026-11-22T11:52:57Z", "7m 3s"),
            ("2026-11-22T10:00:00Z", "2h"),
            ("2026-11-19T08:00:00Z", "3d 4h"),
        ] {
            assert_eq!(since(now, then.parse().unwrap()), text, "{then}");
        }
        assert_eq!(instant(now), "2026-11-22 12:00:00Z");
    }
}
