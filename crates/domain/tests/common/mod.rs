//! Short ways to say what a test is about.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use domain::{
    AccountId, AgentFailure, ContainerId, ContainerReport, Coverage, Fold, InstanceName, InstanceRef, Order,
    Outcome, Reason, ReasonCode, Report, Server, ServerId, Source, StatusText, Thresholds, Toolbox,
    ToolboxId, fold,
};
use jiff::Timestamp;
use uuid::Uuid;

pub(crate) const TOOLBOX: ToolboxId = ToolboxId(Uuid::from_u128(1));
pub(crate) const ACCOUNT: AccountId = AccountId(Uuid::from_u128(2));

/// `seconds` after an arbitrary beginning.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

pub(crate) fn order(seconds: i64) -> Order {
    Order {
        as_of: at(seconds),
        sequence: u64::try_from(seconds.max(0)).unwrap(),
    }
}

pub(crate) fn toolbox() -> Toolbox {
    Toolbox::new(TOOLBOX, ACCOUNT, "box")
}

pub(crate) fn server_id(n: u128) -> ServerId {
    ServerId(Uuid::from_u128(100 + n))
}

pub(crate) fn server(n: u128) -> Server {
    Server::new(
        server_id(n),
        TOOLBOX,
        ACCOUNT,
        InstanceName::new(&format!("mcp-{n}")).unwrap(),
    )
}

/// A container of server `n`, by name, in a given state.
pub(crate) fn item(n: u128, word: &str) -> ContainerReport {
    let names = vec![InstanceName::new(&format!("mcp-{n}")).unwrap()];
    ContainerReport::of(InstanceRef { id: None, names }, word)
}

pub(crate) fn with_text(n: u128, word: &str, text: &str) -> ContainerReport {
    ContainerReport {
        text: Some(StatusText::parse(text)),
        ..item(n, word)
    }
}

pub(crate) fn in_container(mut item: ContainerReport, digit: char) -> ContainerReport {
    item.container_id = ContainerId::new(&digit.to_string().repeat(64));
    item
}

pub(crate) fn report(seconds: i64, outcome: Outcome) -> Report {
    Report {
        toolbox: TOOLBOX,
        order: order(seconds),
        source: Source::Poll,
        agent_time: None,
        agent_version: None,
        next_within: Some(Duration::from_secs(30)),
        outcome,
    }
}

pub(crate) fn whole(seconds: i64, items: Vec<ContainerReport>) -> Report {
    report(
        seconds,
        Outcome::Containers {
            coverage: Coverage::Whole,
            items,
        },
    )
}

pub(crate) fn partial(seconds: i64, items: Vec<ContainerReport>) -> Report {
    report(
        seconds,
        Outcome::Containers {
            coverage: Coverage::Partial,
            items,
        },
    )
}

pub(crate) fn failed(seconds: i64, in_a_row: u32) -> Report {
    let reason = Reason::new(ReasonCode::AgentUnreachable, "connection refused");
    report(seconds, Outcome::Failed(AgentFailure { reason, in_a_row }))
}

/// A toolbox and its servers between folds, as the store would hold them.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) toolbox: Toolbox,
    pub(crate) servers: Vec<Server>,
    pub(crate) thresholds: Thresholds,
}

impl World {
    pub(crate) fn with(servers: Vec<Server>) -> Self {
        Self {
            toolbox: toolbox(),
            servers,
            thresholds: Thresholds::default(),
        }
    }

    /// Folds, and keeps what the fold says is to be written.
    pub(crate) fn fold_at(&mut self, now: i64, reports: &[Report]) -> Fold {
        self.fold_until(now, now, reports)
    }

    /// As [`World::fold_at`], with reports newer than `known_until` still unread.
    pub(crate) fn fold_until(&mut self, known_until: i64, now: i64, reports: &[Report]) -> Fold {
        let (toolbox, servers) = (self.toolbox.clone(), self.servers.clone());
        let fold = fold(
            toolbox,
            servers,
            reports,
            at(known_until),
            at(now),
            &self.thresholds,
        );
        if fold.write_toolbox {
            self.toolbox = fold.toolbox.clone();
        }
        for written in &fold.write {
            *self
                .servers
                .iter_mut()
                .find(|server| server.id == written.id)
                .unwrap() = written.clone();
        }
        self.servers.retain(|server| !fold.remove.contains(&server.id));
        fold
    }

    /// Folds reports at the time of the newest.
    pub(crate) fn fold(&mut self, reports: &[Report]) -> Fold {
        let now = reports.iter().map(|report| report.order.as_of).max().unwrap();
        self.fold_at(now.as_second() - at(0).as_second(), reports)
    }

    pub(crate) fn server(&self, n: u128) -> &Server {
        self.servers
            .iter()
            .find(|server| server.id == server_id(n))
            .unwrap()
    }
}

pub(crate) fn code(server: &Server) -> Option<ReasonCode> {
    server.last_error.as_ref().map(|error| error.reason.code)
}
