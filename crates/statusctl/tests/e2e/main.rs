//! The whole path on real servers: agents (simulated) → dtma-poller → NATS → status-mapper → PostgreSQL and NATS.

mod captured;
mod delivery;
mod host;
mod outages;
mod silence;
mod world;
