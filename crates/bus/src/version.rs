//! Refusing a server that is too old: it would ignore what it does not know, without a word.

use wire::streams::MIN_SERVER;

use crate::BusError;

/// Checks the version a server tells.
pub(crate) fn check(told: &str) -> Result<(), BusError> {
    if parse(told).is_some_and(|version| version >= MIN_SERVER) {
        return Ok(());
    }
    Err(BusError::ServerTooOld {
        have: told.to_owned(),
        need: MIN_SERVER,
    })
}

/// `2.14.0`, `2.15.1-beta.3`, `v2.14`. A pre-release counts as its release: it has the release's features.
fn parse(text: &str) -> Option<(u64, u64, u64)> {
    let text = text.trim().trim_start_matches('v');
    let end = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let mut numbers = text[..end].split('.').map(|number| number.parse().ok());
    let mut next = || numbers.next().unwrap_or(Some(0));
    Some((next()?, next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_servers_tell_them() {
        assert_eq!(parse("2.15.1"), Some((2, 15, 1)));
        assert_eq!(parse("v2.14"), Some((2, 14, 0)));
        assert_eq!(parse("2.14.0-RC.1"), Some((2, 14, 0)));
        assert_eq!(parse("10.0.0+build"), Some((10, 0, 0)));
        for nonsense in ["", "latest", "2.x.1", "2..1", "99999999999999999999"] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn an_older_server_is_refused_by_name() {
        for good in ["2.14.0", "2.14.7", "2.15.1", "3.0.0"] {
            check(good).unwrap();
        }
        for old in ["2.9.10", "2.13.99", "1.99.99", ""] {
            check(old).unwrap_err();
        }
        let debian = check("2.9.10").unwrap_err();
        assert_eq!(
            debian.to_string(),
            "nats-server 2.9.10 is too old: 2.14.0 or newer is needed"
        );
        assert!(!debian.is_transient());
    }
}
