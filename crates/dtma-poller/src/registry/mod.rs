//! Which toolboxes there are: the `toolboxes` bucket, in memory.
//!
//! The bucket is the truth and this a copy that is never written back. It is small: a toolbox is a few hundred bytes.

mod target;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bus::{BucketChange, SealingKey, TokenHash};
use domain::ToolboxId;
use tokio::sync::watch;
use wire::ToolboxEntry;

pub(crate) use target::{Address, Instance, Target, Token};

use crate::metrics::Metrics;

/// The toolboxes. One per process, shared.
#[derive(Debug)]
pub(crate) struct Registry {
    key: SealingKey,
    metrics: Metrics,
    inner: RwLock<Inner>,
    loaded: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Inner {
    targets: HashMap<ToolboxId, Known>,
    /// Who claims a token. One claimant in all but broken registries; never empty.
    claims: HashMap<TokenHash, Vec<ToolboxId>>,
    /// Instances of all targets together.
    instances: usize,
    /// Tokens with several claimants.
    ambiguous: usize,
}

#[derive(Debug)]
struct Known {
    target: Arc<Target>,
    hash: Option<TokenHash>,
}

/// What a change asks of a toolbox's schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// It must exist if the toolbox is to be polled, and must not otherwise.
    InItsTurn,
    /// As before, and the next poll is to come soon.
    Soon,
}

/// Whom a token names.
#[derive(Debug)]
pub(crate) enum Bearer {
    /// This toolbox.
    Of(Arc<Target>),
    /// Several toolboxes claim it, so it names none: taking any would let one write as the other.
    Ambiguous,
    /// Nobody claims it.
    Unknown,
}

impl Registry {
    pub(crate) fn new(key: SealingKey, metrics: Metrics) -> Self {
        Self {
            key,
            metrics,
            inner: RwLock::default(),
            loaded: watch::Sender::new(false),
        }
    }

    /// Becomes true once the whole bucket has been read, and stays so.
    pub(crate) fn loaded(&self) -> watch::Receiver<bool> {
        self.loaded.subscribe()
    }

    /// Whether the whole bucket has been read. Before that, a toolbox that is not here may well exist.
    pub(crate) fn is_loaded(&self) -> bool {
        *self.loaded.borrow()
    }

    /// A toolbox.
    pub(crate) fn find(&self, toolbox: ToolboxId) -> Option<Arc<Target>> {
        self.read()
            .targets
            .get(&toolbox)
            .map(|known| Arc::clone(&known.target))
    }

    /// The toolbox that a token names.
    pub(crate) fn bearer(&self, hash: &TokenHash) -> Bearer {
        let inner = self.read();
        match inner.claims.get(hash).map(Vec::as_slice) {
            Some([toolbox]) => inner
                .targets
                .get(toolbox)
                .map_or(Bearer::Unknown, |known| Bearer::Of(Arc::clone(&known.target))),
            Some([]) | None => Bearer::Unknown,
            Some(_) => Bearer::Ambiguous,
        }
    }

    /// The toolboxes that are to have a schedule.
    pub(crate) fn scheduled(&self) -> HashSet<ToolboxId> {
        let inner = self.read();
        inner
            .targets
            .iter()
            .filter(|(_, known)| known.target.is_scheduled())
            .map(|(toolbox, _)| *toolbox)
            .collect()
    }

    /// Takes over a change, and says whose schedules it touches.
    pub(crate) fn apply(&self, change: BucketChange<ToolboxEntry>) -> Vec<(ToolboxId, Look)> {
        let mut looks = Vec::new();
        match change {
            BucketChange::Snapshot(entries) => {
                let mut inner = self.write();
                let mut gone: HashSet<ToolboxId> = inner.targets.keys().copied().collect();
                for entry in &entries {
                    gone.remove(&ToolboxId(entry.toolbox_id));
                    looks.extend(self.put(&mut inner, entry));
                }
                for toolbox in gone {
                    inner.remove(toolbox);
                    looks.push((toolbox, Look::InItsTurn));
                }
                drop(inner);
                self.loaded.send_replace(true);
                tracing::info!(toolboxes = entries.len(), "registry read");
            }
            BucketChange::Put(entry) => looks.extend(self.put(&mut self.write(), &entry)),
            BucketChange::Deleted(key) => {
                let toolbox = ToolboxId(key);
                self.write().remove(toolbox);
                looks.push((toolbox, Look::InItsTurn));
            }
        }
        self.measure();
        looks
    }

    fn put(&self, inner: &mut Inner, entry: &ToolboxEntry) -> Option<(ToolboxId, Look)> {
        let (mut target, hash, flaws) = Target::read(entry, &self.key);
        let toolbox = target.toolbox;
        for flaw in flaws {
            self.metrics.flaw(flaw);
            tracing::warn!(%toolbox, field = %flaw, "registry entry has a value that cannot be used");
        }
        let before = inner.remove(toolbox);
        let look = match &before {
            None => Some(Look::InItsTurn),
            Some(before) => {
                target.epoch = before.epoch + u64::from(target.is_asked_differently(before));
                let soon = target.is_scheduled() && target.wants_a_look_after(before);
                target.looks = before.looks + u64::from(soon);
                if soon {
                    Some(Look::Soon)
                } else {
                    (target.is_scheduled() != before.is_scheduled()).then_some(Look::InItsTurn)
                }
            }
        };
        if let Some(hash) = &hash {
            let claimants = inner.claims.entry(*hash).or_default();
            claimants.push(toolbox);
            if claimants.len() > 1 {
                tracing::error!(
                    ?claimants,
                    "toolboxes claim the same token, which names none of them now"
                );
            }
            inner.ambiguous += usize::from(claimants.len() == 2);
        }
        inner.instances += target.instances.len();
        inner.targets.insert(
            toolbox,
            Known {
                target: Arc::new(target),
                hash,
            },
        );
        look.map(|look| (toolbox, look))
    }

    fn measure(&self) {
        let inner = self.read();
        self.metrics
            .registry(inner.targets.len(), inner.instances, inner.ambiguous);
    }

    // Every change leaves the maps whole, so a panic elsewhere while they were held does not spoil them.
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, toolbox: ToolboxId) -> Option<Arc<Target>> {
        let known = self.targets.remove(&toolbox)?;
        self.instances -= known.target.instances.len();
        if let Some(hash) = known.hash
            && let Some(claimants) = self.claims.get_mut(&hash)
        {
            self.ambiguous -= usize::from(claimants.len() == 2);
            claimants.retain(|claimant| *claimant != toolbox);
            if claimants.is_empty() {
                self.claims.remove(&hash);
            }
        }
        Some(known.target)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use wire::InstanceEntry;

    use super::*;

    fn registry() -> Registry {
        Registry::new(SealingKey::generate().0, Metrics::new())
    }

    fn id(toolbox: u128) -> ToolboxId {
        ToolboxId(Uuid::from_u128(toolbox))
    }

    fn entry(toolbox: u128, base_url: &str, token: &str, monitored: bool) -> ToolboxEntry {
        ToolboxEntry {
            toolbox_id: Uuid::from_u128(toolbox),
            account_id: Uuid::from_u128(99),
            base_url: (!base_url.is_empty()).then(|| base_url.to_owned()),
            sealed_token: None,
            token_hash: Some(TokenHash::of(token).to_hex()),
            instances: vec![InstanceEntry {
                server_id: Uuid::from_u128(toolbox + 1_000),
                name: "mcp-a".to_owned(),
                monitored,
                seen: false,
                commanded: false,
            }],
        }
    }

    fn named(registry: &Registry, token: &str) -> Option<ToolboxId> {
        match registry.bearer(&TokenHash::of(token)) {
            Bearer::Of(target) => Some(target.toolbox),
            Bearer::Ambiguous | Bearer::Unknown => None,
        }
    }

    #[test]
    fn a_snapshot_is_the_whole_truth() {
        let registry = registry();
        assert!(!registry.is_loaded());
        registry.apply(BucketChange::Put(entry(1, "http://a", "one", true)));
        assert!(!registry.is_loaded(), "a single entry is not all of them");
        let looks = registry.apply(BucketChange::Snapshot(vec![
            entry(2, "http://b", "two", true),
            entry(3, "", "three", true),
        ]));
        assert!(registry.is_loaded());
        let mut looked: Vec<_> = looks.iter().map(|(toolbox, look)| (*toolbox, *look)).collect();
        looked.sort_by_key(|(toolbox, _)| *toolbox);
        assert_eq!(looked, [1, 2, 3].map(|toolbox| (id(toolbox), Look::InItsTurn)));
        assert!(registry.find(id(1)).is_none());
        assert_eq!(named(&registry, "one"), None);
        assert_eq!(named(&registry, "two"), Some(id(2)));
        assert_eq!(registry.scheduled(), HashSet::from([id(2)]));
    }

    #[test]
    fn changes_ask_for_what_they_need() {
        let registry = registry();
        let put = |entry| registry.apply(BucketChange::Put(entry));
        assert_eq!(put(entry(1, "http://a", "one", true)), [(id(1), Look::InItsTurn)]);
        assert_eq!(put(entry(1, "http://a", "one", true)), []);
        assert_eq!(registry.find(id(1)).unwrap().epoch, 0);
        assert_eq!(put(entry(1, "http://b", "one", true)), [(id(1), Look::Soon)]);
        assert_eq!(registry.find(id(1)).unwrap().epoch, 1);
        assert_eq!(
            put(entry(1, "http://b", "one", false)),
            [(id(1), Look::InItsTurn)]
        );
        assert_eq!(put(entry(1, "", "one", true)), []);
        assert_eq!(put(entry(1, "http://b", "one", true)), [(id(1), Look::Soon)]);
        assert_eq!(
            registry.apply(BucketChange::Deleted(id(1).0)),
            [(id(1), Look::InItsTurn)]
        );
        assert!(registry.find(id(1)).is_none());
    }

    #[test]
    fn a_token_that_two_claim_names_nobody_until_one_lets_go() {
        let registry = registry();
        registry.apply(BucketChange::Put(entry(1, "http://a", "shared", true)));
        assert_eq!(named(&registry, "shared"), Some(id(1)));
        registry.apply(BucketChange::Put(entry(2, "http://b", "shared", true)));
        assert!(matches!(
            registry.bearer(&TokenHash::of("shared")),
            Bearer::Ambiguous
        ));
        registry.apply(BucketChange::Put(entry(2, "http://b", "own", true)));
        assert_eq!(
            (named(&registry, "shared"), named(&registry, "own")),
            (Some(id(1)), Some(id(2)))
        );
        registry.apply(BucketChange::Put(entry(2, "http://b", "shared", true)));
        registry.apply(BucketChange::Deleted(id(1).0));
        assert_eq!(named(&registry, "shared"), Some(id(2)));
        assert!(matches!(registry.bearer(&TokenHash::of("own")), Bearer::Unknown));
    }
}
