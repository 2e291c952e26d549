//! Sockets: one listener over any number of ports, and connections that can be spoilt below HTTP.
//!
//! Thousands of ports are one task: every pending accept waits in one set. A connection carries a [`Wire`], through
//! which a handler can order that its bytes be replaced or withheld, and it ends itself when idle for too long or
//! when the simulation is over.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::connect_info::Connected;
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Connections the kernel may hold for us on the shared port while we accept; the usual 128 drops a burst.
pub(crate) const SHARED_BACKLOG: u32 = 4_096;

/// The same for a port of one toolbox.
pub(crate) const OWN_BACKLOG: u32 = 128;

/// How long accepting pauses when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens a port.
pub(crate) fn bind(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

/// What handlers can do to the connection below them.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    doomed: AtomicBool,
    last_words: Mutex<Bytes>,
    busy: AtomicUsize,
}

/// A request is being answered: the connection is not idle.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Wire>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Wire {
    /// Ends the connection without another byte. The response it returns is never seen.
    pub(crate) fn close(&self) -> Response {
        self.write_instead(Bytes::new())
    }

    /// Sends these bytes in place of the response, then ends the connection.
    pub(crate) fn write_instead(&self, bytes: Bytes) -> Response {
        *self.last_words.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
        self.doomed.store(true, Ordering::Release);
        Response::new(Body::empty())
    }

    /// Marks a request as being answered until the guard is dropped.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::AcqRel);
        Busy(Arc::clone(self))
    }
}

/// Where a connection came in: what handlers see of it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// The toolbox whose own port it is; none on the shared port.
    pub(crate) toolbox: Option<usize>,
    pub(crate) wire: Arc<Wire>,
}

impl Connected<IncomingStream<'_, Ports>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Ports>) -> Self {
        stream.remote_addr().clone()
    }
}

type Accepted = (
    Option<usize>,
    Arc<TcpListener>,
    io::Result<(TcpStream, SocketAddr)>,
);

/// Limits that all connections of a simulation share.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// One permit a connection.
    pub(crate) connections: Arc<Semaphore>,
    /// How long a connection may be idle.
    pub(crate) idle: Option<Duration>,
    /// Cancelled when connections that are still open must end.
    pub(crate) kill: CancellationToken,
}

/// Any number of open ports as one listener.
pub(crate) struct Ports {
    accepts: FuturesUnordered<BoxFuture<'static, Accepted>>,
    limits: Limits,
    permit: Option<OwnedSemaphorePermit>,
}

impl Ports {
    /// Listens on these ports; each is named by its toolbox, or by none for the shared one.
    pub(crate) fn new(ports: impl IntoIterator<Item = (Option<usize>, TcpListener)>, limits: Limits) -> Self {
        let accepts = ports
            .into_iter()
            .map(|(toolbox, port)| accept(toolbox, Arc::new(port)))
            .collect();
        Self {
            accepts,
            limits,
            permit: None,
        }
    }
}

fn accept(toolbox: Option<usize>, port: Arc<TcpListener>) -> BoxFuture<'static, Accepted> {
    async move {
        let accepted = port.accept().await;
        (toolbox, port, accepted)
    }
    .boxed()
}

impl Listener for Ports {
    type Io = Connection;
    type Addr = Peer;

    /// Safe to cancel: what has been waited for stays in `self`.
    async fn accept(&mut self) -> (Connection, Peer) {
        loop {
            if self.permit.is_none() {
                self.permit = Arc::clone(&self.limits.connections).acquire_owned().await.ok();
            }
            let Some((toolbox, port, accepted)) = self.accepts.next().await else {
                return std::future::pending().await;
            };
            self.accepts.push(accept(toolbox, port));
            match accepted {
                Ok((stream, _)) => {
                    // Only latency is at stake, as on any socket that refuses the option.
                    let _ = stream.set_nodelay(true);
                    let wire = Arc::new(Wire::default());
                    let peer = Peer {
                        toolbox,
                        wire: Arc::clone(&wire),
                    };
                    return (
                        Connection::new(stream, wire, &self.limits, self.permit.take()),
                        peer,
                    );
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// One accepted connection.
pub(crate) struct Connection {
    stream: TcpStream,
    wire: Arc<Wire>,
    kill: Pin<Box<WaitForCancellationFutureOwned>>,
    idle: Option<(Duration, Pin<Box<Sleep>>)>,
    last_use: Instant,
    writing: bool,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    fn new(
        stream: TcpStream,
        wire: Arc<Wire>,
        limits: &Limits,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            stream,
            wire,
            kill: Box::pin(limits.kill.clone().cancelled_owned()),
            idle: limits.idle.map(|idle| (idle, Box::pin(tokio::time::sleep(idle)))),
            last_use: Instant::now(),
            writing: false,
            _permit: permit,
        }
    }

    /// An error once the simulation is over.
    fn alive(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.kill.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// Whether the connection has been idle for its time. Only while a read waits is there anyone to ask.
    fn timed_out(&mut self, cx: &mut Context<'_>) -> bool {
        let Some((idle, timer)) = &mut self.idle else {
            return false;
        };
        if self.writing || self.wire.busy.load(Ordering::Acquire) > 0 {
            return false;
        }
        let deadline = self.last_use + *idle;
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx).is_ready()
    }

    /// Writes what a doomed connection still has to say, then fails.
    fn last_words(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut words = self
            .wire
            .last_words
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while !words.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &words) {
                Poll::Ready(Ok(written)) if written > 0 => *words = words.slice(written..),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(_)) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Err(io::Error::other("ended as ordered")))
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.alive(cx)?;
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(result) => {
                this.last_use = Instant::now();
                Poll::Ready(result)
            }
            // Reads as the end of the stream, upon which the server closes its side too.
            Poll::Pending if this.timed_out(cx) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.alive(cx)?;
        if this.wire.doomed.load(Ordering::Acquire) {
            return this.last_words(cx);
        }
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.writing = written.is_pending();
        if !this.writing {
            this.last_use = Instant::now();
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
