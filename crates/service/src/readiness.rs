//! Whether a service can do its work, and if not, why.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use instruments::{Label, Metric};

instruments::declare! {
    READY = Metric::gauge("service.ready", "{check}", "1 while a check of /readyz passes, else 0")
        .by(&[Label::such("check", "checks of the service's /readyz")]);
}

/// Named checks; ready when there is at least one and none fails. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    checks: Arc<Mutex<BTreeMap<&'static str, Result<(), String>>>>,
}

impl Readiness {
    /// Registers checks that have not passed yet.
    pub fn expecting(names: &[&'static str]) -> Self {
        let readiness = Self::default();
        for name in names {
            readiness.set(name, Err("not checked yet".to_owned()));
        }
        let checks = Arc::clone(&readiness.checks);
        READY.looked_at(&opentelemetry::global::meter("service"), move || {
            let checks = checks.lock().unwrap_or_else(PoisonError::into_inner);
            let passes = |outcome: &Result<(), String>| f64::from(u8::from(outcome.is_ok()));
            let checks = checks.iter().map(|(name, outcome)| (passes(outcome), [*name]));
            checks.collect()
        });
        readiness
    }

    /// Records the outcome of a check.
    pub fn set(&self, name: &'static str, outcome: Result<(), String>) {
        self.checks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, outcome);
    }

    /// The checks that fail, with their reasons; `Ok` when none does.
    ///
    /// # Errors
    /// The failing checks.
    pub fn get(&self) -> Result<(), BTreeMap<&'static str, String>> {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        let failing: BTreeMap<_, _> = checks
            .iter()
            .filter_map(|(name, outcome)| outcome.as_ref().err().map(|why| (*name, why.clone())))
            .collect();
        if checks.is_empty() {
            return Err(BTreeMap::from([("service", "starting".to_owned())]));
        }
        if failing.is_empty() { Ok(()) } else { Err(failing) }
    }
}
