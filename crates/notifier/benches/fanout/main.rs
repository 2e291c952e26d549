//! `scripts/bench fanout`: what an open stream costs, and how soon the last of a thousand readers knows, beside nchan.
//!
//! ```text
//!  private nats-server ─► notifier (a process) ◄── 10,000 idle, 10,000 subscribed, 1,000 readers of one server
//!                         nginx with nchan     ◄── the same, published by HTTP
//! ```
//!
//! Asserts nothing on times: it prints what this machine did. Everything is on loopback, bounded, and ends by itself.

#![expect(clippy::print_stdout, reason = "what it is for")]

mod clients;
mod peer;
mod process;
mod subject;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::clients::Readers;
use crate::subject::Subject;

/// Connections of each kind.
const CONNECTIONS: usize = 10_000;
/// Who read the one server whose changes are timed.
const READERS: usize = 1_000;
/// Changes timed.
const PUBLISHES: u64 = 200;
/// Open files beside the connections.
const BESIDE: u64 = 1_000;
/// How long memory may take to settle.
const SETTLE: Duration = Duration::from_secs(2);

/// What was measured of one.
struct Measured {
    name: &'static str,
    idle: f64,
    subscribed: f64,
    p50: Duration,
    p99: Duration,
}

fn main() -> anyhow::Result<()> {
    files()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut rows = Vec::new();
        // A fresh process for each: memory that was freed is not always given back.
        let idle = idle(&subject::Notifier::start().await?).await?;
        rows.push(subscribed("notifier", &subject::Notifier::start().await?, idle).await?);
        match peer::Nchan::start().await {
            Ok(nchan) => {
                let idle = self::idle(&nchan).await?;
                drop(nchan);
                rows.push(subscribed("nchan", &peer::Nchan::start().await?, idle).await?);
            }
            Err(error) => println!("no peer: {error:#}"),
        }
        print(&rows);
        Ok(())
    })
}

/// Raises the limit on open files, here and for what is started from here.
fn files() -> anyhow::Result<()> {
    let wanted = (CONNECTIONS + READERS) as u64 + BESIDE;
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: Some(wanted.max(limit.current.unwrap_or(u64::MAX))),
        // Root may raise the hard limit as well.
        maximum: Some(wanted.max(limit.maximum.unwrap_or(u64::MAX))),
    };
    setrlimit(Resource::Nofile, raised)
        .with_context(|| format!("{wanted} files must be open at once, and the limit cannot be raised"))
}

/// KiB for each of those who want nothing.
async fn idle(subject: &impl Subject) -> anyhow::Result<f64> {
    println!("{CONNECTIONS} idle …");
    let before = subject.memory()?;
    let readers = Readers::open(subject, CONNECTIONS, None).await?;
    tokio::time::sleep(SETTLE).await;
    let each = each(subject.memory()?, before);
    drop(readers);
    Ok(each)
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn each(bytes: u64, before: u64) -> f64 {
    bytes.saturating_sub(before) as f64 / CONNECTIONS as f64 / 1024.0
}

/// Many subscribed to some server each, and some who are to hear of one's changes.
async fn subscribed(name: &'static str, subject: &impl Subject, idle: f64) -> anyhow::Result<Measured> {
    println!("{name}: {CONNECTIONS} subscribed …");
    let before = subject.memory()?;
    let others = Readers::open(subject, CONNECTIONS, Some(subject::OTHERS)).await?;
    tokio::time::sleep(SETTLE).await;
    let subscribed = each(subject.memory()?, before);
    let readers = Readers::open(subject, READERS, Some(subject::TIMED)).await?;
    println!("{name}: {PUBLISHES} changes to {READERS} readers …");
    let mut took = Vec::new();
    for version in 1..=PUBLISHES {
        let began = Instant::now();
        subject.publish(version).await?;
        let heard = readers.heard(READERS as u64 * version).await;
        heard.with_context(|| format!("change {version} of {PUBLISHES}"))?;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    drop((others, readers));
    Ok(Measured {
        name,
        idle,
        subscribed,
        p50: took[took.len() / 2],
        p99: took[took.len() * 99 / 100],
    })
}

fn print(rows: &[Measured]) {
    println!();
    println!(
        "{:<12} {:>14} {:>20} {:>16} {:>16}",
        "", "KiB each idle", "KiB each subscribed", "last of 1000 p50", "p99"
    );
    for row in rows {
        println!(
            "{:<12} {:>14.1} {:>20.1} {:>16.2?} {:>16.2?}",
            row.name, row.idle, row.subscribed, row.p50, row.p99
        );
    }
    if let [notifier, peer] = rows {
        let times = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
        println!(
            "{:<12} {:>13.2}x {:>19.2}x {:>15.2}x {:>15.2}x",
            "ratio",
            notifier.idle / peer.idle,
            notifier.subscribed / peer.subscribed,
            times(notifier.p50, peer.p50),
            times(notifier.p99, peer.p99)
        );
    }
    println!(
        "({CONNECTIONS} connections of each kind; memory is the process's, in proportion where it is shared)"
    );
}
