//! Stream, consumer and bucket definitions. `bus` creates them where they are missing and verifies them where they
//! are not; a difference stops the start.

use std::time::Duration;

use crate::subjects;

/// The oldest server that understands all that is asked of it: repeating message schedules came with 2.14.
pub const MIN_SERVER: (u64, u64, u64) = (2, 14, 0);

/// What is asked of a stream. What is not listed is the server's default for a file-backed stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSpec {
    /// Its name.
    pub name: &'static str,
    /// What it is for, kept in the stream's description.
    pub description: &'static str,
    /// What it takes.
    pub subjects: &'static [&'static str],
    /// Messages kept per subject, oldest dropped; `None`: no limit.
    pub max_per_subject: Option<u16>,
    /// How long a message is kept; `None`: for ever.
    pub max_age: Option<Duration>,
    /// Bytes kept, oldest dropped; `None`: no limit. Bounded by the number of subjects where that is `None`.
    pub max_bytes: Option<u64>,
    /// A message leaves when it is acknowledged.
    pub work_queue: bool,
    /// Messages may carry a time to live.
    pub message_ttl: bool,
    /// Messages may be schedules.
    pub schedules: bool,
    /// A message may replace all earlier ones of its subject.
    pub rollup: bool,
    /// How long a message id is remembered.
    pub duplicate_window: Duration,
}

/// JetStream's own default, and enough for a publisher's retries.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// The poll timetable and what is due.
pub const POLLS: StreamSpec = StreamSpec {
    name: "POLLS",
    description: "Poll schedules and due polls, one of each per toolbox",
    subjects: &[subjects::SCHEDULES, subjects::DUE],
    max_per_subject: Some(1),
    max_age: None,
    max_bytes: None,
    work_queue: false,
    message_ttl: false,
    schedules: true,
    rollup: true,
    duplicate_window: DUPLICATE_WINDOW,
};

/// Reports as observed.
pub const DTMA_RAW: StreamSpec = StreamSpec {
    name: "DTMA_RAW",
    description: "Raw reports: one message is one observation of one toolbox",
    subjects: &[subjects::RAW],
    max_per_subject: None,
    max_age: Some(Duration::from_secs(24 * 3600)),
    // A day of 10,000 toolboxes at 30 s and 300 B a report is 8 GB; what is older is observed again anyway.
    max_bytes: Some(1 << 30),
    work_queue: false,
    message_ttl: false,
    schedules: false,
    rollup: false,
    duplicate_window: DUPLICATE_WINDOW,
};

/// Commands for agents.
pub const DTMA_COMMANDS: StreamSpec = StreamSpec {
    name: "DTMA_COMMANDS",
    description: "Commands for agents, each taken once",
    subjects: &[subjects::COMMANDS],
    max_per_subject: None,
    max_age: Some(Duration::from_secs(24 * 3600)),
    max_bytes: Some(256 << 20),
    work_queue: true,
    message_ttl: false,
    schedules: false,
    rollup: false,
    duplicate_window: DUPLICATE_WINDOW,
};

/// What agents made of commands.
pub const DTMA_OUTCOMES: StreamSpec = StreamSpec {
    name: "DTMA_OUTCOMES",
    description: "What agents made of commands, each taken once",
    subjects: &[subjects::OUTCOMES],
    max_per_subject: None,
    max_age: Some(Duration::from_secs(24 * 3600)),
    max_bytes: Some(256 << 20),
    work_queue: true,
    message_ttl: false,
    schedules: false,
    rollup: false,
    duplicate_window: DUPLICATE_WINDOW,
};

/// The change events that others subscribe to; the last per subject is the snapshot.
pub const MCP_STATUS: StreamSpec = StreamSpec {
    name: "MCP_STATUS",
    description: "Status changes of servers and toolboxes; the last per subject is the present state",
    subjects: &[subjects::SERVER_STATUS, subjects::TOOLBOX_STATUS],
    // Enough to see what led here without asking the history; the newest alone is what matters.
    max_per_subject: Some(5),
    max_age: None,
    max_bytes: None,
    work_queue: false,
    message_ttl: true,
    schedules: false,
    rollup: true,
    // A publisher that was stopped between commit and publish repeats what it left over, under the same ids.
    duplicate_window: Duration::from_secs(600),
};

/// What could not be used.
pub const DTMA_DLQ: StreamSpec = StreamSpec {
    name: "DTMA_DLQ",
    description: "Messages that could not be decoded or kept failing, whole, with the reason",
    subjects: &[subjects::DEAD_LETTERS],
    max_per_subject: None,
    max_age: Some(Duration::from_secs(7 * 24 * 3600)),
    max_bytes: Some(256 << 20),
    work_queue: false,
    message_ttl: false,
    schedules: false,
    rollup: false,
    duplicate_window: DUPLICATE_WINDOW,
};

/// What is on its way to endpoints: deliveries, what is looked at later, and the schedules of both.
pub const WEBHOOKS: StreamSpec = StreamSpec {
    name: "WEBHOOKS",
    description: "Deliveries to webhooks and the schedules of their next attempts",
    subjects: &[
        subjects::WEBHOOK_DUE,
        subjects::WEBHOOK_LATER,
        subjects::WEBHOOK_LOOKS,
        subjects::WEBHOOK_CHECKS,
        subjects::WEBHOOK_HELD,
    ],
    max_per_subject: None,
    // Attempts end after a day; the rest is for who was away meanwhile.
    max_age: Some(Duration::from_secs(3 * 24 * 3600)),
    // Some quarter of a million deliveries that nobody takes; then the oldest go.
    max_bytes: Some(512 << 20),
    work_queue: true,
    message_ttl: true,
    schedules: true,
    rollup: true,
    // A notifier that was killed between publish and acknowledgement repeats it under the same id.
    duplicate_window: Duration::from_secs(600),
};

/// How attempts went.
pub const WEBHOOK_LOG: StreamSpec = StreamSpec {
    name: "WEBHOOK_LOG",
    description: "Attempts to reach webhooks, the last of each",
    subjects: &[subjects::WEBHOOK_LOG],
    max_per_subject: Some(100),
    max_age: Some(Duration::from_secs(7 * 24 * 3600)),
    max_bytes: Some(64 << 20),
    work_queue: false,
    message_ttl: false,
    schedules: false,
    rollup: false,
    duplicate_window: DUPLICATE_WINDOW,
};

/// What webhooks did not take.
pub const WEBHOOK_DEAD: StreamSpec = StreamSpec {
    name: "WEBHOOK_DEAD",
    description: "Deliveries that no webhook took, whole, with the reason",
    subjects: &[subjects::WEBHOOK_DEAD],
    // An endpoint that nobody repairs for weeks must not crowd out the others'.
    max_per_subject: Some(10_000),
    max_age: Some(Duration::from_secs(30 * 24 * 3600)),
    max_bytes: Some(256 << 20),
    work_queue: false,
    message_ttl: false,
    schedules: false,
    rollup: false,
    duplicate_window: DUPLICATE_WINDOW,
};

/// All streams.
pub const ALL: [&StreamSpec; 9] = [
    &POLLS,
    &DTMA_RAW,
    &DTMA_COMMANDS,
    &DTMA_OUTCOMES,
    &MCP_STATUS,
    &DTMA_DLQ,
    &WEBHOOKS,
    &WEBHOOK_LOG,
    &WEBHOOK_DEAD,
];

/// How long a tombstone stays before the subject is gone: longer than any subscriber that resumes may be away.
pub const TOMBSTONE_TTL: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is asked of a durable pull consumer that all replicas of a service share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// Its durable name.
    pub name: &'static str,
    /// Of which stream.
    pub stream: &'static StreamSpec,
    /// What it takes of the stream.
    pub filter: &'static str,
    /// How long a replica may take before the message goes to another.
    pub ack_wait: Duration,
    /// Deliveries before the message becomes a dead letter.
    pub max_deliver: u16,
    /// Messages under way to all replicas together.
    pub max_ack_pending: u32,
}

/// Due polls, shared by all pollers.
pub const POLLER: ConsumerSpec = ConsumerSpec {
    name: "dtma-poller",
    stream: &POLLS,
    filter: subjects::DUE,
    // Longer than the poll's own time-out with its fallback and the publishing after it.
    ack_wait: Duration::from_secs(30),
    max_deliver: 10,
    max_ack_pending: 10_000,
};

/// Commands, shared by all pollers.
pub const COMMANDER: ConsumerSpec = ConsumerSpec {
    name: "dtma-commander",
    stream: &DTMA_COMMANDS,
    filter: subjects::COMMANDS,
    // A poller says every few seconds that it is still at it; one that was killed is followed by another soon, because
    // somebody is watching the button.
    ack_wait: Duration::from_secs(6),
    // Tries end with the command's deadline, far below this.
    max_deliver: 100,
    max_ack_pending: 10_000,
};

/// Outcomes of commands, shared by all mappers.
pub const OUTCOMES: ConsumerSpec = ConsumerSpec {
    name: "status-mapper",
    stream: &DTMA_OUTCOMES,
    filter: subjects::OUTCOMES,
    ack_wait: Duration::from_secs(30),
    max_deliver: 20,
    max_ack_pending: 10_000,
};

/// Raw reports, shared by all mappers.
pub const MAPPER: ConsumerSpec = ConsumerSpec {
    name: "status-mapper",
    stream: &DTMA_RAW,
    filter: subjects::RAW,
    // A batch takes milliseconds; half a minute is a database that does not answer.
    ack_wait: Duration::from_secs(30),
    max_deliver: 20,
    max_ack_pending: 10_000,
};

/// Changes that endpoints may have to be told of, shared by all notifiers.
pub const WEBHOOK_MATCHER: ConsumerSpec = ConsumerSpec {
    name: "notifier-webhooks",
    stream: &MCP_STATUS,
    filter: subjects::SERVER_STATUS,
    ack_wait: Duration::from_secs(30),
    max_deliver: 100,
    max_ack_pending: 10_000,
};

/// Deliveries to be attempted, shared by all notifiers.
pub const WEBHOOK_SENDER: ConsumerSpec = ConsumerSpec {
    name: "notifier-senders",
    stream: &WEBHOOKS,
    filter: subjects::WEBHOOK_DUE,
    ack_wait: Duration::from_secs(30),
    // Attempts are counted in the delivery; here only what kept being killed at it.
    max_deliver: 100,
    max_ack_pending: 10_000,
};

/// Looks to be taken, shared by all notifiers.
pub const WEBHOOK_LOOKER: ConsumerSpec = ConsumerSpec {
    name: "notifier-looks",
    stream: &WEBHOOKS,
    filter: subjects::WEBHOOK_LOOKS,
    ack_wait: Duration::from_secs(30),
    max_deliver: 100,
    max_ack_pending: 10_000,
};

/// All shared consumers.
pub const CONSUMERS: [&ConsumerSpec; 7] = [
    &POLLER,
    &MAPPER,
    &COMMANDER,
    &OUTCOMES,
    &WEBHOOK_MATCHER,
    &WEBHOOK_SENDER,
    &WEBHOOK_LOOKER,
];

/// What is asked of a key-value bucket.
#[derive(Debug, PartialEq, Eq)]
pub struct BucketSpec {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// Entries kept per key: only the newest counts.
    pub history: u8,
}

/// The registry, for pollers: one key a toolbox, its id.
pub const TOOLBOXES: BucketSpec = BucketSpec {
    name: "toolboxes",
    description: "What pollers need to know of each toolbox; mirrored from the tables",
    history: 1,
};

/// Who is connected to what, for those who must know who may see what: one key a connection, its id.
pub const CONNECTIONS: BucketSpec = BucketSpec {
    name: "connections",
    description: "Which agent of whom is connected to which server; mirrored from the tables",
    history: 1,
};

/// One-use tickets: one key a ticket, its SHA-256 in hexadecimal.
pub const TICKETS: BucketSpec = BucketSpec {
    name: "tickets",
    description: "Whom each one-use ticket proves, by the ticket's hash; gone when redeemed or after seconds",
    history: 1,
};

/// One-use sign-ins: one key a code, its SHA-256 in hexadecimal.
pub const SIGN_INS: BucketSpec = BucketSpec {
    name: "sign_ins",
    description: "Tokens left for whoever brings the code, sealed under it, by the code's hash; gone when redeemed or after minutes",
    history: 1,
};

/// Who is told of changes by webhook: one key an endpoint, its id.
pub const WEBHOOK_ENTRIES: BucketSpec = BucketSpec {
    name: "webhooks",
    description: "Who is told of which changes by webhook, and how; mirrored from the tables",
    history: 1,
};

/// How long a ticket may be redeemed: a page opens its stream at once.
pub const TICKET_TTL: Duration = Duration::from_secs(30);

/// How long a sign-in may be redeemed: time for a person to come to the terminal and open the link, or to send it to his
/// telephone.
pub const SIGN_IN_TTL: Duration = Duration::from_secs(15 * 60);

/// All buckets.
pub const BUCKETS: [&BucketSpec; 5] = [&TOOLBOXES, &CONNECTIONS, &TICKETS, &SIGN_INS, &WEBHOOK_ENTRIES];
