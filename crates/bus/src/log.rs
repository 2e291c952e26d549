//! Changing what running services log: asked of all replicas of a service at once. Who may publish on
//! `status.log.v1.*` may do it, which is an operator's business and no tenant's.

use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use wire::{LogChange, LogChanged, subjects};

use crate::{Bus, BusError, Request};

impl Bus {
    /// Has `apply` change what this process logs whenever somebody asks `service` to, until `shutdown`.
    ///
    /// # Errors
    /// [`BusError::Closed`].
    pub async fn answer_log_changes(
        &self,
        service: &str,
        shutdown: CancellationToken,
        apply: impl Fn(Option<&str>, Duration) -> Result<(), String>,
    ) -> Result<(), BusError> {
        self.answer(subjects::log(service), None, 1, shutdown, |request: Request| {
            let error = change(&request.body, &apply).err();
            std::future::ready(serde_json::to_vec(&LogChanged { error }).ok().map(Bytes::from))
        })
        .await
    }

    /// Asks every replica of a service to log something else, and waits for the first to say what came of it.
    ///
    /// # Errors
    /// [`BusError::NoResponder`] when none listens, and those of every request; inside, why it was not done.
    pub async fn change_log(
        &self,
        service: &str,
        change: &LogChange,
        wait: Duration,
    ) -> Result<Result<(), String>, BusError> {
        let body = serde_json::to_vec(change).unwrap_or_default();
        let answer = self.request(subjects::log(service), body.into(), wait).await?;
        Ok(match serde_json::from_slice(&answer) {
            Ok(LogChanged { error: None }) => Ok(()),
            Ok(LogChanged { error: Some(error) }) => Err(error),
            Err(_) => Err("the service's answer cannot be read".to_owned()),
        })
    }
}

fn change(body: &[u8], apply: impl Fn(Option<&str>, Duration) -> Result<(), String>) -> Result<(), String> {
    let change: LogChange =
        serde_json::from_slice(body).map_err(|_| "expected directives and seconds".to_owned())?;
    if !(1..=LogChange::LONGEST).contains(&change.seconds) {
        return Err(format!("expected 1 to {} seconds", LogChange::LONGEST));
    }
    apply(
        change.directives.as_deref(),
        Duration::from_secs(change.seconds.into()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_bounded_and_read_strictly() {
        let apply = |directives: Option<&str>, lasting: Duration| {
            Err(format!("{} {}", directives.unwrap_or("none"), lasting.as_secs()))
        };
        for (body, came_of_it) in [
            (r#"{"directives":"debug","seconds":600}"#, "debug 600"),
            (r#"{"seconds":1}"#, "none 1"),
            (
                r#"{"directives":"debug","seconds":0}"#,
                "expected 1 to 86400 seconds",
            ),
            (
                r#"{"directives":"debug","seconds":86401}"#,
                "expected 1 to 86400 seconds",
            ),
            (r#"{"directives":"debug"}"#, "expected directives and seconds"),
            (r#"{"seconds":1,"more":1}"#, "expected directives and seconds"),
            ("", "expected directives and seconds"),
        ] {
            assert_eq!(change(body.as_bytes(), apply).unwrap_err(), came_of_it, "{body}");
        }
    }
}
