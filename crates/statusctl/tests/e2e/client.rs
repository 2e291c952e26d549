//! Asking status-api as a service of the application does: over HTTP, with a token.

use std::time::Duration;

use access::NewToken;
use domain::AccountId;
use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use uuid::Uuid;

use crate::world::{JWT_SECRET, World};

/// Who asks, and where.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: SecretString,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

fn token(subject: Option<Uuid>, role: &str) -> SecretString {
    let now = Timestamp::now();
    let new = NewToken {
        subject: subject.map(AccountId),
        role,
        audience: Some("authenticated"),
        issuer: None,
        issued_at: now,
        expires_at: now + SignedDuration::from_hours(1),
    };
    access::mint(&SecretString::from(JWT_SECRET), &new).unwrap()
}

/// The token of a user of this account, for whoever asks by other means.
pub(crate) fn user_token(account: Uuid) -> String {
    token(Some(account), "authenticated").expose_secret().to_owned()
}

impl World {
    /// A user of this account.
    pub(crate) fn user(&self, account: Uuid) -> Client {
        self.client(0, token(Some(account), "authenticated"))
    }

    /// A service of the application, as AdminMCPService is.
    pub(crate) fn service(&self) -> Client {
        self.service_at(0)
    }

    /// The same, asking the `index`-th replica.
    pub(crate) fn service_at(&self, index: usize) -> Client {
        self.client(index, token(None, "service_role"))
    }

    fn client(&self, index: usize, token: SecretString) -> Client {
        Client {
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(70))
                .no_proxy()
                .build()
                .unwrap(),
            base: format!("{}/v1", self.api_url(index)),
            token,
        }
    }
}

impl Client {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, &[]).await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.send(Method::POST, path, None, &[]).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(self.token.expose_secret());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        Answer {
            status: status.as_u16(),
            headers,
            body: if status == StatusCode::NO_CONTENT || text.is_empty() {
                Value::Null
            } else {
                serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {status} {text}"))
            },
        }
    }
}

impl Answer {
    /// The body of an answer that must have this status.
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
