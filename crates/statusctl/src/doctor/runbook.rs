//! What to do about each finding: the one table. The runbook has a section for every name in it.

/// What to do about something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    /// The section of the runbook: `runbook#…`.
    pub slug: &'static str,
    /// In a line.
    pub todo: &'static str,
}

macro_rules! runbook {
    ($($name:ident = $slug:literal, $todo:literal;)+) => {
        $(pub(crate) const $name: Advice = Advice { slug: $slug, todo: $todo };)+

        /// All of them.
        pub const ALL: &[Advice] = &[$($name),+];
    };
}

runbook! {
    NATS_UNREACHABLE = "nats-unreachable",
        "start nats-server, or correct the address and login (--nats-url, --nats-credentials)";
    NATS_TOO_OLD = "nats-too-old",
        "upgrade nats-server: an older one silently ignores message schedules";
    STREAM_MISSING = "stream-missing",
        "start status-mapper or dtma-poller: they make what is missing and fill it again";
    STREAM_DIFFERS = "stream-differs",
        "set it back with `nats stream edit`, or delete the stream: it is made again and filled from the database";
    CONSUMER_MISSING = "consumer-missing",
        "start the service it belongs to: it makes its consumer";
    CONSUMER_DIFFERS = "consumer-differs",
        "delete the consumer: the service makes it again as it must be";
    CONSUMER_BEHIND = "consumer-behind",
        "add replicas of the service, and look at its log and metrics for what slows it";
    DEAD_LETTERS = "dead-letters",
        "read them (`nats stream view DTMA_DLQ`): each has its reason in the headers; they go by themselves after 7 days";
    SCHEDULE_MISSING = "schedule-missing",
        "start dtma-poller: it makes missing schedules within a minute; else look at its log";
    SCHEDULE_LEFT_OVER = "schedule-left-over",
        "start dtma-poller: it ends schedules that nobody needs";
    BUCKET_BEHIND = "bucket-behind",
        "start status-mapper: it mirrors the tables into the bucket within seconds; else look at its log";
    CLOCKS_APART = "clocks-apart",
        "synchronise the clocks (NTP): ages, deadlines and tokens depend on them";
    DATABASE_UNREACHABLE = "database-unreachable",
        "start PostgreSQL, or correct DATABASE_URL";
    DATABASE_TOO_OLD = "database-too-old",
        "upgrade PostgreSQL to 15 or newer";
    MIGRATIONS_MISSING = "migrations-missing",
        "run `statusctl migrate`: migrations only add";
    MIGRATIONS_CHANGED = "migrations-changed",
        "run the binaries that the schema was made with; a migration that was run is never edited";
    MIGRATION_UNFINISHED = "migration-unfinished",
        "look at the log of the migration that failed, correct its cause, and run `statusctl migrate` again";
    OUTBOX_BEHIND = "outbox-behind",
        "start status-mapper, whose relay publishes what is left over; it needs NATS";
    COMMANDS_WAITING = "commands-waiting",
        "check that status-api reaches NATS: it sends accepted commands to the pollers";
    COMMANDS_OVERDUE = "commands-overdue",
        "start status-mapper: its sweep ends commands whose deadline is past";
    REGISTRY_UNUSABLE = "registry-unusable",
        "correct the rows: give toolboxes an owner, and instances a container's name";
    API_UNREACHABLE = "api-unreachable",
        "start status-api, or correct --api-url or the profile";
    API_REFUSES = "api-refuses",
        "get a token that it takes: `statusctl token` makes one from its secret";
    SERVICE_NOT_READY = "service-not-ready",
        "look at the service's log: it says what it waits for";
    AGENT_UNRESPONSIVE = "agent-unresponsive",
        "check the machine, its agent, and the way to it; it heals by itself with the first answer";
    AGENT_PROBE_FAILED = "agent-probe-failed",
        "check the machine, its agent, and the way from here to it";
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn every_section_has_a_name_of_its_own_that_a_link_can_have() {
        let mut slugs: Vec<&str> = ALL.iter().map(|advice| advice.slug).collect();
        let allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        assert!(slugs.iter().all(|slug| slug.chars().all(allowed)));
        slugs.sort_unstable();
        let before = slugs.len();
        slugs.dedup();
        assert_eq!(slugs.len(), before);
    }
}
