//! The standard `OTEL_*` variables that the SDK does not read itself, or reads in silence: a value that cannot be is
//! left out, as the specification has it, and told.

use opentelemetry_sdk::trace::{Sampler, ShouldSample};

/// The variables whose values are whole numbers. The SDK reads them, and takes the default for what is none.
const NUMBERS: [&str; 11] = [
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_BSP_EXPORT_TIMEOUT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
    "OTEL_METRIC_EXPORT_INTERVAL",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
];
/// How spans and metrics are sent; there is no other way.
const PROTOCOL: &str = "http/protobuf";

/// What the environment says about telemetry.
#[derive(Debug)]
pub(super) struct Environment {
    /// Whether spans are exported.
    pub(super) traces: bool,
    /// Whether metrics are pushed.
    pub(super) metrics: bool,
    /// Which traces are kept from their beginning.
    pub(super) sampling: Sampling,
    /// Whether trace context is read from what comes in and written into what goes out.
    pub(super) propagate: bool,
    /// Whether it names the service, so that we must not.
    pub(super) names_service: bool,
    /// What was left out, for the log.
    pub(super) complaints: Vec<String>,
}

/// Which traces are kept from their beginning.
#[derive(Debug)]
pub(super) enum Sampling {
    /// Those that this says, and whatever turns out to matter.
    Keep(Box<dyn ShouldSample>),
    /// None but those of who asks for it, whatever happens in them.
    Off(Sampler),
}

impl Environment {
    #[expect(
        clippy::disallowed_methods,
        reason = "the standard OTEL_* variables are this shell's to read"
    )]
    pub(super) fn read() -> Self {
        Self::from(|name| std::env::var(name).ok())
    }

    fn from(variable: impl Fn(&str) -> Option<String>) -> Self {
        let mut reader = Reader {
            variable,
            complaints: Vec::new(),
        };
        let disabled = reader.choice("OTEL_SDK_DISABLED", &["true", "false"]) == Some("true");
        for name in NUMBERS {
            if reader
                .value(name)
                .is_some_and(|value| value.parse::<u32>().is_err())
            {
                reader.complain(name, "a whole number");
            }
        }
        let sampling = reader.sampling();
        let propagators = reader.value("OTEL_PROPAGATORS").unwrap_or_default();
        let mut propagate = propagators.is_empty();
        for propagator in propagators.split(',').map(str::trim) {
            match propagator {
                "tracecontext" => propagate = true,
                // We have no baggage to carry; it is in everybody's default.
                "baggage" | "none" | "" => {}
                _ => reader.complain("OTEL_PROPAGATORS", "tracecontext, baggage or none"),
            }
        }
        Self {
            traces: !disabled && reader.exports("TRACES", &["otlp", "none"]),
            metrics: !disabled && reader.exports("METRICS", &["otlp", "prometheus", "none"]),
            sampling,
            propagate,
            names_service: reader.value("OTEL_SERVICE_NAME").is_some()
                || reader
                    .value("OTEL_RESOURCE_ATTRIBUTES")
                    .is_some_and(|attributes| {
                        attributes
                            .split(',')
                            .any(|attribute| attribute.trim_start().starts_with("service.name="))
                    }),
            complaints: reader.complaints,
        }
    }
}

struct Reader<F> {
    variable: F,
    complaints: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    /// A variable that is empty is one that is not set.
    fn value(&self, name: &str) -> Option<String> {
        (self.variable)(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    /// The value itself is not repeated: it may be a secret that was put into the wrong variable.
    fn complain(&mut self, name: &str, expected: &str) {
        self.complaints.push(format!("{name}: expected {expected}"));
    }

    fn choice<'a>(&mut self, name: &str, choices: &[&'a str]) -> Option<&'a str> {
        let value = self.value(name)?;
        let chosen = choices.iter().find(|choice| choice.eq_ignore_ascii_case(&value));
        if chosen.is_none() {
            self.complain(name, &choices.join(", "));
        }
        chosen.copied()
    }

    /// Whether a signal is sent over OTLP: where it says so, and else where it says where to.
    fn exports(&mut self, signal: &str, choices: &[&str]) -> bool {
        let of_signal = format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT");
        let endpoint = [of_signal.as_str(), "OTEL_EXPORTER_OTLP_ENDPOINT"]
            .into_iter()
            .any(|name| self.value(name).is_some());
        let exports = self
            .choice(&format!("OTEL_{signal}_EXPORTER"), choices)
            .map_or(endpoint, |exporter| exporter == "otlp");
        let protocols = [
            format!("OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"),
            "OTEL_EXPORTER_OTLP_PROTOCOL".to_owned(),
        ];
        if exports && let Some(name) = protocols.iter().find(|name| self.value(name).is_some()) {
            self.choice(name, &[PROTOCOL]);
        }
        exports
    }

    fn sampling(&mut self) -> Sampling {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        let chosen = self.choice(
            NAME,
            &[
                "always_on",
                "always_off",
                "traceidratio",
                "parentbased_always_on",
                "parentbased_always_off",
                "parentbased_traceidratio",
            ],
        );
        let of_parent = |sampler| Box::new(Sampler::ParentBased(Box::new(sampler)));
        Sampling::Keep(match chosen.unwrap_or("parentbased_always_on") {
            "always_on" => Box::new(Sampler::AlwaysOn),
            "always_off" => return Sampling::Off(Sampler::AlwaysOff),
            "parentbased_always_off" => return Sampling::Off(*of_parent(Sampler::AlwaysOff)),
            "traceidratio" => Box::new(Sampler::TraceIdRatioBased(self.ratio())),
            "parentbased_traceidratio" => of_parent(Sampler::TraceIdRatioBased(self.ratio())),
            _ => of_parent(Sampler::AlwaysOn),
        })
    }

    fn ratio(&mut self) -> f64 {
        const NAME: &str = "OTEL_TRACES_SAMPLER_ARG";
        let ratio = self.value(NAME).and_then(|value| value.parse().ok());
        ratio
            .filter(|ratio| (0.0..=1.0).contains(ratio))
            .unwrap_or_else(|| {
                self.complain(NAME, "a ratio from 0 to 1");
                1.0
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::from(|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn spans_are_exported_where_it_is_said_where_to_and_not_that_they_are_not() {
        const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        for (variables, traces) in [
            (&[][..], false),
            (&[ENDPOINT], true),
            (
                &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/v1/traces")],
                true,
            ),
            (
                &[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://c/v1/metrics")],
                false,
            ),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], false),
            (&[("OTEL_TRACES_EXPORTER", "otlp")], true),
            (&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")], false),
            (&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "None")], false),
            (&[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")], false),
            (&[ENDPOINT, ("OTEL_SDK_DISABLED", "false")], true),
        ] {
            let environment = environment(variables);
            assert_eq!(environment.traces, traces, "{variables:?}");
            assert_eq!(environment.complaints, [""; 0], "{variables:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_left_out_and_told_without_its_value() {
        for (name, expected) in [
            ("OTEL_SDK_DISABLED", "true, false"),
            ("OTEL_TRACES_EXPORTER", "otlp, none"),
            ("OTEL_METRICS_EXPORTER", "otlp, prometheus, none"),
            ("OTEL_PROPAGATORS", "tracecontext, baggage or none"),
            ("OTEL_BSP_SCHEDULE_DELAY", "a whole number"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_TRACES_SAMPLER", "always_on, always_off"),
            ("OTEL_TRACES_SAMPLER_ARG", "a ratio from 0 to 1"),
        ] {
            let mut variables = vec![("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/v1/traces")];
            if name == "OTEL_TRACES_SAMPLER_ARG" {
                variables.push(("OTEL_TRACES_SAMPLER", "traceidratio"));
            }
            variables.push((name, "s3cret"));
            let environment = environment(&variables);
            assert!(environment.traces, "{name}");
            let [complaint] = environment.complaints.as_slice() else {
                panic!("{name}: {:?}", environment.complaints);
            };
            assert!(
                complaint.starts_with(&format!("{name}: expected {expected}")),
                "{complaint}"
            );
            assert!(!complaint.contains("s3cret"), "{complaint}");
        }
    }

    #[test]
    fn samplers_are_those_of_the_specification() {
        let sampling = |sampler: &str, arg: &str| {
            let environment =
                environment(&[("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", arg)]);
            assert_eq!(environment.complaints, [""; 0], "{sampler} {arg}");
            format!("{:?}", environment.sampling)
        };
        assert_eq!(sampling("", ""), "Keep(ParentBased(AlwaysOn))");
        assert_eq!(sampling("traceidratio", "0.25"), "Keep(TraceIdRatioBased(0.25))");
        assert_eq!(
            sampling("parentbased_traceidratio", "0"),
            "Keep(ParentBased(TraceIdRatioBased(0.0)))"
        );
        assert_eq!(sampling("always_off", ""), "Off(AlwaysOff)");
    }

    #[test]
    fn the_context_goes_on_unless_nothing_is_to() {
        for (value, propagate) in [
            ("", true),
            ("tracecontext,baggage", true),
            ("baggage", false),
            ("none", false),
        ] {
            let environment = environment(&[("OTEL_PROPAGATORS", value)]);
            assert_eq!(environment.propagate, propagate, "{value:?}");
        }
    }

    #[test]
    fn who_names_the_service_is_not_overruled() {
        for (name, value, names) in [
            ("OTEL_SERVICE_NAME", "mine", true),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=mine", true),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=mine", false),
        ] {
            assert_eq!(environment(&[(name, value)]).names_service, names, "{value}");
        }
    }
}
