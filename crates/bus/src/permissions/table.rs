//! The table, and what it means in subjects.

use std::borrow::Cow;

use wire::streams::{self, BucketSpec, ConsumerSpec, StreamSpec};
use wire::subjects;

use super::{Permissions, inbox};
use crate::bucket;
use crate::streams::Target;

/// One user of the services' account.
#[derive(Debug)]
pub struct User {
    /// The name it logs in with and listens for answers under.
    pub name: &'static str,
    /// Makes whatever stream, bucket and shared consumer is missing.
    makes: bool,
    /// Publishes and asks.
    publishes: &'static [&'static str],
    /// Is told or asked.
    hears: &'static [&'static str],
    /// Answers there.
    answers: &'static [&'static str],
    /// Takes from.
    takes: &'static [&'static ConsumerSpec],
    /// Follows from the last message of each subject on, by consumers of its own.
    follows: &'static [Target],
    /// Reads single messages of.
    looks: &'static [Target],
    /// Removes messages of.
    removes: &'static [Target],
    /// Writes entries of.
    writes: &'static [&'static BucketSpec],
    /// Sees how far these consumers are; all, where there is none.
    watches: Watches,
    /// Is told by the operator what to log.
    logs: bool,
}

#[derive(Debug)]
enum Watches {
    Nothing,
    One(&'static ConsumerSpec),
    All,
}

const NOBODY: User = User {
    name: "",
    makes: false,
    publishes: &[],
    hears: &[],
    answers: &[],
    takes: &[],
    follows: &[],
    looks: &[],
    removes: &[],
    writes: &[],
    watches: Watches::Nothing,
    logs: false,
};

/// A service that an operator may tell what to log.
const SERVICE: User = User { logs: true, ..NOBODY };

const fn of(stream: &'static StreamSpec) -> Target {
    Target::Stream(stream)
}

const fn entries(bucket: &'static BucketSpec) -> Target {
    Target::Bucket(bucket)
}

/// All operations of status-api.
const QUESTIONS: &str = "status.api.v1.>";
/// How services are found (ADR-32).
const DISCOVERY: &str = "$SRV.>";
/// Answers to whoever asked: in this account, and in another (the server's own form; no client can ask for an answer there).
/// A subject that is no inbox is answered to nobody: who asks could name a stream's.
const ASKERS: [&str; 2] = ["_INBOX.>", "_R_.>"];

/// Every user.
pub const ALL: [&User; 6] = [
    &DTMA_POLLER,
    &STATUS_MAPPER,
    &STATUS_API,
    &NOTIFIER,
    &STATUSCTL,
    &CLIENT,
];

const DTMA_POLLER: User = User {
    name: "dtma-poller",
    publishes: &[
        subjects::RAW,
        subjects::OUTCOMES,
        subjects::SCHEDULES,
        subjects::DUE,
    ],
    takes: &[&streams::POLLER, &streams::COMMANDER],
    follows: &[entries(&streams::TOOLBOXES)],
    removes: &[of(&streams::POLLS), of(&streams::DTMA_COMMANDS)],
    ..SERVICE
};

const STATUS_MAPPER: User = User {
    name: "status-mapper",
    makes: true,
    publishes: &[subjects::SERVER_STATUS, subjects::TOOLBOX_STATUS],
    hears: &[subjects::WAKES],
    // Who wakes it.
    answers: &["_INBOX.status-api.>"],
    takes: &[&streams::MAPPER, &streams::OUTCOMES],
    follows: &[
        of(&streams::MCP_STATUS),
        entries(&streams::TOOLBOXES),
        entries(&streams::CONNECTIONS),
        entries(&streams::WEBHOOK_ENTRIES),
    ],
    // What no client can read is in everybody's way: of the streams that all follow, it alone removes it.
    removes: &[
        of(&streams::DTMA_RAW),
        of(&streams::DTMA_OUTCOMES),
        of(&streams::MCP_STATUS),
        entries(&streams::TOOLBOXES),
        entries(&streams::CONNECTIONS),
        entries(&streams::WEBHOOK_ENTRIES),
    ],
    writes: &[
        &streams::TOOLBOXES,
        &streams::CONNECTIONS,
        &streams::WEBHOOK_ENTRIES,
    ],
    watches: Watches::All,
    ..SERVICE
};

const STATUS_API: User = User {
    name: "status-api",
    publishes: &[
        subjects::COMMANDS,
        subjects::WAKES,
        // A refresh.
        subjects::DUE,
        // A webhook's test, and the replay of what it did not take.
        subjects::WEBHOOK_LOOKS,
        subjects::WEBHOOK_DUE,
    ],
    hears: &[QUESTIONS, DISCOVERY],
    answers: &ASKERS,
    follows: &[of(&streams::MCP_STATUS), entries(&streams::CONNECTIONS)],
    looks: &[
        of(&streams::WEBHOOK_LOG),
        of(&streams::WEBHOOK_DEAD),
        entries(&streams::SIGN_INS),
    ],
    removes: &[of(&streams::WEBHOOK_DEAD)],
    writes: &[&streams::TICKETS, &streams::SIGN_INS],
    watches: Watches::One(&streams::MAPPER),
    ..SERVICE
};

const NOTIFIER: User = User {
    name: "notifier",
    publishes: &[
        subjects::WEBHOOK_DUE,
        subjects::WEBHOOK_LATER,
        subjects::WEBHOOK_LOOKS,
        subjects::WEBHOOK_CHECKS,
        subjects::WEBHOOK_HELD,
        subjects::WEBHOOK_LOG,
        subjects::WEBHOOK_DEAD,
    ],
    takes: &[
        &streams::WEBHOOK_MATCHER,
        &streams::WEBHOOK_SENDER,
        &streams::WEBHOOK_LOOKER,
    ],
    follows: &[
        of(&streams::MCP_STATUS),
        entries(&streams::CONNECTIONS),
        entries(&streams::WEBHOOK_ENTRIES),
    ],
    looks: &[of(&streams::WEBHOOKS), entries(&streams::TICKETS)],
    removes: &[of(&streams::WEBHOOKS)],
    // A ticket is redeemed by deleting it.
    writes: &[&streams::TICKETS],
    ..SERVICE
};

/// The operator's: sees everything that `doctor` looks at, says what services log, and changes nothing else but through
/// status-api.
const STATUSCTL: User = User {
    name: "statusctl",
    publishes: &[QUESTIONS, DISCOVERY, subjects::LOGS],
    follows: &[of(&streams::MCP_STATUS), entries(&streams::TOOLBOXES)],
    watches: Watches::All,
    ..NOBODY
};

/// A service of the house that follows all statuses and asks status-api.
const CLIENT: User = User {
    name: "client",
    publishes: &[QUESTIONS, DISCOVERY],
    hears: &[subjects::SERVER_STATUS, subjects::TOOLBOX_STATUS],
    follows: &[of(&streams::MCP_STATUS)],
    ..NOBODY
};

impl User {
    /// What it comes to, in subjects.
    pub fn permissions(&self) -> Permissions {
        let mut publish: Vec<Cow<'static, str>> = Vec::new();
        // Names, configurations and numbers of streams, and no message of any.
        publish.push("$JS.API.STREAM.INFO.*".into());
        if self.makes {
            publish.extend(everything().map(|name| format!("$JS.API.STREAM.CREATE.{name}").into()));
            publish.extend(streams::CONSUMERS.map(|spec| {
                let ConsumerSpec { name, filter, .. } = spec;
                format!("$JS.API.CONSUMER.CREATE.{}.{name}.{filter}", spec.stream.name).into()
            }));
        }
        match self.watches {
            Watches::Nothing => {}
            Watches::One(spec) => publish.push(info(spec)),
            Watches::All => publish.push("$JS.API.CONSUMER.INFO.>".into()),
        }
        publish.extend(self.publishes.iter().map(|subject| (*subject).into()));
        publish.extend(self.answers.iter().map(|subject| (*subject).into()));
        publish.extend(self.writes.iter().map(|bucket| bucket::all_keys(bucket).into()));
        for spec in self.takes {
            let (stream, name) = (spec.stream.name, spec.name);
            publish.push(info(spec));
            publish.push(format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}").into());
            publish.push(format!("$JS.ACK.{stream}.{name}.>").into());
            publish.extend(dead_letters(of(spec.stream)));
        }
        for target in self.follows {
            let name = target.name();
            publish.push(format!("$JS.API.CONSUMER.CREATE.{name}").into());
            publish.push(format!("$JS.API.CONSUMER.INFO.{name}.*").into());
            publish.push(format!("$JS.API.CONSUMER.MSG.NEXT.{name}.*").into());
            publish.push(format!("$JS.API.STREAM.MSG.GET.{name}").into());
        }
        for target in self.looks {
            publish.push(format!("$JS.API.STREAM.MSG.GET.{}", target.name()).into());
        }
        for target in self.removes {
            let name = target.name();
            publish.push(format!("$JS.API.STREAM.MSG.DELETE.{name}").into());
            publish.push(format!("$JS.API.STREAM.PURGE.{name}").into());
            publish.extend(dead_letters(*target));
        }
        let mut subscribe: Vec<Cow<'static, str>> = vec![format!("{}.>", inbox(self.name)).into()];
        subscribe.extend(self.hears.iter().map(|subject| (*subject).into()));
        if self.logs {
            subscribe.push(subjects::log(self.name).into());
            publish.push(format!("{}.>", inbox(STATUSCTL.name)).into());
        }
        Permissions {
            publish: sorted(publish),
            subscribe: sorted(subscribe),
        }
    }
}

/// What becomes of a message that nobody can use: it is looked at, and kept elsewhere.
fn dead_letters(target: Target) -> [Cow<'static, str>; 2] {
    let name = target.name();
    [
        subjects::dead_letter(&name).into(),
        format!("$JS.API.STREAM.MSG.GET.{name}").into(),
    ]
}

fn info(spec: &ConsumerSpec) -> Cow<'static, str> {
    format!("$JS.API.CONSUMER.INFO.{}.{}", spec.stream.name, spec.name).into()
}

fn everything() -> impl Iterator<Item = Cow<'static, str>> {
    let streams = streams::ALL.into_iter().map(Target::Stream);
    let buckets = streams::BUCKETS.into_iter().map(Target::Bucket);
    streams.chain(buckets).map(Target::name)
}

fn sorted(mut subjects: Vec<Cow<'static, str>>) -> Vec<Cow<'static, str>> {
    subjects.sort_unstable();
    subjects.dedup();
    subjects
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule of the module: what somebody has delivered elsewhere was written by others.
    #[test]
    fn nobody_but_the_maker_makes_consumers_of_what_he_writes() {
        for user in ALL.iter().filter(|user| !user.makes) {
            let permissions = user.permissions();
            for target in user.follows {
                let subjects: Vec<String> = match target {
                    Target::Stream(spec) => spec.subjects.iter().map(|it| (*it).to_owned()).collect(),
                    Target::Bucket(spec) => vec![bucket::all_keys(spec)],
                };
                for subject in subjects {
                    assert!(
                        !permissions.publish.contains(&subject.clone().into()),
                        "{} makes consumers of {subject} and writes there",
                        user.name
                    );
                }
            }
        }
    }

    #[test]
    fn one_makes_and_one_publishes_statuses() {
        let who = |subject: &str| -> Vec<&str> {
            let may = |user: &&&User| {
                let permissions = user.permissions();
                permissions.publish.iter().any(|it| it.starts_with(subject))
            };
            ALL.iter().filter(may).map(|user| user.name).collect()
        };
        for subject in [
            "$JS.API.STREAM.CREATE.",
            "mcp.status.",
            "toolbox.status.",
            "$KV.toolboxes.",
            "$KV.connections.",
            "$KV.webhooks.",
        ] {
            assert_eq!(who(subject), ["status-mapper"], "{subject}");
        }
        for subject in [
            "$JS.API.STREAM.UPDATE.",
            "$JS.API.STREAM.DELETE.",
            "$JS.API.>",
            ">",
        ] {
            assert_eq!(who(subject), Vec::<&str>::new(), "{subject}");
        }
        assert_eq!(who("dtma.raw."), ["dtma-poller"]);
        assert_eq!(who("dtma.command."), ["status-api"]);
        assert_eq!(who("status.wake."), ["status-api"]);
        assert_eq!(who("status.api."), ["statusctl", "client"]);
    }
}
