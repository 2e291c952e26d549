//! One toolbox as a poller needs it, made from its entry in the bucket.

use std::fmt;

use bus::{SealingKey, TokenHash};
use domain::{AccountId, InstanceName, ServerId, ToolboxId};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;
use wire::ToolboxEntry;

/// One toolbox. Never changes: a change of the registry makes a new one.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) toolbox: ToolboxId,
    pub(crate) account: AccountId,
    pub(crate) address: Address,
    pub(crate) token: Token,
    pub(crate) instances: Vec<Instance>,
    /// Counts the changes after which what was known of the agent no longer holds.
    pub(crate) epoch: u64,
    /// Counts the changes after which its schedule was made anew, to look soon.
    pub(crate) looks: u64,
}

/// Where the agent is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// Nowhere yet.
    Missing,
    /// Something was given that is not taken; the text says why and never repeats it.
    Refused(&'static str),
    /// There.
    At(Url),
}

/// What the agent is shown.
#[derive(Debug, Clone)]
pub(crate) enum Token {
    /// None is known.
    Missing,
    /// One is known, and does not open with our key.
    Unopened,
    /// This one.
    Opened(SecretString),
}

/// One instance of a toolbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) id: ServerId,
    /// `None`: a name that no container can have; then only its id finds it.
    pub(crate) name: Option<InstanceName>,
    pub(crate) monitored: bool,
    pub(crate) seen: bool,
    /// Whether a command is under way for it.
    pub(crate) commanded: bool,
}

/// Something in an entry that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    Address,
    Token,
    TokenHash,
    InstanceName,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "base_url",
            Self::Token => "sealed_token",
            Self::TokenHash => "token_hash",
            Self::InstanceName => "instance_name",
        })
    }
}

impl Target {
    /// Reads an entry. What cannot be used of it is left out and listed; the rest goes on working.
    pub(super) fn read(entry: &ToolboxEntry, key: &SealingKey) -> (Self, Option<TokenHash>, Vec<Flaw>) {
        let toolbox = ToolboxId(entry.toolbox_id);
        let mut flaws = Vec::new();
        let address = entry.base_url.as_deref().map_or(Address::Missing, Address::read);
        if matches!(address, Address::Refused(_)) {
            flaws.push(Flaw::Address);
        }
        let token = match entry
            .sealed_token
            .as_deref()
            .map(|sealed| key.open(toolbox, sealed))
        {
            None => Token::Missing,
            Some(Ok(token)) => Token::Opened(token),
            Some(Err(_)) => {
                flaws.push(Flaw::Token);
                Token::Unopened
            }
        };
        let hash = entry.token_hash.as_deref().and_then(|hex| {
            let hash = TokenHash::from_hex(hex);
            if hash.is_none() {
                flaws.push(Flaw::TokenHash);
            }
            hash
        });
        let instances = entry
            .instances
            .iter()
            .map(|instance| {
                let name = InstanceName::new(&instance.name);
                if name.is_none() {
                    flaws.push(Flaw::InstanceName);
                }
                Instance {
                    id: ServerId(instance.server_id),
                    name,
                    monitored: instance.monitored,
                    seen: instance.seen,
                    commanded: instance.commanded,
                }
            })
            .collect();
        let target = Self {
            toolbox,
            account: AccountId(entry.account_id),
            address,
            token,
            instances,
            epoch: 0,
            looks: 0,
        };
        (target, hash, flaws)
    }

    /// Whether the toolbox is to have a schedule: there is something to ask, and somebody wants to know.
    pub(crate) fn is_scheduled(&self) -> bool {
        let nobody_watches = !self.instances.is_empty() && !self.instances.iter().any(Instance::is_watched);
        self.address != Address::Missing && !nobody_watches
    }

    /// The host of its agent, for traces; empty where there is none.
    pub(crate) fn host(&self) -> &str {
        self.address
            .url()
            .ok()
            .and_then(Url::host_str)
            .unwrap_or_default()
    }

    /// Whether the agent is to be asked soon after `before` became this: it is asked elsewhere or otherwise now,
    /// there is an instance that nobody has looked at, or a command is under way for one that had none.
    pub(super) fn wants_a_look_after(&self, before: &Self) -> bool {
        let became = |is: fn(&Instance) -> bool| {
            self.instances.iter().filter(|it| is(it)).any(|it| {
                let mut was = before.instances.iter();
                !was.any(|was| is(was) && was.id == it.id && was.name == it.name)
            })
        };
        self.is_asked_differently(before) || became(|it| it.monitored) || became(|it| it.commanded)
    }

    /// Whether another agent may answer than before: what was remembered of it is worthless then.
    pub(super) fn is_asked_differently(&self, before: &Self) -> bool {
        self.address != before.address || !self.token.same_as(&before.token)
    }
}

impl Instance {
    /// Whether anybody wants to know of it: who has it watched, or who waits for what a command does to it.
    pub(crate) fn is_watched(&self) -> bool {
        self.monitored || self.commanded
    }
}

impl Token {
    fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Missing, Self::Missing) | (Self::Unopened, Self::Unopened) => true,
            // Compares secrets of ours with each other, for nobody who could measure it.
            (Self::Opened(one), Self::Opened(two)) => one.expose_secret() == two.expose_secret(),
            _ => false,
        }
    }
}

impl Address {
    /// The URL, or why there is none.
    pub(crate) fn url(&self) -> Result<&Url, &'static str> {
        match self {
            Self::At(url) => Ok(url),
            Self::Refused(why) => Err(why),
            Self::Missing => Err("the toolbox has no address yet"),
        }
    }

    fn read(text: &str) -> Self {
        let text = text.trim();
        let Ok(url) = Url::parse(text) else {
            return Self::Refused("the toolbox's address is not a URL");
        };
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Self::Refused("the toolbox's address is not an http or https URL");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Self::Refused("the toolbox's address holds a user name, which could be logged");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Self::Refused("the toolbox's address has a query or fragment");
        }
        Self::At(url)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use wire::InstanceEntry;

    use super::*;

    fn entry(base_url: Option<&str>, instances: &[(u128, &str, bool)]) -> ToolboxEntry {
        ToolboxEntry {
            toolbox_id: Uuid::from_u128(1),
            account_id: Uuid::from_u128(2),
            base_url: base_url.map(str::to_owned),
            sealed_token: None,
            token_hash: None,
            instances: instances
                .iter()
                .map(|(id, name, monitored)| InstanceEntry {
                    server_id: Uuid::from_u128(*id),
                    name: (*name).to_owned(),
                    monitored: *monitored,
                    seen: true,
                    commanded: false,
                })
                .collect(),
        }
    }

    fn read(entry: &ToolboxEntry) -> (Target, Vec<Flaw>) {
        let (target, _, flaws) = Target::read(entry, &SealingKey::generate().0);
        (target, flaws)
    }

    const AT: Option<&str> = Some("http://10.0.0.7:30000");

    #[test]
    fn addresses() {
        for good in [
            "http://10.0.0.7:30000",
            "https://vm.example.com",
            "http://[::1]:1/t/abc",
            " http://a ",
        ] {
            assert!(matches!(Address::read(good), Address::At(_)), "{good}");
        }
        for bad in [
            "",
            "10.0.0.7:30000",
            "vm",
            "ftp://vm",
            "file:///etc/passwd",
            "http://",
            "javascript:alert(1)",
            "http://user@vm",
            "http://:secret@vm",
            "http://user:secret@vm",
            "http://vm/?token=secret",
            "http://vm/#x",
        ] {
            let Address::Refused(why) = Address::read(bad) else {
                panic!("{bad:?} was taken")
            };
            assert!(!why.contains("secret"), "{why}");
        }
    }

    #[test]
    fn a_schedule_needs_an_address_and_someone_who_wants_to_know() {
        let table = [
            (None, &[(1, "a", true)][..], false),
            (AT, &[][..], true),
            (AT, &[(1, "a", true)][..], true),
            (AT, &[(1, "a", false)][..], false),
            (AT, &[(1, "a", false), (2, "b", true)][..], true),
            // Its polls fail and say why, which is how anybody finds out.
            (Some("ftp://vm"), &[(1, "a", true)][..], true),
        ];
        for (base_url, instances, expected) in table {
            let (target, _) = read(&entry(base_url, instances));
            assert_eq!(target.is_scheduled(), expected, "{base_url:?} {instances:?}");
        }
    }

    #[test]
    fn what_asks_for_a_look() {
        let before = read(&entry(AT, &[(1, "a", true), (2, "b", false)])).0;
        let after = |base_url, instances| read(&entry(base_url, instances)).0.wants_a_look_after(&before);
        assert!(!after(AT, &[(1, "a", true), (2, "b", false)]));
        assert!(!after(AT, &[(1, "a", true)]), "one less is nothing to look at");
        assert!(after(AT, &[(1, "a", true), (3, "c", true)]), "a new one");
        assert!(
            !after(AT, &[(1, "a", true), (3, "c", false)]),
            "a new one that nobody watches"
        );
        assert!(
            after(AT, &[(1, "a", true), (2, "b", true)]),
            "one that is watched from now on"
        );
        assert!(after(AT, &[(1, "renamed", true)]), "another container");
        assert!(
            after(Some("http://10.0.0.8:30000"), &[(1, "a", true)]),
            "another address"
        );
    }

    #[test]
    fn a_command_under_way_is_looked_after_and_its_end_is_not() {
        let with = |commanded| {
            let mut entry = entry(AT, &[(1, "a", false)]);
            entry.instances[0].commanded = commanded;
            read(&entry).0
        };
        assert!(with(true).is_scheduled() && !with(false).is_scheduled());
        assert!(with(true).wants_a_look_after(&with(false)));
        assert!(!with(true).wants_a_look_after(&with(true)));
        assert!(!with(false).wants_a_look_after(&with(true)));
    }

    #[test]
    fn a_token_sealed_anew_is_the_same_token() {
        let (key, _) = SealingKey::generate();
        let toolbox = ToolboxId(Uuid::from_u128(1));
        let sealed = |token: &str| {
            let sealed = key.seal(toolbox, &SecretString::from(token));
            Target::read(
                &ToolboxEntry {
                    sealed_token: Some(sealed),
                    ..entry(AT, &[])
                },
                &key,
            )
            .0
        };
        assert!(!sealed("t").wants_a_look_after(&sealed("t")));
        assert!(sealed("t").wants_a_look_after(&sealed("u")));
        assert!(!format!("{:?}", sealed("hush-hush")).contains("hush"));
    }

    #[test]
    fn flaws_are_listed_and_leave_the_rest_working() {
        let flawed = ToolboxEntry {
            sealed_token: Some("AAAA".to_owned()),
            token_hash: Some("no hash".to_owned()),
            ..entry(Some("ftp://vm"), &[(1, "\u{0}", true), (2, "b", true)])
        };
        let (target, flaws) = read(&flawed);
        assert_eq!(
            flaws,
            [Flaw::Address, Flaw::Token, Flaw::TokenHash, Flaw::InstanceName]
        );
        assert!(matches!(target.token, Token::Unopened));
        assert_eq!(target.instances[1].name, InstanceName::new("b"));
    }
}
