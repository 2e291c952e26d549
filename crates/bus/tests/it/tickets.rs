//! One-use tickets.

use bus::Tickets;
use futures_util::future::join_all;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use uuid::Uuid;
use wire::TicketEntry;
use wire::streams::TICKET_TTL;

use crate::ground::{Ground, eventually};

fn entry() -> TicketEntry {
    TicketEntry {
        account_id: Some(Uuid::from_u128(1)),
        role: "user".to_owned(),
        actor: "somebody".to_owned(),
        expires_at: Timestamp::UNIX_EPOCH,
        valid_until: Timestamp::UNIX_EPOCH,
    }
}

async fn tickets(ground: &Ground) -> Tickets {
    ground.bus.tickets().await.unwrap()
}

#[tokio::test]
async fn of_many_who_redeem_one_ticket_at_once_one_gets_it() {
    let ground = Ground::bare().await;
    let (here, there) = (
        tickets(&ground).await,
        ground.another_bus().await.tickets().await.unwrap(),
    );
    for _ in 0..10 {
        let ticket = here.issue(&entry()).await.unwrap();
        let ticket = ticket.expose_secret();
        let tries = (0..20).map(|number| if number % 2 == 0 { &here } else { &there });
        let outcomes = join_all(tries.map(|tickets| tickets.redeem(ticket))).await;
        let won: Vec<_> = outcomes.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(won, [entry()]);
        assert_eq!(there.redeem(ticket).await.unwrap(), None);
    }
}

#[tokio::test]
async fn the_bucket_holds_no_ticket_and_forgets_by_itself() {
    let ground = Ground::bare().await;
    let tickets = tickets(&ground).await;
    let ticket = tickets.issue(&entry()).await.unwrap();
    let ticket = ticket.expose_secret();
    let other = tickets.issue(&entry()).await.unwrap();
    assert_ne!(ticket, other.expose_secret());
    let stream = ground.plain.get_stream("KV_tickets").await.unwrap();
    let message = stream.get_raw_message(1).await.unwrap();
    assert!(!message.subject.contains(ticket));
    assert!(!String::from_utf8_lossy(&message.payload).contains(ticket));
    let ttl = message.headers.get("Nats-TTL").unwrap().as_str();
    assert_eq!(ttl, TICKET_TTL.as_secs().to_string());
    assert!(tickets.redeem(ticket).await.unwrap().is_some());
    // What is left of a redeemed one is a mark, which goes too.
    let mark = stream
        .get_last_raw_message_by_subject(&message.subject)
        .await
        .unwrap();
    assert_eq!(mark.headers.get("Nats-TTL").unwrap().as_str(), "60");
    stream.purge().await.unwrap();
    eventually("the bucket is empty", async || {
        stream.get_info().await.unwrap().state.messages == 0
    })
    .await;
    assert_eq!(tickets.redeem(other.expose_secret()).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_no_ticket_is_not_even_looked_up() {
    let mut ground = Ground::bare().await;
    let tickets = tickets(&ground).await;
    ground.server.kill().await.unwrap();
    let wild = "*".repeat(43);
    let long = "a".repeat(44);
    for text in ["", ">", "a.b", &wild, &long, "ä"] {
        assert_eq!(tickets.redeem(text).await.unwrap(), None, "{text}");
    }
    assert!(tickets.redeem(&"a".repeat(43)).await.is_err());
}
