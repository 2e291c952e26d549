//! What was, over a stretch of time.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use domain::{AccountId, ServerId};
use jiff::{SignedDuration, Timestamp};
use store::timeline;
use utoipa::IntoParams;
use wire::api::{FleetTimeline, Server, ServerTimeline};

use crate::answer::ok;
use crate::app::App;
use crate::base::Trouble;
use crate::caller::Caller;
use crate::clock;
use crate::params::{FromQuery, Id, Params, Query};
use crate::refusal::{Refusal, Result};
use crate::routes::servers::granted;
use crate::timeline::{Moment, Shown, counts, course};

/// Most changes of a server that are looked at: one every nine seconds for a day.
const CHANGES: u32 = 10_000;
const HOUR: Duration = Duration::from_secs(3_600);
/// As long as the history is kept, unless it is kept longer.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
const DAY: Duration = Duration::from_secs(86_400);
/// Points of a line, where nothing else is asked for.
const POINTS: u32 = 48;

/// How long a stretch of time.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Window {
    /// How far back from now, in hours or days, such as 24h or 7d: from 1h to 30d.
    #[param(pattern = "^(([1-9]|[1-9][0-9]|[1-6][0-9][0-9]|7[01][0-9]|720)h|([1-9]|[12][0-9]|30)d)$", default = "24h", value_type = Option<String>)]
    window: Duration,
}

impl FromQuery for Window {
    fn take(query: &mut Query, _: &App) -> Result<Self> {
        let window = query.read(
            "window",
            "hours or days from 1h to 30d, such as 24h or 7d",
            |text| {
                let window = duration(text)?;
                (HOUR..=LONGEST).contains(&window).then_some(window)
            },
        )?;
        Ok(Self {
            window: window.unwrap_or(DAY),
        })
    }
}

/// Reads a whole number of hours or days.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "h" => HOUR,
        "d" => DAY,
        _ => return None,
    };
    // As numbers are written: without a sign, and without noughts before it.
    let plain = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
    unit.checked_mul(number.parse::<u32>().ok().filter(|_| plain)?)
}

fn back(to: Timestamp, window: Duration) -> Timestamp {
    to.checked_sub(window).unwrap_or(Timestamp::MIN)
}

/// Get a server's timeline
///
/// What it was over the last while, as bands to be drawn, with the time in each state and its uptime. While the database is
/// away only the newest change is known.
#[utoipa::path(get, path = "/v1/servers/{serverId}/timeline", operation_id = "getServerTimeline", tag = "servers",
    params(("serverId" = Uuid, Path, description = "Which server"), Window),
    responses((status = 200, description = "Its timeline", body = ServerTimeline)))]
pub(crate) async fn get_server_timeline(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Params(Window { window }): Params<Window>,
) -> Result<Response> {
    let id = ServerId(id);
    let server = app.see(caller.viewer(), id).await?;
    let to = clock::now();
    let mut from = back(to, window);
    let owner = AccountId(server.account_id);
    let asking = timeline::server(app.base.database().pool(), id, owner, from, CHANGES + 1);
    let (moments, stale) = match app.base.read(asking).await {
        Ok(rows) => {
            let mut moments: Vec<Moment> = rows.into_iter().map(moment).collect();
            let after = moments.iter().filter(|moment| moment.at > from).count();
            if after > CHANGES as usize {
                moments.drain(..moments.len() - CHANGES as usize);
                from = moments.first().map_or(from, |first| first.at);
            }
            // What stands since before the history begins.
            if moments.is_empty() {
                moments.extend(standing(&server));
            }
            (moments, false)
        }
        Err(Trouble::Away) => (standing(&server).into_iter().collect(), true),
        Err(refused) => return Err(refused.into()),
    };
    let course = course(moments, from, to);
    ok(&ServerTimeline {
        server_id: id.0,
        from,
        to,
        uptime: course.uptime,
        seconds: course.seconds,
        bands: course.bands,
        stale: app.stale(stale),
    })
}

fn moment(row: timeline::TimelineRow) -> Moment {
    Moment {
        at: row.at,
        after: row.after.map(Shown::read),
        before: row.before.map(Shown::read),
    }
}

/// The newest change of a server, by what it is.
fn standing(server: &Server) -> Option<Moment> {
    Some(Moment {
        at: server.changed_at?,
        after: Some(Shown {
            state: server.state,
            health: server.health,
            code: server.last_error.as_ref().map(|error| error.code.clone()),
        }),
        before: None,
    })
}

/// Over how long, in how many points.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Line {
    /// How far back from now, in hours or days, such as 24h or 7d: from 1h to 30d. Cut down to a whole number of seconds for each point.
    #[param(pattern = "^(([1-9]|[1-9][0-9]|[1-6][0-9][0-9]|7[01][0-9]|720)h|([1-9]|[12][0-9]|30)d)$", default = "24h", value_type = Option<String>)]
    window: Duration,
    /// How many points.
    #[param(minimum = 2, maximum = 200, default = 48, value_type = Option<u8>)]
    points: u32,
}

impl FromQuery for Line {
    fn take(query: &mut Query, app: &App) -> Result<Self> {
        let Window { window } = Window::take(query, app)?;
        let points = query.read("points", "a number from 2 to 200", |text| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let points = text.parse::<u32>().ok().filter(|_| digits)?;
            (2..=200).contains(&points).then_some(points)
        })?;
        Ok(Self {
            window,
            points: points.unwrap_or(POINTS),
        })
    }
}

/// Get how many servers were in which state over time
///
/// Of the servers that the caller may see, counted at equal steps up to now. An answer may be five seconds old.
#[utoipa::path(get, path = "/v1/fleet/timeline", operation_id = "getFleetTimeline", tag = "fleet", params(Line),
    responses((status = 200, description = "The counts", body = FleetTimeline)))]
pub(crate) async fn get_fleet_timeline(
    State(app): State<App>,
    caller: Caller,
    Params(Line { window, points }): Params<Line>,
) -> Result<Response> {
    // At least eighteen seconds.
    let step = u32::try_from(window.as_secs() / u64::from(points)).unwrap_or(u32::MAX);
    let question = (caller.account(), step, points);
    let look = async || {
        if let Err(wait) = app.limits.study(&caller.0.actor) {
            app.metrics.denied("rate");
            return Err(Refusal::too_many(wait));
        }
        let to = clock::now();
        let span = SignedDuration::from_secs(i64::from(step) * i64::from(points));
        let from = to.checked_sub(span).unwrap_or(Timestamp::MIN);
        let granted = granted(&app, caller.viewer());
        let pool = app.base.database().pool();
        let asking = timeline::fleet(pool, caller.account(), &granted, from, step, points);
        Ok(app.base.study(asking).await.map(|rows| FleetTimeline {
            from,
            to,
            step: step.into(),
            states: counts(&rows, points as usize),
            stale: false,
        }))
    };
    let timeline = app.studies.of(question, look).await?;
    app.stale(timeline.stale);
    ok(&*timeline)
}
