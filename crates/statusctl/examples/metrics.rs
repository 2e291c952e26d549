//! Writes `deploy/observability/METRICS.md` from what is declared, or with `--check` says whether it differs and exits 1.

#![expect(clippy::print_stderr, reason = "a command for people")]

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/observability/METRICS.md");
    let text = statusctl::measured::table();
    if std::fs::read_to_string(&file).is_ok_and(|now| now == text) {
        return ExitCode::SUCCESS;
    }
    if std::env::args().any(|arg| arg == "--check") {
        eprintln!("deploy/observability/METRICS.md differs from what is declared: run scripts/generate");
        return ExitCode::FAILURE;
    }
    match std::fs::write(&file, text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed to write {}: {error}", file.display());
            ExitCode::FAILURE
        }
    }
}
