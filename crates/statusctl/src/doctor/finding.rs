//! One thing that was looked at, and how it is shown.

use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use crate::doctor::runbook::Advice;
use crate::exit::Exit;
use crate::show::{Look, Tint, clean, counted};

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// As it must be.
    Ok,
    /// It works, and will not for long, or not for all.
    Warning,
    /// It does not work.
    Error,
    /// Not looked at.
    Skipped,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    /// What was looked at.
    pub(crate) check: &'static str,
    /// How it is.
    pub(crate) level: Level,
    /// In words.
    pub(crate) what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) todo: Option<&'static str>,
    /// Where more is said: `runbook#…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runbook: Option<String>,
}

impl Finding {
    fn new(check: &'static str, level: Level, what: impl AsRef<str>, advice: Option<Advice>) -> Self {
        Self {
            check,
            level,
            what: clean(what.as_ref()),
            todo: advice.map(|advice| advice.todo),
            runbook: advice.map(|advice| format!("runbook#{}", advice.slug)),
        }
    }

    pub(crate) fn ok(check: &'static str, what: impl AsRef<str>) -> Self {
        Self::new(check, Level::Ok, what, None)
    }

    pub(crate) fn warning(check: &'static str, what: impl AsRef<str>, advice: Advice) -> Self {
        Self::new(check, Level::Warning, what, Some(advice))
    }

    pub(crate) fn error(check: &'static str, what: impl AsRef<str>, advice: Advice) -> Self {
        Self::new(check, Level::Error, what, Some(advice))
    }

    pub(crate) fn skipped(check: &'static str, what: impl AsRef<str>) -> Self {
        Self::new(check, Level::Skipped, what, None)
    }
}

/// A line a finding, what to do about it below, and a summary.
pub(crate) fn report(findings: &[Finding], look: Look) -> String {
    let widest = findings
        .iter()
        .map(|finding| finding.check.width())
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    for finding in findings {
        let (mark, tint) = match finding.level {
            Level::Ok => ("✓", Tint::Good),
            Level::Warning => ("!", Tint::Warning),
            Level::Error => ("✗", Tint::Bad),
            Level::Skipped => ("-", Tint::Dim),
        };
        let blanks = " ".repeat(widest - finding.check.width());
        out.push_str(&format!(
            "{} {}{blanks}  {}\n",
            look.paint(mark, Some(tint)),
            finding.check,
            finding.what
        ));
        if let (Some(todo), Some(runbook)) = (finding.todo, &finding.runbook) {
            let indent = " ".repeat(widest + 4);
            out.push_str(&format!(
                "{indent}→ {todo} {}\n",
                look.paint(&format!("({runbook})"), Some(Tint::Dim))
            ));
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count() as u64;
    let mut summary = vec![
        counted(count(Level::Error), "error", "s"),
        counted(count(Level::Warning), "warning", "s"),
        format!("{} ok", count(Level::Ok)),
    ];
    if count(Level::Skipped) > 0 {
        summary.push(format!("{} skipped", count(Level::Skipped)));
    }
    out.push_str(&format!("\n{}\n", summary.join(", ")));
    out
}

/// How it ends: only an error is a failure.
pub(crate) fn exit(findings: &[Finding]) -> Exit {
    if findings.iter().any(|finding| finding.level == Level::Error) {
        Exit::Failed
    } else {
        Exit::Done
    }
}
