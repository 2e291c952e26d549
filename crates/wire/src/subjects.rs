//! Every subject, in one place.
//!
//! ```text
//!  poll.schedule.{toolbox}                   message schedule of a toolbox        stream POLLS
//!  poll.due.{toolbox}                        a poll is due now                    stream POLLS
//!  dtma.raw.v1.{toolbox}                     one report of one toolbox            stream DTMA_RAW
//!  dtma.command.v1.{toolbox}                 a command for one of its servers     stream DTMA_COMMANDS
//!  dtma.outcome.v1.{toolbox}                 what its agent made of a command     stream DTMA_OUTCOMES
//!  mcp.status.v1.{account}.{server}          a server's status changed            stream MCP_STATUS
//!  toolbox.status.v1.{account}.{toolbox}     a toolbox's status changed           stream MCP_STATUS
//!  dtma.dlq.{stream}                         a message that could not be used     stream DTMA_DLQ
//!  webhook.due.v1.{webhook}                  a delivery to be attempted now       stream WEBHOOKS
//!  webhook.later.v1.{webhook}.{delivery}     message schedule of its next attempt stream WEBHOOKS
//!  webhook.look.v1.{webhook}.{server}        what has become of a server          stream WEBHOOKS
//!  webhook.look.v1.{webhook}.all             … of what was gathered; a test       stream WEBHOOKS
//!  webhook.check.v1.{webhook}.{server}       message schedule of such a look      stream WEBHOOKS
//!  webhook.check.v1.{webhook}.all            the same                             stream WEBHOOKS
//!  webhook.held.v1.{webhook}                 a change that waits for others       stream WEBHOOKS
//!  webhook.log.v1.{account}.{webhook}        an attempt, as it went               stream WEBHOOK_LOG
//!  webhook.dead.v1.{account}.{webhook}       a delivery that is given up          stream WEBHOOK_DEAD
//!  status.wake.v1.{toolbox}                  an intent was written: look now      no stream, lost without harm
//!  status.log.v1.{service}                   log something else for a while    request and reply
//!  status.api.v1.{operation}                 a question or command for status-api request and reply
//! ```
//!
//! The account is a token of its own, so that NATS permissions can fence tenants: `mcp.status.v1.{account}.>`.

use domain::{AccountId, ServerId, ToolboxId};
use uuid::Uuid;

/// All poll schedules.
pub const SCHEDULES: &str = "poll.schedule.*";
/// All due polls.
pub const DUE: &str = "poll.due.*";
/// All raw reports.
pub const RAW: &str = "dtma.raw.v1.*";
/// All commands.
pub const COMMANDS: &str = "dtma.command.v1.*";
/// All outcomes of commands.
pub const OUTCOMES: &str = "dtma.outcome.v1.*";
/// All hints that an intent was written.
pub const WAKES: &str = "status.wake.v1.*";
/// What the subjects of status-api's operations begin with.
pub const API: &str = "status.api.v1";
/// All server statuses of all accounts.
pub const SERVER_STATUS: &str = "mcp.status.v1.*.*";
/// All toolbox statuses of all accounts.
pub const TOOLBOX_STATUS: &str = "toolbox.status.v1.*.*";
/// All dead letters.
pub const DEAD_LETTERS: &str = "dtma.dlq.>";

/// All deliveries to be attempted.
pub const WEBHOOK_DUE: &str = "webhook.due.v1.*";
/// All schedules of next attempts.
pub const WEBHOOK_LATER: &str = "webhook.later.v1.*.*";
/// All looks to be taken.
pub const WEBHOOK_LOOKS: &str = "webhook.look.v1.*.*";
/// All schedules of looks.
pub const WEBHOOK_CHECKS: &str = "webhook.check.v1.*.*";
/// All changes that wait for others.
pub const WEBHOOK_HELD: &str = "webhook.held.v1.*";
/// All attempts.
pub const WEBHOOK_LOG: &str = "webhook.log.v1.*.*";
/// All deliveries that were given up.
pub const WEBHOOK_DEAD: &str = "webhook.dead.v1.*.*";

/// All requests to change what services log.
pub const LOGS: &str = "status.log.v1.*";
/// What is asked of status-api.
pub const API_REQUESTS: &str = "status.api.v1.*";

/// Every pattern of a subject above.
const PATTERNS: [&str; 18] = [
    SCHEDULES,
    DUE,
    RAW,
    COMMANDS,
    OUTCOMES,
    SERVER_STATUS,
    TOOLBOX_STATUS,
    DEAD_LETTERS,
    WEBHOOK_DUE,
    WEBHOOK_LATER,
    WEBHOOK_LOOKS,
    WEBHOOK_CHECKS,
    WEBHOOK_HELD,
    WEBHOOK_LOG,
    WEBHOOK_DEAD,
    WAKES,
    LOGS,
    API_REQUESTS,
];

/// The pattern that a subject is one of: the same for all toolboxes, servers and accounts, as names of spans have to be.
pub fn pattern_of(subject: &str) -> Option<&'static str> {
    PATTERNS.into_iter().find(|pattern| matches(pattern, subject))
}

/// Whether a subject is one of a pattern's.
pub fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for expected in pattern.split('.') {
        match (expected, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (expected, Some(token)) if expected == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// Where the schedule of a toolbox is kept: publishing replaces it, purging ends it.
pub fn schedule(toolbox: ToolboxId) -> String {
    format!("poll.schedule.{toolbox}")
}

/// Where a toolbox's schedule fires, and where a forced refresh is asked for.
pub fn due(toolbox: ToolboxId) -> String {
    format!("poll.due.{toolbox}")
}

/// Where a toolbox's reports go.
pub fn raw(toolbox: ToolboxId) -> String {
    format!("dtma.raw.v1.{toolbox}")
}

/// Where commands for a toolbox's servers go.
pub fn command(toolbox: ToolboxId) -> String {
    format!("dtma.command.v1.{toolbox}")
}

/// Where outcomes of commands for a toolbox's servers go.
pub fn outcome(toolbox: ToolboxId) -> String {
    format!("dtma.outcome.v1.{toolbox}")
}

/// Where it is said that an intent was written for a toolbox or its servers.
pub fn wake(toolbox: ToolboxId) -> String {
    format!("status.wake.v1.{toolbox}")
}

/// Where every replica of a service is asked to log something else.
pub fn log(service: &str) -> String {
    format!("status.log.v1.{service}")
}

/// Where an operation of status-api is asked for.
pub fn api(operation: &str) -> String {
    format!("{API}.{operation}")
}

/// Where a server's status changes go.
pub fn server_status(account: AccountId, server: ServerId) -> String {
    format!("mcp.status.v1.{account}.{server}")
}

/// Server statuses of one account.
pub fn server_statuses_of(account: AccountId) -> String {
    format!("mcp.status.v1.{account}.*")
}

/// Toolbox statuses of one account.
pub fn toolbox_statuses_of(account: AccountId) -> String {
    format!("toolbox.status.v1.{account}.*")
}

/// Where a toolbox's status changes go.
pub fn toolbox_status(account: AccountId, toolbox: ToolboxId) -> String {
    format!("toolbox.status.v1.{account}.{toolbox}")
}

/// Where messages of `stream` end that could not be used.
pub fn dead_letter(stream: &str) -> String {
    format!("dtma.dlq.{stream}")
}

/// Where deliveries to an endpoint go that are to be attempted now.
pub fn webhook_due(webhook: Uuid) -> String {
    format!("webhook.due.v1.{webhook}")
}

/// Where the schedule of a delivery's next attempt is kept: publishing replaces it.
pub fn webhook_later(webhook: Uuid, delivery: Uuid) -> String {
    format!("webhook.later.v1.{webhook}.{delivery}")
}

/// Where it is asked what has become of a server; `None`: of everything that was gathered.
pub fn webhook_look(webhook: Uuid, server: Option<ServerId>) -> String {
    format!("webhook.look.v1.{webhook}.{}", server_or_all(server))
}

/// Where the schedule of such a look is kept: publishing replaces it.
pub fn webhook_check(webhook: Uuid, server: Option<ServerId>) -> String {
    format!("webhook.check.v1.{webhook}.{}", server_or_all(server))
}

fn server_or_all(server: Option<ServerId>) -> String {
    server.map_or_else(|| "all".to_owned(), |server| server.to_string())
}

/// Where changes wait for others that one endpoint is told with.
pub fn webhook_held(webhook: Uuid) -> String {
    format!("webhook.held.v1.{webhook}")
}

/// Where attempts to reach an endpoint are kept.
pub fn webhook_log(account: AccountId, webhook: Uuid) -> String {
    format!("webhook.log.v1.{account}.{webhook}")
}

/// Where deliveries to an endpoint are kept that were given up.
pub fn webhook_dead(account: AccountId, webhook: Uuid) -> String {
    format!("webhook.dead.v1.{account}.{webhook}")
}

/// The endpoint of a `webhook.due`, `webhook.look` or `webhook.held` subject.
pub fn webhook_of(subject: &str) -> Option<Uuid> {
    ["webhook.due.v1.", "webhook.look.v1.", "webhook.held.v1."]
        .iter()
        .find_map(|beginning| subject.strip_prefix(beginning))?
        .split('.')
        .next()?
        .parse()
        .ok()
}

/// The toolbox a `poll.*`, `dtma.*`, `status.wake` or `toolbox.status` subject speaks of: its last token.
pub fn toolbox_of(subject: &str) -> Option<ToolboxId> {
    subject.rsplit('.').next()?.parse().ok()
}

/// The account and server of an `mcp.status` subject.
pub fn server_of(subject: &str) -> Option<(AccountId, ServerId)> {
    let (account, server) = subject.strip_prefix("mcp.status.v1.")?.split_once('.')?;
    Some((account.parse().ok()?, server.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_and_their_readers_agree() {
        let toolbox = ToolboxId(uuid::Uuid::from_u128(7));
        let account = AccountId(uuid::Uuid::from_u128(8));
        let server = ServerId(uuid::Uuid::from_u128(9));
        for subject in [
            schedule(toolbox),
            due(toolbox),
            raw(toolbox),
            command(toolbox),
            outcome(toolbox),
            wake(toolbox),
            toolbox_status(account, toolbox),
        ] {
            assert_eq!(toolbox_of(&subject), Some(toolbox), "{subject}");
        }
        assert_eq!(
            server_of(&server_status(account, server)),
            Some((account, server))
        );
        assert_eq!(server_of(&toolbox_status(account, toolbox)), None);
        assert_eq!(toolbox_of("poll.due.nonsense"), None);
        for subject in [
            webhook_due(server.0),
            webhook_look(server.0, None),
            webhook_look(server.0, Some(ServerId(toolbox.0))),
            webhook_held(server.0),
        ] {
            assert_eq!(webhook_of(&subject), Some(server.0), "{subject}");
        }
        assert_eq!(webhook_of(&webhook_check(server.0, None)), None);
    }

    #[test]
    fn a_pattern_is_the_same_for_all_of_its_subjects() {
        let (account, id) = (AccountId(uuid::Uuid::from_u128(8)), uuid::Uuid::from_u128(9));
        for (subject, pattern) in [
            (schedule(ToolboxId(id)), SCHEDULES),
            (due(ToolboxId(id)), DUE),
            (raw(ToolboxId(id)), RAW),
            (server_status(account, ServerId(id)), SERVER_STATUS),
            (toolbox_status(account, ToolboxId(id)), TOOLBOX_STATUS),
            (webhook_look(id, None), WEBHOOK_LOOKS),
            (webhook_dead(account, id), WEBHOOK_DEAD),
            (dead_letter("DTMA_RAW"), DEAD_LETTERS),
            (wake(ToolboxId(id)), WAKES),
            (log("notifier"), LOGS),
            (api("getServer"), API_REQUESTS),
        ] {
            assert_eq!(pattern_of(&subject), Some(pattern), "{subject}");
        }
        for subject in ["", "dtma.raw.v1", "dtma.raw.v1.x.y", "dtma.raw.v2.x", "somewhere"] {
            assert_eq!(pattern_of(subject), None, "{subject}");
        }
    }
}
