//! The standard `OTEL_*` variables that the SDK does not read itself.

/// What the environment says about telemetry.
#[derive(Debug)]
pub(super) struct Environment {
    /// Whether spans are exported.
    pub(super) traces: bool,
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
        let is =
            |name: &str, value: &str| variable(name).is_some_and(|have| have.eq_ignore_ascii_case(value));
        let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
        let traces = (set("OTEL_EXPORTER_OTLP_ENDPOINT") || set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
            && !is("OTEL_SDK_DISABLED", "true")
            && !is("OTEL_TRACES_EXPORTER", "none");
        Self { traces }
    }
}
