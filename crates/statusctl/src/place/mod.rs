//! Which installation is meant, and how it is reached.
//!
//! ```text
//!  --api-url · --profile · --data-dir        ─┐  flags
//!  STATUS_API_URL · STATUS_PROFILE            ├─► Installation { API and its token, NATS, database }
//!  the current profile                        │  the first that says something
//!  a running `statusctl up`                  ─┘
//! ```
//!
//! A token goes only where it belongs: one that comes with a profile is never sent to a URL from elsewhere.

pub mod environment;
mod nats;
pub mod profiles;
mod resolve;
mod token;

pub use environment::Environment;
pub use resolve::{Installation, NatsAccess, Selection, resolve};
pub(crate) use token::{AUDIENCE, read_file_or_stdin, read_secret};
pub use token::{Minting, TokenSource, mint_for_services};
