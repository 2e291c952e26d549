//! What pollers are told of a toolbox, and whether the bucket says it already.

use std::net::IpAddr;

use bus::{SealingKey, TokenHash};
use domain::ToolboxId;
use secrecy::{ExposeSecret as _, SecretString};
use store::registry::RegistryToolbox;
use wire::{InstanceEntry, ToolboxEntry};

/// How agents are reached where their toolbox does not say.
#[derive(Debug, Clone)]
pub(crate) struct Agents {
    /// Their port.
    pub(crate) port: u16,
    /// The token of the whole installation, where it has one.
    pub(crate) token: Option<SecretString>,
    /// Seals tokens in the bucket.
    pub(crate) key: SealingKey,
}

/// What the bucket should say of a toolbox.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// All but the token.
    entry: ToolboxEntry,
    /// In the clear: only in memory, and never printed.
    token: Option<SecretString>,
}

/// What the bucket says of a toolbox.
#[derive(Debug)]
pub(crate) struct Held {
    /// All but the token.
    pub(crate) entry: ToolboxEntry,
    sealed: Option<String>,
    token: HeldToken,
}

/// The token that an entry holds, as far as it can be compared. No seal is like another, even of the same token, so
/// seals say nothing of whether a token has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeldToken {
    None,
    Of(TokenHash),
    /// Sealed with another key, or tampered with.
    Unreadable,
}

impl HeldToken {
    fn of(token: Option<&SecretString>) -> Self {
        token.map_or(Self::None, |token| Self::Of(TokenHash::of(token.expose_secret())))
    }
}

impl Wanted {
    pub(crate) fn of(toolbox: &RegistryToolbox, agents: &Agents) -> Self {
        let instances = toolbox.instances.iter().map(|instance| InstanceEntry {
            server_id: instance.id.0,
            name: instance.name.to_string(),
            monitored: instance.monitored,
            seen: instance.seen,
            commanded: instance.commanded,
        });
        let entry = ToolboxEntry {
            toolbox_id: toolbox.id.0,
            account_id: toolbox.account.0,
            base_url: base_url(toolbox, agents.port),
            sealed_token: None,
            // Only a token of its own names a toolbox: one that many share would make them all the same.
            token_hash: toolbox
                .token
                .as_ref()
                .map(|token| TokenHash::of(token.expose_secret()).to_hex()),
            instances: instances.collect(),
        };
        Self {
            entry,
            token: toolbox.token.clone().or_else(|| agents.token.clone()),
        }
    }

    /// Whether the bucket says so already.
    pub(crate) fn is_said_by(&self, held: &Held) -> bool {
        self.entry == held.entry && HeldToken::of(self.token.as_ref()) == held.token
    }

    /// The entry to put. The seal is kept while the token is the same.
    pub(crate) fn sealed(self, before: Option<&Held>, key: &SealingKey) -> ToolboxEntry {
        let kept = before
            .filter(|held| held.token == HeldToken::of(self.token.as_ref()))
            .and_then(|held| held.sealed.clone());
        let toolbox = ToolboxId(self.entry.toolbox_id);
        let sealed_token = kept.or_else(|| self.token.map(|token| key.seal(toolbox, &token)));
        ToolboxEntry {
            sealed_token,
            ..self.entry
        }
    }
}

impl Held {
    pub(crate) fn read(mut entry: ToolboxEntry, key: &SealingKey) -> Self {
        let sealed = entry.sealed_token.take();
        let token = match &sealed {
            None => HeldToken::None,
            Some(sealed) => match key.open(ToolboxId(entry.toolbox_id), sealed) {
                Ok(token) => HeldToken::of(Some(&token)),
                Err(_) => HeldToken::Unreadable,
            },
        };
        Self { entry, sealed, token }
    }
}

/// Where the agent is: as the toolbox says, else on its address at the configured port. `None`: it has neither yet.
fn base_url(toolbox: &RegistryToolbox, port: u16) -> Option<String> {
    let given = toolbox
        .base_url
        .as_deref()
        .map(|url| url.trim().trim_end_matches('/'))
        .filter(|url| !url.is_empty());
    if let Some(url) = given {
        return Some(url.to_owned());
    }
    let host = toolbox
        .public_ip
        .as_deref()
        .map(str::trim)
        .filter(|host| !host.is_empty())?;
    Some(match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("http://[{address}]:{port}"),
        Ok(IpAddr::V4(_)) | Err(_) => format!("http://{host}:{port}"),
    })
}

#[cfg(test)]
mod tests {
    use domain::{AccountId, InstanceName, ServerId};
    use store::registry::RegistryInstance;
    use uuid::Uuid;

    use super::*;

    fn agents(token: Option<&str>) -> Agents {
        Agents {
            port: 30_000,
            token: token.map(SecretString::from),
            key: SealingKey::generate().0,
        }
    }

    fn toolbox(token: Option<&str>) -> RegistryToolbox {
        RegistryToolbox {
            id: ToolboxId(Uuid::from_u128(1)),
            account: AccountId(Uuid::from_u128(2)),
            name: "box".to_owned(),
            base_url: None,
            public_ip: Some("10.0.0.7".to_owned()),
            token: token.map(SecretString::from),
            instances: vec![RegistryInstance {
                id: ServerId(Uuid::from_u128(3)),
                name: InstanceName::new("mcp").unwrap(),
                monitored: true,
                seen: false,
                commanded: false,
                version: 0,
            }],
        }
    }

    #[test]
    fn where_an_agent_is() {
        for (url, ip, expected) in [
            (
                Some("https://agent.example/"),
                Some("10.0.0.7"),
                Some("https://agent.example"),
            ),
            (Some(" / "), Some("10.0.0.7"), Some("http://10.0.0.7:30000")),
            (None, Some(" 10.0.0.7 "), Some("http://10.0.0.7:30000")),
            (None, Some("2001:db8::7"), Some("http://[2001:db8::7]:30000")),
            (None, Some("agent.internal"), Some("http://agent.internal:30000")),
            (None, Some(""), None),
            (None, None, None),
        ] {
            let toolbox = RegistryToolbox {
                base_url: url.map(str::to_owned),
                public_ip: ip.map(str::to_owned),
                ..toolbox(None)
            };
            assert_eq!(base_url(&toolbox, 30_000).as_deref(), expected, "{url:?} {ip:?}");
        }
    }

    #[test]
    fn the_token_is_the_toolbox_s_own_before_the_installation_s_and_only_the_first_names_it() {
        let agents = agents(Some("shared"));
        for (own, sealed, named) in [(Some("own"), "own", true), (None, "shared", false)] {
            let entry = Wanted::of(&toolbox(own), &agents).sealed(None, &agents.key);
            let text = entry.sealed_token.as_deref().unwrap();
            let opened = agents.key.open(ToolboxId(entry.toolbox_id), text).unwrap();
            assert_eq!(opened.expose_secret(), sealed);
            assert_eq!(entry.token_hash, named.then(|| TokenHash::of("own").to_hex()));
            assert!(
                !serde_json::to_string(&entry)
                    .unwrap()
                    .contains(&format!("\"{sealed}\""))
            );
        }
        let none = Agents {
            token: None,
            ..agents
        };
        let entry = Wanted::of(&toolbox(None), &none).sealed(None, &none.key);
        assert_eq!((entry.sealed_token, entry.token_hash), (None, None));
    }

    #[test]
    fn what_did_not_change_is_not_written_and_every_change_is() {
        let agents = agents(None);
        let put = Wanted::of(&toolbox(Some("t")), &agents).sealed(None, &agents.key);
        let held = Held::read(put.clone(), &agents.key);
        assert!(
            Wanted::of(&toolbox(Some("t")), &agents).is_said_by(&held),
            "seals differ, tokens do not"
        );

        let mut seen = toolbox(Some("t"));
        seen.instances[0].seen = true;
        let mut elsewhere = toolbox(Some("t"));
        elsewhere.public_ip = Some("10.0.0.8".to_owned());
        let mut sold = toolbox(Some("t"));
        sold.account = AccountId(Uuid::from_u128(9));
        for changed in [seen, elsewhere, sold, toolbox(Some("u")), toolbox(None)] {
            let wanted = Wanted::of(&changed, &agents);
            assert!(!wanted.is_said_by(&held), "{changed:?}");
            let same_token = changed
                .token
                .as_ref()
                .is_some_and(|token| token.expose_secret() == "t");
            assert_eq!(
                wanted.sealed(Some(&held), &agents.key).sealed_token == put.sealed_token,
                same_token
            );
        }
    }

    #[test]
    fn a_seal_of_another_key_is_replaced() {
        let (ours, theirs) = (agents(None), agents(None));
        let held = Held::read(
            Wanted::of(&toolbox(Some("t")), &theirs).sealed(None, &theirs.key),
            &ours.key,
        );
        let wanted = Wanted::of(&toolbox(Some("t")), &ours);
        assert!(!wanted.is_said_by(&held));
        let entry = wanted.sealed(Some(&held), &ours.key);
        assert!(
            ours.key
                .open(
                    ToolboxId(entry.toolbox_id),
                    entry.sealed_token.as_deref().unwrap()
                )
                .is_ok()
        );
    }
}
