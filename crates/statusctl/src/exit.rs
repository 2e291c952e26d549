//! How a command ends: the exit code that scripts branch on, and the one line that people read.

use std::fmt;

/// The exit codes. Documented in `statusctl --help` and the README; a changed number is a broken script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// It came to another end, or doctor found errors.
    Failed = 1,
    /// What was asked for cannot be meant.
    Usage = 2,
    /// There is no such thing, or it is somebody else's.
    NotFound = 3,
    /// The token is none, or not for this.
    NotPermitted = 4,
    /// Something else is under way, or the name is taken.
    Conflict = 5,
    /// Nothing answers, or not now.
    Unreachable = 6,
    /// Ctrl-C, or SIGTERM.
    Interrupted = 130,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// That of several things done at once: the one they agree on, else that something failed.
    pub fn of_all(exits: impl IntoIterator<Item = Self>) -> Self {
        let mut failed = exits.into_iter().filter(|exit| *exit != Self::Done);
        match failed.next() {
            None => Self::Done,
            Some(first) if failed.all(|exit| exit == first) => first,
            Some(_) => Self::Failed,
        }
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// One line for people, without the program's name and without a secret.
    pub text: String,
}

impl Failure {
    /// A failure with these words.
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self {
            exit,
            text: text.into(),
        }
    }

    /// The arguments cannot be meant.
    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }

    /// There is no such thing.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, text)
    }

    /// Nothing answers.
    pub fn unreachable(text: impl Into<String>) -> Self {
        Self::new(Exit::Unreachable, text)
    }

    /// Ctrl-C.
    pub fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(failure) => failure,
            Err(error) => Self::new(Exit::Failed, format!("{error:#}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_agree_or_have_failed() {
        use Exit::{Conflict, Done, Failed, NotFound};
        for (exits, expected) in [
            (&[][..], Done),
            (&[Done, Done], Done),
            (&[Done, NotFound, NotFound], NotFound),
            (&[NotFound, Conflict], Failed),
        ] {
            assert_eq!(Exit::of_all(exits.iter().copied()), expected, "{exits:?}");
        }
    }

    #[test]
    fn a_failure_keeps_its_code_on_its_way_through_other_errors() {
        let failure = Failure::not_found("no server is named x");
        assert_eq!(Failure::from(anyhow::Error::from(failure.clone())), failure);
        assert_eq!(Failure::from(anyhow::anyhow!("no")).exit, Exit::Failed);
    }
}
