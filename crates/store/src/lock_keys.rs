//! The advisory locks this system takes.

/// The first key of every lock that is one for the whole system: a number of our own ("STSY" in ASCII), because the
/// owner's application may use advisory locks too.
pub(crate) const SYSTEM: i32 = 1_398_035_289;
/// Second key: one relay at a time publishes what was left over.
pub(crate) const RELAY: i32 = 1;
/// Second key: one replica at a time mirrors the registry.
pub(crate) const MIRROR: i32 = 2;
