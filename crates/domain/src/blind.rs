//! Telling "they are all gone" from "we cannot see".

/// How many toolboxes are silent, among those heard of shortly before the newest report of all.
///
/// *Population*: toolboxes heard of within [`crate::Thresholds::unknown_after`] before the newest sign of life of
/// any toolbox. Anchored to that report and not to the present, so a total silence does not empty it.
/// *Silent*: those of them not heard of for [`crate::Thresholds::healthy_for`], and either failing or overdue
/// (the observer itself expected to report by now). A toolbox that is polled every five minutes is not silent
/// between polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FleetSilence {
    /// Toolboxes that could be heard.
    pub population: u64,
    /// Those that should have been heard and were not.
    pub silent: u64,
}

/// Whether the silence says more about the observer than about the toolboxes: more than half of at least
/// `at_least` toolboxes fell silent at once. Below that number a coincidence is as likely.
pub fn observer_blind(fleet: FleetSilence, at_least: u64) -> bool {
    fleet.population >= at_least.max(1) && fleet.silent > fleet.population / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_of_enough_toolboxes() {
        for (population, silent, at_least, blind) in [
            (0, 0, 5, false),
            (0, 0, 0, false),
            (4, 4, 5, false),
            (5, 3, 5, true),
            (10, 5, 5, false),
            (10, 6, 5, true),
            (u64::MAX, u64::MAX, 5, true),
        ] {
            assert_eq!(
                observer_blind(FleetSilence { population, silent }, at_least),
                blind,
                "{silent}/{population}"
            );
        }
    }
}
