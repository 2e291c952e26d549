//! The program: its ready line, its registry file, its signals and its errors.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::support::{PATIENCE, client};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dtma-sim"));
    command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn ready(child: &mut Child) -> Value {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    serde_json::from_str(&line).unwrap()
}

#[tokio::test]
async fn it_announces_itself_writes_its_registry_and_stops_on_signals() {
    let folder = tempfile::tempdir().unwrap();
    for signal in [Signal::TERM, Signal::INT] {
        let file = folder.path().join("fleet.json");
        let mut child = program()
            .args(["--toolboxes=3", "--seed=9", "--dialect=b", "--write-registry"])
            .arg(&file)
            .spawn()
            .unwrap();
        let announced = ready(&mut child).await;
        assert_eq!(announced["toolboxes"], 3);
        let registry: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(
            (&registry["url"], &registry["seed"]),
            (&announced["url"], &9.into())
        );
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(
            std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600,
            "it holds tokens"
        );
        let toolbox = &registry["toolboxes"][2];
        let url = format!("{}/tools/status", toolbox["base_url"].as_str().unwrap());
        let answer = client()
            .get(url)
            .bearer_auth(toolbox["token"].as_str().unwrap())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);

        let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        let begun = Instant::now();
        kill_process(pid, signal).unwrap();
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
            .await
            .unwrap()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no draft is left"
        );
    }
}

#[tokio::test]
async fn an_error_is_one_line_and_a_code() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let table: [(&[&str], &str); 5] = [
        (&["--advertise-host=not a host"], "--advertise-host"),
        (&["--listen", &address], &address),
        (&["--toolboxes=100001"], "--toolboxes"),
        (
            &["--write-registry=/no/such/folder/fleet.json"],
            "/no/such/folder",
        ),
        (&["--log=[["], "--log"),
    ];
    for (args, named) in table {
        let output = tokio::time::timeout(PATIENCE, program().args(args).output())
            .await
            .unwrap()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
        assert!(
            text.starts_with("dtma-sim: ") && text.contains(named),
            "{args:?}: {text}"
        );
    }
}

#[tokio::test]
async fn its_help_teaches() {
    let output = program().arg("--help").output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for word in [
        "--toolboxes",
        "--heartbeat-url",
        "/control/fleet",
        "misbehave",
        "DTMA_SIM_SEED",
        "SIGTERM",
    ] {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
}
