//! `GET /v1/ws`: the stream by WebSocket.
//!
//! ```text
//!  upgrade ─► who? (header · subprotocol · first message in time) ─► hello ─► ┌─ requests ─► Session
//!                                                                             ├─ woken ────► Session::next ─► written at once
//!                                                                             ├─ time ─────► ping · look again · expiry
//!                                                                             └─ ending ───► bye, close code
//! ```

use std::net::SocketAddr;

use access::Principal;
use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use domain::ServerId;
use futures_util::SinkExt as _;
use governor::{Quota, RateLimiter};
use tokio::time::{Instant, timeout};
use wire::stream::{All, ErrorCode, PROTOCOL, Selection, StreamMessage, StreamRequest};

use crate::app::App;
use crate::clock;
use crate::ending::Ending;
use crate::frame::Frame;
use crate::gate::{self, Stopped};
use crate::inbound::{broken, read, received};
use crate::pace::{BATCH, Pace, Tick};
use crate::places::{Full, Place};
use crate::session::{Session, Start, Wanted, refused};

/// Read ahead, for each connection as long as it is open: requests are short.
const READ_BUFFER: usize = 2 << 10;
/// Gathered before it is written.
const WRITE_BUFFER: usize = 4 << 10;
/// Most that waits to be written: what is written in one go is far less.
const WRITE_MOST: usize = 8 << 20;
/// Longest message taken from a client: five thousand ids take 200 KB, so they come in several.
const MESSAGE: usize = 64 << 10;

pub(crate) fn router(app: App) -> Router {
    Router::new().route("/v1/ws", get(upgrade)).with_state(app)
}

async fn upgrade(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if let Some(refusal) = app.refusal(&headers, query.as_deref()) {
        return refusal;
    }
    let place = app.places.take(peer.ip());
    let token = match gate::bearer(&headers) {
        Ok(token) => token.map(str::to_owned),
        Err(stopped) => return app.stopped(&stopped),
    };
    let token = token.or_else(|| gate::protocol_token(upgrade.requested_protocols()));
    let principal = match &token {
        // A client of a browser cannot see why a handshake failed: what is full is told afterwards.
        Some(token) if place.is_ok() => match app.gate.token(token, clock::now()).await {
            Ok(principal) => Some(principal),
            Err(stopped) => return app.stopped(&stopped),
        },
        _ => None,
    };
    let upgrade = upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(WRITE_MOST)
        .max_message_size(MESSAGE)
        .max_frame_size(MESSAGE);
    let open = app.open.token();
    upgrade.on_upgrade(async move |socket| {
        let _open = open;
        Box::pin(serve(app, socket, place, principal)).await;
    })
}

async fn serve(app: App, mut socket: WebSocket, place: Result<Place, Full>, principal: Option<Principal>) {
    let _counted = app.metrics().open("websocket");
    let ending = match place {
        Ok(place) => run(&app, &mut socket, place, principal).await,
        Err(full) => Ending::Full(full),
    };
    app.metrics().closed(ending.reason());
    // Who does not read does not get it, and is not waited for.
    let _ = timeout(FAREWELL, async {
        match ending {
            // Answers a closing with a closing.
            Ending::Left => while let Some(Ok(_)) = socket.recv().await {},
            ending => drop(farewell(&mut socket, ending).await),
        }
    })
    .await;
}

/// Longest time to part.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(2);

async fn farewell(socket: &mut WebSocket, ending: Ending) -> Option<()> {
    let frame = Frame::from(ending.bye(rand::random()));
    socket.feed(Message::Text(frame.text())).await.ok()?;
    let close = CloseFrame {
        code: ending.code(),
        reason: ending.reason().into(),
    };
    socket.send(Message::Close(Some(close))).await.ok()?;
    // A socket that is closed with something unread resets the connection, and what was just written may be lost.
    while socket.recv().await?.is_ok() {}
    Some(())
}

async fn run(app: &App, socket: &mut WebSocket, mut place: Place, principal: Option<Principal>) -> Ending {
    let principal = match principal {
        Some(principal) => principal,
        None => match tokio::select! {
            () = app.shutdown.cancelled() => return Ending::Restart,
            first = timeout(app.options.auth_timeout, first(app, socket)) => first,
        } {
            Ok(Ok(principal)) => principal,
            Ok(Err(ending)) => return ending,
            Err(_) => return Ending::NotAuthenticated,
        },
    };
    if let Some(account) = principal.account
        && let Err(full) = place.of(account)
    {
        return Ending::Full(full);
    }
    let session = Session::new(
        &app.hub,
        &app.fleet,
        principal.viewer,
        app.options.subscriptions as usize,
    );
    let pace = Pace::new(&app.options, principal.expires_at);
    let mut connection = Connection {
        app,
        socket,
        session,
        pace,
        principal,
        limiter: RateLimiter::direct(
            Quota::per_second(app.options.message_rate).allow_burst(app.options.message_burst),
        ),
        unanswered: 0,
    };
    connection.run().await.err().unwrap_or(Ending::Left)
}

/// Who it is, by the first message.
async fn first(app: &App, socket: &mut WebSocket) -> Result<Principal, Ending> {
    loop {
        let request = match received(socket.recv().await)? {
            Some(text) => text,
            None => continue,
        };
        return match read(&request)? {
            StreamRequest::Auth { token, ticket } => {
                authenticate(app, token, ticket)
                    .await
                    .map_err(|stopped| match stopped {
                        Stopped::Denied(_) => Ending::Unauthorized,
                        Stopped::Unavailable => Ending::Unavailable,
                    })
            }
            _ => Err(Ending::Unauthorized),
        };
    }
}

async fn authenticate(
    app: &App,
    token: Option<String>,
    ticket: Option<String>,
) -> Result<Principal, Stopped> {
    match (token, ticket) {
        (Some(token), None) => app.gate.token(&token, clock::now()).await,
        (None, Some(ticket)) => app.gate.ticket(&ticket, clock::now()).await,
        _ => Err(Stopped::Denied("expected either a token or a ticket".to_owned())),
    }
}

struct Connection<'a> {
    app: &'a App,
    socket: &'a mut WebSocket,
    session: Session,
    pace: Pace,
    principal: Principal,
    limiter: governor::DefaultDirectRateLimiter,
    /// Pings since the client last said anything.
    unanswered: u8,
}

impl Connection<'_> {
    /// Serves until it ends.
    async fn run(&mut self) -> Result<(), Ending> {
        let hello = self.hello();
        self.write(&[hello]).await?;
        loop {
            tokio::select! {
                () = self.app.shutdown.cancelled() => return Err(Ending::Restart),
                message = self.socket.recv() => {
                    // Whatever it is, it is a sign of life.
                    self.unanswered = 0;
                    if let Some(text) = received(message)? {
                        self.asked(&text).await?;
                    }
                }
                () = self.session.reader().wake.notified() => self.deliver().await?,
                () = tokio::time::sleep_until(self.pace.next()) => self.tick().await?,
            }
        }
    }

    fn hello(&self) -> Frame {
        StreamMessage::Hello {
            protocol: PROTOCOL.to_owned(),
            ping_seconds: self.app.options.ping_every.as_secs(),
            expires_at: self.principal.expires_at,
        }
        .into()
    }

    async fn deliver(&mut self) -> Result<(), Ending> {
        let gathered = self.pace.gathered();
        if gathered > Instant::now() {
            tokio::time::sleep_until(gathered).await;
        }
        let frames = self.session.next(BATCH, clock::now());
        // One batch at a time: in between, requests and the clock have their turn.
        if self.session.has_more() {
            self.session.reader().wake.notify_one();
        }
        self.write(&frames).await
    }

    async fn tick(&mut self) -> Result<(), Ending> {
        match self.pace.due() {
            Some(Tick::Expired) => Err(Ending::Expired),
            Some(Tick::Recheck) => {
                let mut frames = Vec::new();
                self.session.recheck(&mut frames);
                self.write(&frames).await
            }
            Some(Tick::Ping) => {
                if self.unanswered >= 2 {
                    return Err(Ending::Silent);
                }
                self.unanswered += 1;
                self.send(Message::Ping(axum::body::Bytes::new())).await
            }
            Some(Tick::Idle) if self.session.is_idle() => Err(Ending::Idle),
            Some(Tick::Idle) | None => Ok(()),
        }
    }

    async fn asked(&mut self, text: &str) -> Result<(), Ending> {
        if self.limiter.check().is_err() {
            return Err(Ending::TooManyMessages);
        }
        let frames = match read(text)? {
            StreamRequest::Ping => vec![StreamMessage::Pong.into()],
            StreamRequest::Auth { token, ticket } => self.renew(token, ticket).await?,
            StreamRequest::Subscribe {
                servers,
                toolboxes,
                cursor,
            } => {
                let start = Start::read(cursor.as_deref());
                self.app.catch_up(start).await;
                let wanted = wanted(servers, toolboxes)?;
                self.session.subscribe(wanted, start, clock::now())
            }
            StreamRequest::Unsubscribe { servers, toolboxes } => {
                self.session.unsubscribe(wanted(servers, toolboxes)?)
            }
        };
        self.pace.asked(&self.app.options);
        self.session.reader().wake.notify_one();
        self.write(&frames).await
    }

    /// A newer token on an open stream.
    async fn renew(&mut self, token: Option<String>, ticket: Option<String>) -> Result<Vec<Frame>, Ending> {
        match authenticate(self.app, token, ticket).await {
            Ok(principal)
                if principal.viewer == self.principal.viewer
                    && principal.account == self.principal.account =>
            {
                self.pace.expires(principal.expires_at);
                self.principal = principal;
                Ok(vec![self.hello()])
            }
            Ok(_) => Err(Ending::Forbidden),
            Err(Stopped::Denied(why)) => Ok(vec![refused(ErrorCode::Unauthorized, why)]),
            Err(Stopped::Unavailable) => {
                let text = "who is asking cannot be found out at the moment";
                Ok(vec![refused(ErrorCode::Unauthorized, text.to_owned())])
            }
        }
    }

    /// Writes messages in one go.
    async fn write(&mut self, frames: &[Frame]) -> Result<(), Ending> {
        if frames.is_empty() {
            return Ok(());
        }
        let socket = &mut *self.socket;
        let writing = async {
            for frame in frames {
                socket.feed(Message::Text(frame.text())).await?;
            }
            socket.flush().await
        };
        match timeout(self.app.options.write_timeout, writing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(broken(&error)),
            Err(_) => return Err(Ending::Slow),
        }
        self.pace.wrote();
        self.app
            .metrics()
            .sent(frames, self.session.state(), clock::now());
        for frame in frames {
            if let Some(code) = frame.error_code() {
                self.app.metrics().error(code);
            }
        }
        Ok(())
    }

    async fn send(&mut self, message: Message) -> Result<(), Ending> {
        match timeout(self.app.options.write_timeout, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(broken(&error)),
            Err(_) => Err(Ending::Slow),
        }
    }
}

fn wanted(servers: Option<Selection>, toolboxes: bool) -> Result<Wanted, Ending> {
    let (all, servers) = match servers {
        Some(Selection::All(All::All)) => (true, Vec::new()),
        Some(Selection::Servers(servers)) => (false, servers.into_iter().map(ServerId).collect()),
        None if toolboxes => (false, Vec::new()),
        None => return Err(Ending::BadMessage("bad_message")),
    };
    Ok(Wanted {
        all,
        servers,
        toolboxes,
    })
}
