//! The OpenAPI document against the service that it documents, by a tester that knows nothing else of it.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;
use uuid::Uuid;

use crate::client::user_token;
use crate::world::{Setup, World};

/// Its owner, a stranger and somebody without a token ask whatever the document allows and does not allow: no answer is of
/// the 5xx class, none has a status or a body that is not documented, and the stranger is shown nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_is_what_its_document_says_to_its_owner_to_strangers_and_to_nobody() {
    let world = World::start(Setup {
        apis: 1,
        // It asks far more often than a client may.
        api: vec![
            "--rate",
            "100000",
            "--rate-burst",
            "100000",
            "--command-rate",
            "100000",
            "--command-burst",
            "100000",
            "--failed-token-rate",
            "100000",
            "--failed-token-burst",
            "100000",
        ],
        ..Setup::default()
    })
    .await;
    world.all_running().await;
    let toolbox = world.sim.toolbox(0);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/api-fuzz");
    let mut fuzz = Command::new(script);
    fuzz.args(["--url", world.api_url(0)])
        .args(["--secret", &toolbox.id.to_string()])
        .args(["--secret", &toolbox.name])
        .args(["--secret", &toolbox.account_id.to_string()]);
    for instance in &toolbox.instances {
        fuzz.args(["--secret", &instance.id.to_string()]);
    }
    let output = fuzz
        .args(["--", "--max-examples", "15", "--seed", "1"])
        .env("API_TOKEN", user_token(toolbox.account_id))
        .env("API_OTHER_TOKEN", user_token(Uuid::new_v4()))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    // For the reader of the log.
    println!("{}", String::from_utf8_lossy(&output.stdout));
    world.stop().await;
}
