//! `GET /v1/events`: the stream as server-sent events.

use std::net::SocketAddr;
use std::time::Duration;

use access::Principal;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::{BufMut as _, Bytes, BytesMut};
use domain::ServerId;
use futures_util::stream::{self, Stream};
use service::http::Problem;
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower_http::cors::{AllowOrigin, CorsLayer};
use wire::stream::{PROTOCOL, StreamMessage};

use crate::app::App;
use crate::clock;
use crate::ending::Ending;
use crate::frame::Frame;
use crate::gate;
use crate::metrics::Open;
use crate::pace::{BATCH, Pace, Tick};
use crate::places::Place;
use crate::session::{Session, Start, Wanted};

/// Where a browser says what it was told last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How long a browser waits before it connects again.
const RETRY: Duration = Duration::from_secs(2);
/// How long a browser remembers that it may ask.
const PREFLIGHT: Duration = Duration::from_secs(3600);

pub(crate) fn router(app: App) -> Router {
    let origins: Vec<HeaderValue> = app.gate.origins().collect();
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET])
        .allow_headers([header::AUTHORIZATION, LAST_EVENT_ID, header::CACHE_CONTROL])
        .max_age(PREFLIGHT);
    Router::new()
        .route("/v1/events", get(events))
        .layer(cors)
        .with_state(app)
}

/// What the URL says.
#[derive(Debug, Default)]
struct Query {
    wanted: Wanted,
    cursor: Option<String>,
    ticket: Option<String>,
}

impl Query {
    /// Reads it, or names the parameter that is wrong.
    fn read(query: &str) -> Result<Self, (String, &'static str)> {
        let mut read = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "servers" => {
                    for id in value.split(',').map(str::trim).filter(|id| !id.is_empty()) {
                        let id: ServerId = id
                            .parse()
                            .map_err(|_| ("servers".to_owned(), "UUIDs with commas between"))?;
                        read.wanted.servers.push(id);
                    }
                }
                "all" => read.wanted.all = flag(&value).ok_or_else(|| ("all".to_owned(), "true or false"))?,
                "toolboxes" => {
                    read.wanted.toolboxes =
                        flag(&value).ok_or_else(|| ("toolboxes".to_owned(), "true or false"))?;
                }
                "cursor" => read.cursor = Some(value.into_owned()),
                "ticket" => read.ticket = Some(value.into_owned()),
                name => {
                    let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
                    return Err((name, "no such parameter"));
                }
            }
        }
        if read.wanted == Wanted::default() {
            return Err((
                "servers".to_owned(),
                "some servers, or all=true, or toolboxes=true",
            ));
        }
        Ok(read)
    }
}

fn flag(value: &str) -> Option<bool> {
    match value {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

async fn events(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = app.refusal(&headers, query.as_deref()) {
        return refusal;
    }
    let query = match Query::read(query.as_deref().unwrap_or_default()) {
        Ok(query) => query,
        Err((field, expected)) => {
            let detail = format!("{field}: expected {expected}");
            let problem = Problem::new(StatusCode::BAD_REQUEST, "bad request", detail).field(field);
            return app.refuse("bad_request", problem);
        }
    };
    let mut place = match app.places.take(peer.ip()) {
        Ok(place) => place,
        Err(full) => return too_many(&app, full.as_str()),
    };
    let principal = match authenticate(&app, &headers, query.ticket.as_deref()).await {
        Ok(principal) => principal,
        Err(stopped) => return app.stopped(&stopped),
    };
    if let Some(account) = principal.account
        && let Err(full) = place.of(account)
    {
        return too_many(&app, full.as_str());
    }
    // What the browser was told last is newer than what its page began with.
    let last = headers
        .get(LAST_EVENT_ID)
        .map(|value| value.to_str().unwrap_or("?"));
    let start = Start::read(last.filter(|last| !last.is_empty()).or(query.cursor.as_deref()));
    app.catch_up(start).await;
    let most = app.options.subscriptions as usize;
    let mut session = Session::new(&app.hub, &app.fleet, principal.viewer, most);
    let hello = StreamMessage::Hello {
        protocol: PROTOCOL.to_owned(),
        ping_seconds: app.options.ping_every.as_secs(),
        expires_at: principal.expires_at,
    };
    let mut first = vec![hello.into()];
    first.extend(session.subscribe(query.wanted, start, clock::now()));
    let events = Events {
        pace: Pace::new(&app.options, principal.expires_at),
        session,
        first,
        ended: false,
        reason: "left",
        _place: place,
        _counted: app.metrics().open("sse"),
        _open: app.open.token(),
        app,
    };
    (
        [
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CACHE_CONTROL, "no-store, no-transform"),
            // Asks nginx to pass on what comes when it comes.
            (HeaderName::from_static("x-accel-buffering"), "no"),
        ],
        Body::from_stream(events.into_stream()),
    )
        .into_response()
}

fn too_many(app: &App, reason: &'static str) -> Response {
    let detail = format!("no more streams: {reason}");
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many streams", detail);
    app.refuse(reason, problem)
}

async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    ticket: Option<&str>,
) -> Result<Principal, gate::Stopped> {
    match (gate::bearer(headers)?, ticket) {
        (Some(token), _) => app.gate.token(token, clock::now()).await,
        (None, Some(ticket)) => app.gate.ticket(ticket, clock::now()).await,
        (None, None) => Err(gate::Stopped::Denied(
            "there is no token: use the Authorization header or a ticket".to_owned(),
        )),
    }
}

/// One stream of events. Dropped when its client has gone.
struct Events {
    app: App,
    session: Session,
    pace: Pace,
    first: Vec<Frame>,
    ended: bool,
    reason: &'static str,
    _place: Place,
    _counted: Open,
    _open: TaskTrackerToken,
}

impl Events {
    fn into_stream(self) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
        stream::unfold(self, |mut events| async {
            let bytes = events.next().await?;
            Some((Ok(bytes), events))
        })
    }

    /// What is to be written next; `None`: it has ended.
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        if !self.first.is_empty() {
            let frames = std::mem::take(&mut self.first);
            self.session.reader().wake.notify_one();
            let retry = format!("retry: {}\n\n", RETRY.as_millis());
            return Some(self.write(retry.as_bytes(), &frames));
        }
        loop {
            let shutdown = self.app.shutdown.clone();
            let reader = std::sync::Arc::clone(self.session.reader());
            tokio::select! {
                () = shutdown.cancelled() => return Some(self.end(Ending::Restart)),
                () = reader.wake.notified() => {
                    let gathered = self.pace.gathered();
                    if gathered > Instant::now() {
                        tokio::time::sleep_until(gathered).await;
                    }
                    let frames = self.session.next(BATCH, clock::now());
                    if self.session.has_more() {
                        reader.wake.notify_one();
                    }
                    if !frames.is_empty() {
                        return Some(self.write(b"", &frames));
                    }
                }
                () = tokio::time::sleep_until(self.pace.next()) => match self.pace.due() {
                    Some(Tick::Expired) => return Some(self.end(Ending::Expired)),
                    Some(Tick::Recheck) => {
                        let mut frames = Vec::new();
                        self.session.recheck(&mut frames);
                        if !frames.is_empty() {
                            return Some(self.write(b"", &frames));
                        }
                    }
                    // Who is gone is found out by writing.
                    Some(Tick::Ping) => return Some(Bytes::from_static(b": ping\n\n")),
                    Some(Tick::Idle) | None => {}
                },
            }
        }
    }

    fn write(&mut self, before: &[u8], frames: &[Frame]) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_slice(before);
        for frame in frames {
            frame.write_event(&mut bytes);
            if let Some(code) = frame.error_code() {
                self.app.metrics().error(code);
            }
        }
        self.pace.wrote();
        self.app
            .metrics()
            .sent(frames, self.session.state(), clock::now());
        bytes.freeze()
    }

    fn end(&mut self, ending: Ending) -> Bytes {
        self.ended = true;
        self.reason = ending.reason();
        let bye = ending.bye(rand::random());
        let retry = match &bye {
            StreamMessage::Bye {
                retry_after_ms: Some(wait),
                ..
            } => format!("retry: {wait}\n"),
            _ => String::new(),
        };
        self.write(retry.as_bytes(), &[bye.into()])
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.app.metrics().closed(self.reason);
    }
}
