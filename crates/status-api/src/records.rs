//! What is kept of commands, as it is shown.

use store::commands::{NewCommand, Record};
use wire::api::{CommandKind, CommandOutcomeLabel, CommandRecord};

/// A record as it is shown; `None` for one of a kind that only a later version writes.
pub(crate) fn shown(record: Record) -> Option<CommandRecord> {
    let outcome = match &record.outcome {
        None => CommandOutcomeLabel::UnderWay,
        Some(label) => CommandOutcomeLabel::from_label(label)?,
    };
    Some(CommandRecord {
        command_id: record.id.0,
        kind: CommandKind::from_label(&record.kind)?,
        server_id: record.server.map(|server| server.0),
        toolbox_id: record.toolbox.map(|toolbox| toolbox.0),
        account_id: record.account.map(|account| account.0),
        requested_by: record.requested_by,
        requested_at: record.requested_at,
        deadline: record.deadline,
        outcome,
        message: record.message,
        finished_at: record.finished_at,
    })
}

/// A record that was just written, as it is shown.
pub(crate) fn of(kind: CommandKind, new: &NewCommand) -> CommandRecord {
    CommandRecord {
        command_id: new.id.0,
        kind,
        server_id: new.server.map(|server| server.0),
        toolbox_id: new.toolbox.map(|toolbox| toolbox.0),
        account_id: new.account.map(|account| account.0),
        requested_by: new.requested_by.clone(),
        requested_at: new.requested_at,
        deadline: new.deadline,
        outcome: if new.done {
            CommandOutcomeLabel::Succeeded
        } else {
            CommandOutcomeLabel::UnderWay
        },
        message: new.message.clone(),
        finished_at: new.done.then_some(new.requested_at),
    }
}
