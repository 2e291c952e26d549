//! Signatures, verified by the published library of another language, as a receiver would.

use std::path::PathBuf;
use std::process::Stdio;

use jiff::SignedDuration;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::ground::{FORMER, Ground, SECRET, now, status};
use crate::receiver::{Received, Receiver};

/// What `scripts/setup` fetches: the library, as a Python wheel.
const WHEEL: &str = "mcp-status-sync/standardwebhooks/1.1.0/standardwebhooks-1.1.0-py3-none-any.whl";

/// Says `good`, or why not.
const PROGRAM: &str = "
import json, sys
from standardwebhooks import Webhook, WebhookVerificationError
asked = json.load(sys.stdin)
try:
    Webhook(asked['secret']).verify(asked['body'], asked['headers'])
    print('good')
except WebhookVerificationError as error:
    print(error)
";

fn wheel() -> PathBuf {
    #[expect(
        clippy::disallowed_methods,
        reason = "scripts/setup puts it into the user's cache folder"
    )]
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    let wheel = cache.unwrap_or_default().join(WHEEL);
    assert!(
        wheel.is_file(),
        "{} is missing: run scripts/setup",
        wheel.display()
    );
    wheel
}

/// What the library says of a request.
pub(crate) async fn verdict(secret: &str, received: &Received) -> String {
    let mut python = Command::new("python3")
        .args(["-c", PROGRAM])
        .env("PYTHONPATH", wheel())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let asked = json!({ "secret": secret, "body": received.body, "headers": received.headers });
    let mut stdin = python.stdin.take().unwrap();
    stdin.write_all(asked.to_string().as_bytes()).await.unwrap();
    drop(stdin);
    let output = python.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_published_library_verifies_what_is_signed_also_during_a_rotation() {
    let ground = Ground::new().await;
    let receiver = Receiver::new().await;
    let ends = now() + SignedDuration::from_hours(1);
    ground
        .webhook_with(1, 1, &receiver.url, |entry| {
            entry.secrets = vec![
                ground.sealed(1, SECRET, None),
                ground.sealed(1, FORMER, Some(ends)),
            ];
        })
        .await;
    let replica = ground.replica().await;
    ground.publish(&[status(1, 1, 1, "error", "running")]).await;
    let received = receiver.wait_for(1).await.remove(0);
    assert_eq!(verdict(SECRET, &received).await, "good");
    assert_eq!(verdict(FORMER, &received).await, "good");
    let third = "whsec_ZZECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    assert_ne!(verdict(third, &received).await, "good");
    for (name, value) in [
        ("webhook-id", "another"),
        ("webhook-timestamp", "1700000000"),
        ("webhook-signature", "v1,AAAA"),
    ] {
        let mut changed = received.clone();
        changed.headers.insert(name.to_owned(), value.to_owned());
        assert_ne!(verdict(SECRET, &changed).await, "good", "{name}");
    }
    let mut changed = received.clone();
    changed.body.push(' ');
    assert_ne!(verdict(SECRET, &changed).await, "good");

    // The former has ended.
    ground
        .webhook_with(1, 1, &receiver.url, |entry| {
            entry.secrets = vec![
                ground.sealed(1, SECRET, None),
                ground.sealed(1, FORMER, Some(now())),
            ];
        })
        .await;
    let mut version = 1;
    crate::ground::eventually("the former signs no more", async || {
        version += 1;
        ground.publish(&[status(1, 1, version, "error", "running")]).await;
        let count = usize::try_from(version).unwrap();
        let last = receiver.wait_for(count).await.pop().unwrap();
        !last.headers["webhook-signature"].contains(' ')
    })
    .await;
    let last = receiver.received().pop().unwrap();
    assert_eq!(verdict(SECRET, &last).await, "good");
    assert_ne!(verdict(FORMER, &last).await, "good");
    replica.stop().await;
}
