//! Giving commands, and what comes of them; and an agent that answers as it is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::ToolboxId;
use dtma_sim::{ContainerView, SimHandle, ToolboxInfo};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use uuid::Uuid;
use wire::streams::{COMMANDER, DTMA_OUTCOMES};
use wire::{Command, CommandAction, CommandOutcome, CommandResult, RawOutcome, RawReport, subjects};

use super::{World, eventually};

#[expect(
    clippy::disallowed_methods,
    reason = "deadlines are instants of the real clock"
)]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A command for a toolbox's first instance, that has a minute.
pub fn command(toolbox: &ToolboxInfo, action: CommandAction) -> Command {
    let instance = &toolbox.instances[0];
    Command {
        command_id: Uuid::new_v4(),
        toolbox_id: toolbox.id,
        server_id: Some(instance.id),
        name: Some(instance.name.clone()),
        action,
        requested_at: now(),
        deadline: now() + Duration::from_secs(60),
    }
}

impl World {
    pub async fn give(&self, command: &Command) {
        let subject = subjects::command(ToolboxId(command.toolbox_id));
        let id = command.command_id.to_string();
        self.bus.publish(subject, &id, command).await.unwrap();
    }

    /// The newest outcome of a toolbox's commands.
    pub async fn outcome(&self, toolbox: Uuid) -> Option<CommandOutcome> {
        let subject = subjects::outcome(ToolboxId(toolbox));
        let found = self.bus.last(&DTMA_OUTCOMES, &subject).await.ok()??;
        Some(CommandOutcome::decode(&found.body).unwrap())
    }

    /// The outcome of a command, once there is one.
    pub async fn outcome_of(&self, command: &Command) -> CommandOutcome {
        let what = format!("an outcome of the {}", command.action.as_str());
        let outcome = eventually(&what, async || {
            let outcome = self.outcome(command.toolbox_id).await?;
            (outcome.command_id == command.command_id).then_some(outcome)
        })
        .await;
        assert_eq!(
            (Some(outcome.server_id), outcome.action),
            (command.server_id, command.action)
        );
        outcome
    }

    /// Gives a command and waits for what comes of it.
    pub async fn outcome_after(&self, command: &Command) -> CommandOutcome {
        self.give(command).await;
        self.outcome_of(command).await
    }

    /// Waits until no command is waiting or under way.
    pub async fn all_dealt_with(&self) {
        eventually("an end of all commands", async || {
            let backlog = self.bus.backlog(&COMMANDER).await.ok()?;
            (backlog.pending == 0 && backlog.ack_pending == 0).then_some(())
        })
        .await;
    }

    /// How many outcomes there are.
    pub async fn outcomes(&self) -> u64 {
        self.bus.stream_state(&DTMA_OUTCOMES).await.unwrap().messages
    }
}

/// Why a command failed.
pub fn failed(outcome: &CommandOutcome) -> &str {
    match &outcome.result {
        CommandResult::Failed { message } => message,
        CommandResult::Executed => panic!("it was executed: {outcome:?}"),
    }
}

pub fn executed(outcome: &CommandOutcome) {
    assert_eq!(outcome.result, CommandResult::Executed);
}

/// The first instance's container, as Docker sees it.
pub fn container(sim: &SimHandle, toolbox: &ToolboxInfo) -> Option<ContainerView> {
    let name = &toolbox.instances[0].name;
    let mut containers = sim.containers(toolbox.id).unwrap().into_iter();
    containers.find(|container| container.name == *name)
}

/// How often an agent was told to do something.
pub fn told(sim: &SimHandle, toolbox: Uuid) -> u64 {
    let requests = sim.toolbox_stats(toolbox).unwrap().requests;
    let commands = requests.iter().filter(|(route, _)| !route.starts_with("GET "));
    commands.map(|(_, count)| count).sum()
}

/// What a report says of an instance of dialect B; `None` when the list leaves it out.
pub fn word_of(report: &RawReport, instance: Uuid) -> Option<&str> {
    let RawOutcome::Containers { containers, .. } = &report.outcome else {
        panic!("no containers: {report:?}");
    };
    let mut containers = containers.iter();
    let found = containers.find(|container| container.server_id == Some(instance));
    found.map(|container| container.word.as_str())
}

/// An agent that answers each request with the status and body that a function makes of its first line.
pub struct Stub {
    pub url: String,
    lines: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Stub {
    pub async fn start(answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lines);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                let head = String::from_utf8(head).unwrap();
                let Some(line) = head.split(" HTTP/1.1").next().filter(|line| !line.is_empty()) else {
                    continue;
                };
                seen.lock().unwrap().push(line.to_owned());
                let (status, body) = answer(line);
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
                );
                // Whoever asked may have gone.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self {
            url,
            lines,
            _tasks: tasks,
        }
    }

    /// What it was told to do, as verb and path.
    pub fn told(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines
            .iter()
            .filter(|line| !line.starts_with("GET "))
            .cloned()
            .collect()
    }
}
