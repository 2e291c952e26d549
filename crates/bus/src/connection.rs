//! The connection: made once with patience, kept by the client, watched by everyone who must know of its loss.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, ConnectOptions, Event};
use secrecy::ExposeSecret;
use tokio::sync::watch;
use wire::{Entry, streams};

use crate::api::Api;
use crate::backoff::Backoff;
use crate::error::Differences;
use crate::metrics::Metrics;
use crate::options::{Login, Servers};
use crate::streams::{self as ensured, Target};
use crate::{Bucket, BusError, BusOptions, Schedules, version};

/// A server that stops answering without closing the connection (a frozen machine, a lost route) is noticed after
/// three of these.
const PING: Duration = Duration::from_secs(15);
/// Longest wait for TCP, TLS and the greeting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to NATS with JetStream. Cheap to clone; all clones are one connection.
#[derive(Clone)]
pub struct Bus(Arc<Inner>);

struct Inner {
    client: Client,
    context: jetstream::Context,
    link: watch::Receiver<Link>,
    name: &'static str,
    api_timeout: Duration,
    replicas: usize,
    metrics: Arc<Metrics>,
}

/// Whether there is a connection at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not yet.
    Connecting,
    /// Not any more; the client tries.
    Down,
    Up,
}

/// Why one attempt to connect came to nothing.
struct Failed {
    /// Without credentials.
    servers: String,
    problem: String,
}

impl Bus {
    /// Connects. Tries until it succeeds, with growing pauses, and logs each failure; to give up, drop the future.
    /// After that the client keeps the connection by itself.
    ///
    /// # Errors
    /// At once when the options can never work ([`BusError::Url`], [`BusError::Credentials`]), and when the server
    /// is older than [`streams::MIN_SERVER`].
    pub async fn connect(options: BusOptions) -> Result<Self, BusError> {
        let mut backoff = Backoff::new();
        loop {
            match Self::attempt(&options).await? {
                Ok(bus) => return Ok(bus),
                Err(Failed { servers, problem }) => {
                    let wait = backoff.next();
                    tracing::warn!(
                        servers,
                        error = problem,
                        ?wait,
                        "failed to connect to NATS; trying again"
                    );
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Connects, and does not try again: for a person, who is told why not. After that it is as [`Bus::connect`].
    ///
    /// # Errors
    /// Those of [`Bus::connect`], and [`BusError::Client`] when no server answers or lets us in.
    pub async fn connect_once(options: BusOptions) -> Result<Self, BusError> {
        Self::attempt(&options)
            .await?
            .map_err(|Failed { servers, problem }| BusError::Client {
                what: format!("connect to {servers}"),
                problem,
            })
    }

    async fn attempt(options: &BusOptions) -> Result<Result<Self, Failed>, BusError> {
        let servers = Servers::parse(&options.url)?;
        let metrics = Arc::new(Metrics::new());
        let (events, mut link) = watch::channel(Link::Connecting);
        let connect = client_options(options, &servers, events, Arc::clone(&metrics)).await?;
        let client = match connect.connect(servers.addresses.clone()).await {
            Ok(client) => client,
            Err(error) => {
                return Ok(Err(Failed {
                    servers: servers.shown,
                    problem: error.to_string(),
                }));
            }
        };
        // The client reports its first connection as an event like any later one.
        link.wait_for(|link| *link == Link::Up)
            .await
            .map_err(|_| BusError::Closed)?;
        let context = ContextBuilder::new()
            .timeout(options.api_timeout)
            .ack_timeout(options.api_timeout)
            .build(client.clone());
        let BusOptions {
            name,
            api_timeout,
            replicas,
            ..
        } = *options;
        let bus = Self(Arc::new(Inner {
            client,
            context,
            link,
            name,
            api_timeout,
            replicas: replicas.max(1),
            metrics,
        }));
        bus.check_server()?;
        Ok(Ok(bus))
    }

    /// Makes every stream and bucket where they are missing, and checks all of them. Services call this at start
    /// and from time to time: what somebody deleted is simply made again.
    ///
    /// # Errors
    /// [`BusError::Differs`] names every difference of every stream at once; nothing is changed.
    /// [`BusError::ServerTooOld`] when the connection meanwhile leads to an older server.
    pub async fn ensure_streams(&self) -> Result<(), BusError> {
        self.check_server()?;
        let mut found = Vec::new();
        let streams = streams::ALL.into_iter().map(Target::Stream);
        let buckets = streams::BUCKETS.into_iter().map(Target::Bucket);
        for target in streams.chain(buckets) {
            match self.ensure(target).await {
                Ok(()) => {}
                Err(BusError::Differs(Differences(differences))) => found.extend(differences),
                Err(error) => return Err(error),
            }
        }
        if found.is_empty() {
            Ok(())
        } else {
            Err(Differences(found).into())
        }
    }

    /// Whether there is a connection at present.
    pub fn is_connected(&self) -> bool {
        !self.is_closed() && *self.0.link.borrow() == Link::Up
    }

    /// Whether the client's own task has ended: it drops what it reports to.
    fn is_closed(&self) -> bool {
        self.0.link.has_changed().is_err()
    }

    /// The poll timetable.
    pub fn schedules(&self) -> Schedules {
        Schedules::new(self.clone())
    }

    /// The bucket of one kind of entry, made where it is missing.
    ///
    /// # Errors
    /// As [`Bus::ensure_streams`], for the bucket alone.
    pub async fn bucket<E: Entry>(&self) -> Result<Bucket<E>, BusError> {
        self.ensure(Target::Bucket(E::BUCKET)).await?;
        Ok(Bucket::new(self.clone()))
    }

    pub(crate) async fn ensure(&self, target: Target) -> Result<(), BusError> {
        ensured::ensure(self, target).await
    }

    fn check_server(&self) -> Result<(), BusError> {
        version::check(&self.0.client.server_info().version)
    }

    /// Waits until there is a connection; what is returned has seen no change since.
    ///
    /// # Errors
    /// [`BusError::Closed`] when there will never be one again.
    pub(crate) async fn connected(&self) -> Result<watch::Receiver<Link>, BusError> {
        let mut link = self.0.link.clone();
        // The last word of a client that has ended may well have been that it is connected.
        if self.is_closed() {
            return Err(BusError::Closed);
        }
        link.wait_for(|link| *link == Link::Up)
            .await
            .map_err(|_| BusError::Closed)?;
        Ok(link)
    }

    /// Waits until everything sent so far has left this process, at most as long as for an answer.
    pub(crate) async fn flush(&self) {
        if self.is_connected() {
            // What does not leave in time is redelivered or repeated by whoever sent it.
            let _ = tokio::time::timeout(self.0.api_timeout, self.0.client.flush()).await;
        }
    }

    pub(crate) fn api(&self) -> Api<'_> {
        Api(self)
    }

    pub(crate) fn replicas(&self) -> usize {
        self.0.replicas
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    pub(crate) fn context(&self) -> &jetstream::Context {
        &self.0.context
    }

    pub(crate) fn name(&self) -> &'static str {
        self.0.name
    }

    pub(crate) fn api_timeout(&self) -> Duration {
        self.0.api_timeout
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The error for something that timed out or broke, told apart by what is known of the connection.
    pub(crate) fn unanswered(&self, what: String) -> BusError {
        if self.is_closed() {
            BusError::Closed
        } else if self.is_connected() {
            BusError::Timeout { what }
        } else {
            BusError::Disconnected { what }
        }
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("name", &self.0.name)
            .field("connected", &self.is_connected())
            .finish()
    }
}

/// The options of one attempt. `events` lives as long as the client's own task: when the receivers find it gone, the
/// client has ended.
async fn client_options(
    options: &BusOptions,
    servers: &Servers,
    events: watch::Sender<Link>,
    metrics: Arc<Metrics>,
) -> Result<ConnectOptions, BusError> {
    let mut connect = ConnectOptions::new()
        .name(options.name)
        .connection_timeout(CONNECT_TIMEOUT)
        .ping_interval(PING)
        .request_timeout(Some(options.api_timeout))
        .event_callback(move |event| {
            noticed(&event, &events, &metrics);
            std::future::ready(())
        });
    match &servers.login {
        Some(Login::Password { user, password }) => {
            connect = connect.user_and_password(user.clone(), password.expose_secret().to_owned());
        }
        Some(Login::Token(token)) => connect = connect.token(token.expose_secret().to_owned()),
        None => {}
    }
    if let Some(token) = &options.token {
        connect = connect.token(token.expose_secret().to_owned());
    }
    if let Some(path) = &options.credentials {
        let read = connect.credentials_file(path).await;
        connect = read.map_err(|source| BusError::Credentials {
            path: path.clone(),
            source,
        })?;
    }
    Ok(connect)
}

fn noticed(event: &Event, link: &watch::Sender<Link>, metrics: &Metrics) {
    match event {
        Event::Connected => {
            let before = link.send_replace(Link::Up);
            if before == Link::Down {
                tracing::info!("connected to NATS again");
                metrics.reconnected();
            }
        }
        Event::Disconnected => {
            tracing::warn!("connection to NATS lost; the client reconnects");
            link.send_modify(|link| *link = Link::Down);
        }
        Event::LameDuckMode => tracing::info!("the NATS server is about to stop; the client moves on"),
        Event::SlowConsumer(_) => tracing::warn!("messages from NATS came faster than they were taken"),
        Event::ServerError(error) => tracing::warn!(%error, "NATS reports an error"),
        // Every failed attempt to reconnect; the loss itself was told.
        Event::ClientError(error) => tracing::debug!(%error, "NATS client error"),
        Event::Draining | Event::Closed => tracing::debug!(%event, "NATS client"),
    }
}
