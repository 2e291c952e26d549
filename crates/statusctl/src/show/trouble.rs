//! How bad it is: the order and the colours of servers, the same everywhere.

use crate::show::Tint;

/// Worst first. `explained`: there is a reason that people will ask for.
pub(crate) fn trouble(state: &str, health: &str, explained: bool) -> u8 {
    match (state, health) {
        ("error", _) => 0,
        (_, "unhealthy") => 1,
        ("unknown", _) => 2,
        (_, "degraded") => 3,
        ("starting" | "stopping", _) => 4,
        ("stopped", _) if explained => 5,
        ("stopped", _) => 7,
        _ => 6,
    }
}

/// As the board colours them: green, yellow, red, blue, else grey.
pub(crate) fn tint(state: &str, health: &str) -> Tint {
    match (state, health) {
        ("running", "healthy") => Tint::Good,
        ("running", "degraded") => Tint::Warning,
        ("running", "unhealthy") | ("error", _) => Tint::Bad,
        ("starting" | "stopping", _) => Tint::Moving,
        _ => Tint::Dim,
    }
}

/// Of a health alone.
pub(crate) fn health_tint(health: &str) -> Tint {
    match health {
        "healthy" => Tint::Good,
        "degraded" => Tint::Warning,
        "unhealthy" => Tint::Bad,
        _ => Tint::Dim,
    }
}
