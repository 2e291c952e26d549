//! One server: the facts, and how a report changes them.

use std::time::Duration;

use jiff::Timestamp;

use crate::command::Command;
use crate::docker::DockerHealth;
use crate::id::{AccountId, ContainerId, InstanceName, ServerId, ToolboxId};
use crate::operator::Override;
use crate::order::Order;
use crate::reason::{LastError, Reason, ReasonCode};
use crate::report::ContainerReport;
use crate::status::{Desired, DtmaStatus, Health, McpState, StatusOnToolbox, dtma_status, label_for};
use crate::thresholds::Thresholds;
use crate::time::{age, minus, plus};

/// A server as its row has it: intent, facts, and the view last announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Which one.
    pub id: ServerId,
    /// Where it runs.
    pub toolbox: ToolboxId,
    /// Whose it is.
    pub account: AccountId,
    /// Its container's name.
    pub name: InstanceName,
    /// What it should be, where anybody said.
    pub desired: Option<Desired>,
    /// Whether it is watched.
    pub monitored: bool,
    /// The newest thing asked of it, while that has a say in what people see.
    pub command: Option<Command>,
    /// What an operator said of it last.
    pub overridden: Option<Override>,
    /// `status_on_toolbox`: written by us from observations, and by the application as intent.
    pub label: StatusOnToolbox,
    /// The newest report that spoke of it. Its `as_of` is also the last heartbeat.
    pub order: Option<Order>,
    /// What that report said; `None` until a report has spoken of it.
    pub observation: Option<Observation>,
    /// Its incarnation.
    pub container_id: Option<ContainerId>,
    /// When that incarnation last started, by our clock.
    pub last_started_at: Option<Timestamp>,
    /// State as last announced.
    pub state: McpState,
    /// Health as last announced.
    pub health: Health,
    /// Why, as last announced.
    pub last_error: Option<LastError>,
    /// Number of the last change announced under this id; 0 where there was none.
    pub version: u64,
    /// When that was decided; `None` until this row has been announced.
    pub changed_at: Option<Timestamp>,
}

/// What an agent last said of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// What its word means.
    pub status: DtmaStatus,
    /// When the first report of the present run of equal statuses was made.
    pub since: Timestamp,
    /// Why, as far as the agent told.
    pub reason: Option<Reason>,
    /// Whether the container went down because it was told to.
    pub asked: bool,
    /// Docker's health check; `None`: no report has told.
    pub docker_health: Option<DockerHealth>,
    /// The incarnation before this one and when it was replaced, to recognise a report that was under way.
    pub former: Option<(ContainerId, Timestamp)>,
}

/// Texts round and clocks differ: a start time that moved by less than this is the same start.
const SAME_START: Duration = Duration::from_secs(5);

/// What a report did to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The facts are now those of the report.
    Yes,
    /// The report speaks of an incarnation that has been replaced; nothing changed.
    OlderIncarnation,
}

impl Server {
    /// A server nobody has reported on yet, as a freshly inserted row has it.
    pub fn new(id: ServerId, toolbox: ToolboxId, account: AccountId, name: InstanceName) -> Self {
        Self {
            id,
            toolbox,
            account,
            name,
            desired: None,
            monitored: true,
            command: None,
            overridden: None,
            label: StatusOnToolbox::PendingInstall,
            order: None,
            observation: None,
            container_id: None,
            last_started_at: None,
            state: McpState::Unknown,
            health: Health::Unknown,
            last_error: None,
            version: 0,
            changed_at: None,
        }
    }

    /// Takes over what `item` says. The caller has checked that `order` is newer.
    ///
    /// `skew` translates the agent's clock into ours and is zero where the agent did not tell its time.
    pub(crate) fn observe(
        &mut self,
        item: &ContainerReport,
        order: Order,
        skew: jiff::SignedDuration,
        thresholds: &Thresholds,
    ) -> Taken {
        let before = self.observation.take();
        let replaced = match (&self.container_id, &item.container_id) {
            (Some(have), Some(said)) => !have.same_as(said),
            _ => false,
        };
        let mut former = before.as_ref().and_then(|seen| seen.former.clone());
        if replaced {
            if let (Some((old, until)), Some(said)) = (&former, &item.container_id)
                && old.same_as(said)
                && order.as_of <= plus(*until, thresholds.incarnation_overlap)
            {
                self.observation = before;
                return Taken::OlderIncarnation;
            }
            former = self.container_id.take().map(|old| (old, order.as_of));
            self.last_started_at = None;
        }
        match (&self.container_id, &item.container_id) {
            (Some(have), Some(said)) if have.as_str().len() >= said.as_str().len() => {}
            (_, Some(said)) => self.container_id = Some(said.clone()),
            (_, None) => {}
        }

        let (status, word_reason) = match dtma_status(&item.word) {
            (DtmaStatus::Running, _) if item.text.as_ref().is_some_and(|text| text.paused) => {
                dtma_status("paused")
            }
            meaning => meaning,
        };
        // What an earlier report of the same run told still holds where this one, of another shape, is silent.
        let same_run = before.as_ref().filter(|seen| seen.status == status && !replaced);
        let asked = self.is_meant_to_be_down()
            || before.as_ref().is_some_and(|seen| {
                !replaced && seen.asked && matches!(seen.status, DtmaStatus::Exited | DtmaStatus::Stopping)
            });
        let reason = match why(item, status, word_reason, asked) {
            None if item.exit_code().is_none() && item.oom_killed.is_none() => same_run
                .and_then(|seen| seen.reason.clone())
                .filter(|kept| is_how_it_ended(kept.code)),
            told => told,
        };
        if status == DtmaStatus::Running {
            self.note_start(item, order.as_of, skew, before.as_ref().filter(|_| !replaced));
        }
        self.label = label_for(status, &self.label, self.desired, before.is_some());
        self.observation = Some(Observation {
            status,
            since: same_run.map_or(order.as_of, |seen| seen.since),
            reason,
            asked: asked && matches!(status, DtmaStatus::Exited | DtmaStatus::Stopping),
            docker_health: item
                .docker_health()
                .or(same_run.and_then(|seen| seen.docker_health)),
            former,
        });
        self.order = Some(order);
        Taken::Yes
    }

    /// Takes over that a whole list no longer has the container. `false` where it was never seen: still unseen.
    pub(crate) fn observe_absence(&mut self, order: Order) -> bool {
        let Some(before) = self.observation.take() else {
            return false;
        };
        let same_run = before.status == DtmaStatus::Exited;
        self.label = label_for(DtmaStatus::Exited, &self.label, self.desired, true);
        self.observation = Some(Observation {
            status: DtmaStatus::Exited,
            since: if same_run { before.since } else { order.as_of },
            reason: Some(Reason::new(
                ReasonCode::Missing,
                "the container is no longer on the toolbox",
            )),
            asked: before.asked,
            docker_health: None,
            former: before.former,
        });
        self.order = Some(order);
        true
    }

    fn is_meant_to_be_down(&self) -> bool {
        use StatusOnToolbox as Label;
        self.desired == Some(Desired::Stopped)
            || matches!(
                self.label,
                Label::Stopping | Label::ErrorStopping | Label::PendingDelete
            )
    }

    /// The start of a running container: what the report tells, else the text resolved against our clock,
    /// else when it was first seen running.
    fn note_start(
        &mut self,
        item: &ContainerReport,
        as_of: Timestamp,
        skew: jiff::SignedDuration,
        before: Option<&Observation>,
    ) {
        let known = self.last_started_at;
        let told = item
            .started_at
            .and_then(|at| at.checked_add(skew).ok())
            .map(|at| at.min(as_of));
        self.last_started_at = match (told, item.text.as_ref().and_then(|text| text.up_for)) {
            (Some(at), _) => match known {
                Some(known) if age(at, known).max(age(known, at)) < SAME_START => Some(known),
                _ => Some(at),
            },
            (None, Some(up)) => match known {
                Some(known)
                    if age(as_of, known) + SAME_START >= up.at_least
                        && age(as_of, known) < up.below + SAME_START =>
                {
                    Some(known)
                }
                _ => Some(minus(as_of, up.at_least)),
            },
            (None, None) => match (known, before) {
                (Some(known), Some(seen)) if seen.status == DtmaStatus::Running => Some(known),
                _ => Some(as_of),
            },
        };
    }
}

/// Whether a code tells how a run ended, which later reports of a poorer shape do not repeat.
fn is_how_it_ended(code: ReasonCode) -> bool {
    matches!(code, ReasonCode::ExitCode | ReasonCode::OomKilled)
}

/// The reason a report gives for a status; `None` where there is nothing to explain.
fn why(item: &ContainerReport, status: DtmaStatus, word: Option<Reason>, asked: bool) -> Option<Reason> {
    let exit_code = item.exit_code().filter(|code| *code != 0);
    let ended = || {
        let code = exit_code?;
        if item.oom_killed == Some(true) {
            return Some(Reason::new(
                ReasonCode::OomKilled,
                format!("exit code {code} (out of memory)"),
            ));
        }
        let text = match code {
            137 => "exit code 137 (killed)".to_owned(),
            143 => "exit code 143 (terminated)".to_owned(),
            code => format!("exit code {code}"),
        };
        Some(
            match item
                .error
                .as_deref()
                .map(str::trim)
                .filter(|error| !error.is_empty())
            {
                Some(error) => Reason::new(ReasonCode::ExitCode, format!("{text}: {error}")),
                None => Reason::new(ReasonCode::ExitCode, text),
            },
        )
    };
    let oom = || {
        (item.oom_killed == Some(true) && exit_code.is_none())
            .then(|| Reason::new(ReasonCode::OomKilled, "out of memory"))
    };
    match status {
        DtmaStatus::Running | DtmaStatus::Stopping => None,
        DtmaStatus::Unknown => word,
        DtmaStatus::Exited if word.is_some() => word,
        DtmaStatus::Exited if asked => None,
        DtmaStatus::Exited | DtmaStatus::Starting => ended().or_else(oom),
        DtmaStatus::Error => match item
            .error
            .as_deref()
            .map(str::trim)
            .filter(|error| !error.is_empty())
        {
            Some(error) if exit_code.is_none() => Some(Reason::new(ReasonCode::ReportedError, error)),
            _ => ended().or_else(oom).or(word),
        },
    }
}
