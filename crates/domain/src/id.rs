//! Newtypes for every identifier, so that an account can never be passed where a server is meant.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::from_str(text).map($name)
            }
        }
    };
}

uuid_id! {
    /// Whose it is: the `user_id` of the toolbox. Everything below a toolbox belongs to its account.
    AccountId
}
uuid_id! {
    /// One VM with one agent (`account_tool_environments.id`).
    ToolboxId
}
uuid_id! {
    /// One MCP server: one container on one toolbox (`account_tool_instances.id`).
    ServerId
}
uuid_id! {
    /// One connection of an agent (of the application, not of a toolbox) to a server (`agent_mcp_connections.id`).
    ConnectionId
}

uuid_id! {
    /// Something people asked of a server or toolbox.
    CommandId
}

/// Docker's id of a container, which is the *incarnation* of a server: a recreated container has another.
///
/// At most [`ContainerId::MAX`] characters; agents report the full 64 hexadecimal digits or a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContainerId(String);

impl ContainerId {
    /// Docker's ids have 64 digits; twice that leaves room for other engines and bounds a hostile agent.
    pub const MAX: usize = 128;
    /// Docker's own short form: two ids that agree over this many digits are one container.
    const SHORT: usize = 12;

    /// Takes what an agent reported; `None` for blank text, which agents send for "no container".
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty() && text.len() <= Self::MAX && text.chars().all(|c| c.is_ascii_graphic()))
            .then(|| Self(text.to_owned()))
    }

    /// The id as reported.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both name the same container, one of them possibly in Docker's short form.
    pub fn same_as(&self, other: &Self) -> bool {
        let (short, long) = if self.0.len() <= other.0.len() {
            (self, other)
        } else {
            (other, self)
        };
        short == long || (short.0.len() >= Self::SHORT && long.0.starts_with(&short.0))
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The container's name on its toolbox (`instance_name_on_toolbox`), unique there. 1 to 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceName(String);

impl InstanceName {
    /// Longest name taken, in bytes: what a file name may have, far above Docker's own practice.
    pub const MAX: usize = 255;

    /// Takes a reported name without the slash that Docker's own API puts before it; `None` when nothing
    /// usable is left.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('/').unwrap_or(text);
        (!text.is_empty() && text.len() <= Self::MAX && !text.chars().any(char::is_control))
            .then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_full_container_ids_are_one_incarnation() {
        let full =
            ContainerId::new("692465b235c7c974172040ab9d584f1904889d7353cb0556afae6a1f60a731b9").unwrap();
        let short = ContainerId::new("692465b235c7").unwrap();
        let other = ContainerId::new("86bccadd9919").unwrap();
        assert!(full.same_as(&short) && short.same_as(&full));
        assert!(!full.same_as(&other));
        let stub = ContainerId::new("6924").unwrap();
        assert!(
            !stub.same_as(&full),
            "fewer digits than Docker's short form prove nothing"
        );
        assert!(stub.same_as(&stub));
    }

    #[test]
    fn blank_or_oversized_ids_and_names_are_refused() {
        assert_eq!(ContainerId::new(""), None);
        assert_eq!(ContainerId::new(&"a".repeat(ContainerId::MAX + 1)), None);
        assert_eq!(InstanceName::new("/"), None);
        assert_eq!(InstanceName::new("a\u{0}b"), None);
        assert_eq!(InstanceName::new("/mcp-a").unwrap().as_str(), "mcp-a");
    }
}
