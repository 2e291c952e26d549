//! Several things done at once, of which some fail.

use crate::ctl::Context;
use crate::exit::{Exit, Failure};

/// What went wrong so far. All but the last are told at once; the last is what the command ends with.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    exits: Vec<Exit>,
    last: Option<Failure>,
}

impl Failures {
    /// Something failed, and nobody was told yet.
    pub(crate) fn add(&mut self, context: &Context, failure: Failure) {
        self.exits.push(failure.exit);
        if let Some(before) = self.last.replace(failure) {
            context.note(&before.text);
        }
    }

    /// Something ended so, and its line says it.
    pub(crate) fn ended(&mut self, exit: Exit) {
        self.exits.push(exit);
    }

    /// How the command ends.
    pub(crate) fn end(self) -> Result<Exit, Failure> {
        let exit = Exit::of_all(self.exits);
        match self.last {
            None => Ok(exit),
            Some(last) => Err(Failure { exit, ..last }),
        }
    }
}
