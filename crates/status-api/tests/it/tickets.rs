//! Tickets for streams.

use ::access::Role;
use jiff::SignedDuration;
use reqwest::Method;

use crate::ground::{Ground, OWNER, service_token, user};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_proves_who_asked_for_it_once_and_not_longer_than_his_token() {
    let ground = Ground::new(&[]).await;
    ground.ask(Method::POST, "/v1/tickets", "", None).await.is(401);
    let tickets = ground.bus.tickets().await.unwrap();
    let mut seen = Vec::new();
    for (token, role, account) in [
        (user(OWNER), Role::User, true),
        (service_token(), Role::Service, false),
    ] {
        let answer = ground
            .ask(Method::POST, "/v1/tickets", &token, None)
            .await
            .is(201);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let body = answer.json();
        assert_eq!(body["expiresIn"], 30);
        let ticket = body["ticket"].as_str().unwrap().to_owned();
        let entry = tickets.redeem(&ticket).await.unwrap().expect("a ticket");
        assert_eq!(entry.role, role.as_str());
        assert_eq!(entry.account_id.is_some(), account);
        assert!(entry.valid_until < entry.expires_at);
        assert!(entry.expires_at.duration_since(entry.valid_until) > SignedDuration::from_secs(30));
        assert_eq!(tickets.redeem(&ticket).await.unwrap(), None);
        seen.push(ticket);
    }
    assert_ne!(seen[0], seen[1]);
    ground.close().await;
}
