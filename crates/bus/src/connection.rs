//! The connection: made once with patience, kept by the client, watched by everyone who must know of its loss.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, ConnectOptions, Event, ServerError};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{broadcast, watch};
use wire::{Entry, streams};

use crate::api::Api;
use crate::backoff::Backoff;
use crate::error::Differences;
use crate::metrics::Metrics;
use crate::options::{Login, Servers};
use crate::streams::{self as ensured, Target};
use crate::{Bucket, BusError, BusOptions, Schedules, permissions, version};

/// A server that stops answering without closing the connection (a frozen machine, a lost route) is noticed after
/// three of these.
const PING: Duration = Duration::from_secs(15);
/// Longest wait for TCP, TLS and the greeting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Refusals that may wait for whoever asked; one that is overtaken shows as a time-out.
const FORBIDDEN: usize = 64;

/// A connection to NATS with JetStream. Cheap to clone; all clones are one connection.
#[derive(Clone)]
pub struct Bus(Arc<Inner>);

struct Inner {
    client: Client,
    context: jetstream::Context,
    link: watch::Receiver<Link>,
    /// Subjects that the server does not let us publish to, as it says so.
    forbidden: broadcast::Sender<String>,
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
        let (forbidden, _) = broadcast::channel(FORBIDDEN);
        let told = Told {
            link: events,
            forbidden: forbidden.clone(),
            metrics: Arc::clone(&metrics),
        };
        let connect = client_options(options, &servers, told).await?;
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
            forbidden,
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

    /// Makes every shared consumer where it is missing, and checks all of them. Who takes from one makes it as well
    /// where he may; with the permissions of `deploy/nats` only one service may, and does it for all.
    ///
    /// # Errors
    /// As [`Bus::ensure_streams`].
    pub async fn ensure_consumers(&self) -> Result<(), BusError> {
        for spec in streams::CONSUMERS {
            ensured::ensure_consumer(self, spec).await?;
        }
        Ok(())
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

    /// Resolves when the server says that we may not publish to a subject.
    pub(crate) fn forbidden(&self, subject: &str) -> impl Future<Output = ()> + use<'_> {
        let mut refusals = self.0.forbidden.subscribe();
        let subject = subject.to_owned();
        async move {
            loop {
                match refusals.recv().await {
                    Ok(refused) if refused == subject => return,
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    // The bus itself holds the sender.
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                }
            }
        }
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

/// Who is told what happens to the connection.
struct Told {
    link: watch::Sender<Link>,
    forbidden: broadcast::Sender<String>,
    metrics: Arc<Metrics>,
}

/// The options of one attempt. `told` lives as long as the client's own task: when the receivers find it gone, the
/// client has ended.
async fn client_options(
    options: &BusOptions,
    servers: &Servers,
    told: Told,
) -> Result<ConnectOptions, BusError> {
    let mut connect = ConnectOptions::new()
        .name(options.name)
        // Answers come where only who asked may listen, where permissions say so.
        .custom_inbox_prefix(permissions::inbox(options.name))
        .connection_timeout(CONNECT_TIMEOUT)
        .ping_interval(PING)
        .request_timeout(Some(options.api_timeout))
        .event_callback(move |event| {
            noticed(&event, &told);
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
        let failed = |source| BusError::Credentials {
            path: path.clone(),
            source,
        };
        let text: SecretString = tokio::fs::read_to_string(path).await.map_err(failed)?.into();
        connect = match text.expose_secret().trim() {
            // A user's seed, and nothing else: a credentials file has lines around it.
            seed if seed.starts_with("SU") && !seed.contains(char::is_whitespace) => {
                connect.nkey(seed.to_owned())
            }
            text => connect.credentials(text).map_err(failed)?,
        };
    }
    Ok(connect)
}

fn noticed(event: &Event, told: &Told) {
    let Told {
        link,
        forbidden,
        metrics,
    } = told;
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
        Event::ServerError(error) => {
            tracing::warn!(%error, "NATS reports an error");
            if let ServerError::Other(text) = error
                && let Some(subject) = forbidden_subject(text)
            {
                // Nobody may be waiting.
                let _ = forbidden.send(subject.to_owned());
            }
        }
        // Every failed attempt to reconnect; the loss itself was told.
        Event::ClientError(error) => tracing::debug!(%error, "NATS client error"),
        Event::Draining | Event::Closed => tracing::debug!(%event, "NATS client"),
    }
}

/// The subject of what the server says of a publish that it does not permit.
fn forbidden_subject(text: &str) -> Option<&str> {
    let (_, subject) = text.split_once("Permissions Violation for Publish to \"")?;
    subject.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_s_words_for_what_it_does_not_permit() {
        let text = r#"Permissions Violation for Publish to "$JS.API.STREAM.CREATE.POLLS""#;
        assert_eq!(forbidden_subject(text), Some("$JS.API.STREAM.CREATE.POLLS"));
        for other in [
            "",
            "Permissions Violation for Subscription to \"x\"",
            "Stale Connection",
        ] {
            assert_eq!(forbidden_subject(other), None);
        }
    }
}
