//! All of it in a few numbers.

use axum::extract::State;
use axum::response::Response;
use store::{outbox, reading};
use wire::api::{Counts, Fleet, Lag, OldestKnowledge};
use wire::streams;

use crate::answer::ok;
use crate::app::App;
use crate::base::Trouble;
use crate::caller::Caller;
use crate::clock;
use crate::params::Params;
use crate::refusal::Result;
use crate::routes::servers::granted;
use crate::view;

/// Get everything in numbers
///
/// Everything the caller may see: counts by state and health, the oldest knowledge, and for who sees all how far the
/// system itself is behind.
#[utoipa::path(get, path = "/v1/fleet", operation_id = "getFleet", tag = "fleet",
    responses((status = 200, description = "The numbers", body = Fleet)))]
pub(crate) async fn get_fleet(State(app): State<App>, caller: Caller, _: Params<()>) -> Result<Response> {
    let viewer = caller.viewer();
    let now = clock::now();
    let (mut states, mut health) = (Counts::new(), Counts::new());
    let (mut servers, mut unmonitored) = (0, 0);
    // Counted and not kept.
    app.fleet.visible(viewer, None, usize::MAX, |event| {
        let (state, healthy) = view::labels(event);
        servers += 1;
        unmonitored += u64::from(!event.monitored);
        count(&mut states, state.as_str(), 1);
        count(&mut health, healthy.as_str(), 1);
        false
    });
    let mut stale = app.is_behind();
    let mut fail = |trouble: Trouble| match trouble {
        Trouble::Away => {
            stale = true;
            Ok(())
        }
        refused => Err(refused),
    };
    let counting = reading::count_toolboxes(app.base.database().pool(), caller.account());
    let toolboxes: Counts = match app.base.read(counting).await {
        Ok(counted) => counted.into_iter().collect(),
        Err(trouble) => {
            fail(trouble)?;
            let mut known = Counts::new();
            for toolbox in app.fleet.toolboxes(viewer, None, usize::MAX) {
                count(&mut known, &toolbox.status, 1);
            }
            known
        }
    };
    // What was never announced is unknown in every respect.
    let granted = granted(&app, viewer);
    let counting = reading::count_unannounced(app.base.database().pool(), caller.account(), &granted);
    match app.base.read(counting).await {
        Ok((more, unwatched)) => {
            servers += more;
            unmonitored += unwatched;
            if more > 0 {
                count(&mut states, "unknown", more);
                count(&mut health, "unknown", more);
            }
        }
        Err(trouble) => fail(trouble)?,
    }
    let oldest_knowledge = match app.oldest.of(&app.base, caller.account()).await {
        Ok(known) => known.map(|(server, as_of)| OldestKnowledge {
            server_id: server.0,
            as_of,
            age: view::seconds(as_of, now),
        }),
        Err(trouble) => {
            fail(trouble)?;
            None
        }
    };
    let lag = if caller.account().is_none() {
        lag(&app).await
    } else {
        None
    };
    let fleet = Fleet {
        servers,
        states,
        health,
        unmonitored,
        toolboxes,
        oldest_knowledge,
        lag,
        stale: app.stale(stale),
    };
    ok(&fleet)
}

fn count(counts: &mut Counts, label: &str, more: u64) {
    match counts.get_mut(label) {
        Some(count) => *count += more,
        None => {
            counts.insert(label.to_owned(), more);
        }
    }
}

/// `None` where either side cannot tell.
async fn lag(app: &App) -> Option<Lag> {
    let backlog = app.line.get()?.backlog(&streams::MAPPER).await.ok()?;
    let asking = outbox::oldest_unpublished(app.base.database().pool());
    let oldest = app.base.read(asking).await.ok()?;
    Some(Lag {
        pending_reports: backlog.pending,
        oldest_unpublished: oldest.map_or(0, |at| view::seconds(at, clock::now())),
    })
}
