//! A storm of changes, and clients that come and go in it: in the end each holds the last of what it may see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::client::{Events, Held, Socket};
use crate::ground::{Ground, PATIENCE, deleted, id, service_token, status, token};

const CLIENTS: u32 = 200;
const SERVERS: u128 = 300;
const ACCOUNTS: u128 = 10;
const CHANGES: usize = 20_000;
const SEED: u64 = 20_261_128;
/// Who hears nothing for so long leaves.
const QUIET: Duration = Duration::from_millis(500);

/// What there is in the end, by server.
type Truth = BTreeMap<Uuid, Server>;

#[derive(Debug)]
struct Server {
    account: u128,
    version: u64,
    gone: bool,
    /// Whose it was at some time.
    owners: BTreeSet<u128>,
}

fn owner(server: u128) -> u128 {
    server % ACCOUNTS + 1
}

/// One client: what it wants, and what it holds.
struct Watcher {
    random: StdRng,
    urls: Vec<String>,
    account: Option<u128>,
    /// By name, or all.
    named: Option<Vec<Uuid>>,
    held: Held,
}

impl Watcher {
    fn new(number: u32, urls: Vec<String>) -> Self {
        let mut random = StdRng::seed_from_u64(SEED + u64::from(number));
        // Every tenth sees everything.
        let account = (!number.is_multiple_of(10)).then(|| u128::from(number) % ACCOUNTS + 1);
        let mine: Vec<Uuid> = (1..=SERVERS)
            .filter(|server| account.is_none_or(|account| owner(*server) == account))
            .map(id)
            .collect();
        let named = random.random_bool(0.5).then(|| {
            let most = mine.len().min(30);
            let how_many = random.random_range(1..=most);
            mine.choose_multiple(&mut random, how_many).copied().collect()
        });
        Self {
            random,
            urls,
            account,
            named,
            held: Held::default(),
        }
    }

    fn token(&self) -> String {
        self.account.map_or_else(service_token, token)
    }

    /// Watches, leaves after a random number of messages, comes back elsewhere with its cursor; in the end until it holds
    /// what is, which it must within a while.
    async fn watch(
        mut self,
        over: Arc<AtomicBool>,
        truth: Arc<std::sync::OnceLock<Truth>>,
    ) -> Result<u32, String> {
        let mut visits = 0;
        while !over.load(Ordering::SeqCst) {
            visits += 1;
            let patience = self.random.random_range(1..400);
            self.visit(patience, None).await;
        }
        let truth = truth.get().unwrap();
        let coming_right = async {
            // A server that was gone when it was named is not subscribed to, and may have come back since.
            while !self.is_right(truth) {
                self.visit(usize::MAX, Some(truth)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, coming_right).await.is_err() {
            return Err(format!("{:?} {:?}", self.account, self.wrong(truth)));
        }
        Ok(visits)
    }

    fn is_right(&self, truth: &Truth) -> bool {
        // Of servers that all are another's by now, nothing is ever present.
        (self.held.present || self.named.is_some()) && self.wrong(truth).is_empty()
    }

    /// Until so many messages have come, nothing more comes, or what it holds is the truth.
    async fn visit(&mut self, patience: usize, truth: Option<&Truth>) {
        let url = self.urls.choose(&mut self.random).unwrap().clone();
        self.held.present = false;
        if self.random.random_bool(0.5) {
            let bearer = format!("Bearer {}", self.token());
            let mut socket = Socket::open(&url, &[("authorization", &bearer)]).await.unwrap();
            // What its cursor does not cover is named apart, and after what it covers.
            let (anew, rest): (Vec<Uuid>, Vec<Uuid>) = match &self.named {
                Some(named) => named
                    .iter()
                    .copied()
                    .partition(|id| self.held.uncovered.contains(id)),
                None => Default::default(),
            };
            if self.named.is_none() || !rest.is_empty() {
                let wanted = if self.named.is_none() {
                    json!("all")
                } else {
                    json!(rest)
                };
                let mut request = json!({"type": "subscribe", "servers": wanted});
                if let Some(cursor) = &self.held.cursor {
                    request["cursor"] = cursor.as_str().into();
                }
                socket.send(request).await;
            }
            if !anew.is_empty() {
                socket.send(json!({"type": "subscribe", "servers": anew})).await;
            }
            let mut read = 0;
            while self.goes_on(read, patience, truth) {
                match tokio::time::timeout(QUIET, socket.receive()).await {
                    Ok(message) => self.held.take(&message.unwrap()),
                    Err(_) => break,
                }
                read += 1;
            }
        } else {
            let mut query = match &self.named {
                Some(named) => format!(
                    "servers={}",
                    named.iter().map(Uuid::to_string).collect::<Vec<_>>().join(",")
                ),
                None => "all=true".to_owned(),
            };
            let mut named = self.named.iter().flatten();
            if named.any(|id| self.held.uncovered.contains(id)) {
                // There is one subscription here: all of it anew.
                self.held.servers.clear();
            } else if let Some(cursor) = &self.held.cursor {
                query.push_str(&format!("&cursor={cursor}"));
            }
            let bearer = format!("Bearer {}", self.token());
            let mut events = Events::open(&url, &query, &[("authorization", &bearer)])
                .await
                .unwrap();
            let mut read = 0;
            while self.goes_on(read, patience, truth) {
                match tokio::time::timeout(QUIET, events.receive()).await {
                    Ok(event) => self.held.take(&event.unwrap().message),
                    Err(_) => break,
                }
                read += 1;
            }
        }
    }

    fn goes_on(&self, read: usize, patience: usize, truth: Option<&Truth>) -> bool {
        read < patience && truth.is_none_or(|truth| !self.is_right(truth))
    }

    /// Where what it holds is not what is.
    fn wrong(&self, truth: &Truth) -> Vec<String> {
        let mut wrong = Vec::new();
        for (id, server) in truth {
            let sees = self.account.is_none_or(|mine| mine == server.account);
            let wants = self.named.as_ref().is_none_or(|named| named.contains(id));
            let want = (sees && wants && !server.gone).then_some(server.version);
            let have = self.held.servers.get(id).map(|(version, _)| *version);
            if have != want {
                wrong.push(format!("{id}: {have:?} for {want:?}"));
            }
        }
        let foreign = self.held.heard_of.iter().filter(|heard| {
            let owners = &truth[heard].owners;
            self.account.is_some_and(|mine| !owners.contains(&mine))
        });
        wrong.extend(foreign.map(|server| format!("heard of {server}, another's")));
        wrong
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_end_everybody_holds_the_last_of_everything() {
    println!("seed {SEED}");
    let ground = Ground::new().await;
    let first: Vec<_> = (1..=SERVERS)
        .map(|server| status(server, owner(server), 1, "running"))
        .collect();
    ground.publish(&first).await;
    let open = |options: &mut notifier::StreamOptions| {
        options.address_connections = 0;
        options.message_rate = std::num::NonZeroU32::MAX;
    };
    let (one, two) = (ground.replica_with(open).await, ground.replica_with(open).await);
    let (over, truth) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(std::sync::OnceLock::new()),
    );
    let mut watchers = JoinSet::new();
    for number in 0..CLIENTS {
        let watcher = Watcher::new(number, vec![one.url.clone(), two.url.clone()]);
        watchers.spawn(watcher.watch(Arc::clone(&over), Arc::clone(&truth)));
    }
    let mut random = StdRng::seed_from_u64(SEED);
    let mut now: Truth = (1..=SERVERS)
        .map(|server| {
            let account = owner(server);
            let known = Server {
                account,
                version: 1,
                gone: false,
                owners: BTreeSet::from([account]),
            };
            (id(server), known)
        })
        .collect();
    for _ in 0..CHANGES / 200 {
        let mut batch = Vec::new();
        while batch.len() < 200 {
            let number = random.random_range(1..=SERVERS);
            let server = now.get_mut(&id(number)).unwrap();
            server.version += 1;
            match random.random_range(0..100) {
                0..5 => server.gone = true,
                5..8 if !server.gone => {
                    // To another account: an end for the one, a status for the other.
                    batch.push(deleted(number, server.account, server.version));
                    server.version += 1;
                    server.account = random.random_range(1..=ACCOUNTS);
                    server.owners.insert(server.account);
                }
                _ => server.gone = false,
            }
            batch.push(if server.gone {
                deleted(number, server.account, server.version)
            } else {
                let state = ["running", "stopped", "error"][random.random_range(0..3)];
                status(number, server.account, server.version, state)
            });
        }
        ground.publish(&batch).await;
        // Spread over some seconds, so that many come and go in it.
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    truth.set(now).unwrap();
    over.store(true, Ordering::SeqCst);
    let mut visits = 0;
    while let Some(watched) = watchers.join_next().await {
        visits += watched.unwrap().unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    println!("{visits} visits");
    assert!(visits > 2 * CLIENTS, "they came and went: {visits}");
}
