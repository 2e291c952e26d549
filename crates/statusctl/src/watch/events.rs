//! Watching over NATS.

use bus::{Bus, Step};
use futures_util::{Stream, StreamExt as _};
use serde_json::Value;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use wire::{StatusEvent, ToolboxEvent, streams, subjects};

use crate::ctl::Context;
use crate::ctl::servers::Filters;
use crate::exit::Failure;
use crate::watch::print_line;
use crate::watch::screen::{REDRAW, Screen, TICK};
use crate::watch::table::{Board, Names};

/// One event a line, as published.
pub(crate) async fn lines(
    events: impl Stream<Item = bus::Delivery>,
    filters: &Filters,
    mut names: Names,
) -> Result<(), Failure> {
    let mut events = std::pin::pin!(events);
    while let Some(delivery) = events.next().await {
        // Compact whatever the publisher's spacing was: a line is an event.
        match serde_json::from_slice::<Value>(&delivery.body) {
            Ok(event) => {
                if takes(filters, &mut names, &event) && print_line(&event.to_string()).is_err() {
                    return Ok(());
                }
            }
            Err(error) => {
                tracing::warn!(subject = delivery.subject, %error, "passed over a body that is not JSON")
            }
        }
    }
    Ok(())
}

/// The names of all toolboxes: events of servers bear none, and a filter may ask for one.
pub(crate) async fn names(bus: &Bus, subjects: Vec<String>, shutdown: CancellationToken) -> Names {
    let mut names = Names::default();
    let mut steps = bus.follow_present(&streams::MCP_STATUS, subjects, shutdown);
    while let Some(step) = steps.next().await {
        match step {
            Step::Message(delivery) => {
                if let Ok(event) = ToolboxEvent::decode(&delivery.body) {
                    names.put(event.toolbox_id, &event.name);
                }
            }
            Step::Present => break,
            Step::Restarted | Step::Lost => {}
        }
    }
    names
}

/// Whether an event is let through. What is no status of a server is: a deletion and a toolbox's word are rare, and
/// whoever filters wants to know of them.
fn takes(filters: &Filters, names: &mut Names, event: &Value) -> bool {
    let text = |field: &str| event.get(field).and_then(Value::as_str).unwrap_or_default();
    let toolbox = text("toolboxId").parse().unwrap_or_default();
    match text("kind") {
        "status" => filters.take(text("state"), text("health"), text("name")) && names.take(filters, toolbox),
        "deleted" => names.take(filters, toolbox),
        _ => {
            names.put(toolbox, text("name"));
            names.take(filters, toolbox)
        }
    }
}

/// A table that updates by itself.
pub(crate) async fn live_table(
    context: &Context,
    bus: &Bus,
    events: impl Stream<Item = bus::Delivery>,
    filters: &Filters,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let mut events = std::pin::pin!(events);
    let mut board = Board::new(filters.clone());
    let mut redraw = tokio::time::interval(REDRAW);
    redraw.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut drawn = tokio::time::Instant::now();
    let mut dirty = true;
    let screen = Screen::open()?;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(delivery) => dirty |= take(&mut board, &delivery),
                None => return Ok(()),
            },
            _ = redraw.tick() => {
                if dirty || drawn.elapsed() >= TICK {
                    screen.draw(context, &board, (!bus.is_connected()).then_some("NATS"))?;
                    drawn = tokio::time::Instant::now();
                    dirty = false;
                }
            }
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

/// Takes an event onto the board; whether it changed anything.
fn take(board: &mut Board, delivery: &bus::Delivery) -> bool {
    let outcome = if subjects::server_of(&delivery.subject).is_some() {
        StatusEvent::decode(&delivery.body).map(|event| board.take_server(event))
    } else {
        ToolboxEvent::decode(&delivery.body).map(|event| board.take_toolbox(event))
    };
    outcome.unwrap_or_else(|refused| {
        tracing::warn!(subject = delivery.subject, %refused, "passed over an event");
        false
    })
}
