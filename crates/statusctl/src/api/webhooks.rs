//! The routes of webhooks, one function each.

use reqwest::Method;
use serde_json::json;
use uuid::Uuid;
use wire::api::{
    DeadLetter, DeadLetterPage, NewWebhook, Webhook, WebhookChange, WebhookLog, WebhookPage, WebhookRotation,
    WebhookSent, WebhookWithSecret,
};

use crate::api::routes::{All, PAGE};
use crate::api::transport::{Ask, Client};
use crate::exit::Failure;

/// A route below a webhook.
fn of(method: Method, id: Uuid, more: &[&str]) -> Ask {
    let id = id.to_string();
    let path: Vec<&str> = ["webhooks", id.as_str()]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    Ask::new(method, &path)
}

impl Client {
    /// All webhooks of the caller.
    pub async fn webhooks(&self) -> Result<All<Webhook>, Failure> {
        self.all(async |cursor| {
            let ask = Ask::new(Method::GET, &["webhooks"])
                .query("limit", Some(PAGE))
                .query("cursor", cursor);
            let page: WebhookPage = self.get(ask).await?;
            Ok((page.items, page.next, false))
        })
        .await
    }

    /// One webhook.
    pub async fn webhook(&self, id: Uuid) -> Result<Webhook, Failure> {
        self.get(of(Method::GET, id, &[])).await
    }

    /// Registers a webhook.
    pub async fn add_webhook(&self, webhook: &NewWebhook, key: Uuid) -> Result<WebhookWithSecret, Failure> {
        let ask = Ask::new(Method::POST, &["webhooks"]);
        self.get(ask.body(json!(webhook)).key(key)).await
    }

    /// Changes a webhook.
    pub async fn change_webhook(
        &self,
        id: Uuid,
        change: &WebhookChange,
        key: Uuid,
    ) -> Result<Webhook, Failure> {
        self.get(of(Method::PATCH, id, &[]).body(json!(change)).key(key))
            .await
    }

    /// Takes a webhook out.
    pub async fn remove_webhook(&self, id: Uuid, key: Uuid) -> Result<(), Failure> {
        self.done(of(Method::DELETE, id, &[]).key(key)).await
    }

    /// Gives a webhook another secret.
    pub async fn rotate_webhook(
        &self,
        id: Uuid,
        overlap_seconds: Option<u32>,
        key: Uuid,
    ) -> Result<WebhookWithSecret, Failure> {
        let body = json!(WebhookRotation { overlap_seconds });
        self.get(of(Method::POST, id, &["rotate"]).body(body).key(key))
            .await
    }

    /// Has a test posted.
    pub async fn test_webhook(&self, id: Uuid, key: Uuid) -> Result<WebhookSent, Failure> {
        self.get(of(Method::POST, id, &["test"]).key(key)).await
    }

    /// The last attempts, the newest first.
    pub async fn deliveries(&self, id: Uuid) -> Result<WebhookLog, Failure> {
        self.get(of(Method::GET, id, &["deliveries"])).await
    }

    /// All that was given up.
    pub async fn dead_letters(&self, id: Uuid) -> Result<All<DeadLetter>, Failure> {
        self.all(async |cursor| {
            let ask = of(Method::GET, id, &["dead-letters"])
                .query("limit", Some(PAGE))
                .query("cursor", cursor);
            let page: DeadLetterPage = self.get(ask).await?;
            Ok((page.items, page.next, false))
        })
        .await
    }

    /// Has one dead letter posted again; `None`: as many as are at once.
    pub async fn replay(&self, id: Uuid, delivery: Option<Uuid>, key: Uuid) -> Result<WebhookSent, Failure> {
        let delivery = delivery.map(|delivery| delivery.to_string());
        let mut more = vec!["dead-letters"];
        more.extend(delivery.as_deref());
        more.push("replay");
        self.get(of(Method::POST, id, &more).key(key)).await
    }
}
