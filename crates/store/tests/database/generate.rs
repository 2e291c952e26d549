//! Arbitrary servers and toolboxes. Seeded, so that a failure comes back.

use domain::{
    Action, AgentStatus, Command, CommandEnd, CommandId, ContainerId, Desired, DockerHealth, DtmaStatus,
    Ended, Health, InstanceName, LastError, McpState, Observation, Order, Override, Reason, ReasonCode,
    Server, ServerId, StatusOnToolbox, Toolbox, ToolboxId,
};
use jiff::Timestamp;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::support::{NOW, account, id};

/// One value; the same at every run for the same `seed`.
pub(crate) fn one<T: std::fmt::Debug>(seed: u128, strategy: impl Strategy<Value = T>) -> T {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), random);
    strategy.new_tree(&mut runner).unwrap().current()
}

/// An instant up to half an hour before [`NOW`] or a little after, often within a microsecond of where a threshold lies.
pub(crate) fn instant() -> impl Strategy<Value = Timestamp> {
    let edges = [0_i64, 120, 300, 600, 900]
        .map(|seconds| seconds * 1_000_000)
        .to_vec();
    let ago = prop_oneof![
        (select(edges), -1_i64..=1).prop_map(|(edge, off)| edge + off),
        -5_000_000_i64..1_800_000_000,
    ];
    ago.prop_map(|ago| Timestamp::from_microsecond(NOW.as_microsecond() - ago).unwrap())
}

fn any_of<T: Copy + std::fmt::Debug>(all: &'static [T]) -> impl Strategy<Value = T> {
    (0..all.len()).prop_map(move |at| all[at])
}

fn reason() -> impl Strategy<Value = Reason> {
    (any_of(ReasonCode::ALL), "\\PC{0,60}").prop_map(|(code, message)| Reason { code, message })
}

fn last_error() -> impl Strategy<Value = LastError> {
    (reason(), instant()).prop_map(|(reason, at)| LastError { reason, at })
}

fn order() -> impl Strategy<Value = Order> {
    (instant(), 0..u64::MAX / 2).prop_map(|(as_of, sequence)| Order { as_of, sequence })
}

fn container() -> impl Strategy<Value = ContainerId> {
    "[0-9a-f]{12,64}".prop_map(|text| ContainerId::new(&text).unwrap())
}

fn label() -> impl Strategy<Value = StatusOnToolbox> {
    prop_oneof![
        8 => select(StatusOnToolbox::OWN.to_vec()),
        1 => "x_[a-z ]{0,12}".prop_map(StatusOnToolbox::Foreign),
    ]
}

fn observation() -> impl Strategy<Value = Observation> {
    (
        any_of(DtmaStatus::ALL),
        instant(),
        option::of(reason()),
        any::<bool>(),
        option::of(any_of(DockerHealth::ALL)),
        option::of((container(), instant())),
    )
        .prop_map(
            |(status, since, reason, asked, docker_health, former)| Observation {
                status,
                since,
                reason,
                asked,
                docker_health,
                former,
            },
        )
}

/// Any server of a toolbox that there is, with ids as [`id`] makes them.
pub(crate) fn server(n: u128, toolbox: ToolboxId) -> impl Strategy<Value = Server> {
    let intent = (option::of(any_of(Desired::ALL)), any::<bool>(), label());
    let facts = (
        option::weighted(0.8, (order(), observation())),
        option::of(container()),
        option::of(instant()),
    );
    let view = (
        any_of(McpState::ALL),
        any_of(Health::ALL),
        option::of(last_error()),
        prop_oneof![1 => Just(0), 4 => 1_u64..1 << 40],
        option::of(instant()),
    );
    (intent, facts, view).prop_map(move |(intent, facts, view)| {
        let name = InstanceName::new(&format!("mcp-{n}")).unwrap();
        let mut server = Server::new(ServerId(id(n)), toolbox, account(1), name);
        (server.desired, server.monitored, server.label) = intent;
        let (observed, container, started) = facts;
        (server.order, server.observation) = observed.unzip();
        (server.container_id, server.last_started_at) = (container, started);
        (
            server.state,
            server.health,
            server.last_error,
            server.version,
            server.changed_at,
        ) = view;
        // What was never announced has no number yet.
        server.version *= u64::from(server.changed_at.is_some());
        server
    })
}

/// What people want of a server, as status-api writes it.
#[derive(Debug)]
pub(crate) struct Intent {
    pub(crate) monitored: bool,
    pub(crate) overridden: Option<Override>,
    pub(crate) command: Option<Command>,
}

/// Any intent; a command has an id of its own.
pub(crate) fn intent(n: u128) -> impl Strategy<Value = Intent> {
    let overridden = (
        any_of(McpState::ALL),
        any_of(Health::ALL),
        "\\PC{1,30}",
        instant(),
    )
        .prop_map(|(state, health, message, until)| Override {
            state,
            health,
            message,
            until,
        });
    let ended = (
        instant(),
        select(vec![CommandEnd::Failed, CommandEnd::Expired]),
        option::of("\\PC{0,30}"),
    )
        .prop_map(|(at, end, message)| Ended { at, end, message });
    let command = (
        any_of(Action::ALL),
        instant(),
        instant(),
        option::of(instant()),
        option::of(ended),
    )
        .prop_map(
            move |(action, requested_at, deadline, executed_at, ended)| Command {
                id: CommandId(id(0xc0_0000_0000 + n)),
                action,
                requested_at,
                deadline,
                executed_at,
                ended,
                closed: false,
            },
        );
    (
        prop_oneof![3 => Just(true), 1 => Just(false)],
        option::weighted(0.15, overridden),
        option::weighted(0.3, command),
    )
        .prop_map(|(monitored, overridden, command)| Intent {
            monitored,
            overridden,
            command,
        })
}

/// Any toolbox with the id `n` and the name that [`crate::support::add_toolbox`] gives it.
pub(crate) fn toolbox(n: u128) -> impl Strategy<Value = Toolbox> {
    (
        (
            option::of(order()),
            option::of(order()),
            option::of(instant()),
            option::of(instant()),
        ),
        any_of(AgentStatus::ALL),
        option::of(last_error()),
        option::of("[0-9a-z.]{1,10}"),
        0_u64..1 << 40,
        option::of(instant()),
    )
        .prop_map(
            move |(times, status, problem, agent_version, version, changed_at)| {
                let mut toolbox = Toolbox::new(ToolboxId(id(n)), account(1), format!("box {n}"));
                (
                    toolbox.order,
                    toolbox.whole_order,
                    toolbox.heard_at,
                    toolbox.expected_by,
                ) = times;
                (toolbox.status, toolbox.problem, toolbox.agent_version) = (status, problem, agent_version);
                (toolbox.version, toolbox.changed_at) = (version, changed_at);
                toolbox.version *= u64::from(changed_at.is_some());
                toolbox
            },
        )
}
