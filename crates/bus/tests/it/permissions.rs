//! Who may do what, on a server with exactly the generated configuration: each thing tried by each user.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerError};
use bus::{Bus, BusError, BusOptions, From as Begin, permissions};
use embedded::{NatsOptions, NatsServer};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wire::{ToolboxEntry, streams, subjects};

use crate::ground::{entry, eventually, next, raw, soon, toolbox};

const TENANT: &str = "00000000-0000-0000-0000-00000000000a";
const OTHER: &str = "00000000-0000-0000-0000-00000000000b";

struct Ground {
    server: NatsServer,
    _dir: TempDir,
}

impl Ground {
    async fn new() -> Self {
        Self::with("").await
    }

    /// With further accounts.
    async fn with(tenants: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let mut options = NatsOptions::new(dir.path());
        options.more = permissions::whole(|user| format!("of {user}"), tenants);
        Self {
            server: NatsServer::start(options).await.unwrap(),
            _dir: dir,
        }
    }

    fn url(&self, user: &str) -> String {
        let address = self.server.address();
        format!("nats://{user}:of%20{user}@{address}")
    }

    async fn bus(&self, user: &'static str) -> Bus {
        let options = BusOptions {
            api_timeout: Duration::from_secs(2),
            ..BusOptions::new(self.url(user), user)
        };
        Bus::connect_once(options).await.unwrap()
    }

    async fn tester(&self, user: &str, password: &str) -> Tester {
        let (violations, said) = mpsc::unbounded_channel();
        let client = ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
            .custom_inbox_prefix(permissions::inbox(user))
            .event_callback(move |event| {
                if let Event::ServerError(ServerError::Other(text)) = event
                    && text.contains("Permissions Violation")
                {
                    violations.send(text).unwrap();
                }
                std::future::ready(())
            })
            .connect(self.server.url())
            .await
            .unwrap();
        Tester { client, said }
    }
}

/// A user who tries what he may not.
struct Tester {
    client: Client,
    said: mpsc::UnboundedReceiver<String>,
}

impl Tester {
    /// What of these the server refuses: it answers in the order it is asked, so that after the refusal of what nobody may
    /// nothing more is to come.
    async fn refused(&mut self, publish: &[&str], subscribe: &[&str]) -> BTreeSet<String> {
        let mut subscriptions = Vec::new();
        for subject in subscribe {
            subscriptions.push(self.client.subscribe((*subject).to_owned()).await.unwrap());
        }
        for subject in publish {
            self.client
                .publish((*subject).to_owned(), "{}".into())
                .await
                .unwrap();
        }
        self.client.publish("the.end", "".into()).await.unwrap();
        let mut refused = BTreeSet::new();
        loop {
            let text = soon("the server refuses the end", self.said.recv())
                .await
                .unwrap();
            let subject = text.split('"').nth(1).unwrap().to_owned();
            if subject == "the.end" {
                return refused;
            }
            let verb = if text.contains("for Publish") {
                "publish"
            } else {
                "subscribe"
            };
            refused.insert(format!("{verb} {subject}"));
        }
    }
}

const A: &str = "00000000-0000-0000-0000-000000000001";
const POLLER: &str = "dtma-poller";
const MAPPER: &str = "status-mapper";
const API: &str = "status-api";
const NOTIFIER: &str = "notifier";
const STATUSCTL: &str = "statusctl";
const CLIENT: &str = "client";

/// What may be published, and by whom; everybody else is refused. `@` stands for an id.
const PUBLISH: &[(&str, &[&str])] = &[
    ("mcp.status.v1.@.@", &[MAPPER]),
    ("toolbox.status.v1.@.@", &[MAPPER]),
    ("dtma.raw.v1.@", &[POLLER]),
    ("dtma.outcome.v1.@", &[POLLER]),
    ("dtma.command.v1.@", &[API]),
    ("poll.schedule.@", &[POLLER]),
    ("poll.due.@", &[POLLER, API]),
    ("status.wake.v1.@", &[API]),
    ("status.api.v1.getServer", &[STATUSCTL, CLIENT]),
    ("$SRV.PING", &[STATUSCTL, CLIENT]),
    ("webhook.due.v1.@", &[API, NOTIFIER]),
    ("webhook.look.v1.@.all", &[API, NOTIFIER]),
    ("webhook.later.v1.@.@", &[NOTIFIER]),
    ("webhook.check.v1.@.@", &[NOTIFIER]),
    ("webhook.held.v1.@", &[NOTIFIER]),
    ("webhook.log.v1.@.@", &[NOTIFIER]),
    ("webhook.dead.v1.@.@", &[NOTIFIER]),
    ("dtma.dlq.DTMA_RAW", &[MAPPER]),
    ("dtma.dlq.POLLS", &[POLLER]),
    ("dtma.dlq.WEBHOOKS", &[NOTIFIER]),
    // Buckets.
    ("$KV.toolboxes.@", &[MAPPER]),
    ("$KV.connections.@", &[MAPPER]),
    ("$KV.webhooks.@", &[MAPPER]),
    ("$KV.tickets.x", &[API, NOTIFIER]),
    ("$KV.sign_ins.x", &[API]),
    (
        "$JS.API.STREAM.MSG.GET.KV_toolboxes",
        &[POLLER, MAPPER, STATUSCTL],
    ),
    ("$JS.API.STREAM.MSG.GET.KV_tickets", &[NOTIFIER]),
    ("$JS.API.STREAM.MSG.GET.KV_sign_ins", &[API]),
    ("$JS.API.STREAM.MSG.GET.KV_webhooks", &[MAPPER, NOTIFIER]),
    ("$JS.API.DIRECT.GET.KV_toolboxes.$KV.toolboxes.@", &[]),
    (
        "$JS.API.CONSUMER.CREATE.KV_toolboxes",
        &[POLLER, MAPPER, STATUSCTL],
    ),
    ("$JS.API.CONSUMER.CREATE.KV_tickets", &[]),
    // Streams are made by one and neither changed nor deleted by any.
    (
        "$JS.API.STREAM.INFO.POLLS",
        &[POLLER, MAPPER, API, NOTIFIER, STATUSCTL, CLIENT],
    ),
    ("$JS.API.STREAM.CREATE.POLLS", &[MAPPER]),
    ("$JS.API.STREAM.CREATE.KV_toolboxes", &[MAPPER]),
    ("$JS.API.STREAM.CREATE.MINE", &[]),
    ("$JS.API.STREAM.UPDATE.POLLS", &[]),
    ("$JS.API.STREAM.DELETE.POLLS", &[]),
    ("$JS.API.STREAM.RESTORE.POLLS", &[]),
    ("$JS.API.STREAM.SNAPSHOT.MCP_STATUS", &[]),
    ("$JS.API.STREAM.NAMES", &[]),
    ("$JS.API.STREAM.PURGE.POLLS", &[POLLER]),
    ("$JS.API.STREAM.PURGE.MCP_STATUS", &[MAPPER]),
    ("$JS.API.STREAM.PURGE.DTMA_RAW", &[MAPPER]),
    ("$JS.API.STREAM.PURGE.WEBHOOKS", &[NOTIFIER]),
    ("$JS.API.STREAM.MSG.DELETE.WEBHOOK_DEAD", &[API]),
    ("$JS.API.STREAM.MSG.GET.WEBHOOK_LOG", &[API]),
    ("$JS.API.STREAM.MSG.GET.DTMA_RAW", &[MAPPER]),
    (
        "$JS.API.STREAM.MSG.GET.MCP_STATUS",
        &[MAPPER, API, NOTIFIER, STATUSCTL, CLIENT],
    ),
    // Consumers: the shared ones are made by one and used by theirs.
    ("$JS.API.CONSUMER.CREATE.POLLS", &[]),
    ("$JS.API.CONSUMER.CREATE.POLLS.dtma-poller.poll.due.*", &[MAPPER]),
    ("$JS.API.CONSUMER.CREATE.DTMA_RAW", &[]),
    ("$JS.API.CONSUMER.CREATE.DTMA_RAW.mine.dtma.raw.v1.*", &[]),
    ("$JS.API.CONSUMER.DURABLE.CREATE.MCP_STATUS.mine", &[]),
    (
        "$JS.API.CONSUMER.CREATE.MCP_STATUS",
        &[MAPPER, API, NOTIFIER, STATUSCTL, CLIENT],
    ),
    ("$JS.API.CONSUMER.DELETE.POLLS.dtma-poller", &[]),
    ("$JS.API.CONSUMER.PAUSE.POLLS.dtma-poller", &[]),
    (
        "$JS.API.CONSUMER.INFO.DTMA_RAW.status-mapper",
        &[MAPPER, API, STATUSCTL],
    ),
    ("$JS.API.CONSUMER.MSG.NEXT.POLLS.dtma-poller", &[POLLER]),
    (
        "$JS.API.CONSUMER.MSG.NEXT.DTMA_COMMANDS.dtma-commander",
        &[POLLER],
    ),
    ("$JS.API.CONSUMER.MSG.NEXT.DTMA_RAW.status-mapper", &[MAPPER]),
    ("$JS.API.CONSUMER.MSG.NEXT.DTMA_OUTCOMES.status-mapper", &[MAPPER]),
    ("$JS.API.CONSUMER.MSG.NEXT.WEBHOOKS.notifier-senders", &[NOTIFIER]),
    ("$JS.ACK.POLLS.dtma-poller.1.1.1.1.0", &[POLLER]),
    ("$JS.ACK.DTMA_RAW.status-mapper.1.1.1.1.0", &[MAPPER]),
    ("$JS.ACK.WEBHOOKS.notifier-senders.1.1.1.1.0", &[NOTIFIER]),
    // Answers.
    ("_INBOX.status-api.x", &[MAPPER, API]),
    ("_INBOX.dtma-poller.x", &[API]),
    ("$SYS.REQ.SERVER.PING", &[]),
    ("$JS.API.ACCOUNT.PURGE.STATUS", &[]),
];

/// What may be listened on, and by whom.
const SUBSCRIBE: &[(&str, &[&str])] = &[
    ("mcp.status.v1.*.*", &[CLIENT]),
    ("toolbox.status.v1.*.*", &[CLIENT]),
    ("status.api.v1.>", &[API]),
    ("status.wake.v1.*", &[MAPPER]),
    ("$SRV.PING", &[API]),
    ("dtma.raw.v1.*", &[]),
    ("dtma.command.v1.*", &[]),
    ("webhook.due.v1.*", &[]),
    ("$KV.toolboxes.>", &[]),
    ("$KV.>", &[]),
    ("$JS.>", &[]),
    ("_INBOX.>", &[]),
    ("_INBOX.dtma-poller.>", &[POLLER]),
    ("_INBOX.status-api.>", &[API]),
    ("_INBOX.client.>", &[CLIENT]),
    ("$SYS.>", &[]),
    (">", &[]),
];

#[tokio::test]
async fn each_user_may_do_what_is_his_and_nothing_else() {
    let ground = Ground::new().await;
    let named = |table: &[(&str, &'static [&'static str])]| -> Vec<(String, &'static [&'static str])> {
        table
            .iter()
            .map(|(subject, who)| (subject.replace('@', A), *who))
            .collect()
    };
    let (publish, subscribe) = (named(PUBLISH), named(SUBSCRIBE));
    for user in permissions::ALL {
        let not_his = |verb: &str, table: &[(String, &[&str])]| -> Vec<String> {
            let others = table.iter().filter(|(_, who)| !who.contains(&user.name));
            others.map(|(subject, _)| format!("{verb} {subject}")).collect()
        };
        let mut expected: BTreeSet<String> = not_his("publish", &publish).into_iter().collect();
        expected.extend(not_his("subscribe", &subscribe));
        let mut tester = ground.tester(user.name, &format!("of {}", user.name)).await;
        let to: Vec<&str> = publish.iter().map(|(subject, _)| subject.as_str()).collect();
        let on: Vec<&str> = subscribe.iter().map(|(subject, _)| subject.as_str()).collect();
        let refused = tester.refused(&to, &on).await;
        let (should, should_not): (Vec<_>, Vec<_>) = (
            expected.difference(&refused).collect(),
            refused.difference(&expected).collect(),
        );
        assert!(
            should.is_empty() && should_not.is_empty(),
            "{}: not refused {should:?}; refused {should_not:?}",
            user.name
        );
    }
}

#[tokio::test]
async fn who_may_not_make_the_streams_waits_for_who_may() {
    let ground = Ground::new().await;
    let poller = ground.bus(POLLER).await;
    let error = poller.ensure_streams().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to create stream POLLS: this NATS user may not"
    );
    assert!(error.is_transient(), "the mapper may");
    // A consumer waits likewise, and begins by itself.
    let shutdown = CancellationToken::new();
    let (taken, mut takes) = mpsc::unbounded_channel();
    let consuming = tokio::spawn({
        let (bus, shutdown) = (poller.clone(), shutdown.clone());
        async move {
            bus::consume(&bus, &streams::POLLER, 1, shutdown, |delivery| {
                taken.send(delivery.subject).unwrap();
                std::future::ready(bus::Verdict::Done)
            })
            .await
        }
    });
    let mapper = ground.bus(MAPPER).await;
    mapper.ensure_streams().await.unwrap();
    mapper.ensure_consumers().await.unwrap();
    poller.ensure_streams().await.unwrap();
    poller.schedules().fire_now(toolbox(1)).await.unwrap();
    let subject = soon("the poll is due", takes.recv()).await.unwrap();
    assert_eq!(subject, subjects::due(toolbox(1)));
    shutdown.cancel();
    soon("the consumer ends", consuming).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_operator_sees_all_that_doctor_looks_at() {
    let ground = Ground::new().await;
    let mapper = ground.bus(MAPPER).await;
    mapper.ensure_streams().await.unwrap();
    mapper.ensure_consumers().await.unwrap();
    let toolboxes = mapper.bucket::<ToolboxEntry>().await.unwrap();
    toolboxes.put(&entry(1, "one")).await.unwrap();

    let operator = ground.bus(STATUSCTL).await;
    let seen = operator.inspect().await.unwrap();
    assert!(
        seen.things.iter().all(|thing| thing.found == bus::Found::Right),
        "{seen:?}"
    );
    assert!(operator.server_time().await.unwrap().is_some());
    for consumer in streams::CONSUMERS {
        operator.backlog(consumer).await.unwrap();
    }
    operator
        .subjects(&streams::DTMA_DLQ, subjects::DEAD_LETTERS, 10)
        .await
        .unwrap();
    assert!(operator.schedules().existing().await.unwrap().is_empty());
    let bucket = operator.existing_bucket::<ToolboxEntry>().await.unwrap().unwrap();
    assert_eq!(bucket.all().await.unwrap(), [entry(1, "one")]);
    // And no more than looks.
    let error = bucket.delete(uuid::Uuid::from_u128(1)).await.unwrap_err();
    assert!(matches!(error, BusError::Timeout { .. }), "{error}");
    assert_eq!(bucket.all().await.unwrap(), [entry(1, "one")]);
}

#[tokio::test]
async fn a_tenant_hears_his_own_asks_and_reaches_nothing_else() {
    let tenant = |account: &str| {
        permissions::tenant_file()
            .replace("ACCOUNT", account)
            .replace("PASSWORD", "of a tenant")
    };
    // The other's entry imports what is not his as well.
    let greedy = tenant(OTHER).replace(
        "imports: [",
        &format!(
            "imports: [\n    {{ stream: {{ account: STATUS, subject: \"mcp.status.v1.{TENANT}.*\" }} }}"
        ),
    );
    let dir = TempDir::new().unwrap();
    let mut options = NatsOptions::new(dir.path());
    options.more = permissions::whole(|_| "x".to_owned(), &greedy);
    let refusal = NatsServer::start(options).await.unwrap_err();
    assert!(format!("{refusal:#}").contains("import"), "{refusal:#}");

    let ground = Ground::with(&(tenant(TENANT) + &tenant(OTHER))).await;
    let mapper = ground.bus(MAPPER).await;
    mapper.ensure_streams().await.unwrap();
    let status = |account: &str| bus::Outgoing {
        subject: format!("mcp.status.v1.{account}.{A}"),
        ..raw(1, account)
    };

    let mut tester = ground.tester(TENANT, "of a tenant").await;
    let his = format!("mcp.status.v1.{TENANT}.*");
    let mut hears = tester.client.subscribe(his.clone()).await.unwrap();
    let refused = tester
        .refused(
            &[
                &format!("mcp.status.v1.{TENANT}.{A}"),
                "poll.schedule.x",
                "dtma.command.v1.x",
                "$KV.toolboxes.x",
                "$JS.API.STREAM.INFO.MCP_STATUS",
                "$JS.API.CONSUMER.CREATE.MCP_STATUS",
                "$JS.API.STREAM.MSG.GET.KV_toolboxes",
                "$JS.API.DIRECT.GET.MCP_STATUS.x",
                "$SRV.PING",
                "$SYS.REQ.SERVER.PING",
            ],
            &[
                &format!("mcp.status.v1.{OTHER}.*"),
                "mcp.status.v1.>",
                "$KV.>",
                "dtma.>",
                ">",
            ],
        )
        .await;
    assert_eq!(refused.len(), 15, "{refused:?}");
    // In the order they are published, so that hearing the second means that the first was not for him.
    for account in [OTHER, TENANT] {
        let mut results = mapper.publish_all(vec![status(account)]).await;
        results.remove(0).unwrap();
    }
    let heard = next("his status", &mut hears).await;
    assert_eq!(&heard.payload[..], TENANT.as_bytes());

    // What he asks is answered to him, whatever place he names for the answer.
    let api = ground.bus(API).await;
    let schedules = ground.bus(POLLER).await;
    schedules
        .schedules()
        .replace(toolbox(1), &crate::ground::plan(3600, 0))
        .await
        .unwrap();
    let shutdown = CancellationToken::new();
    let asked = subjects::api("getServer");
    let answering = tokio::spawn({
        let (api, shutdown) = (api.clone(), shutdown.clone());
        async move {
            api.answer(asked, None, 1, shutdown, |_| async { Some("an answer".into()) })
                .await
        }
    });
    let client = tester.client.clone();
    eventually("the question is answered", async || {
        let request = async_nats::Request::new().timeout(Some(Duration::from_secs(1)));
        let answer = client.send_request(subjects::api("getServer"), request).await;
        answer.is_ok_and(|answer| &answer.payload[..] == b"an answer")
    })
    .await;
    client
        .publish_with_reply(
            subjects::api("getServer"),
            subjects::schedule(toolbox(1)),
            "".into(),
        )
        .await
        .unwrap();
    // One after the other: when this one is answered, the one before was.
    client
        .request(subjects::api("getServer"), "".into())
        .await
        .unwrap();
    let kept = api
        .subjects(&streams::POLLS, subjects::SCHEDULES, 10)
        .await
        .unwrap();
    assert_eq!(kept, [(subjects::schedule(toolbox(1)), 1)]);
    assert_eq!(
        mapper.stream_state(&streams::POLLS).await.unwrap().last_sequence,
        1
    );
    shutdown.cancel();
    soon("the answerer ends", answering).await.unwrap().unwrap();
}

/// Within the services' account anybody may name any place for an answer: it is the one who answers that must not follow.
#[tokio::test]
async fn an_answer_goes_to_an_inbox_or_nowhere() {
    let ground = Ground::new().await;
    let mapper = ground.bus(MAPPER).await;
    mapper.ensure_streams().await.unwrap();
    let api = ground.bus(API).await;
    let shutdown = CancellationToken::new();
    let answering = tokio::spawn({
        let (api, shutdown) = (api.clone(), shutdown.clone());
        async move {
            let asked = subjects::api("getServer");
            api.answer(asked, None, 1, shutdown, |_| async { Some("an answer".into()) })
                .await
        }
    });
    let tester = ground.tester(CLIENT, "of client").await;
    let client = &tester.client;
    let asked = subjects::api("getServer");
    eventually("the question is answered", async || {
        let request = async_nats::Request::new().timeout(Some(Duration::from_secs(1)));
        client.send_request(asked.clone(), request).await.is_ok()
    })
    .await;
    client
        .publish_with_reply(asked.clone(), subjects::raw(toolbox(1)), "".into())
        .await
        .unwrap();
    client.request(asked, "".into()).await.unwrap();
    assert_eq!(mapper.stream_state(&streams::DTMA_RAW).await.unwrap().messages, 0);
    shutdown.cancel();
    soon("the answerer ends", answering).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_follower_of_the_house_has_the_present_and_the_changes() {
    let ground = Ground::new().await;
    let mapper = ground.bus(MAPPER).await;
    mapper.ensure_streams().await.unwrap();
    for user in [API, NOTIFIER, STATUSCTL, CLIENT] {
        let bus = ground.bus(user).await;
        let shutdown = CancellationToken::new();
        let mut follows = bus.follow(&streams::MCP_STATUS, vec![], Begin::LastPerSubject, shutdown);
        let subject = format!("mcp.status.v1.{TENANT}.{A}");
        let sent = bus::Outgoing {
            subject: subject.clone(),
            ..raw(1, user)
        };
        mapper.publish_all(vec![sent]).await.remove(0).unwrap();
        let body = async {
            loop {
                let delivery = next("a status", &mut follows).await;
                if delivery.body == user.as_bytes() {
                    return delivery.subject;
                }
            }
        };
        assert_eq!(soon("the status", body).await, subject);
    }
}

/// A key pair of the NATS documentation.
const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
const PUBLIC: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";

#[tokio::test]
async fn a_file_with_a_seed_is_a_login() {
    let dir = TempDir::new().unwrap();
    let mut options = NatsOptions::new(dir.path().join("nats"));
    let login = r#"user: "dtma-poller", password: $DTMA_POLLER_PASSWORD"#;
    options.more = permissions::whole(|user| format!("of {user}"), "")
        .replace(login, &format!("nkey: {PUBLIC}"))
        // The server does not know a variable that nobody uses.
        .replace("DTMA_POLLER_PASSWORD: \"of dtma-poller\"\n", "");
    let server = NatsServer::start(options).await.unwrap();
    let file = dir.path().join("poller.nk");
    let connect = async |text: &str| {
        std::fs::write(&file, text).unwrap();
        Bus::connect_once(BusOptions {
            credentials: Some(file.clone()),
            ..BusOptions::new(server.url(), POLLER)
        })
        .await
    };
    let bus = connect(&format!("{SEED}\n")).await.unwrap();
    // As himself: without the streams, and without the right to make them.
    let error = bus.ensure_streams().await.unwrap_err();
    assert!(matches!(error, BusError::Forbidden { .. }), "{error}");
    let error = connect("neither this nor that").await.unwrap_err();
    assert!(matches!(error, BusError::Credentials { .. }), "{error}");
    let nobody = Bus::connect_once(BusOptions::new(server.url(), POLLER))
        .await
        .unwrap_err();
    assert!(matches!(nobody, BusError::Client { .. }), "{nobody}");
    let wrong = format!("nats://notifier:wrong@{}", server.address());
    Bus::connect_once(BusOptions::new(wrong, NOTIFIER))
        .await
        .unwrap_err();
    // Only to show that the right one would do.
    let right = format!("nats://notifier:of%20notifier@{}", server.address());
    Bus::connect_once(BusOptions::new(right, NOTIFIER)).await.unwrap();
}
