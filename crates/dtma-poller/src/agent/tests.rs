use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;
use wire::{RawReport, RawSource};

use super::*;

const A: &[u8] = include_bytes!("../../tests/fixtures/get-status.managed.json");
const B: &[u8] = include_bytes!("../../tests/fixtures/get-tools-status.json");
const C: &[u8] = include_bytes!("../../tests/fixtures/get-status.open.json");
const MANAGED: &[u8] = include_bytes!("../../tests/fixtures/post-heartbeat.managed.json");
const NAMES: &[u8] = include_bytes!("../../tests/fixtures/post-heartbeat.names.json");

const MCP_A: &str = "692465b235c7c974172040ab9d584f1904889d7353cb0556afae6a1f60a731b9";
const MCP_B: &str = "86bccadd99198b1c5cf9264e3dc4dd2632cb67be021bf5341d4c1a07f4d77896";

fn instance(last: u32) -> Option<Uuid> {
    Some(
        format!("5b2d7f0e-3c1a-4f6b-9a41-0d6f4c1e2a{last:02}")
            .parse()
            .unwrap(),
    )
}

fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn status(dialect: Dialect, body: &Value) -> Result<Said, Unreadable> {
    read_status(dialect, body.to_string().as_bytes())
}

fn heartbeat(items: Value) -> Result<Said, Unreadable> {
    read_heartbeat(
        json!({ "dtma_version": "0.1.0", "tool_statuses": items })
            .to_string()
            .as_bytes(),
    )
}

fn containers(said: Said) -> (RawCoverage, Vec<RawContainer>) {
    match said.outcome {
        RawOutcome::Containers { coverage, containers } => (coverage, containers),
        other => panic!("no containers: {other:?}"),
    }
}

#[test]
fn captured_shape_a() {
    let said = read_status(Dialect::Status, A).unwrap();
    assert_eq!(
        (said.agent_time, said.agent_version.clone()),
        (None, some("0.1.0"))
    );
    let item = |last, name: &str, word: &str, id: Option<&str>| RawContainer {
        server_id: instance(last),
        names: vec![name.to_owned()],
        word: word.to_owned(),
        container_id: id.map(str::to_owned),
        ..RawContainer::default()
    };
    let expected = vec![
        item(1, "mcp-github", "running", Some(MCP_A)),
        item(2, "mcp-postgres", "exited", Some(MCP_B)),
        item(3, "mcp-slack", "error_inspecting", Some("0f3c")),
        item(4, "mcp-web", "not_found", None),
    ];
    assert_eq!(containers(said), (RawCoverage::Partial, expected));
}

#[test]
fn captured_shape_b() {
    let said = read_status(Dialect::Tools, B).unwrap();
    assert_eq!(
        (said.agent_time, said.agent_version.clone()),
        (at("2026-11-22T17:18:20.768Z"), some("1.0.0"))
    );
    let item = |name: &str, word: &str, id: &str| RawContainer {
        names: vec![name.to_owned()],
        word: word.to_owned(),
        container_id: some(id),
        image: some("bb:1"),
        ..RawContainer::default()
    };
    let expected = vec![item("mcp-b", "exited", MCP_B), item("mcp-a", "running", MCP_A)];
    assert_eq!(containers(said), (RawCoverage::Whole, expected));
}

fn named(name: &str, word: &str, text: &str, id: &str) -> RawContainer {
    RawContainer {
        names: vec![name.to_owned()],
        word: word.to_owned(),
        text: some(text),
        container_id: some(id),
        image: some("bb:1"),
        ..RawContainer::default()
    }
}

#[test]
fn captured_shape_c() {
    let said = read_status(Dialect::Status, C).unwrap();
    assert_eq!(
        (said.agent_time, said.agent_version.clone()),
        (at("2026-11-22T17:18:20.451Z"), some("0.1.0"))
    );
    let expected = vec![
        named("mcp-b", "exited", "Exited (3) 30 seconds ago", MCP_B),
        named("mcp-a", "running", "Up 30 seconds", MCP_A),
    ];
    assert_eq!(containers(said), (RawCoverage::Whole, expected));
}

#[test]
fn captured_heartbeat_by_names() {
    let said = read_heartbeat(NAMES).unwrap();
    assert_eq!(
        (said.agent_time, said.agent_version.clone()),
        (None, some("0.1.0"))
    );
    let expected = vec![
        named("mcp-b", "exited", "Exited (3) 2 seconds ago", MCP_B),
        named("mcp-a", "running", "Up 2 seconds", MCP_A),
    ];
    assert_eq!(containers(said), (RawCoverage::Whole, expected));
}

#[test]
fn captured_heartbeat_by_instance() {
    let said = read_heartbeat(MANAGED).unwrap();
    let expected = vec![
        RawContainer {
            server_id: instance(1),
            word: "running".to_owned(),
            container_id: some(MCP_A),
            started_at: at("2026-11-22T17:17:49.881Z"),
            oom_killed: Some(false),
            image: some("mcp/github:1.2"),
            ..RawContainer::default()
        },
        RawContainer {
            server_id: instance(2),
            word: "exited".to_owned(),
            container_id: some(MCP_B),
            started_at: at("2026-11-22T17:17:49.902Z"),
            exit_code: Some(137),
            oom_killed: Some(true),
            image: some("mcp/postgres:3"),
            ..RawContainer::default()
        },
        RawContainer {
            server_id: instance(3),
            word: "error_inspecting".to_owned(),
            ..RawContainer::default()
        },
    ];
    assert_eq!(containers(said), (RawCoverage::Partial, expected));
}

#[test]
fn an_empty_heartbeat_says_nothing_of_containers() {
    let said = heartbeat(json!([])).unwrap();
    assert_eq!(said.outcome, RawOutcome::Alive { problem: None });
    assert_eq!(said.agent_version, some("0.1.0"));
}

#[test]
fn docker_trouble_is_alive_with_its_reason_and_makes_a_list_partial() {
    let trouble = json!({ "error": "Failed to fetch tool statuses" });
    let alive = RawOutcome::Alive {
        problem: Some(wire::RawReason {
            code: "docker_unavailable".to_owned(),
            message: "the agent cannot ask its Docker engine: Failed to fetch tool statuses".to_owned(),
        }),
    };
    let answer = json!({ "version": "0.1.0", "tool_instances": [trouble] });
    assert_eq!(status(Dialect::Status, &answer).unwrap().outcome, alive);
    assert_eq!(heartbeat(json!([trouble])).unwrap().outcome, alive);

    let running = json!({ "names": ["mcp-a"], "state": "running" });
    let mixed = json!({ "version": "0.1.0", "tool_instances": [running, trouble] });
    for dialect in [Dialect::Status, Dialect::Tools] {
        let (coverage, items) = containers(status(dialect, &mixed).unwrap());
        assert_eq!((coverage, items.len()), (RawCoverage::Partial, 1));
    }
}

#[test]
fn coverage_is_whole_only_where_everything_says_so() {
    let c = json!({ "names": ["mcp-a"], "state": "running" });
    let a = json!({ "account_tool_instance_id": instance(1), "status": "running" });
    let managed = json!({ "account_tool_instance_id": instance(1), "status_on_toolbox": "running" });
    let (whole, partial) = (RawCoverage::Whole, RawCoverage::Partial);
    let polls = [
        (Dialect::Status, json!({ "tool_instances": [c, c] }), whole),
        (Dialect::Status, json!({ "tool_instances": [c, a] }), partial),
        (
            Dialect::Status,
            json!({ "dtma_version": "0.1.0", "tool_instances": [] }),
            partial,
        ),
        (
            Dialect::Status,
            json!({ "version": "0.1.0", "tool_instances": [] }),
            whole,
        ),
        (Dialect::Status, json!({ "tool_instances": [] }), partial),
        (Dialect::Tools, json!({ "tool_instances": [] }), whole),
        (Dialect::Tools, json!({ "tool_instances": [a] }), whole),
    ];
    for (dialect, body, expected) in polls {
        assert_eq!(
            containers(status(dialect, &body).unwrap()).0,
            expected,
            "{dialect} {body}"
        );
    }
    for (items, expected) in [
        (json!([c]), whole),
        (json!([c, managed]), partial),
        (json!([managed]), partial),
    ] {
        assert_eq!(
            containers(heartbeat(items.clone()).unwrap()).0,
            expected,
            "{items}"
        );
    }
}

#[test]
fn docker_details_are_kept_where_they_mean_something() {
    let read = |word: &str, runtime: Value| {
        let item = json!({
            "account_tool_instance_id": instance(1), "status_on_toolbox": word, "runtime_details": runtime,
        });
        containers(heartbeat(json!([item])).unwrap()).1.remove(0)
    };
    let zero = "0001-01-01T00:00:00Z";
    let ended = "2026-11-22T17:17:50Z";
    let exit = |word, state: Value| read(word, json!({ "state_details": state })).exit_code;
    // running, restarting, created, exited, and a State without Running.
    assert_eq!(
        exit(
            "running",
            json!({ "Running": true, "ExitCode": 0, "FinishedAt": ended })
        ),
        None
    );
    assert_eq!(
        exit(
            "restarting",
            json!({ "Running": true, "Restarting": true, "ExitCode": 2, "FinishedAt": ended })
        ),
        Some(2)
    );
    assert_eq!(
        exit(
            "created",
            json!({ "Running": false, "ExitCode": 0, "FinishedAt": zero })
        ),
        None
    );
    assert_eq!(
        exit(
            "exited",
            json!({ "Running": false, "ExitCode": 3, "FinishedAt": ended })
        ),
        Some(3)
    );
    assert_eq!(exit("exited", json!({ "ExitCode": 3 })), Some(3));
    assert_eq!(exit("RUNNING", json!({ "ExitCode": 3 })), None);

    let started = |runtime| read("running", runtime).started_at;
    assert_eq!(started(json!({ "started_at": zero })), None);
    assert_eq!(
        started(json!({ "started_at": zero, "state_details": { "StartedAt": ended } })),
        at(ended)
    );
    assert_eq!(started(json!({ "started_at": "yesterday" })), None);

    let secret = "a1".repeat(32);
    let error = format!("oci runtime error: TOKEN={secret}");
    let kept = read("exited", json!({ "state_details": { "Error": error } }))
        .error
        .unwrap();
    assert!(
        kept.starts_with("oci runtime error") && !kept.contains(&secret),
        "{kept}"
    );
    assert_eq!(
        read("exited", json!({ "state_details": { "Error": "" } })).error,
        None
    );
}

#[test]
fn long_texts_are_cut_and_names_that_nobody_can_have_are_left_out() {
    let long = "é".repeat(5_000);
    let item = json!({
        "names": [long, "", "/mcp-a", "a\u{0}b"], "state": long, "status": long, "image": long, "id": long,
    });
    let body = json!({ "version": long, "tool_instances": [item] });
    let said = status(Dialect::Status, &body).unwrap();
    assert_eq!(said.agent_version.clone().unwrap().len(), 64);
    let (_, items) = containers(said);
    assert_eq!(items[0].names, ["/mcp-a"]);
    assert_eq!(items[0].container_id, None);
    let lengths = (
        items[0].word.len(),
        items[0].text.as_ref().unwrap().len(),
        items[0].image.as_ref().unwrap().len(),
    );
    assert_eq!(lengths, (128, 256, 512));
}

#[test]
fn refusals_name_the_field_and_never_repeat_the_body() {
    let polls = [
        (json!([]), "body: expected an object"),
        (json!("secret"), "body: expected an object"),
        (json!({}), "tool_instances: expected a list"),
        (
            json!({ "tool_instances": null }),
            "tool_instances: expected a list",
        ),
        (
            json!({ "tool_instances": { "secret": 1 } }),
            "tool_instances: expected a list",
        ),
        (
            json!({ "tool_instances": ["secret"] }),
            "tool_instances[0]: expected an object",
        ),
        (
            json!({ "tool_instances": [[]] }),
            "tool_instances[0]: expected an object",
        ),
        (
            json!({ "tool_instances": [{}] }),
            "tool_instances[0]: expected a container's status, or an error",
        ),
        (
            json!({ "tool_instances": [{ "error": 7 }] }),
            "tool_instances[0].error: expected a text",
        ),
        (
            json!({ "tool_instances": [{ "status": "running" }] }),
            "tool_instances[0]: expected an account_tool_instance_id or instance_name_on_toolbox",
        ),
        (
            json!({ "tool_instances": [{ "account_tool_instance_id": "secret", "status": "running" }] }),
            "tool_instances[0].account_tool_instance_id: expected a UUID or null",
        ),
        (
            json!({ "tool_instances": [{ "names": ["a"] }] }),
            "tool_instances[0].state: expected a text",
        ),
        (
            json!({ "tool_instances": [{ "names": ["a"], "state": "running" }, { "names": "secret", "state": "running" }] }),
            "tool_instances[1].names: expected a list of texts",
        ),
        (
            json!({ "tool_instances": [{ "names": ["a"], "state": { "secret": 1 } }] }),
            "tool_instances[0].state: expected a text",
        ),
        (
            json!({ "tool_instances": [], "timestamp": 1 }),
            "timestamp: expected a text",
        ),
        (
            json!({ "tool_instances": [], "version": ["secret"] }),
            "version: expected a text",
        ),
        (
            json!({ "tool_instances": vec![0; 5_001] }),
            "tool_instances: expected at most 5000 items",
        ),
    ];
    for (body, expected) in polls {
        for dialect in Dialect::ALL {
            let refused = status(*dialect, &body).unwrap_err().to_string();
            assert_eq!(refused, expected);
        }
    }
    let managed = |runtime: Value| {
        heartbeat(
            json!([{ "account_tool_instance_id": null, "instance_name_on_toolbox": "a",
            "status_on_toolbox": "running", "runtime_details": runtime }]),
        )
        .unwrap_err()
        .to_string()
    };
    let place = "tool_statuses[0].runtime_details";
    assert_eq!(managed(json!("secret")), format!("{place}: expected an object"));
    assert_eq!(
        managed(json!({ "started_at": 5 })),
        format!("{place}.started_at: expected a text")
    );
    assert_eq!(
        managed(json!({ "state_details": { "ExitCode": "secret" } })),
        format!("{place}.state_details.ExitCode: expected a whole number")
    );
    assert_eq!(
        managed(json!({ "state_details": { "Running": "secret" } })),
        format!("{place}.state_details.Running: expected true or false")
    );
}

#[test]
fn what_is_no_json_is_told_apart() {
    let cases: [(&[u8], &str); 7] = [
        (b"", "nothing"),
        (b" \n", "nothing"),
        (b"<!doctype html><p>secret", "an HTML page"),
        (b"\xff\xfe", "bytes that are no text"),
        (
            b"{\"tool_instances\":[{\"na",
            "text that ends too early, after 23 bytes",
        ),
        (b"{secret}", "something else at line 1 column 2"),
        (b"{} trailing", "something else at line 1 column 4"),
    ];
    for (body, found) in cases {
        let expected = format!("expected JSON, found {found}");
        assert_eq!(
            read_status(Dialect::Status, body).unwrap_err().to_string(),
            expected
        );
        assert_eq!(read_heartbeat(body).unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_field_given_twice_is_refused() {
    let body = br#"{"tool_instances":[{"names":["a"],"state":"running","state":"exited"}]}"#;
    let refused = read_status(Dialect::Status, body).unwrap_err().to_string();
    assert_eq!(
        refused,
        "tool_instances[0]: expected an object that has each field once"
    );
}

#[test]
fn nesting_does_not_exhaust_the_stack() {
    let deep = 1_000_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = format!("{}1{}", open.repeat(deep), close.repeat(deep));
        for body in [
            nested.clone(),
            format!("{{\"tool_instances\":{nested}}}"),
            format!("{{\"tool_instances\":[{nested}]}}"),
            format!("{{\"tool_instances\":[{{\"names\":[\"a\"],\"state\":{nested}}}]}}"),
            format!("{{\"tool_instances\":[],\"system_metrics\":{nested}}}"),
        ] {
            // Most are refused; what matters is to be there to say so.
            let _ = read_status(Dialect::Status, body.as_bytes());
        }
    }
}

/// What we make of a body must be taken by whoever reads the stream, and be small.
fn check(said: Result<Said, Unreadable>, body: usize) -> Result<(), TestCaseError> {
    let Ok(said) = said else { return Ok(()) };
    let report = RawReport {
        toolbox_id: Uuid::nil(),
        as_of: Timestamp::UNIX_EPOCH,
        source: RawSource::Poll,
        agent_time: said.agent_time,
        agent_version: said.agent_version,
        next_within_seconds: None,
        missed_heartbeat: false,
        outcome: said.outcome,
    };
    let written = serde_json::to_vec(&report).unwrap();
    prop_assert!(
        written.len() <= 1_024 + 4 * body,
        "{} bytes of {body}",
        written.len()
    );
    prop_assert_eq!(RawReport::decode(&written).unwrap(), report.clone());
    prop_assert!(report.into_report(1).is_ok());
    Ok(())
}

/// Keys that mean something to the reader, so that random objects come near its inner workings.
const KEYS: [&str; 24] = [
    "tool_instances",
    "tool_statuses",
    "timestamp",
    "version",
    "dtma_version",
    "account_tool_instance_id",
    "instance_name_on_toolbox",
    "names",
    "id",
    "container_id",
    "state",
    "status",
    "status_on_toolbox",
    "runtime_details",
    "state_details",
    "image",
    "error",
    "started_at",
    "Running",
    "Restarting",
    "ExitCode",
    "OOMKilled",
    "FinishedAt",
    "other",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec![
            "running",
            "exited",
            "0001-01-01T00:00:00Z",
            "2026-11-22T17:17:50Z",
            "5b2d7f0e-3c1a-4f6b-9a41-0d6f4c1e2a01",
            "/mcp-a",
            "Up 2 hours"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 96, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(KEYS.to_vec()), inner, 0..8).prop_map(|map| map
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

/// Random items in a sound frame.
fn framed() -> impl Strategy<Value = Value> {
    prop::collection::vec(any_json(), 0..6)
        .prop_map(|items| json!({ "version": "1", "tool_instances": items, "tool_statuses": items }))
}

proptest! {
    #[test]
    fn any_bytes_are_survived(body in prop::collection::vec(any::<u8>(), 0..512)) {
        check(read_heartbeat(&body), body.len())?;
        for dialect in Dialect::ALL {
            check(read_status(*dialect, &body), body.len())?;
        }
    }

    #[test]
    fn any_json_is_survived(body in prop_oneof![any_json(), framed()]) {
        let body = body.to_string();
        check(read_heartbeat(body.as_bytes()), body.len())?;
        for dialect in Dialect::ALL {
            check(read_status(*dialect, body.as_bytes()), body.len())?;
        }
    }

    #[test]
    fn any_damage_to_a_captured_body_is_survived(
        which in 0_usize..5, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut body = [A, B, C, MANAGED, NAMES][which].to_vec();
        let at = at.index(body.len());
        if cut { body.truncate(at) } else { body[at] = byte }
        check(read_heartbeat(&body), body.len())?;
        for dialect in Dialect::ALL {
            check(read_status(*dialect, &body), body.len())?;
        }
    }
}
