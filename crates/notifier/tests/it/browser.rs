//! A real browser, on pages of an origin that may watch and of one that may not.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::response::Html;
use axum::routing::{get, post};
use jiff::SignedDuration;
use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use wire::TicketEntry;

use crate::ground::{Ground, id, now, status, token};

/// A browser that has not shown a page by then never will; the first start on a slow machine takes a while.
const PATIENCE: Duration = Duration::from_secs(120);

/// What Debian and others call it.
const PROGRAMS: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// A browser without a window. Gone with all its processes when dropped.
struct Browser {
    child: Child,
    _profile: TempDir,
}

impl Browser {
    fn open(url: &str) -> Self {
        let profile = TempDir::new().unwrap();
        for program in PROGRAMS {
            let spawned = Command::new(program)
                .args([
                    "--headless=new",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-dev-shm-usage",
                ])
                .args(["--no-first-run", "--disable-breakpad", "--disable-crash-reporter"])
                .args([
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--no-proxy-server",
                ])
                .arg(format!("--user-data-dir={}", profile.path().display()))
                .arg(url)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .kill_on_drop(true)
                .spawn();
            match spawned {
                Ok(child) => {
                    return Self {
                        child,
                        _profile: profile,
                    };
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => panic!("{program} cannot be started: {error}"),
            }
        }
        panic!("there is no browser ({PROGRAMS:?}): run scripts/setup, or install Debian's package chromium");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A browser is a dozen processes.
        let group = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// A server of pages that say what they see.
struct Pages {
    address: SocketAddr,
    told: mpsc::UnboundedReceiver<Value>,
    task: tokio::task::JoinHandle<()>,
}

impl Pages {
    fn serve(listener: TcpListener, page: String) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/", get(async move || Html(page.clone())))
            .route(
                "/told",
                post(async move |body: String| {
                    tell.send(serde_json::from_str(&body).unwrap()).unwrap();
                }),
            );
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, told, task }
    }

    /// What both streams say of a step, by kind.
    async fn both(&mut self, step: &str) -> [Value; 2] {
        let mut found = [Value::Null, Value::Null];
        while found.contains(&Value::Null) {
            let told = tokio::time::timeout(PATIENCE, self.told.recv()).await;
            let told = told
                .unwrap_or_else(|_| panic!("the page says nothing of {step}: {found:?}"))
                .unwrap();
            assert_eq!(told["step"], step, "{told}");
            let kind = usize::from(told["kind"] == "events");
            found[kind] = told;
        }
        found
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn page(ground: &Ground, notifier: &str) -> String {
    let entry = TicketEntry {
        account_id: Some(id(1)),
        role: "user".to_owned(),
        actor: "a page".to_owned(),
        expires_at: now() + SignedDuration::from_mins(5),
        valid_until: now() + SignedDuration::from_secs(30),
    };
    let ticket = ground.bus.tickets().await.unwrap().issue(&entry).await.unwrap();
    include_str!("page.html")
        .replace("NOTIFIER", notifier)
        .replace("TOKEN", &token(1))
        .replace("TICKET", ticket.expose_secret())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_an_allowed_origin_watches_both_ways() {
    let ground = Ground::new().await;
    ground
        .publish(&[status(1, 1, 1, "running"), status(2, 2, 1, "running")])
        .await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let replica = ground
        .replica_with(|options| options.origins = vec![origin.clone()])
        .await;
    let mut pages = Pages::serve(listener, page(&ground, &replica.url).await);
    let _browser = Browser::open(&origin);
    for told in pages.both("present").await {
        assert_eq!(
            told["held"],
            serde_json::json!({"mcp-1-of-1": "running"}),
            "{told}"
        );
    }
    ground
        .publish(&[status(2, 2, 2, "error"), status(1, 1, 2, "stopped")])
        .await;
    for told in pages.both("change").await {
        assert_eq!(
            told["held"],
            serde_json::json!({"mcp-1-of-1": "stopped"}),
            "{told}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_origin_is_refused_both_ways() {
    let ground = Ground::new().await;
    ground.publish(&[status(1, 1, 1, "running")]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let replica = ground
        .replica_with(|options| options.origins = vec!["https://app.example".to_owned()])
        .await;
    let mut pages = Pages::serve(listener, page(&ground, &replica.url).await);
    let _browser = Browser::open(&format!("http://{}", pages.address));
    let [socket, events] = pages.both("closed").await;
    assert_eq!(socket["code"], 1006);
    // Closed for good: a browser does not try again what was refused.
    assert_eq!(events["state"], 2);
    assert!(replica.hub.waiting().is_empty());
}
