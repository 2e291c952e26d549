//! Has the crate compiled again when the board was built: it is taken into the binary.

use std::path::Path;

/// What the web build writes, and what is there before it.
const WATCHED: [&str; 3] = ["../../web/board/dist", "../../web/board", "build.rs"];

fn main() {
    // The first that exists: cargo would take one that does not for changed, at every build.
    if let Some(there) = WATCHED.into_iter().find(|path| Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={there}");
    }
}
