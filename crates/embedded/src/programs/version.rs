//! Versions, as programs print them.

use std::fmt;

/// A program's version. Ordered; a version without a patch level comes before every one with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number; 0 where there is none (`16beta1`).
    pub minor: u32,
    /// Third number, which PostgreSQL does not have.
    pub patch: Option<u32>,
}

impl Version {
    /// The first word of `text` that starts with a digit (or `v` and a digit), as far as it is a version:
    /// `nats-server: v2.15.1`, `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, `16beta1`.
    pub(crate) fn find(text: &str) -> Option<Self> {
        let starts_with_digit = |word: &&str| word.starts_with(|first: char| first.is_ascii_digit());
        let word = text
            .split_whitespace()
            .map(|word| word.trim_start_matches('v'))
            .find(starts_with_digit)?;
        let end = word
            .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
            .unwrap_or(word.len());
        let mut numbers = word[..end].split('.').map(str::parse);
        let major = numbers.next()?.ok()?;
        let minor = numbers.next().and_then(Result::ok).unwrap_or(0);
        Some(Self {
            major,
            minor,
            patch: numbers.next().and_then(Result::ok),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        self.patch.map_or(Ok(()), |patch| write!(f, ".{patch}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_programs_print_them() {
        let version = |major, minor, patch| Some(Version { major, minor, patch });
        assert_eq!(Version::find("nats-server: v2.15.1"), version(2, 15, Some(1)));
        assert_eq!(
            Version::find("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            version(15, 18, None)
        );
        assert_eq!(
            Version::find("postgres (PostgreSQL) 19beta1"),
            version(19, 0, None)
        );
        assert_eq!(Version::find("2.15.1-beta.3"), version(2, 15, Some(1)));
        assert_eq!(Version::find("18"), version(18, 0, None));
        assert_eq!(Version::find("no number here"), None);
        assert_eq!(Version::find("99999999999"), None);
    }
}
