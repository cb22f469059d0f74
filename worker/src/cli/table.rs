//! Aligned columns that survive hostile file names and narrow terminals.

use console::measure_text_width;

/// A table that is written portion by portion: the header once, the widths never shrinking.
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    headed: bool,
}

/// One column.
pub struct Column {
    title: &'static str,
    fit: Fit,
    width: usize,
}

/// What is done with a column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// Aligned left.
    Left,
    /// Aligned right.
    Right,
    /// Aligned left; its end is cut off if the terminal is narrow.
    CutEnd,
    /// Aligned left; its beginning is cut off if the terminal is narrow.
    CutStart,
}

/// Between columns.
const GAP: usize = 2;
/// No column is cut narrower than this.
const LEAST: usize = 12;

impl Column {
    /// Words of a known length.
    pub fn left(title: &'static str) -> Self {
        Self { title, fit: Fit::Left, width: measure_text_width(title) }
    }

    /// Numbers.
    pub fn right(title: &'static str) -> Self {
        Self { fit: Fit::Right, ..Self::left(title) }
    }

    /// Text of any length, whose beginning matters most.
    pub fn text(title: &'static str) -> Self {
        Self { fit: Fit::CutEnd, ..Self::left(title) }
    }

    /// Paths of any length, whose end matters most.
    pub fn path(title: &'static str) -> Self {
        Self { fit: Fit::CutStart, ..Self::left(title) }
    }
}

impl Table {
    /// A table without rows.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new(), headed: false }
    }

    /// Adds a row: one cell for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().map(|cell| printable(&cell)).collect();
        for (column, cell) in self.columns.iter_mut().zip(&cells) {
            column.width = column.width.max(measure_text_width(cell));
        }
        self.rows.push(cells);
    }

    /// Rows that were not written yet.
    pub fn gathered(&self) -> usize {
        self.rows.len()
    }

    /// The rows added since the last call, as lines no wider than `width`, under the header if it is the first call.
    /// Without rows there is no header either.
    pub fn take(&mut self, width: Option<usize>) -> String {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return String::new();
        }
        let widths = self.widths(width);
        let mut text = String::new();
        if !std::mem::replace(&mut self.headed, true) {
            self.line(&mut text, self.columns.iter().map(|column| column.title), &widths);
        }
        for row in &rows {
            self.line(&mut text, row.iter().map(String::as_str), &widths);
        }
        text
    }

    /// Takes from the widest column that may be cut until the line fits, or nothing can be taken any more.
    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.width).collect();
        let Some(limit) = limit else { return widths };
        let line = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        while line(&widths) > limit {
            let cut = |index: &usize| matches!(self.columns[*index].fit, Fit::CutEnd | Fit::CutStart);
            let widest = (0..widths.len()).filter(cut).max_by_key(|&index| widths[index]);
            match widest {
                Some(index) if widths[index] > LEAST => widths[index] -= 1,
                _ => break,
            }
        }
        widths
    }

    fn line<'a>(&self, text: &mut String, cells: impl Iterator<Item = &'a str>, widths: &[usize]) {
        let start = text.len();
        for (index, ((cell, column), &width)) in cells.zip(&self.columns).zip(widths).enumerate() {
            if index > 0 {
                text.push_str(&" ".repeat(GAP));
            }
            let cell = match column.fit {
                Fit::CutEnd => cut_end(cell, width),
                Fit::CutStart => cut_start(cell, width),
                _ => cell.to_owned(),
            };
            let space = " ".repeat(width.saturating_sub(measure_text_width(&cell)));
            if column.fit == Fit::Right {
                text.push_str(&space);
                text.push_str(&cell);
            } else {
                text.push_str(&cell);
                text.push_str(&space);
            }
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }
}

/// `text` with everything escaped that would move the cursor, change the terminal or the direction of writing.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        // Directional marks, embeddings, overrides and isolates: they can make a name read as another.
        let directs = matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || directs {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A value of any length and form as one short piece of text; programs get it whole.
pub fn excerpt(value: &str) -> String {
    const LONGEST: usize = 60;
    cut_end(&value.replace('\n', " / "), LONGEST)
}

fn cut_end(text: &str, width: usize) -> String {
    if measure_text_width(text) <= width {
        return text.to_owned();
    }
    let kept = fitting(text.chars(), width.saturating_sub(1));
    text.chars().take(kept).chain(['…']).collect()
}

fn cut_start(text: &str, width: usize) -> String {
    if measure_text_width(text) <= width {
        return text.to_owned();
    }
    let kept = fitting(text.chars().rev(), width.saturating_sub(1));
    let left_out = text.chars().count() - kept;
    std::iter::once('…').chain(text.chars().skip(left_out)).collect()
}

/// How many characters fit into `width` columns.
fn fitting(chars: impl Iterator<Item = char>, width: usize) -> usize {
    let mut used = 0;
    chars
        .take_while(|c| {
            used += measure_text_width(c.encode_utf8(&mut [0; 4]));
            used <= width
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[[&str; 3]]) -> Table {
        let mut table = Table::new([Column::left("KIND"), Column::right("SCORE"), Column::path("FILE")]);
        rows.iter().for_each(|row| table.row(row.map(str::to_owned)));
        table
    }

    #[test]
    fn columns_are_aligned_by_what_is_seen() {
        let text = table(&[["tag", "0.9", "/a"], ["猫猫猫", "0.95", "/b"]]).take(None);
        assert_eq!(text, "KIND    SCORE  FILE\ntag       0.9  /a\n猫猫猫   0.95  /b\n");
    }

    #[test]
    fn paths_lose_their_beginning_on_narrow_terminals() {
        let text = table(&[["tag", "0.9", "/very/long/folder/picture.jpg"]]).take(Some(30));
        assert_eq!(text.lines().last(), Some("tag     0.9  …lder/picture.jpg"));
        assert!(text.lines().all(|line| measure_text_width(line) <= 30));
        let wide = "/猫猫猫猫猫猫猫猫猫猫猫猫猫猫.jpg";
        let text = table(&[["tag", "0.9", wide]]).take(Some(30));
        assert!(text.lines().all(|line| measure_text_width(line) <= 30), "{text}");
    }

    #[test]
    fn names_cannot_break_lines_or_take_over_the_terminal() {
        let text = table(&[["tag", "1", "/a\nb\u{1b}]0;x\u{7}\u{9b}31m\u{202e}gpj.exe"]]).take(None);
        assert_eq!(text.lines().count(), 2);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        assert!(text.contains("/a\\nb\\u{1b}]0;x\\u{7}\\u{9b}31m\\u{202e}gpj.exe"), "{text}");
    }

    #[test]
    fn portions_share_one_header_and_keep_their_columns() {
        let mut table = table(&[["caption", "0.91", "/a"]]);
        let first = table.take(None);
        table.row(["tag", "1", "/b"].map(str::to_owned));
        assert_eq!(
            first + &table.take(None),
            "KIND     SCORE  FILE\ncaption   0.91  /a\ntag          1  /b\n"
        );
        assert_eq!(table.take(None), "");
    }
}
