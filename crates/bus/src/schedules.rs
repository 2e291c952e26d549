//! The poll timetable: one message schedule per toolbox, kept by the server.

use std::collections::HashSet;

use async_nats::{HeaderMap, HeaderName, HeaderValue, header};
use domain::ToolboxId;
use wire::{PollPlan, headers, streams, subjects};

use crate::publish::encode;
use crate::{Bus, BusError, Receipt};

/// What the server compares with the last sequence of a subject: 0 is that of a subject without a message.
const NONE_BEFORE: &str = "0";

/// The poll timetable in the stream `POLLS`.
///
/// A schedule is no event: the server copies its headers to every due message it makes of it, so it bears no id, no
/// time and no trace, all of which would be false from the second on.
#[derive(Debug, Clone)]
pub struct Schedules {
    bus: Bus,
}

impl Schedules {
    pub(crate) fn new(bus: Bus) -> Self {
        Self { bus }
    }

    /// Schedules a toolbox's polls unless it has a schedule; whether it had none. Of several that try at once, one
    /// succeeds.
    ///
    /// # Errors
    /// Those of publishing.
    pub async fn create_if_absent(&self, toolbox: ToolboxId, plan: &PollPlan) -> Result<bool, BusError> {
        let mut map = schedule_headers(toolbox, plan);
        map.insert(header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NONE_BEFORE);
        match self
            .bus
            .publish_raw(subjects::schedule(toolbox), map, encode(plan)?)
            .await
        {
            Ok(_) => Ok(true),
            Err(BusError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Schedules a toolbox's polls, replacing what there was: the next poll is due one period from now.
    ///
    /// # Errors
    /// Those of publishing.
    pub async fn replace(&self, toolbox: ToolboxId, plan: &PollPlan) -> Result<(), BusError> {
        let map = schedule_headers(toolbox, plan);
        self.bus
            .publish_raw(subjects::schedule(toolbox), map, encode(plan)?)
            .await
            .map(|_| ())
    }

    /// Ends a toolbox's polls, the one that is due included. A poll that a replica has begun is not stopped.
    ///
    /// # Errors
    /// Those of every request; then it may still be due.
    pub async fn purge(&self, toolbox: ToolboxId) -> Result<(), BusError> {
        // In this order: a schedule that fires in between leaves a due message, which goes next.
        let stream = streams::POLLS.name;
        self.bus.api().purge(stream, &subjects::schedule(toolbox)).await?;
        self.bus.api().purge(stream, &subjects::due(toolbox)).await
    }

    /// The toolboxes that have a schedule.
    ///
    /// # Errors
    /// Those of every request.
    pub async fn existing(&self) -> Result<HashSet<ToolboxId>, BusError> {
        let mut found = HashSet::new();
        let mut offset = 0;
        loop {
            let page = self
                .bus
                .api()
                .subjects(streams::POLLS.name, subjects::SCHEDULES, offset)
                .await?;
            let subjects = page.state.subjects.unwrap_or_default();
            offset += subjects.len();
            found.extend(
                subjects
                    .keys()
                    .filter_map(|subject| subjects::toolbox_of(subject)),
            );
            if subjects.is_empty() || offset >= page.total {
                return Ok(found);
            }
        }
    }

    /// Makes a poll due now. Several at once are one poll.
    ///
    /// # Errors
    /// Those of publishing.
    pub async fn fire_now(&self, toolbox: ToolboxId) -> Result<(), BusError> {
        // No message id: two requests within its window may be two polls.
        self.fire(toolbox, None).await.map(|_| ())
    }

    /// Makes a poll due now, unless one was made so under the same id (which the receipt tells): replicas that name it
    /// alike ask once.
    ///
    /// # Errors
    /// Those of publishing.
    pub async fn fire_once(&self, toolbox: ToolboxId, id: &str) -> Result<Receipt, BusError> {
        let id = id.parse().map_err(|_| BusError::Unsendable {
            what: "make a poll due".to_owned(),
            field: "the id",
        })?;
        self.fire(toolbox, Some(id)).await
    }

    async fn fire(&self, toolbox: ToolboxId, id: Option<HeaderValue>) -> Result<Receipt, BusError> {
        let mut map = HeaderMap::new();
        if let Some(id) = id {
            map.insert(header::NATS_MESSAGE_ID, id);
        }
        self.bus
            .publish_traced(subjects::due(toolbox), map, bytes::Bytes::new())
            .await
    }
}

fn schedule_headers(toolbox: ToolboxId, plan: &PollPlan) -> HeaderMap {
    let mut map = HeaderMap::new();
    map.insert(
        header::NATS_SCHEDULE,
        format!("@every {}s", plan.every_seconds.max(1)),
    );
    map.insert(header::NATS_SCHEDULE_TARGET, subjects::due(toolbox));
    map.insert(
        HeaderName::from_static(headers::CONTENT_TYPE),
        HeaderValue::from(headers::JSON),
    );
    map
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_schedule_says_when_and_where_and_nothing_that_is_false_the_second_time() {
        let toolbox = ToolboxId(Uuid::from_u128(7));
        let map = schedule_headers(
            toolbox,
            &PollPlan {
                every_seconds: 0,
                failures: 0,
                dead_man: false,
                dialect: None,
            },
        );
        assert_eq!(map.get(header::NATS_SCHEDULE).unwrap().as_str(), "@every 1s");
        assert_eq!(
            map.get(header::NATS_SCHEDULE_TARGET).unwrap().as_str(),
            subjects::due(toolbox)
        );
        assert_eq!(map.len(), 3);
    }
}
