//! What is measured: a metric is declared once, and its instrument, its documentation and its zeros are made from that.
//!
//! ```text
//!  declare! { POLLS = Metric::counter(…) } ─┬─► POLLS.counter(&meter) ─► add(1, [outcome]) ─► /metrics, OTLP
//!                                           └─► METRICS ─► the table of all metrics, the check of dashboards and alerts
//! ```
//!
//! Names are those of OpenTelemetry: dots between words, no unit and no `_total` in them. [`Metric::scraped_as`] is what
//! Prometheus makes of one.
//!
//! A counter whose labels have known values begins at 0 for each: an increase from nothing to one is none that
//! Prometheus can see, and a query of a series that never was looks like a mistake.
//!
//! # What it must never do
//! Take a label's value from a message: the number of series is bounded by the code. In builds with debug assertions a
//! value that is not declared is a panic, so that every test checks the table.

mod instrument;
mod metric;

pub use instrument::{Counter, Gauge, Histogram, InFlight, Labels, UpDownCounter};
pub use metric::{Kind, Label, Metric, Values};
