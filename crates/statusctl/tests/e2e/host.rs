//! `statusctl up` as a person runs it: a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::world::PATIENCE;

struct Up {
    child: Child,
}

impl Up {
    fn start(data_dir: &Path, more: &[&str]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_statusctl"))
            .args(["up", "--data-dir"])
            .arg(data_dir)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self { child }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until `endpoints.json` is there, or fails with the child.
    fn endpoints(&mut self, data_dir: &Path) -> Value {
        let path = data_dir.join("endpoints.json");
        wait("endpoints.json", || {
            assert!(
                self.child.try_wait().unwrap().is_none(),
                "statusctl up ended early"
            );
            let endpoints: Value = serde_json::from_slice(&std::fs::read(&path).ok()?).unwrap();
            (endpoints["pid"] == self.child.id()).then_some(endpoints)
        })
    }

    fn ends(&mut self) -> std::process::ExitStatus {
        wait("the end", || self.child.try_wait().unwrap())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait<T>(what: &str, mut get: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(got) = get() {
            return got;
        }
        assert!(began.elapsed() < PATIENCE * 2, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Processes whose command line names the data folder, `statusctl` itself left out.
fn processes_of(data_dir: &Path) -> Vec<String> {
    let needle = data_dir.to_str().unwrap();
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(needle) && !line.contains("statusctl"))
        .collect()
}

fn watch(data_dir: &Path) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_statusctl"))
        .args(["watch", "--json", "--snapshot", "--data-dir"])
        .arg(data_dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

/// The exit code and the JSON of a command that ends by itself.
fn asked(data_dir: &Path, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_statusctl"))
        .args(arguments)
        .arg("--data-dir")
        .arg(data_dir)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"));
    (output.status.code(), answer)
}

#[test]
fn a_start_a_watch_and_an_orderly_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start(dir.path(), &["--demo", "3", "--demo-chaos", "0"]);
    let endpoints = up.endpoints(dir.path());
    for pointer in [
        "/nats/url",
        "/database/url",
        "/services/dtma-poller/url",
        "/services/status-mapper/url",
        "/services/status-api/url",
        "/sim/url",
    ] {
        assert!(
            endpoints.pointer(pointer).is_some_and(Value::is_string),
            "{pointer} in {endpoints}"
        );
    }

    opens_the_board(dir.path(), &endpoints);

    let (mut watching, lines) = watch(dir.path());
    let mut servers = std::collections::HashMap::new();
    for line in lines.lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if event["kind"] == "status" {
            servers.insert(event["serverId"].clone(), event["state"].clone());
        }
        if servers.len() == 9 && servers.values().all(|state| state == "running") {
            break;
        }
    }
    watching.kill().unwrap();
    watching.wait().unwrap();

    // Asked without a word about where: the address and the token are those of the folder.
    let (code, listed) = asked(dir.path(), &["list", "--json"]);
    assert_eq!((code, listed.as_array().unwrap().len()), (Some(0), 9));
    wait("a doctor who finds nothing", || {
        let (code, findings) = asked(dir.path(), &["doctor", "--probe", "--json"]);
        let findings = findings.as_array().unwrap();
        let well = findings.iter().all(|finding| finding["level"] == "ok");
        assert!(findings.len() > 10, "{findings:?}");
        (code == Some(0) && well).then_some(())
    });
    let (code, findings) = asked(
        dir.path(),
        &["doctor", "--nats-url", "nats://127.0.0.1:1", "--json"],
    );
    assert_eq!(code, Some(1));
    assert_eq!(findings[0]["runbook"], "runbook#nats-unreachable");

    up.signal(Signal::TERM);
    assert!(up.ends().success());
    assert!(!dir.path().join("endpoints.json").exists());
    assert_eq!(processes_of(dir.path()), Vec::<String>::new());

    // The data is still there: what was announced is not announced again.
    let mut up = Up::start(dir.path(), &["--demo", "3", "--demo-chaos", "0"]);
    up.endpoints(dir.path());
    let (mut watching, mut lines) = watch(dir.path());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let event: Value = serde_json::from_str(&line).unwrap();
    assert!(event["version"].as_u64().unwrap() >= 1, "{event}");
    watching.kill().unwrap();
    watching.wait().unwrap();
    up.signal(Signal::INT);
    assert!(up.ends().success());
    assert_eq!(processes_of(dir.path()), Vec::<String>::new());
}

/// What a browser does with a link: the page, where status-api is, and the token for the code.
fn opens_the_board(data_dir: &Path, endpoints: &Value) {
    let (code, link) = asked(data_dir, &["board", "--json"]);
    assert_eq!(code, Some(0));
    let link = link["url"].as_str().unwrap();
    let (board, code) = link.split_once("/#code=").unwrap();
    assert_eq!(board, endpoints.pointer("/services/notifier/url").unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::new();
        let page = client
            .get(board)
            .header("accept", "text/html")
            .send()
            .await
            .unwrap();
        assert_eq!(page.status(), 200);
        let policy = page.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        let settings = client.get(format!("{board}/board.json")).send().await.unwrap();
        let settings: Value = settings.json().await.unwrap();
        let api = settings["apiUrl"].as_str().unwrap();
        assert_eq!(api, endpoints.pointer("/services/status-api/url").unwrap());
        let redeem = || {
            client
                .post(format!("{api}/v1/sign-ins/redeem"))
                .header("origin", board)
                .json(&serde_json::json!({ "code": code }))
                .send()
        };
        let redeemed = redeem().await.unwrap();
        assert_eq!(redeemed.headers()["access-control-allow-origin"], board);
        let token: Value = redeemed.json().await.unwrap();
        let token = token["token"].as_str().unwrap();
        assert_eq!(redeem().await.unwrap().status(), 404, "once");
        let me = client
            .get(format!("{api}/v1/me"))
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        let me: Value = me.json().await.unwrap();
        assert_eq!(me["accountId"], endpoints["demoAccount"]);
        assert_eq!(me["role"], "user");
        // Its own pages may open the stream, and those of others not.
        for (origin, status) in [(board, 200), ("http://evil.example", 403)] {
            let stream = client
                .get(format!("{board}/v1/events?all=true"))
                .header("origin", origin)
                .bearer_auth(token);
            assert_eq!(stream.send().await.unwrap().status(), status, "{origin}");
        }
    });
}

#[test]
fn killed_it_leaves_nothing_running_and_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start(dir.path(), &[]);
    up.endpoints(dir.path());
    assert!(!processes_of(dir.path()).is_empty());
    up.signal(Signal::KILL);
    up.ends();
    wait("the children's end", || {
        processes_of(dir.path()).is_empty().then_some(())
    });
    assert!(
        dir.path().join("endpoints.json").exists(),
        "nobody was there to remove it"
    );

    let mut up = Up::start(dir.path(), &[]);
    up.endpoints(dir.path());
    // A second one on the same folder is refused, in one line, and disturbs nothing.
    let second = Command::new(env!("CARGO_BIN_EXE_statusctl"))
        .args(["up", "--data-dir"])
        .arg(dir.path())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let text = String::from_utf8(second.stderr).unwrap();
    assert!(text.lines().last().unwrap().starts_with("statusctl: "), "{text}");
    up.endpoints(dir.path());
    up.signal(Signal::TERM);
    assert!(up.ends().success());
}

#[test]
fn watching_nothing_says_so() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [&["watch"][..], &["list"], &["start", "x"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_statusctl"))
            .args(arguments)
            .arg("--data-dir")
            .arg(dir.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(6));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            text.contains("nothing runs on") && text.contains("statusctl up"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}
