//! Tables as kubectl prints them: a head in capitals, two blanks between columns, no lines.
//!
//! On a terminal that is too narrow, the columns that can do with less get less; then the least important are left out.
//! In a pipe nothing is cut.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::show::{Look, Tint, clean};

const GAP: usize = 2;
/// What a column that gives way keeps: enough to tell one name from another.
const LEAST: usize = 12;

/// One column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    head: &'static str,
    /// Whether it may be cut.
    elastic: bool,
    /// 0: always there. Else the highest is left out first.
    rank: u8,
}

impl Column {
    /// One that is always shown whole.
    pub(crate) const fn fixed(head: &'static str) -> Self {
        Self {
            head,
            elastic: false,
            rank: 0,
        }
    }

    /// One that may be cut.
    pub(crate) const fn elastic(head: &'static str) -> Self {
        Self {
            head,
            elastic: true,
            rank: 0,
        }
    }

    /// May be left out; the highest rank goes first.
    pub(crate) const fn rank(self, rank: u8) -> Self {
        Self { rank, ..self }
    }
}

/// One cell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    tint: Option<Tint>,
}

impl Cell {
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        Self {
            text: clean(text.as_ref()),
            tint: None,
        }
    }

    pub(crate) fn tinted(text: impl AsRef<str>, tint: Option<Tint>) -> Self {
        Self {
            tint,
            ..Self::new(text)
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

/// The table; every row has as many cells as there are columns.
pub(crate) fn render(columns: &[Column], rows: &[Vec<Cell>], look: Look) -> String {
    let natural: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(place, column)| {
            let cells = rows.iter().filter_map(|row| row.get(place));
            let widest = cells.map(|cell| cell.text.width()).max().unwrap_or(0);
            widest.max(column.head.width())
        })
        .collect();
    let shown = fit(columns, &natural, look.columns);
    let mut out = String::new();
    let head = |place: usize| Cell::tinted(columns[place].head, Some(Tint::Bold));
    line(&mut out, &shown, head, look);
    for row in rows {
        let cell = |place: usize| row.get(place).cloned().unwrap_or_default();
        line(&mut out, &shown, cell, look);
    }
    out
}

/// Which columns are shown, and how wide.
fn fit(columns: &[Column], natural: &[usize], limit: Option<usize>) -> Vec<(usize, usize)> {
    let mut shown: Vec<(usize, usize)> = natural.iter().copied().enumerate().collect();
    let Some(limit) = limit else { return shown };
    loop {
        let total = |shown: &[(usize, usize)]| {
            shown.iter().map(|(_, width)| width).sum::<usize>() + GAP * shown.len().saturating_sub(1)
        };
        // The last gives way first: it is the longest text and the least needed to know which row it is.
        let mut over = total(&shown).saturating_sub(limit);
        for (place, width) in shown
            .iter_mut()
            .rev()
            .filter(|(place, _)| columns[*place].elastic)
        {
            let least = LEAST.max(columns[*place].head.width()).min(*width);
            let less = over.min(*width - least);
            *width -= less;
            over -= less;
        }
        if over == 0 {
            return shown;
        }
        let least_important = shown
            .iter()
            .map(|(place, _)| *place)
            .filter(|place| columns[*place].rank > 0)
            .max_by_key(|place| columns[*place].rank);
        let Some(gone) = least_important else { return shown };
        shown = natural
            .iter()
            .copied()
            .enumerate()
            .filter(|(place, _)| *place != gone && shown.iter().any(|(other, _)| other == place))
            .collect();
    }
}

fn line(out: &mut String, shown: &[(usize, usize)], cell: impl Fn(usize) -> Cell, look: Look) {
    let mut blanks = 0;
    for (place, width) in shown {
        let cell = cell(*place);
        let text = cut(&cell.text, *width);
        if !text.is_empty() {
            // Blanks before a text and never after the last: no line ends in them.
            out.extend(std::iter::repeat_n(' ', blanks));
            out.push_str(&look.paint(&text, cell.tint));
            blanks = 0;
        }
        blanks += width - text.width() + GAP;
    }
    out.push('\n');
}

/// The text in at most `width` columns, with `…` where something is missing.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    for letter in text.chars() {
        used += letter.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(letter);
    }
    let mut kept = kept.trim_end().to_owned();
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::elastic("NAME"),
        Column::fixed("STATE"),
        Column::fixed("SINCE").rank(2),
        Column::elastic("WHY"),
    ];

    fn table(columns: Option<usize>, color: bool) -> String {
        let rows = [
            ["mcp-github", "running", "2d 4h", ""],
            [
                "mcp-東京-with-a-very-long-name",
                "error",
                "3s",
                "exit code 137 (out of memory), again",
            ],
        ];
        let rows: Vec<Vec<Cell>> = rows
            .iter()
            .map(|row| {
                let mut cells: Vec<Cell> = row.iter().map(Cell::from).collect();
                cells[1].tint = (row[1] == "error").then_some(Tint::Bad);
                cells
            })
            .collect();
        let look = Look {
            columns,
            color,
            now: jiff::Timestamp::UNIX_EPOCH,
        };
        render(&COLUMNS, &rows, look)
    }

    #[test]
    fn in_a_pipe_nothing_is_cut() {
        insta::assert_snapshot!(table(None, false));
    }

    #[test]
    fn narrower_and_narrower() {
        let widths = [80, 60, 45, 35, 10];
        let tables: Vec<String> = widths
            .iter()
            .map(|width| format!("{width:-<width$}\n{}", table(Some(*width), false)))
            .collect();
        insta::assert_snapshot!(tables.join("\n"));
        for (text, width) in tables.iter().zip(widths).take(4) {
            assert!(text.lines().all(|line| line.width() <= width), "{text}");
        }
    }

    #[test]
    fn colours_take_no_room() {
        let colored = table(Some(60), true);
        assert!(colored.contains("\x1b[31merror\x1b[0m"));
        let plain = ["\x1b[31m", "\x1b[1m", "\x1b[0m"]
            .iter()
            .fold(colored, |text, code| text.replace(code, ""));
        assert_eq!(plain, table(Some(60), false));
    }
}
