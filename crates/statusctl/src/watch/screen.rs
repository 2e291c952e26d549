//! The terminal's alternate screen, given back at the end.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;

use crate::ctl::Context;
use crate::show::Look;
use crate::watch::table::Board;

/// At most this many redraws a second: faster than eyes, slower than a storm of changes.
pub(crate) const REDRAW: Duration = Duration::from_millis(100);
/// Ages on the screen are in seconds.
pub(crate) const TICK: Duration = Duration::from_secs(1);

/// The screen.
pub(crate) struct Screen;

impl Screen {
    pub(crate) fn open() -> anyhow::Result<Self> {
        Self::write("\x1b[?1049h\x1b[?25l")?;
        Ok(Self)
    }

    /// `away`: whom it cannot hear at present.
    pub(crate) fn draw(&self, context: &Context, board: &Board, away: Option<&str>) -> anyhow::Result<()> {
        let (columns, rows) = rustix::termios::tcgetwinsize(std::io::stdout())
            .map_or((100, 30), |size| (size.ws_col.max(40), size.ws_row.max(8)));
        let look = Look {
            columns: Some(columns.into()),
            ..context.look()
        };
        let mut text = String::from("\x1b[H");
        for line in board.render(look, rows, away).lines() {
            text.push_str(line);
            text.push_str("\x1b[K\r\n");
        }
        text.push_str("\x1b[J");
        Self::write(&text)
    }

    fn write(text: &str) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .context("failed to write to the terminal")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = Self::write("\x1b[?25h\x1b[?1049l");
    }
}
