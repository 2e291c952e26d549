//! Writes the NATS permissions in `deploy/nats` from the table, or with `--check` says what would differ and exits 1.

#![expect(clippy::print_stderr, reason = "a command for people")]

use std::path::Path;
use std::process::ExitCode;

use bus::permissions;

fn main() -> ExitCode {
    let check = std::env::args().any(|arg| arg == "--check");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/nats");
    let mut code = ExitCode::SUCCESS;
    for (name, text) in [
        ("permissions.conf", permissions::permissions_file()),
        ("accounts.conf", permissions::accounts_file()),
        ("tenant.conf.template", permissions::tenant_file()),
    ] {
        let file = folder.join(name);
        if std::fs::read_to_string(&file).is_ok_and(|now| now == text) {
            continue;
        }
        if check {
            eprintln!("deploy/nats/{name} differs from the table: run scripts/generate");
            code = ExitCode::FAILURE;
        } else if let Err(error) = std::fs::write(&file, text) {
            eprintln!("failed to write {}: {error}", file.display());
            return ExitCode::FAILURE;
        }
    }
    code
}
