//! The declaration of a metric.

use opentelemetry::KeyValue;

/// A metric, as it is declared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Its name at OpenTelemetry.
    pub name: &'static str,
    /// What is done with it.
    pub kind: Kind,
    /// Its unit in UCUM: `s`, `By`, `1`, or what is counted, in braces.
    pub unit: &'static str,
    /// What it says, in a line.
    pub says: &'static str,
    /// What it is told apart by.
    pub labels: &'static [Label],
    /// The combinations of labels that there are; empty where all are possible.
    pub only: &'static [&'static [&'static str]],
}

/// What is done with a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls with what begins and ends.
    UpDownCounter,
    /// Is what it is now.
    Gauge,
    /// Counts values by their size, up to each of these boundaries.
    Histogram(&'static [f64]),
}

impl Kind {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::UpDownCounter => "up-down counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// What a metric is told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// Its name at OpenTelemetry.
    pub name: &'static str,
    /// Which values it has.
    pub values: Values,
}

/// Which values a label has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// These.
    These(&'static [&'static str]),
    /// As many as the code knows, in words.
    Such(&'static str),
}

impl Label {
    /// A label with these values.
    pub const fn of(name: &'static str, values: &'static [&'static str]) -> Self {
        Self {
            name,
            values: Values::These(values),
        }
    }

    /// A label whose values are too many to list, or not known here, and bounded all the same.
    pub const fn such(name: &'static str, values: &'static str) -> Self {
        Self {
            name,
            values: Values::Such(values),
        }
    }
}

impl Metric {
    const fn new(name: &'static str, kind: Kind, unit: &'static str, says: &'static str) -> Self {
        Self {
            name,
            kind,
            unit,
            says,
            labels: &[],
            only: &[],
        }
    }

    /// A counter of what only rises.
    pub const fn counter(name: &'static str, unit: &'static str, says: &'static str) -> Self {
        Self::new(name, Kind::Counter, unit, says)
    }

    /// A counter of what is there at the moment.
    pub const fn up_down(name: &'static str, unit: &'static str, says: &'static str) -> Self {
        Self::new(name, Kind::UpDownCounter, unit, says)
    }

    /// A value at the moment.
    pub const fn gauge(name: &'static str, unit: &'static str, says: &'static str) -> Self {
        Self::new(name, Kind::Gauge, unit, says)
    }

    /// A distribution of values.
    pub const fn histogram(
        name: &'static str,
        unit: &'static str,
        boundaries: &'static [f64],
        says: &'static str,
    ) -> Self {
        Self::new(name, Kind::Histogram(boundaries), unit, says)
    }

    /// The same, told apart by `labels`.
    pub const fn by(mut self, labels: &'static [Label]) -> Self {
        self.labels = labels;
        self
    }

    /// The same, with no other combinations of labels than these.
    pub const fn only(mut self, combinations: &'static [&'static [&'static str]]) -> Self {
        self.only = combinations;
        self
    }

    /// Every combination of labels, where all values are known.
    pub fn combinations(&self) -> Vec<Vec<&'static str>> {
        if !self.only.is_empty() {
            return self.only.iter().map(|values| values.to_vec()).collect();
        }
        let mut combinations = vec![Vec::new()];
        for label in self.labels {
            let Values::These(values) = label.values else {
                return Vec::new();
            };
            combinations = combinations
                .into_iter()
                .flat_map(|before: Vec<&'static str>| {
                    values.iter().map(move |value| {
                        let mut with = before.clone();
                        with.push(*value);
                        with
                    })
                })
                .collect();
        }
        combinations
    }

    /// Whether it may have these labels.
    pub(crate) fn has(&self, attributes: &[KeyValue]) -> bool {
        let listed = |values: &&[&str]| {
            let mut pairs = values.iter().zip(attributes);
            pairs.all(|(value, attribute)| attribute.value.as_str() == *value)
        };
        let known = |(label, attribute): (&Label, &KeyValue)| match label.values {
            Values::These(values) => values.contains(&attribute.value.as_str().as_ref()),
            Values::Such(_) => true,
        };
        attributes.len() == self.labels.len()
            && self.labels.iter().zip(attributes).all(known)
            && (self.only.is_empty() || self.only.iter().any(listed))
    }

    /// Its name on the Prometheus page.
    pub fn scraped_as(&self) -> String {
        let mut name = scraped(self.name);
        let unit = match self.unit {
            "s" => "_seconds",
            "By" => "_bytes",
            "1" if self.kind == Kind::Gauge => "_ratio",
            _ => "",
        };
        name.push_str(unit);
        if self.kind == Kind::Counter {
            name.push_str("_total");
        }
        name
    }
}

impl Label {
    /// Its name on the Prometheus page.
    pub fn scraped_as(&self) -> String {
        scraped(self.name)
    }
}

fn scraped(name: &str) -> String {
    name.replace(['.', '-'], "_")
}

/// Declares the metrics of a crate: a constant for each, and `METRICS`, all of them.
#[macro_export]
macro_rules! declare {
    ($($name:ident = $metric:expr;)+) => {
        $(const $name: &$crate::Metric = &$metric;)+

        /// All that is measured here.
        pub const METRICS: &[&$crate::Metric] = &[$($name),+];
    };
}
