//! Tickets: for who cannot set a header, once.

use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use serde_json::json;
use wire::TicketEntry;
use wire::stream::StreamMessage;

use crate::client::{Events, Held, Socket};
use crate::ground::{Ground, id, now, status};

async fn ticket(ground: &Ground, role: &str, valid_for: i64) -> String {
    let entry = TicketEntry {
        account_id: (role == "user").then(|| id(1)),
        role: role.to_owned(),
        actor: "somebody".to_owned(),
        expires_at: now() + SignedDuration::from_mins(5),
        valid_until: now() + SignedDuration::from_secs(valid_for),
    };
    let tickets = ground.bus.tickets().await.unwrap();
    tickets.issue(&entry).await.unwrap().expose_secret().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_opens_one_stream_at_one_of_all_replicas() {
    let ground = Ground::new().await;
    ground
        .publish(&[status(1, 1, 1, "running"), status(2, 2, 1, "running")])
        .await;
    let (one, two) = (ground.replica().await, ground.replica().await);
    for round in 0..10 {
        let ticket = ticket(&ground, "user", 30).await;
        let query = format!("all=true&ticket={ticket}");
        let (first, second) = tokio::join!(
            Events::open(&one.url, &query, &[]),
            Events::open(&two.url, &query, &[])
        );
        let (mut opened, refused) = match (first, second) {
            (Ok(opened), Err(refused)) | (Err(refused), Ok(opened)) => (opened, refused),
            (Ok(_), Ok(_)) => panic!("both, in round {round}"),
            (Err(_), Err(_)) => panic!("neither, in round {round}"),
        };
        assert_eq!(refused.status(), 401);
        let mut held = Held::default();
        while !held.present {
            held.take(&opened.next().await.message);
        }
        assert_eq!(held.versions(), [(1, 1)], "as the account of the ticket");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_work_for_sockets_and_run_out_with_their_token() {
    let ground = Ground::new().await;
    ground
        .publish(&[status(1, 1, 1, "running"), status(2, 2, 1, "running")])
        .await;
    let replica = ground.replica().await;
    let admin = ticket(&ground, "admin", 30).await;
    let mut socket = Socket::open(&replica.url, &[]).await.unwrap();
    socket.send(json!({"type": "auth", "ticket": admin})).await;
    let StreamMessage::Hello { expires_at, .. } = socket.next().await else {
        panic!("hello")
    };
    assert!(expires_at < now() + SignedDuration::from_mins(6));
    socket.send(json!({"type": "subscribe", "servers": "all"})).await;
    let mut held = Held::default();
    held.read_until(&mut socket, "present", |held| held.present).await;
    assert_eq!(held.servers.len(), 2);
    for (role, valid_for) in [("user", -1), ("anybody", 30)] {
        let ticket = ticket(&ground, role, valid_for).await;
        let refused = Events::open(&replica.url, &format!("all=true&ticket={ticket}"), &[]).await;
        assert_eq!(refused.err().unwrap().status(), 401, "{role} {valid_for}");
    }
}
