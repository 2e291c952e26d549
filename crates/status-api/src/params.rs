//! What a request names in its path and query: each once, nothing unknown, and every value checked.

use std::time::Duration;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use uuid::Uuid;

use crate::app::App;
use crate::refusal::{Refusal, Result};

/// The id in a path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Id(pub(crate) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params =
            params.map_err(|_: RawPathParamsRejection| Refusal::unreadable("the path cannot be read"))?;
        let Some((name, value)) = params.iter().next() else {
            return Err(Refusal::not_found("route"));
        };
        uuid(name, value).map(Self)
    }
}

/// Reads an id, in the one form that is written.
pub(crate) fn uuid(name: &str, value: &str) -> Result<Uuid> {
    Some(value)
        .filter(|value| value.len() == 36)
        .and_then(|value| Uuid::try_parse(value).ok())
        .ok_or_else(|| Refusal::field(name, "a UUID"))
}

/// A query, taken apart by whoever knows what may be in it.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

/// A query that a route understands.
pub(crate) trait FromQuery: Sized {
    /// Takes what it knows.
    fn take(query: &mut Query, app: &App) -> Result<Self>;
}

impl FromQuery for () {
    fn take(_: &mut Query, _: &App) -> Result<Self> {
        Ok(())
    }
}

/// The query of a request.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: FromQuery> FromRequestParts<App> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let mut query = Query::parse(parts.uri.query().unwrap_or_default())?;
        let taken = T::take(&mut query, app)?;
        match query.0.first() {
            Some((unknown, _)) => Err(Refusal::unknown(unknown)),
            None => Ok(Self(taken)),
        }
    }
}

impl Query {
    fn parse(text: &str) -> Result<Self> {
        let mut found: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            if found.iter().any(|(before, _)| *before == name) {
                return Err(Refusal::field(name, "one value"));
            }
            found.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(found))
    }

    /// A parameter's text.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(have, _)| have == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// A parameter read by `read`; refused with what was `expected`.
    pub(crate) fn read<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        read(&text)
            .map(Some)
            .ok_or_else(|| Refusal::field(name, expected))
    }

    /// An id.
    pub(crate) fn id(&mut self, name: &str) -> Result<Option<Uuid>> {
        self.text(name).map(|text| uuid(name, &text)).transpose()
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>> {
        self.read(name, "true or false", |text| text.parse().ok())
    }

    /// How many entries a page has.
    pub(crate) fn limit(&mut self, app: &App) -> Result<usize> {
        let most = app.bounds.page_max;
        let limit = self.read("limit", &format!("a number from 1 to {most}"), |text| {
            // Nothing but digits: a number may also be written with a sign.
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let limit = text.parse::<u16>().ok().filter(|_| digits)?;
            (1..=most).contains(&limit).then_some(limit)
        })?;
        Ok(limit.unwrap_or(PAGE.min(most)).into())
    }

    /// How long to wait for the outcome; zero where that was not asked for.
    pub(crate) fn wait(&mut self, app: &App) -> Result<Duration> {
        let most = app.commands.wait_max;
        let expected = format!("a duration such as 30s, at most {most:?}");
        let wait = self.read("wait", &expected, |text| {
            let wait = service::duration(text).ok()?;
            (!wait.is_zero() && wait <= most).then_some(wait)
        })?;
        Ok(wait.unwrap_or_default())
    }
}

/// Entries of a page, where nothing else is asked for.
const PAGE: u16 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_form() {
        assert!(uuid("id", "0190b3a2-0000-7000-8000-000000000001").is_ok());
        for bad in [
            "",
            "x",
            "0190b3a2000070008000000000000001",
            "{0190b3a2-0000-7000-8000-00000000001}",
        ] {
            assert!(uuid("id", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_parameter_once() {
        let mut query = Query::parse("a=1&b=x%20y&monitored=true").unwrap();
        assert_eq!(query.text("b").as_deref(), Some("x y"));
        assert_eq!(query.text("b"), None);
        assert_eq!(query.flag("monitored").unwrap(), Some(true));
        assert_eq!(query.0.len(), 1);
        assert!(Query::parse("a=1&a=2").is_err());
        assert!(Query::parse("a=yes").unwrap().flag("a").is_err());
    }
}
