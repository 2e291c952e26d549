//! What a declared metric is measured with. Clones share the series.

use opentelemetry::metrics::{self, Meter};
use opentelemetry::{KeyValue, Value};

use crate::{Kind, Metric};

/// The values of a metric's labels, in the order of their declaration.
pub trait Labels {
    /// As OpenTelemetry takes them.
    type Attributes: AsRef<[KeyValue]>;

    /// With the labels' names.
    fn attributes(self, metric: &Metric) -> Self::Attributes;
}

impl Labels for () {
    type Attributes = [KeyValue; 0];

    fn attributes(self, _: &Metric) -> Self::Attributes {
        []
    }
}

impl<V: Into<Value>, const N: usize> Labels for [V; N] {
    type Attributes = [KeyValue; N];

    fn attributes(self, metric: &Metric) -> Self::Attributes {
        let mut labels = metric.labels.iter();
        self.map(|value| KeyValue::new(labels.next().map_or("undeclared", |label| label.name), value))
    }
}

impl Labels for Vec<&'static str> {
    type Attributes = Vec<KeyValue>;

    fn attributes(self, metric: &Metric) -> Self::Attributes {
        let labels = metric.labels.iter().zip(self);
        labels
            .map(|(label, value)| KeyValue::new(label.name, value))
            .collect()
    }
}

impl<A: Into<Value>, B: Into<Value>> Labels for (A, B) {
    type Attributes = [KeyValue; 2];

    fn attributes(self, metric: &Metric) -> Self::Attributes {
        [self.0.into(), self.1.into()].attributes(metric)
    }
}

impl<A: Into<Value>, B: Into<Value>, C: Into<Value>> Labels for (A, B, C) {
    type Attributes = [KeyValue; 3];

    fn attributes(self, metric: &Metric) -> Self::Attributes {
        [self.0.into(), self.1.into(), self.2.into()].attributes(metric)
    }
}

/// Counts what only rises.
#[derive(Debug, Clone)]
pub struct Counter {
    metric: &'static Metric,
    inner: metrics::Counter<u64>,
}

/// Counts what is there at the moment.
#[derive(Debug, Clone)]
pub struct UpDownCounter {
    metric: &'static Metric,
    inner: metrics::UpDownCounter<i64>,
}

/// Says how something is.
#[derive(Debug, Clone)]
pub struct Gauge {
    metric: &'static Metric,
    inner: metrics::Gauge<f64>,
}

/// Counts values by their size.
#[derive(Debug, Clone)]
pub struct Histogram {
    metric: &'static Metric,
    inner: metrics::Histogram<f64>,
}

impl Metric {
    /// Its instrument. Begins at 0 wherever its labels are known.
    pub fn in_counter(&'static self, meter: &Meter) -> Counter {
        debug_assert_eq!(self.kind, Kind::Counter, "{}", self.name);
        let builder = meter.u64_counter(self.name);
        let counter = Counter {
            metric: self,
            inner: builder.with_unit(self.unit).with_description(self.says).build(),
        };
        for labels in self.combinations() {
            counter.add(0, labels);
        }
        counter
    }

    /// Its instrument. Begins at 0 wherever its labels are known.
    pub fn in_up_down(&'static self, meter: &Meter) -> UpDownCounter {
        debug_assert_eq!(self.kind, Kind::UpDownCounter, "{}", self.name);
        let builder = meter.i64_up_down_counter(self.name);
        let level = UpDownCounter {
            metric: self,
            inner: builder.with_unit(self.unit).with_description(self.says).build(),
        };
        for labels in self.combinations() {
            level.add(0, labels);
        }
        level
    }

    /// Its instrument.
    pub fn in_gauge(&'static self, meter: &Meter) -> Gauge {
        debug_assert_eq!(self.kind, Kind::Gauge, "{}", self.name);
        let builder = meter.f64_gauge(self.name);
        Gauge {
            metric: self,
            inner: builder.with_unit(self.unit).with_description(self.says).build(),
        }
    }

    /// Its instrument.
    pub fn in_histogram(&'static self, meter: &Meter) -> Histogram {
        let Kind::Histogram(boundaries) = self.kind else {
            debug_assert!(false, "{} is no histogram", self.name);
            return Histogram {
                metric: self,
                inner: meter.f64_histogram(self.name).build(),
            };
        };
        let builder = meter
            .f64_histogram(self.name)
            .with_boundaries(boundaries.to_vec());
        Histogram {
            metric: self,
            inner: builder.with_unit(self.unit).with_description(self.says).build(),
        }
    }

    /// Has `look` asked whenever metrics are read. What it says nothing of is not there.
    pub fn looked_at<L: Labels>(
        &'static self,
        meter: &Meter,
        look: impl Fn() -> Vec<(f64, L)> + Send + Sync + 'static,
    ) {
        debug_assert_eq!(self.kind, Kind::Gauge, "{}", self.name);
        let builder = meter.f64_observable_gauge(self.name);
        // The callback is kept by the meter; the instrument itself has nothing to do.
        let _ = builder
            .with_unit(self.unit)
            .with_description(self.says)
            .with_callback(move |gauge| {
                for (value, labels) in look() {
                    gauge.observe(value, self.attributes(labels).as_ref());
                }
            })
            .build();
    }

    fn attributes<L: Labels>(&self, labels: L) -> L::Attributes {
        let attributes = labels.attributes(self);
        debug_assert!(
            self.has(attributes.as_ref()),
            "{} is not declared with {:?}",
            self.name,
            attributes.as_ref()
        );
        attributes
    }
}

impl Counter {
    /// Counts `how_many` more.
    pub fn add(&self, how_many: u64, labels: impl Labels) {
        self.inner.add(how_many, self.metric.attributes(labels).as_ref());
    }
}

impl UpDownCounter {
    /// Counts `how_many` more, or fewer.
    pub fn add(&self, how_many: i64, labels: impl Labels) {
        self.inner.add(how_many, self.metric.attributes(labels).as_ref());
    }

    /// Counts one in until what is returned is dropped.
    pub fn one<L: Labels + Clone>(&self, labels: L) -> InFlight<L> {
        self.add(1, labels.clone());
        InFlight {
            level: self.clone(),
            labels,
        }
    }
}

impl Gauge {
    /// That it is this now.
    pub fn set(&self, value: f64, labels: impl Labels) {
        self.inner.record(value, self.metric.attributes(labels).as_ref());
    }
}

impl Histogram {
    /// Counts a value.
    pub fn record(&self, value: f64, labels: impl Labels) {
        self.inner.record(value, self.metric.attributes(labels).as_ref());
    }
}

/// One of something that is under way, counted until it is dropped.
#[derive(Debug)]
pub struct InFlight<L: Labels + Clone = ()> {
    level: UpDownCounter,
    labels: L,
}

impl<L: Labels + Clone> Drop for InFlight<L> {
    fn drop(&mut self) {
        self.level.add(-1, self.labels.clone());
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::SdkMeterProvider;
    use prometheus::Registry;

    use super::*;
    use crate::Label;

    fn scraped() -> (SdkMeterProvider, Registry) {
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter().with_registry(registry.clone());
        let reader = reader.without_target_info().build().unwrap();
        (SdkMeterProvider::builder().with_reader(reader).build(), registry)
    }

    fn page(registry: &Registry) -> String {
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        // The exporter's own label, on everything.
        let page = lines.join("\n").replace("otel_scope_name=\"test\"", "");
        page.replace(",,", ",")
            .replace("{,", "{")
            .replace(",}", "}")
            .replace("{}", "")
    }

    static POLLS: Metric = Metric::counter("a.polls", "{poll}", "Polls").by(&[
        Label::of("outcome", &["ok", "failed"]),
        Label::of("why.not", &["x"]),
    ]);

    #[test]
    fn a_counter_begins_at_zero_and_counts_what_is_declared() {
        let (provider, registry) = scraped();
        let polls = POLLS.in_counter(&provider.meter("test"));
        polls.add(2, ["ok", "x"]);
        let page = page(&registry);
        assert_eq!(
            page,
            "a_polls_total{outcome=\"failed\",why_not=\"x\"} 0\na_polls_total{outcome=\"ok\",why_not=\"x\"} 2"
        );
    }

    #[test]
    fn combinations_that_there_are_not_have_no_zero() {
        static ANSWERS: Metric = Metric::counter("a.answers", "{answer}", "Answers")
            .by(&[
                Label::such("code", "HTTP statuses"),
                Label::such("reason", "reasons"),
            ])
            .only(&[&["200", "fine"], &["401", "unknown"]]);
        let (provider, registry) = scraped();
        let answers = ANSWERS.in_counter(&provider.meter("test"));
        answers.add(1, ("401", "unknown"));
        assert_eq!(
            page(&registry),
            "a_answers_total{code=\"200\",reason=\"fine\"} 0\na_answers_total{code=\"401\",reason=\"unknown\"} 1"
        );
    }

    #[test]
    fn what_is_not_declared_is_a_defect() {
        let (provider, _registry) = scraped();
        let polls = POLLS.in_counter(&provider.meter("test"));
        for wrong in [["lost", "x"], ["ok", "y"]] {
            let add = std::panic::AssertUnwindSafe(|| polls.add(1, wrong));
            assert!(std::panic::catch_unwind(add).is_err(), "{wrong:?}");
        }
        let too_few = std::panic::AssertUnwindSafe(|| polls.add(1, ["ok"]));
        assert!(std::panic::catch_unwind(too_few).is_err());
    }

    #[test]
    fn every_kind_is_scraped_under_the_name_it_says() {
        static ALL: [Metric; 8] = [
            Metric::counter("a.count", "{thing}", "-"),
            Metric::counter("a.time", "s", "-"),
            Metric::counter("a.read", "By", "-"),
            Metric::gauge("a.age", "s", "-"),
            Metric::gauge("a.share", "1", "-"),
            Metric::gauge("a.held", "{thing}", "-"),
            Metric::up_down("a.open", "{thing}", "-"),
            Metric::histogram("a.duration", "s", &[1.0], "-"),
        ];
        let (provider, registry) = scraped();
        let meter = provider.meter("test");
        for metric in &ALL {
            match metric.kind {
                Kind::Counter => metric.in_counter(&meter).add(1, ()),
                Kind::UpDownCounter => metric.in_up_down(&meter).add(1, ()),
                Kind::Gauge => metric.in_gauge(&meter).set(1.0, ()),
                Kind::Histogram(_) => metric.in_histogram(&meter).record(1.0, ()),
            }
        }
        let mut said: Vec<_> = ALL.iter().map(Metric::scraped_as).collect();
        said.sort();
        let scraped: Vec<_> = registry.gather().iter().map(|it| it.name().to_owned()).collect();
        assert_eq!(scraped, said);
    }

    #[test]
    fn what_is_under_way_is_counted_until_it_ends() {
        static OPEN: Metric = Metric::up_down("a.open", "{thing}", "-").by(&[Label::of("kind", &["x"])]);
        let (provider, registry) = scraped();
        let open = OPEN.in_up_down(&provider.meter("test"));
        let one = open.one(["x"]);
        assert_eq!(page(&registry), "a_open{kind=\"x\"} 1");
        drop(one);
        assert_eq!(page(&registry), "a_open{kind=\"x\"} 0");
    }

    #[test]
    fn what_is_looked_at_is_there_only_while_something_is_said_of_it() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicBool, Ordering};
        static AGE: Metric = Metric::gauge("a.age", "s", "-");
        let (provider, registry) = scraped();
        let known = Arc::new(AtomicBool::new(true));
        let look = Arc::clone(&known);
        AGE.looked_at(&provider.meter("test"), move || {
            let known = look.load(Ordering::Relaxed);
            known.then_some((7.0, ())).into_iter().collect()
        });
        assert_eq!(page(&registry), "a_age_seconds 7");
        known.store(false, Ordering::Relaxed);
        assert_eq!(page(&registry), "");
    }
}
