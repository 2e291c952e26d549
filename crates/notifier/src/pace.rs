//! When a stream is to do what nobody asks for: signs of life, looking again at what may be seen, its own end.

use jiff::Timestamp;
use tokio::time::{Duration, Instant};

use crate::clock;
use crate::config::StreamOptions;

/// Messages written in one go.
pub(crate) const BATCH: usize = 64;
/// Between writes under load: what comes meanwhile is written together, at a sixth of the cost. What comes after a pause
/// is written at once.
const GATHER: Duration = Duration::from_millis(2);

/// The times of one stream.
#[derive(Debug)]
pub(crate) struct Pace {
    ping_every: Duration,
    recheck_every: Duration,
    ping: Instant,
    recheck: Instant,
    idle: Instant,
    expires: Instant,
    wrote: Option<Instant>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tick {
    Ping,
    Recheck,
    Idle,
    Expired,
}

impl Pace {
    pub(crate) fn new(options: &StreamOptions, expires_at: Timestamp) -> Self {
        let now = Instant::now();
        Self {
            ping_every: options.ping_every,
            recheck_every: options.recheck,
            ping: now + options.ping_every,
            recheck: now + options.recheck,
            idle: now + options.idle_timeout,
            expires: clock::instant_of(expires_at),
            wrote: None,
        }
    }

    /// When something is due.
    pub(crate) fn next(&self) -> Instant {
        self.ping.min(self.recheck).min(self.idle).min(self.expires)
    }

    /// What is due now; it is put off to the next time.
    pub(crate) fn due(&mut self) -> Option<Tick> {
        let now = Instant::now();
        if self.expires <= now {
            return Some(Tick::Expired);
        }
        if self.recheck <= now {
            self.recheck = now + self.recheck_every;
            return Some(Tick::Recheck);
        }
        if self.ping <= now {
            self.ping = now + self.ping_every;
            return Some(Tick::Ping);
        }
        if self.idle <= now {
            // A stream with a subscription is not looked at again until it asks for something.
            self.idle = now + Duration::from_secs(24 * 3600);
            return Some(Tick::Idle);
        }
        None
    }

    /// The client asked for something.
    pub(crate) fn asked(&mut self, options: &StreamOptions) {
        self.idle = Instant::now() + options.idle_timeout;
    }

    pub(crate) fn expires(&mut self, at: Timestamp) {
        self.expires = clock::instant_of(at);
    }

    pub(crate) fn wrote(&mut self) {
        self.wrote = Some(Instant::now());
    }

    /// When the next write may be.
    pub(crate) fn gathered(&self) -> Instant {
        self.wrote.map_or_else(Instant::now, |wrote| wrote + GATHER)
    }
}
