//! What a person sees while it starts: a spinner in a terminal, a line a step elsewhere.

use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// The start as a whole.
pub(crate) struct Progress {
    began: Instant,
}

/// One step of it.
pub(crate) struct Step {
    bar: ProgressBar,
    name: &'static str,
    began: Instant,
}

impl Progress {
    pub(crate) fn start() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    pub(crate) fn step(&self, name: &'static str) -> Step {
        let bar = ProgressBar::new_spinner().with_message(name);
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        // Hidden by itself where standard error is no terminal.
        bar.enable_steady_tick(Duration::from_millis(120));
        Step {
            bar,
            name,
            began: Instant::now(),
        }
    }

    /// `link` opens the board, once: it is for whoever reads this, and in no log.
    pub(crate) fn ready(&self, endpoints: &Path, link: Option<&str>, demo: usize) {
        // As this program was called, so that lines can be pasted.
        let program = std::env::args().next().unwrap_or_else(|| "statusctl".to_owned());
        let place = endpoints
            .parent()
            .filter(|folder| *folder != crate::endpoints::default_data_dir())
            .map_or_else(String::new, |folder| format!(" --data-dir {}", folder.display()));
        let mut text = format!(
            "\nReady after {:.1?}. Where everything is: {}\n",
            self.began.elapsed(),
            endpoints.display()
        );
        if let Some(link) = link {
            text.push_str(&format!(
                "Open it:   {link}\n           (once, within 15 minutes; `{program} board{place}` prints another)\n"
            ));
        }
        text.push_str(&format!("Watch it:  {program} watch{place}"));
        if demo == 0 {
            text.push_str(
                "\nThe fleet is empty: insert toolboxes and instances into the tables, or try --demo 20.",
            );
        }
        text.push_str("\nCtrl-C ends it; the data stays.");
        say(&text);
    }
}

impl Step {
    pub(crate) fn done(self, what: &str) {
        self.bar.finish_and_clear();
        say(&format!(
            "  ✓ {:<18} {what} ({:.1?})",
            self.name,
            self.began.elapsed()
        ));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn say(text: &str) {
    use std::io::Write as _;
    // For people only: scripts read endpoints.json, and a closed terminal is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{text}");
}
