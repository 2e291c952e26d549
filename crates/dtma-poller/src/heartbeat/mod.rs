//! Heartbeats: agents that push.
//!
//! ```text
//!  POST /heartbeat, /dtma/heartbeat, /v1/heartbeat
//!    ─► token names the toolbox ─► its rate ─► body, bounded in time and length ─► agent::read_heartbeat
//!    ─► publish the report, acknowledged ─► push the dead-man's switch on ─► 204
//! ```
//!
//! The toolbox comes from the token and from nothing in the body. The body of a request that is not authorised is
//! not read. A heartbeat that says nothing of containers is reported and leaves the schedule alone: the agent is to
//! be asked.

mod bearer;
mod limits;
mod refusal;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bus::{Bus, Schedules};
use domain::{CadencePolicy, plan_after_heartbeat};
use futures_util::StreamExt as _;
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::Instrument as _;
use tracing::field::Empty;
use wire::{RawOutcome, RawSource};

use crate::Ambient;
use crate::agent;
use crate::metrics::Metrics;
use crate::observed::interests;
use crate::poll::Memory;
use crate::registry::{Bearer, Registry, Target};
use crate::report;

pub(crate) use limits::{Limits, Rate};
use refusal::Refusal;

/// Where heartbeats come in: the newer agents' path, the older ones', and the one for those to come.
pub(crate) const PATHS: [&str; 3] = ["/heartbeat", "/dtma/heartbeat", "/v1/heartbeat"];

/// The bounds of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Longest body, in bytes.
    pub(crate) body: usize,
    /// Longest time for the body to come.
    pub(crate) body_time: Duration,
    /// Longest wait for a place among those under way.
    pub(crate) wait: Duration,
    /// Largest report, in bytes.
    pub(crate) report: usize,
}

/// What takes heartbeats. One per process.
pub(crate) struct Heartbeats {
    pub(crate) registry: Arc<Registry>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) policy: CadencePolicy,
    pub(crate) ambient: Ambient,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
    pub(crate) bounds: Bounds,
    /// Places for heartbeats under way: what bounds the memory that bodies take.
    pub(crate) places: Semaphore,
    /// Set once it is connected; the routes answer before that, and say so.
    pub(crate) outlet: OnceLock<Outlet>,
}

/// Where reports and plans go.
pub(crate) struct Outlet {
    pub(crate) bus: Bus,
    pub(crate) schedules: Schedules,
}

/// The routes.
pub(crate) fn router(heartbeats: Arc<Heartbeats>) -> Router {
    let route = post(receive).fallback(wrong_method);
    PATHS
        .into_iter()
        .fold(Router::new(), |router, path| router.route(path, route.clone()))
        .with_state(heartbeats)
}

async fn wrong_method(State(heartbeats): State<Arc<Heartbeats>>) -> Response {
    heartbeats.answer(Err(Refusal::Method))
}

async fn receive(
    State(heartbeats): State<Arc<Heartbeats>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let _in_flight = heartbeats.metrics.receiving();
    let as_of = (heartbeats.ambient.now)();
    // A trace of its own, whatever the request says: agents are strangers, and would have us keep what they like.
    let span = tracing::info_span!(
        "heartbeat",
        otel.name = format!("POST {}", request.uri().path()),
        otel.kind = "server",
        otel.status_code = Empty,
        error.type = Empty,
        http.request.method = "POST",
        http.route = request.uri().path(),
        toolbox.id = Empty,
        account.id = Empty,
        http.response.status_code = Empty,
    );
    async {
        let (head, body) = request.into_parts();
        let taken = heartbeats.take(as_of, peer, &head.headers, body).await;
        heartbeats.answer(taken)
    }
    .instrument(span)
    .await
}

impl Heartbeats {
    fn answer(&self, taken: Result<(), Refusal>) -> Response {
        let (status, label) = match &taken {
            Ok(()) => (StatusCode::NO_CONTENT, "accepted"),
            Err(refusal) => (refusal.status(), refusal.label()),
        };
        self.metrics.heartbeat(status.as_u16(), label);
        let span = tracing::Span::current();
        span.record("http.response.status_code", i64::from(status.as_u16()));
        // A stranger's mistakes are his own, and would be kept by the thousand.
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", label);
        }
        taken.map_or_else(Refusal::into_response, |()| status.into_response())
    }

    async fn take(
        &self,
        as_of: Timestamp,
        peer: SocketAddr,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(), Refusal> {
        let outlet = self
            .outlet
            .get()
            .filter(|_| self.registry.is_loaded())
            .ok_or(Refusal::NotReady)?;
        let target = self.authenticate(peer, headers)?;
        let span = tracing::Span::current();
        span.record("toolbox.id", tracing::field::display(target.toolbox));
        span.record("account.id", tracing::field::display(target.account));
        self.limits.heartbeat(target.toolbox).map_err(Refusal::TooOften)?;
        let _place = match timeout(self.bounds.wait, self.places.acquire()).await {
            Ok(Ok(place)) => place,
            // Nobody closes the semaphore.
            Ok(Err(_)) | Err(_) => return Err(Refusal::Busy),
        };
        let body = self.read(headers, body).await?;
        let said = agent::read_heartbeat(&body).map_err(|error| {
            tracing::debug!(toolbox = %target.toolbox, %error, "heartbeat refused");
            Refusal::Unreadable(error)
        })?;
        drop(body);
        self.report(outlet, &target, as_of, said).await
    }

    /// The toolbox that the request's token names.
    fn authenticate(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<Arc<Target>, Refusal> {
        let refusal = match bearer::hash(headers).map(|hash| self.registry.bearer(&hash)) {
            Ok(Bearer::Of(target)) => return Ok(target),
            Ok(Bearer::Ambiguous) => Refusal::Ambiguous,
            Ok(Bearer::Unknown) => Refusal::Unknown,
            Err(malformed) => malformed,
        };
        // Only failures count against an address: behind one there may be many toolboxes.
        self.limits.failure(peer.ip()).map_err(Refusal::TooManyFailures)?;
        tracing::debug!(%peer, reason = refusal.label(), "heartbeat not authorised");
        Err(refusal)
    }

    async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Refusal> {
        let limit = self.bounds.body;
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|announced| announced > limit as u64) {
            return Err(Refusal::TooLarge(limit));
        }
        let collect = async {
            let mut chunks = body.into_data_stream();
            let mut body = Vec::new();
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk.map_err(|_| Refusal::Cut)?;
                if body.len() + chunk.len() > limit {
                    return Err(Refusal::TooLarge(limit));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(body)
        };
        timeout(self.bounds.body_time, collect)
            .await
            .unwrap_or(Err(Refusal::Slow(self.bounds.body_time)))
    }

    /// Publishes what was said, then pushes the dead-man's switch on.
    async fn report(
        &self,
        outlet: &Outlet,
        target: &Target,
        as_of: Timestamp,
        said: agent::Said,
    ) -> Result<(), Refusal> {
        let toolbox = target.toolbox;
        let mut report = report::of_said(toolbox, RawSource::Heartbeat, as_of, said);
        let spoke = matches!(report.outcome, RawOutcome::Containers { .. });
        let plan = spoke.then(|| {
            let interests = interests(&report.outcome, &target.instances);
            plan_after_heartbeat(&self.policy, interests, self.memory.dialect(target))
        });
        report.next_within_seconds = Some(self.next_within(target, plan));
        if !report::fits(&report, self.bounds.report) {
            self.metrics.too_large("heartbeat");
            return Err(Refusal::TooLong(self.bounds.report));
        }
        let id = report::message_id(&report);
        if let Err(error) = outlet
            .bus
            .publish(wire::subjects::raw(toolbox), &id, &report)
            .await
        {
            tracing::warn!(%toolbox, error = %error, "failed to publish a heartbeat's report");
            return Err(Refusal::NotPublished);
        }
        if let Some(plan) = plan.filter(|_| self.still_scheduled(target)) {
            self.memory.note(target, plan);
            // Also when it is the plan in force: replacing it starts its period anew, which is the point.
            let replaced = outlet.schedules.replace(toolbox, &plan.into()).await;
            self.metrics.schedule("replaced", replaced.is_ok());
            if let Err(error) = replaced {
                // The report is stored; the agent is polled once more than needed.
                tracing::warn!(%toolbox, error = %error, "failed to replace a schedule");
            }
        }
        Ok(())
    }

    /// Seconds within which the next report is expected: the plan's, else that of the schedule that goes on, else the
    /// dead-man's switch for an agent that can only push.
    fn next_within(&self, target: &Target, plan: Option<domain::PollPlan>) -> u32 {
        let plan = plan.or_else(|| {
            // Not remembered: none is longer than the cadence of what has stopped.
            let unknown = || plan_of(self.policy.stopped);
            target
                .is_scheduled()
                .then(|| self.memory.plan(target).unwrap_or_else(unknown))
        });
        report::seconds(&plan.unwrap_or_else(|| plan_of(self.policy.dead_man)))
    }

    /// Whether the toolbox is to have a schedule, and nothing has asked for a look since `target` was read.
    fn still_scheduled(&self, target: &Target) -> bool {
        let now = self.registry.find(target.toolbox);
        now.is_some_and(|now| now.is_scheduled() && now.looks == target.looks)
    }
}

fn plan_of(every: Duration) -> domain::PollPlan {
    domain::PollPlan {
        every,
        failures: 0,
        dead_man: false,
        dialect: None,
    }
}
