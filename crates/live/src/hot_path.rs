//! `scripts/bench telemetry`: what an event costs from its bytes to all who watch, where nothing is traced. The script counts
//! the instructions of `measured`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::{AccountId, ServerId};
use jiff::Timestamp;
use uuid::Uuid;
use wire::{ServerStatus, StatusEvent, subjects};

use crate::told;
use crate::{Fleet, News, Watch};

/// Events.
const EVENTS: u64 = 500;

#[derive(Debug, Default)]
struct Counting(AtomicU64);

impl Watch for Counting {
    fn told(&self, news: News<'_>) {
        if let News::Told(_) = news {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

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

/// What is done with each event that is followed, as `run` does it.
#[inline(never)]
fn measured(fleet: &Fleet, deliveries: &[bus::Delivery]) {
    for delivery in deliveries {
        let deliver = fleet.deliver(delivery);
        let _in = deliver.enter();
        let (event, told) = told::read(delivery, 1).unwrap();
        fleet.take(event, told);
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
    let watching = Arc::new(Counting::default());
    let fleet = Fleet::watched(watching.clone());
    let deliveries: Vec<_> = (1..=EVENTS).map(delivery).collect();
    measured(&fleet, &deliveries);
    assert_eq!(watching.0.load(Ordering::Relaxed), EVENTS);
}
