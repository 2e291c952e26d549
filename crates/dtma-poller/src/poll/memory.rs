//! What this replica last knew of a toolbox's plan. A saving only: every replica does without it, and what it holds
//! may be older than what another replica has done since.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::{Dialect, PollPlan, ToolboxId};

use crate::registry::Target;

/// One plan a toolbox. Bounded by the registry: see [`Memory::retain`].
#[derive(Debug, Default)]
pub(crate) struct Memory {
    plans: Mutex<HashMap<ToolboxId, Remembered>>,
}

#[derive(Debug, Clone, Copy)]
struct Remembered {
    plan: PollPlan,
    epoch: u64,
}

impl Memory {
    /// The plan last seen or made, unless the agent has become another since.
    pub(crate) fn plan(&self, target: &Target) -> Option<PollPlan> {
        let remembered = self.lock().get(&target.toolbox).copied()?;
        (remembered.epoch == target.epoch).then_some(remembered.plan)
    }

    /// Which route the agent serves.
    pub(crate) fn dialect(&self, target: &Target) -> Option<Dialect> {
        self.plan(target).and_then(|plan| plan.dialect)
    }

    /// Remembers the plan that was made after `target` spoke.
    pub(crate) fn note(&self, target: &Target, plan: PollPlan) {
        self.lock().insert(
            target.toolbox,
            Remembered {
                plan,
                epoch: target.epoch,
            },
        );
    }

    /// Forgets toolboxes that are not there any more.
    pub(crate) fn retain(&self, there: impl Fn(ToolboxId) -> bool) {
        self.lock().retain(|toolbox, _| there(*toolbox));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ToolboxId, Remembered>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::AccountId;
    use uuid::Uuid;

    use super::*;
    use crate::registry::{Address, Token};

    fn target(toolbox: u128, epoch: u64) -> Target {
        Target {
            toolbox: ToolboxId(Uuid::from_u128(toolbox)),
            account: AccountId(Uuid::nil()),
            address: Address::Missing,
            token: Token::Missing,
            instances: Vec::new(),
            epoch,
            looks: 0,
        }
    }

    #[test]
    fn what_was_known_of_another_agent_is_not_known_of_this_one() {
        let memory = Memory::default();
        let plan = PollPlan {
            every: Duration::from_secs(30),
            failures: 2,
            dead_man: false,
            dialect: Some(Dialect::Tools),
        };
        memory.note(&target(1, 0), plan);
        assert_eq!(memory.plan(&target(1, 0)), Some(plan));
        assert_eq!(memory.dialect(&target(1, 0)), Some(Dialect::Tools));
        assert_eq!(memory.plan(&target(1, 1)), None);
        assert_eq!(memory.plan(&target(2, 0)), None);
    }

    #[test]
    fn only_toolboxes_that_are_there_are_remembered() {
        let memory = Memory::default();
        let plan = PollPlan {
            every: Duration::from_secs(30),
            failures: 0,
            dead_man: false,
            dialect: None,
        };
        let [one, two] = [1, 2].map(|toolbox| target(toolbox, 0));
        memory.note(&one, plan);
        memory.note(&two, plan);
        memory.retain(|toolbox| toolbox == two.toolbox);
        assert_eq!((memory.plan(&one), memory.plan(&two)), (None, Some(plan)));
    }
}
