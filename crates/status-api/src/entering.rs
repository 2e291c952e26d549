//! What every change of the registry has in common: one transaction with its record and its answer, and what may be
//! entered.

use std::net::IpAddr;

use axum::http::StatusCode;
use axum::response::Response;
use domain::{AccountId, InstanceName, ServerId, ToolboxId};
use secrecy::{ExposeSecret as _, SecretString};
use store::Transaction;
use store::commands::{self, Acceptance, Answer};
use wire::api::CommandKind;

use crate::accept;
use crate::answer::respond;
use crate::app::App;
use crate::ask::Ask;
use crate::base::Trouble;
use crate::caller::Caller;
use crate::refusal::{Refusal, Result};
use crate::repeat;

/// What a change is about, for its record.
pub(crate) struct About {
    pub(crate) kind: CommandKind,
    pub(crate) server: Option<ServerId>,
    pub(crate) toolbox: Option<ToolboxId>,
    pub(crate) account: Option<AccountId>,
    /// What was done. Never a token.
    pub(crate) message: String,
}

/// Records a change and its answer, commits both with it, and sends the answer.
///
/// # Errors
/// Whatever the database refuses; nothing was changed then.
pub(crate) async fn finish(
    app: &App,
    caller: &Caller,
    ask: &Ask,
    mut transaction: Transaction,
    about: About,
    answer: Answer,
) -> Result<Response> {
    let of = (about.server, about.toolbox, about.account);
    let record = accept::done(caller, ask, about.kind, of, Some(about.message));
    match app.base.write(commands::accept(&mut transaction, &record)).await {
        Ok(Acceptance::Accepted) => {}
        Ok(Acceptance::Repeated) => {
            drop(transaction);
            return repeat::found(app, caller, ask).await;
        }
        Ok(Acceptance::Busy(other)) => return Err(accept::busy(&other)),
        Err(trouble) => return Err(accept::overtaken(trouble)),
    }
    if ask.idempotency.is_some() {
        let keeping = commands::keep_answer(&mut *transaction, record.id, &answer);
        app.base.write(keeping).await?;
    }
    app.base.commit(transaction).await?;
    app.metrics.command(about.kind.as_str(), "done");
    tracing::info!(command = %record.id, kind = about.kind.as_str(), "the registry was changed");
    Ok(respond(answer))
}

/// The answer to a change that leaves nothing to show.
pub(crate) fn nothing() -> Answer {
    Answer {
        status: StatusCode::NO_CONTENT.as_u16(),
        body: None,
        location: None,
    }
}

/// What is taken already.
pub(crate) fn taken(field: &str, what: &str) -> Refusal {
    Refusal::conflict(format!("{field}: {what}")).naming(field)
}

/// Two who enter the same at once: the tables' own keys decide, and do not say which.
pub(crate) fn collided(trouble: Trouble) -> Refusal {
    match trouble {
        Trouble::Refused(error) if error.is_taken() => {
            Refusal::conflict("something of this id, name or token is there already")
        }
        Trouble::Refused(error) if error.kind() == store::ErrorKind::Data => {
            tracing::warn!(%error, "the database does not take an entry");
            Refusal::conflict("the database does not take this entry")
        }
        trouble => trouble.into(),
    }
}

/// A name for people.
pub(crate) fn name(name: &str) -> Result<()> {
    let fits = (1..=200).contains(&name.chars().count())
        && !name.trim().is_empty()
        && !name.chars().any(char::is_control);
    if fits {
        Ok(())
    } else {
        Err(Refusal::field(
            "name",
            "1 to 200 characters without control characters",
        ))
    }
}

/// A container's name: as it is written, since agents report it so.
pub(crate) fn instance_name(name: &str) -> Result<InstanceName> {
    InstanceName::new(name)
        .filter(|taken| taken.as_str() == name)
        .ok_or_else(|| {
            Refusal::field(
                "name",
                "1 to 255 bytes without control characters, blanks around it or a slash before it",
            )
        })
}

/// Where an agent is reached.
pub(crate) fn base_url(text: &str) -> Result<()> {
    let fits = text.len() <= 2000
        && !text.chars().any(|c| c.is_control() || c.is_whitespace())
        && text.parse::<url::Url>().is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.host_str().is_some_and(|host| !host.is_empty())
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        });
    if fits {
        Ok(())
    } else {
        Err(Refusal::field(
            "baseUrl",
            "an http or https URL without user, query and fragment",
        ))
    }
}

/// A machine's address: an IP address or a host name.
pub(crate) fn address(text: &str) -> Result<()> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let fits = text.parse::<IpAddr>().is_ok()
        || (text.len() <= 253
            && text.split('.').all(label)
            // Four numbers that are no address are no name either.
            && !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
    if fits {
        Ok(())
    } else {
        Err(Refusal::field("publicIpAddress", "an IP address or a host name"))
    }
}

/// An agent's token.
pub(crate) fn token(token: &SecretString) -> Result<()> {
    let text = token.expose_secret();
    if (16..=1024).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(Refusal::field(
            "token",
            "16 to 1024 printable ASCII characters without blanks",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_entered() {
        for (text, good) in [
            ("http://192.0.2.1:30000", true),
            ("https://agent.example/base", true),
            ("", false),
            ("agent", false),
            ("ftp://agent", false),
            ("http://u:p@agent", false),
            ("http://agent?x", false),
            ("http://agent#x", false),
            ("http:// agent", false),
            ("http://a\n", false),
        ] {
            assert_eq!(base_url(text).is_ok(), good, "{text:?}");
        }
        for (text, good) in [
            ("192.0.2.1", true),
            ("2001:db8::1", true),
            ("agent-1.example", true),
            ("localhost", true),
            ("", false),
            ("300.1.1.1", false),
            ("-a", false),
            ("a..b", false),
            ("a b", false),
            ("ä", false),
        ] {
            assert_eq!(address(text).is_ok(), good, "{text:?}");
        }
        assert!(base_url(&format!("http://a/{}", "x".repeat(2000))).is_err());
        for (text, good) in [("x", true), ("", false), (" ", false), ("a\u{0}", false)] {
            assert_eq!(name(text).is_ok(), good, "{text:?}");
        }
        assert!(name(&"ä".repeat(200)).is_ok() && name(&"ä".repeat(201)).is_err());
        for (text, good) in [
            ("mcp-1", true),
            (" mcp", false),
            ("/mcp", false),
            ("a\tb", false),
            ("", false),
        ] {
            assert_eq!(instance_name(text).is_ok(), good, "{text:?}");
        }
        assert!(instance_name(&"x".repeat(256)).is_err());
        for (text, good) in [
            ("0123456789abcdef", true),
            ("short", false),
            ("0123456789 abcdef", false),
        ] {
            assert_eq!(token(&text.into()).is_ok(), good, "{text:?}");
        }
    }
}
