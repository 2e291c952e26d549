//! Writes `proto/` from the types, or with `--check` says what would differ and exits 1.

#![expect(clippy::print_stderr, reason = "a command for people")]

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let check = std::env::args().any(|arg| arg == "--check");
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let mut stale = 0;
    for (path, text) in wire::schema::files() {
        let file = proto.join(&path);
        if std::fs::read_to_string(&file).is_ok_and(|now| now == text) {
            continue;
        }
        if check {
            eprintln!("proto/{path} differs from the types: run scripts/generate");
            stale += 1;
            continue;
        }
        let written = file
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&file, text));
        if let Err(error) = written {
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
