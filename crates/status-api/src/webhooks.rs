//! What may be said of a webhook, and its secret.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use store::webhooks::Wishes;

use crate::refusal::{Refusal, Result};

/// Bytes of a secret: as many as the signature has.
const SECRET: usize = 32;
/// Most servers and toolboxes that a webhook names.
const NAMED: usize = 500;
/// Longest time that a webhook is kept quiet: a day.
const DAY: u32 = 24 * 3600;

/// A new secret, as Standard Webhooks writes it.
///
/// # Errors
/// 500 where the system has no random numbers.
pub(crate) fn new_secret() -> Result<SecretString> {
    let mut bytes = [0; SECRET];
    rand::fill(&mut bytes).map_err(|_| {
        tracing::error!("the system gives no random numbers");
        Refusal::internal()
    })?;
    Ok(format!("whsec_{}", STANDARD.encode(bytes)).into())
}

/// What is said of a webhook, where it may be said. Whether the notifier will post there is its own to decide, at each
/// delivery: names change their addresses.
///
/// # Errors
/// 400, naming the field.
pub(crate) fn checked(wishes: Wishes) -> Result<Wishes> {
    url(&wishes.url)?;
    for (field, ids) in [
        ("filters.servers", &wishes.servers),
        ("filters.toolboxes", &wishes.toolboxes),
    ] {
        if ids.len() > NAMED {
            return Err(Refusal::field(field, format!("at most {NAMED} ids")));
        }
    }
    for (field, value, most) in [
        ("options.afterSeconds", wishes.after_seconds, DAY),
        ("options.atMostEverySeconds", wishes.at_most_every_seconds, DAY),
        ("options.summaryFrom", wishes.summary_from, 10_000),
        ("options.summaryWindow", wishes.summary_window, 3600),
    ] {
        if value > most {
            return Err(Refusal::field(field, format!("a number from 0 to {most}")));
        }
    }
    if wishes.summary_window > 0 && wishes.summary_from == 0 {
        return Err(Refusal::field(
            "options.summaryFrom",
            "a number of at least 2, where summaryWindow is given",
        ));
    }
    if wishes.summary_from == 1 {
        return Err(Refusal::field("options.summaryFrom", "0, or at least 2"));
    }
    Ok(wishes)
}

fn url(text: &str) -> Result<()> {
    let fits = text.len() <= 2000
        && !text.chars().any(|c| c.is_control() || c.is_whitespace())
        && text.parse::<url::Url>().is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.host_str().is_some_and(|host| !host.is_empty())
                && url.username().is_empty()
                && url.password().is_none()
                && url.fragment().is_none()
        });
    if fits {
        Ok(())
    } else {
        Err(Refusal::field(
            "url",
            "an http or https URL without user and fragment",
        ))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn wishes() -> Wishes {
        Wishes {
            url: "https://hooks.example/services/T0/B0?x=1".to_owned(),
            enabled: true,
            servers: Vec::new(),
            toolboxes: Vec::new(),
            kinds: Vec::new(),
            template: "standard".to_owned(),
            after_seconds: 0,
            not_during_own_commands: false,
            at_most_every_seconds: 0,
            summary_from: 0,
            summary_window: 0,
        }
    }

    #[test]
    fn what_may_be_said() {
        assert!(checked(wishes()).is_ok());
        for url in [
            "",
            "hooks.example",
            "ftp://hooks.example",
            "https://u:p@hooks.example",
            "https://hooks.example/#x",
            "https://hooks .example",
        ] {
            let url = url.to_owned();
            assert!(checked(Wishes { url, ..wishes() }).is_err());
        }
        let quiet = |change: fn(&mut Wishes)| {
            let mut wishes = wishes();
            change(&mut wishes);
            checked(wishes).is_ok()
        };
        assert!(quiet(|it| it.after_seconds = DAY));
        assert!(!quiet(|it| it.after_seconds = DAY + 1));
        assert!(!quiet(|it| it.at_most_every_seconds = DAY + 1));
        assert!(quiet(|it| it.summary_from = 2));
        assert!(!quiet(|it| it.summary_from = 1));
        assert!(!quiet(|it| it.summary_window = 5));
        assert!(!quiet(|it| it.servers = vec![uuid::Uuid::nil(); NAMED + 1]));
    }

    #[test]
    fn no_two_secrets_are_alike() {
        let (one, other) = (new_secret().unwrap(), new_secret().unwrap());
        assert_ne!(one.expose_secret(), other.expose_secret());
        let text = one.expose_secret().strip_prefix("whsec_").unwrap();
        assert_eq!(STANDARD.decode(text).unwrap().len(), SECRET);
    }
}
