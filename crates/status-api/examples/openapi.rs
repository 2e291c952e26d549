//! Writes the documents of the API to `proto/` from its handlers, or with `--check` says what would differ and exits 1.

#![expect(clippy::print_stderr, reason = "a command for people")]

use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

fn main() -> ExitCode {
    let check = std::env::args().any(|arg| arg == "--check");
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let mut stale = 0;
    for (name, document) in [
        ("openapi.json", status_api::openapi::document()),
        ("asyncapi-api.json", status_api::openapi::asyncapi()),
    ] {
        let file = proto.join(name);
        let text = text(&document);
        if std::fs::read_to_string(&file).is_ok_and(|now| now == text) {
            continue;
        }
        if check {
            eprintln!("proto/{name} differs from the handlers: run scripts/generate");
            stale += 1;
        } else if let Err(error) = std::fs::write(&file, text) {
            eprintln!("failed to write {}: {error}", file.display());
            return ExitCode::FAILURE;
        }
    }
    if stale == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn text(document: &Value) -> String {
    // A document that was parsed is always written.
    serde_json::to_string_pretty(document).unwrap_or_default() + "\n"
}
