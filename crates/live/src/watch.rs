//! Whoever passes on what changes.

use std::fmt;
use std::sync::Arc;

use domain::AccountId;
use wire::Cursor;
use wire::stream::ResetReason;

use crate::told::Told;

/// What happens to the picture.
#[derive(Debug, Clone, Copy)]
pub enum News<'a> {
    /// Something changed. What is [elsewhere](Told::elsewhere) is only for who saw it as its owner.
    Told(&'a Arc<Told>),
    /// The source is away: what is known may be old.
    Lost,
    /// The picture is whole, for the first time or again.
    Whole {
        /// It is another than before, and must be told in full.
        reset: Option<ResetReason>,
        /// What changed meanwhile, in the order of the stream; nothing when it must be told in full.
        changed: &'a [Arc<Told>],
        /// Everything up to here is in it.
        position: Cursor,
    },
    /// Another is connected to other servers; `None`: everybody may be.
    Connections(Option<AccountId>),
}

/// Whoever passes on what changes.
///
/// Called while the picture is held, so that who looks at it ([`Fleet::look`](crate::Fleet::look)) and is then told of what
/// changes misses nothing and gets nothing twice: must be quick, and must not ask the fleet back.
pub trait Watch: fmt::Debug + Send + Sync {
    /// Takes in what happened.
    fn told(&self, news: News<'_>);
}
