//! What a table is made of: its separator, and where its rows begin.

use crate::vocabulary::VocabularyError;

/// A table before its cells are read.
pub(super) struct Shape<'a> {
    pub separator: u8,
    /// The table, without Excel's line that names the separator.
    pub table: &'a str,
    /// Where each row begins that is not empty.
    pub lines: Vec<u64>,
}

impl<'a> Shape<'a> {
    pub(super) fn of(text: &'a str) -> Result<Self, VocabularyError> {
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        let named =
            first.trim().trim_matches('"').strip_prefix("sep=").filter(|separator| separator.len() == 1);
        let (separator, table, before) = match named {
            Some(separator) => (separator.as_bytes()[0], rest, 1),
            None => (separator(text), text, 0),
        };
        Ok(Self { separator, table, lines: lines(table, separator, before)? })
    }
}

/// What separates the cells of the header: what it has most of outside of quotes.
fn separator(text: &str) -> u8 {
    let header = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    for byte in header.bytes() {
        quoted ^= byte == b'"';
        for (separator, count) in &mut counts {
            *count += usize::from(!quoted && byte == *separator);
        }
    }
    // The first of the most.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(separator, _)| *separator)
}

/// The lines of the rows. A quote that is never closed is refused where it opens: it would swallow the rest.
fn lines(table: &str, separator: u8, before: u64) -> Result<Vec<u64>, VocabularyError> {
    enum At {
        Row,
        Cell,
        Inside,
        Quoted(u64),
        Quote(u64),
    }
    let mut lines = Vec::new();
    let mut line = before + 1;
    let mut at = At::Row;
    for byte in table.bytes() {
        if matches!(at, At::Row) && byte != b'\n' {
            lines.push(line);
        }
        at = match (at, byte) {
            (At::Row | At::Cell, b'"') => At::Quoted(line),
            (At::Quoted(opened), b'"') => At::Quote(opened),
            (At::Quote(opened), b'"') => At::Quoted(opened),
            (At::Quoted(opened), _) => At::Quoted(opened),
            (_, b'\n') => At::Row,
            (_, byte) if byte == separator => At::Cell,
            _ => At::Inside,
        };
        line += u64::from(byte == b'\n');
    }
    match at {
        At::Quoted(opened) => {
            Err(VocabularyError::at(opened, "a quote is never closed", "close it, or double it"))
        }
        _ => Ok(lines),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_separator_is_what_the_header_has_most_of() {
        let of = |text| Shape::of(text).expect("a table").separator;
        assert_eq!(of("a,b,c;d"), b',');
        assert_eq!(of("a;b;\"c,d,e,f\"\n1,2,3,4,5"), b';');
        assert_eq!(of("\na\tb"), b'\t');
        assert_eq!(of("alone"), b',');
        assert_eq!(of("sep=;\na,b,c"), b';');
    }

    #[test]
    fn rows_know_their_lines() {
        let lines = |text| Shape::of(text).map(|shape| shape.lines).map_err(|error| error.line);
        assert_eq!(lines("a,b\n\n\"x\n\"\"y\",1\nz 5\" \",2\n"), Ok(vec![1, 3, 5]));
        assert_eq!(lines("sep=,\na,b\n1,2"), Ok(vec![2, 3]));
        assert_eq!(lines("a,b\n1,\"2\n3,4\n"), Err(Some(2)));
    }
}
