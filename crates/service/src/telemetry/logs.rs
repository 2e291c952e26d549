//! Log lines on standard error, with the trace they belong to, and what is logged, which can be changed at run time.
//!
//! Spans are not for the log: they go to the traces. Where nothing is traced they are therefore nobody's, and cost what
//! looking at a flag costs.

use std::fmt;
use std::io::IsTerminal as _;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::fmt::format::{self, Format, Full, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt as lines};

use crate::options::{LogFormat, TelemetryOptions};

/// The levels of this process, once its telemetry has started.
static LEVELS: OnceLock<Levels> = OnceLock::new();
/// Longest text of directives that is read: a stranger's.
const LONGEST: usize = 1_000;

/// What is logged.
struct Levels {
    filter: reload::Handle<EnvFilter, Registry>,
    configured: String,
    /// Counts the changes, so that the end of one does not undo the next.
    changes: Mutex<u64>,
}

/// The layer that writes lines.
///
/// # Errors
/// Names what is wrong with the directives.
pub(super) fn layer(options: &TelemetryOptions) -> anyhow::Result<Box<dyn Layer<Registry> + Send + Sync>> {
    let filter =
        EnvFilter::try_new(&options.log).with_context(|| format!("failed to read log {:?}", options.log))?;
    // The filter is this layer's: a global one would drop spans too, and with them the propagation of their context.
    let (filter, handle) = reload::Layer::new(filter);
    let _ = LEVELS.set(Levels {
        filter: handle,
        configured: options.log.clone(),
        changes: Mutex::default(),
    });
    let filter = filter.and(filter_fn(|metadata| metadata.is_event()));
    let layer = lines::layer().with_writer(std::io::stderr);
    Ok(match options.log_format {
        LogFormat::Pretty => {
            let colours = std::io::stderr().is_terminal() && !no_colour();
            layer
                .with_ansi(colours)
                .event_format(Traced(Format::default().with_ansi(colours)))
                .with_filter(filter)
                .boxed()
        }
        LogFormat::Json => layer
            .fmt_fields(JsonFields::new())
            .event_format(Traced(
                Format::default()
                    .json()
                    .flatten_event(true)
                    .with_current_span(false),
            ))
            .with_filter(filter)
            .boxed(),
    })
}

/// Logs what `directives` say for a while, and then again what the process was started with; without any, at once.
///
/// Must be called within a Tokio runtime. Calling it again begins the while anew.
///
/// # Errors
/// Says what is wrong with them, for people.
pub fn log(directives: Option<&str>, lasting: Duration) -> Result<(), String> {
    LEVELS
        .get()
        .ok_or_else(|| "this process keeps no log".to_owned())?
        .log(directives, lasting)
}

impl Levels {
    fn log(&'static self, directives: Option<&str>, lasting: Duration) -> Result<(), String> {
        let Some(directives) = directives else {
            self.change(&self.configured)?;
            self.tell_restored();
            return Ok(());
        };
        if directives.len() > LONGEST {
            return Err(format!("expected at most {LONGEST} characters"));
        }
        let change = self.change(directives)?;
        tracing::info!(log = directives, ?lasting, "what is logged was changed");
        // Lives for that while and holds nothing. Where the runtime ends before, so does the log.
        tokio::spawn(async move {
            tokio::time::sleep(lasting).await;
            if self.is_latest(change) && self.change(&self.configured).is_ok() {
                self.tell_restored();
            }
        });
        Ok(())
    }

    fn tell_restored(&self) {
        tracing::info!(log = self.configured, "what is logged is as it was configured");
    }

    /// The number of the change.
    fn change(&self, directives: &str) -> Result<u64, String> {
        let filter = EnvFilter::try_new(directives).map_err(|error| error.to_string())?;
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        self.filter
            .reload(filter)
            .map_err(|_| "the log has ended".to_owned())?;
        *changes += 1;
        Ok(*changes)
    }

    fn is_latest(&self, change: u64) -> bool {
        *self.changes.lock().unwrap_or_else(PoisonError::into_inner) == change
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the convention of https://no-color.org, which every terminal program reads"
)]
fn no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Lines as the inner format writes them, with `trace_id` and `span_id` where they belong to a trace that is kept.
struct Traced<F>(F);

/// The end of what the inner format writes, before which the ids go, and how they are written.
trait Ids {
    const END: &'static str;
    fn write(into: &mut Writer<'_>, trace: impl fmt::Display, span: impl fmt::Display) -> fmt::Result;
}

impl Ids for Format<Json> {
    const END: &'static str = "}\n";

    fn write(into: &mut Writer<'_>, trace: impl fmt::Display, span: impl fmt::Display) -> fmt::Result {
        write!(into, r#","trace_id":"{trace}","span_id":"{span}""#)
    }
}

impl Ids for Format<Full> {
    const END: &'static str = "\n";

    fn write(into: &mut Writer<'_>, trace: impl fmt::Display, span: impl fmt::Display) -> fmt::Result {
        write!(into, " trace_id={trace} span_id={span}")
    }
}

impl<S, N, F> FormatEvent<S, N> for Traced<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N> + Ids,
{
    fn format_event(
        &self,
        at: &FmtContext<'_, S, N>,
        mut into: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // Not asked of the span: the layer that writes lines knows of none.
        let span = Context::map_current(|context| context.span().span_context().clone());
        if !span.is_sampled() {
            return self.0.format_event(at, into, event);
        }
        let mut line = String::new();
        self.0.format_event(at, format::Writer::new(&mut line), event)?;
        let Some(line) = line.strip_suffix(F::END) else {
            return into.write_str(&line);
        };
        into.write_str(line)?;
        F::write(&mut into, span.trace_id(), span.span_id())?;
        into.write_str(F::END)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// All that was logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Log {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// What is logged inside of a span and outside, and the ids of that span.
    fn logged(layer: impl Layer<Registry> + Send + Sync, log: &Log, sampler: Sampler) -> (String, String) {
        let provider = SdkTracerProvider::builder().with_sampler(sampler).build();
        let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = Registry::default()
            .with(layer.with_filter(filter_fn(|of| of.is_event())))
            .with(spans);
        let mut ids = String::new();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(answer = 42, "outside");
            tracing::info_span!("span", secret = "x").in_scope(|| {
                let span = Context::map_current(|context| context.span().span_context().clone());
                ids = format!("{} {}", span.trace_id(), span.span_id());
                tracing::info!("inside");
            });
        });
        (log.take(), ids)
    }

    #[test]
    fn lines_name_the_trace_they_belong_to() {
        let log = Log::default();
        let pretty = || {
            let format = Traced(Format::default().with_ansi(false));
            lines::layer()
                .with_writer(log.clone())
                .with_ansi(false)
                .event_format(format)
        };
        let (text, ids) = logged(pretty(), &log, Sampler::AlwaysOn);
        let (trace, span) = ids.split_once(' ').unwrap();
        let [outside, inside] = text.lines().collect::<Vec<_>>()[..] else {
            panic!("{text}");
        };
        assert!(outside.ends_with("outside answer=42"), "{outside}");
        assert!(
            inside.ends_with(&format!("inside trace_id={trace} span_id={span}")),
            "{inside}"
        );

        let format = Traced(
            Format::default()
                .json()
                .flatten_event(true)
                .with_current_span(false),
        );
        let json = lines::layer()
            .with_writer(log.clone())
            .fmt_fields(JsonFields::new())
            .event_format(format);
        let (text, ids) = logged(json, &log, Sampler::AlwaysOn);
        let parsed: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let [outside, inside] = parsed.as_slice() else {
            panic!("{text}");
        };
        assert_eq!(
            (outside["answer"].as_i64(), outside.get("trace_id")),
            (Some(42), None)
        );
        let told = format!(
            "{} {}",
            inside["trace_id"].as_str().unwrap(),
            inside["span_id"].as_str().unwrap()
        );
        assert_eq!(told, ids);
        assert!(
            !text.contains("secret"),
            "a span's fields are for its trace: {text}"
        );

        let (text, _) = logged(pretty(), &log, Sampler::AlwaysOff);
        assert!(!text.contains("trace_id"), "of a trace that nobody keeps: {text}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_logged_is_changed_for_a_while() {
        const WHILE: Duration = Duration::from_secs(600);
        let log = Log::default();
        let (filter, handle) = reload::Layer::new(EnvFilter::new("off"));
        let layer = lines::layer().with_writer(log.clone()).with_filter(filter);
        let _default = tracing::subscriber::set_default(Registry::default().with(layer));
        let levels: &'static Levels = Box::leak(Box::new(Levels {
            filter: handle,
            configured: "off".to_owned(),
            changes: Mutex::default(),
        }));
        let is_logged = || {
            log.take();
            tracing::debug!("seen");
            log.take().contains("seen")
        };
        // Spawned tasks see the time only when they were polled.
        let pass = async |time| {
            tokio::task::yield_now().await;
            tokio::time::advance(time).await;
            tokio::task::yield_now().await;
        };
        assert!(!is_logged());
        levels.log(Some("debug"), WHILE).unwrap();
        assert!(is_logged());
        pass(WHILE / 2).await;
        levels.log(Some("service=debug"), WHILE).unwrap();
        pass(WHILE / 2).await;
        assert!(is_logged(), "the end of the first undid the second");
        pass(WHILE / 2).await;
        assert!(!is_logged(), "it did not end");
        levels.log(Some("debug"), WHILE).unwrap();
        levels.log(None, WHILE).unwrap();
        assert!(!is_logged());
        for wrong in ["bus=loud", &"a".repeat(LONGEST + 1)] {
            levels.log(Some(wrong), WHILE).unwrap_err();
        }
        assert!(!is_logged());
    }
}
