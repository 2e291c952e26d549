//! `scripts/bench telemetry`: what an event costs from its bytes into the inboxes of a hundred readers, where nothing is traced. The script counts
//! the instructions of `measured`.

use std::sync::Arc;

use access::Viewer;
use domain::{AccountId, ServerId};
use jiff::Timestamp;
use live::Fleet;
use uuid::Uuid;
use wire::{ServerStatus, StatusEvent, subjects};

use crate::hub::Hub;

/// Events, each of a server of its own.
const EVENTS: u64 = 200;
/// Who watches all of them.
const READERS: usize = 100;

fn delivery(number: u64) -> bus::Delivery {
    let (server, account) = (Uuid::from_u128(u128::from(number)), Uuid::from_u128(1));
    let event = StatusEvent::Status(ServerStatus {
        server_id: server,
        toolbox_id: Uuid::from_u128(7),
        account_id: account,
        name: "mcp-github".to_owned(),
        version: 1,
        state: "running".to_owned(),
        health: "healthy".to_owned(),
        uptime: None,
        last_started: None,
        last_error: None,
        status_on_toolbox: "running".to_owned(),
        container_id: None,
        as_of: None,
        changed_at: Timestamp::UNIX_EPOCH,
        previous: None,
        cause: None,
        monitored: true,
        command: None,
        override_until: None,
    });
    let subject = subjects::server_status(AccountId(account), ServerId(server));
    bus::Delivery::made(subject, serde_json::to_vec(&event).unwrap().into(), number)
}

/// What is done with each event that is followed.
#[inline(never)]
fn measured(fleet: &Fleet, deliveries: &[bus::Delivery]) {
    for delivery in deliveries {
        assert_eq!(fleet.take_in(delivery, 1), Some(true));
    }
}

#[test]
#[ignore = "scripts/bench telemetry counts its instructions"]
fn instructions() {
    let options = service::options::TelemetryOptions {
        log: "info".to_owned(),
        log_format: service::options::LogFormat::Json,
    };
    #[expect(clippy::disallowed_methods, reason = "how the script says what is measured")]
    let bare = std::env::var("HOT_PATH").is_ok_and(|what| what == "bare");
    let _telemetry = (!bare).then(|| service::Telemetry::start("hot-path", &options).unwrap());
    let hub = Hub::default();
    let fleet = Fleet::watched(Arc::new(hub.clone()));
    for _ in 0..READERS {
        let reader = hub.join(Viewer::All);
        hub.change(|index| index.all(&reader));
    }
    let deliveries: Vec<_> = (1..=EVENTS).map(delivery).collect();
    measured(&fleet, &deliveries);
    let events = usize::try_from(EVENTS).unwrap();
    assert!(hub.waiting().iter().all(|waiting| waiting.pending == events));
    assert_eq!(hub.waiting().len(), READERS);
}
