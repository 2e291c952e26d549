//! Many WebSockets at once, from several addresses so that ports do not run out.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::subject::Subject;

/// Handshakes at once.
const AT_ONCE: usize = 200;
/// Connections from each address.
const PER_ADDRESS: usize = 4_000;
/// Longest wait for a connection, or for a change to be heard by all.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections that count what they hear. Closed when dropped.
pub(crate) struct Readers {
    heard: Arc<Heard>,
    tasks: JoinSet<()>,
}

#[derive(Default)]
struct Heard {
    changes: AtomicU64,
    waited_for: AtomicU64,
    reached: Notify,
}

/// Addresses are not used twice while their ports rest.
static OPENED: AtomicU64 = AtomicU64::new(0);

impl Readers {
    /// Opens connections, each for one of the servers in turn; `None`: for none.
    pub(crate) async fn open(
        subject: &impl Subject,
        count: usize,
        servers: Option<Range<usize>>,
    ) -> anyhow::Result<Self> {
        let heard = Arc::new(Heard::default());
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut opening = JoinSet::new();
        let mut readers = Self {
            heard: Arc::clone(&heard),
            tasks: JoinSet::new(),
        };
        for number in 0..count {
            let server = servers
                .clone()
                .map(|servers| servers.start + number % servers.len());
            let (request, first, ready) = (
                subject.request(server)?,
                subject.first(server),
                subject.ready(server),
            );
            let address = subject.address();
            let place = Arc::clone(&places).acquire_owned().await?;
            let nth = OPENED.fetch_add(1, Ordering::Relaxed);
            opening.spawn(async move {
                let _place = place;
                let opening = async {
                    let stream = connect(address, usize::try_from(nth)?).await?;
                    let config = WebSocketConfig::default()
                        .read_buffer_size(1024)
                        .write_buffer_size(0);
                    let (mut socket, _) = client_async_with_config(request, stream, Some(config)).await?;
                    for text in first {
                        socket.send(Message::text(text)).await?;
                    }
                    while let Some(ready) = ready {
                        let message = socket.next().await.context("closed")??;
                        if message.to_text()?.contains(ready) {
                            break;
                        }
                    }
                    anyhow::Ok(socket)
                };
                tokio::time::timeout(PATIENCE, opening)
                    .await
                    .context("no connection in time")?
            });
            while let Some(opened) = opening.try_join_next() {
                readers.read(opened??);
            }
        }
        while let Some(opened) = opening.join_next().await {
            readers.read(opened??);
        }
        Ok(readers)
    }

    fn read(&mut self, mut socket: WebSocketStream<TcpStream>) {
        let heard = Arc::clone(&self.heard);
        self.tasks.spawn(async move {
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() {
                    let changes = heard.changes.fetch_add(1, Ordering::SeqCst) + 1;
                    if changes == heard.waited_for.load(Ordering::SeqCst) {
                        heard.reached.notify_one();
                    }
                }
            }
        });
    }

    /// Waits until so many changes were heard by all together.
    pub(crate) async fn heard(&self, changes: u64) -> anyhow::Result<()> {
        self.heard.waited_for.store(changes, Ordering::SeqCst);
        let waiting = async {
            while self.heard.changes.load(Ordering::SeqCst) < changes {
                self.heard.reached.notified().await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        let heard = self.heard.changes.load(Ordering::SeqCst);
        waited.with_context(|| format!("{heard} of {changes} were heard"))
    }
}

async fn connect(address: SocketAddr, nth: usize) -> anyhow::Result<TcpStream> {
    let last = u8::try_from(2 + nth / PER_ADDRESS % 250)?;
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)))?;
    Ok(socket.connect(address).await?)
}
