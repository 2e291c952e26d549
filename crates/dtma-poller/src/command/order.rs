//! A command as it is carried out: read from its message, with everything that is asked of it there.

use domain::{Action, CommandId, ServerId, ToolboxId};
use jiff::Timestamp;
use wire::{Command, CommandAction, subjects};

/// What is to be done, to whom, and by when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) id: CommandId,
    pub(super) toolbox: ToolboxId,
    pub(super) what: What,
    pub(super) deadline: Timestamp,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// Observe the toolbox now.
    Refresh,
    /// Something with one server.
    Do {
        action: Action,
        server: ServerId,
        /// Its container's name, as whoever gave the command knows it.
        name: String,
    },
}

impl Order {
    /// Reads a message. The error says what is wrong with it, for the dead letter.
    pub(super) fn read(subject: &str, body: &[u8]) -> Result<Self, String> {
        let command = Command::decode(body).map_err(|error| error.to_string())?;
        if subjects::toolbox_of(subject) != Some(ToolboxId(command.toolbox_id)) {
            return Err("the subject names another toolbox than the body".to_owned());
        }
        let what = match action(command.action) {
            None => What::Refresh,
            Some(action) => match (command.server_id, command.name) {
                (Some(server), Some(name)) => What::Do {
                    action,
                    server: ServerId(server),
                    name,
                },
                (None, _) => return Err(format!("field serverId: expected one for a {action}")),
                (_, None) => return Err(format!("field name: expected one for a {action}")),
            },
        };
        Ok(Self {
            id: CommandId(command.command_id),
            toolbox: ToolboxId(command.toolbox_id),
            what,
            deadline: command.deadline,
        })
    }

    /// What is asked for, as a metric's attribute.
    pub(super) fn action(&self) -> &'static str {
        match &self.what {
            What::Refresh => CommandAction::Refresh.as_str(),
            What::Do { action, .. } => action.as_str(),
        }
    }
}

fn action(action: CommandAction) -> Option<Action> {
    Some(match action {
        CommandAction::Start => Action::Start,
        CommandAction::Stop => Action::Stop,
        CommandAction::Restart => Action::Restart,
        CommandAction::Delete => Action::Delete,
        CommandAction::Refresh => return None,
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const TOOLBOX: ToolboxId = ToolboxId(Uuid::from_u128(7));

    fn command(action: CommandAction) -> Command {
        Command {
            command_id: Uuid::from_u128(1),
            toolbox_id: TOOLBOX.0,
            server_id: Some(Uuid::from_u128(2)),
            name: Some("mcp-a".to_owned()),
            action,
            requested_at: Timestamp::UNIX_EPOCH,
            deadline: Timestamp::UNIX_EPOCH,
        }
    }

    fn read(command: &Command) -> Result<Order, String> {
        Order::read(&subjects::command(TOOLBOX), &serde_json::to_vec(command).unwrap())
    }

    #[test]
    fn commands_are_read() {
        for (asked, action) in [
            (CommandAction::Start, Action::Start),
            (CommandAction::Stop, Action::Stop),
            (CommandAction::Restart, Action::Restart),
            (CommandAction::Delete, Action::Delete),
        ] {
            let order = read(&command(asked)).unwrap();
            let expected = What::Do {
                action,
                server: ServerId(Uuid::from_u128(2)),
                name: "mcp-a".to_owned(),
            };
            assert_eq!((order.what.clone(), order.action()), (expected, asked.as_str()));
        }
        let refresh = Command {
            server_id: None,
            name: None,
            ..command(CommandAction::Refresh)
        };
        assert_eq!(read(&refresh).unwrap().what, What::Refresh);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_and_named() {
        let start = command(CommandAction::Start);
        let no_server = Command {
            server_id: None,
            ..start.clone()
        };
        let no_name = Command {
            name: None,
            ..command(CommandAction::Delete)
        };
        let elsewhere = Command {
            toolbox_id: Uuid::from_u128(8),
            ..start
        };
        for (command, words) in [
            (no_server, "field serverId: expected one for a start"),
            (no_name, "field name: expected one for a delete"),
            (elsewhere, "another toolbox"),
        ] {
            let error = read(&command).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let error = Order::read(&subjects::command(TOOLBOX), b"{\"hush\":1}").unwrap_err();
        assert!(
            error.contains("mcp-status.command.v1") && !error.contains("hush"),
            "{error}"
        );
    }
}
