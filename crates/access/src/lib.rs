//! Who a bearer token is, and what they may see. The one place that decides either.
//!
//! ```text
//!  bearer token ─► Verifier::verify(token, now) ─┬─► Principal { viewer, role, actor, account, expires_at }
//!                    │ HS256: the secret         └─► Denied: a text for the client, a label for the counter
//!                    │ RS, PS, ES, EdDSA: by kid               │
//!                    ▼                                         │
//!               keys (replaced whole) ◄── Keeper ◄── GET the JWKS: at once, every 10 minutes, early for a new kid
//!
//!  rows of the application ─► Connections ─► may_see(viewer, owner, server) · may_command(viewer, owner)
//! ```
//!
//! A token proves one of three: a user (`sub` is the account), an admin (a claim that only the issuer writes), or a
//! service of the application (`role` is `service_role`). Users see what they own and what an active connection of
//! theirs names; admins and services see everything. Nobody else gets in, `anon` least of all.
//!
//! What it must never do: let a token choose how it is verified (the algorithm is the key's, and a key or address in
//! the token's header is not looked at), take a token that never expires, read a clock, put any part of a token or the
//! secret into a text, a log line or `Debug`, or let forged tokens cause more than one fetch of keys in 30 seconds.
//! It knows nothing of HTTP answers, SQL or NATS: the host turns [`Denied`] into a status and feeds [`Connections`].

mod claims;
mod connections;
mod denied;
mod fetch;
mod key_set;
mod keys;
mod metrics;
mod mint;
mod options;
mod principal;
mod verifier;
mod visibility;

pub use connections::{Connection, Connections};
pub use denied::Denied;
pub use domain::ConnectionId;
pub use keys::Keeper;
pub use metrics::METRICS;
pub use mint::{NewToken, mint};
pub use options::{AccessOptions, AdminClaim};
pub use principal::{Principal, Role, Viewer};
pub use verifier::Verifier;
pub use visibility::{may_command, may_see};
