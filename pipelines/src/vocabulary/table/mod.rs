//! Tables: a term in a row, its properties in columns. Spreadsheets write them.
//!
//! | Column | What it holds |
//! |---|---|
//! | `id`, `uri`, `notation` | docent's id, the address, the code |
//! | `term`, `label@en` | the preferred label, without a language or in one |
//! | `alt`, `alt@en`, `hidden`, `hidden@en` | other labels |
//! | `parent` | what is broader: its name, the path to it (`Animals > Dogs`), its id or its address |
//! | `note`, `note@en`, `prompt` | scope notes, prompts |
//! | `threshold`, `enabled`, `heading` | a number, yes or no |
//!
//! `|` separates several in all columns but the first two rows of this list; `\|` is the character itself and `\\` a
//! backslash. Headers stand in any order and case, and some other names of them are understood. docent writes commas,
//! and everything that a term has.

use std::collections::HashMap;

use super::draft::{Carries, KEY_MARK};
use super::error::shown;
use super::limits::{MAX_PARENTS, MAX_TERMS};
use super::refer::{Above, Directory, Entry, Found};
use super::{Draft, DraftTerm, Role, TermId, VocabularyError};

mod columns;
mod shape;
mod write;

use columns::Column;
use shape::Shape;
pub(super) use write::write;

/// A row, and what it calls broader.
struct Row {
    term: DraftTerm,
    parents: Vec<String>,
}

/// Whether a text begins as a table with a header that docent knows.
pub(super) fn looks_like_one(text: &str) -> bool {
    let Some(header) = text.trim_start().lines().next() else { return false };
    [',', ';', '\t'].into_iter().any(|separator| {
        let names = || header.split(separator).map(|name| name.trim_matches('"'));
        names().count() > 1 && names().any(|name| Column::of(name).is_some_and(|column| column.is_name()))
    })
}

/// Reads a table. Lines end with `\n`.
pub(super) fn read(text: &str) -> Result<Draft, VocabularyError> {
    let shape = Shape::of(text)?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(shape.separator)
        .has_headers(false)
        .flexible(true)
        .from_reader(shape.table.as_bytes());
    let mut records = shape.lines.iter().copied().zip(reader.records());
    let unreadable = |line, error: csv::Error| {
        VocabularyError::at(
            line,
            format!("the row cannot be read: {error}"),
            "compare it with the rows around it",
        )
    };
    let Some((line, header)) = records.next() else {
        return Err(VocabularyError::whole("the table is empty", "give it a header and a row for each term"));
    };
    let header = header.map_err(|error| unreadable(line, error))?;
    let mut draft = Draft::default();
    let columns = columns::of_header(line, &header, &mut draft)?;
    draft.carries = carries(&columns);
    let mut rows = Rows { list: Vec::new(), same: HashMap::new() };
    for (line, record) in records {
        let record = record.map_err(|error| unreadable(line, error))?;
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        if let Some(extra) = record.iter().skip(columns.len()).find(|cell| !cell.trim().is_empty()) {
            let reason = format!("the row has more cells than the header: '{}'", shown(extra.trim()));
            return Err(VocabularyError::at(line, reason, "put cells with a separator in them into quotes"));
        }
        let row = row(line, &columns, &record)?;
        rows.add(row, &mut draft)?;
    }
    finish(rows.list, draft)
}

fn carries(columns: &[Option<Column>]) -> Carries {
    let mut carries = Carries::NAMES;
    for column in columns.iter().flatten() {
        match column {
            Column::Id => {}
            Column::Uri => carries.uri = true,
            Column::Notation => carries.notation = true,
            Column::Label(role, language) => {
                carries.languages |= !language.is_none();
                carries.alternative |= *role == Role::Alternative;
                carries.hidden |= *role == Role::Hidden;
            }
            Column::Parent => carries.parents = true,
            Column::Note(_) => carries.notes = true,
            Column::Prompt => carries.prompts = true,
            Column::Threshold => carries.threshold = true,
            Column::Enabled => carries.enabled = true,
            Column::Heading => carries.heading = true,
        }
    }
    carries
}

/// Reads one row.
fn row(line: u64, columns: &[Option<Column>], record: &csv::StringRecord) -> Result<Row, VocabularyError> {
    let mut row = Row { term: DraftTerm::new(String::new(), line), parents: Vec::new() };
    let cells =
        || columns.iter().zip(record).filter_map(|(column, cell)| Some((column.as_ref()?, cell.trim())));
    // The names first, so that messages can say which term it is.
    let (names, others): (Vec<_>, Vec<_>) =
        cells().filter(|(_, cell)| !cell.is_empty()).partition(|(column, _)| column.is_name());
    for (column, cell) in names.into_iter().chain(others) {
        if cell.contains('\n') && !matches!(column, Column::Note(_)) {
            let reason =
                format!("a cell has a line break: '{}'", shown(cell.lines().next().unwrap_or_default()));
            return Err(VocabularyError::at(line, reason, "remove it, or close the quotes before it"));
        }
        row.take(line, column, cell)?;
    }
    let term = &row.term;
    if term.id.is_none()
        && term.uri.is_none()
        && !term.labels.iter().any(|label| label.role == Role::Preferred)
    {
        return Err(VocabularyError::at(
            line,
            "the row names no term",
            "fill its column 'term', or remove the row",
        ));
    }
    Ok(row)
}

impl Row {
    fn take(&mut self, line: u64, column: &Column, cell: &str) -> Result<(), VocabularyError> {
        let term = &mut self.term;
        match column {
            Column::Id => {
                let id = TermId::try_from(cell.to_owned());
                let next = "leave new terms without an id; name a column with other codes 'notation'";
                term.id = Some(id.map_err(|reason| VocabularyError::at(line, reason, next))?);
            }
            Column::Uri => term.set_uri(line, cell)?,
            Column::Notation => term.set_notation(line, cell)?,
            Column::Label(Role::Preferred, language) => {
                term.add_label(line, (Role::Preferred, language.clone()), cell)?;
            }
            Column::Label(role, language) => {
                for text in list(cell) {
                    term.add_label(line, (*role, language.clone()), &text)?;
                }
            }
            Column::Parent => {
                for parent in list(cell) {
                    if parent.contains(char::is_control) {
                        let reason = "the name of a broader term has a control character";
                        return Err(VocabularyError::at(line, reason, "type it again without"));
                    }
                    if self.parents.contains(&parent) {
                        continue;
                    }
                    if self.parents.len() >= MAX_PARENTS {
                        let reason = format!(
                            "the term '{}' has more than {MAX_PARENTS} broader terms",
                            shown(term.name())
                        );
                        return Err(VocabularyError::at(line, reason, "remove some"));
                    }
                    self.parents.push(parent);
                }
            }
            Column::Note(language) => {
                for text in list(cell) {
                    term.add_note(line, language.clone(), &text)?;
                }
            }
            Column::Prompt => {
                for text in list(cell) {
                    term.add_prompt(line, &text)?;
                }
            }
            Column::Threshold => term.set_threshold(line, cell)?,
            Column::Enabled => term.enabled = Some(columns::yes_or_no(line, cell)?),
            Column::Heading => term.heading = Some(columns::yes_or_no(line, cell)?),
        }
        Ok(())
    }
}

/// The parts of a cell between `|`, without empty ones. One after the other, because a cell can be as long as the file.
fn list(cell: &str) -> impl Iterator<Item = String> {
    let mut chars = cell.chars().peekable();
    let part = move || {
        chars.peek()?;
        let mut part = String::new();
        while let Some(c) = chars.next() {
            match (c, chars.peek()) {
                ('|', _) => break,
                ('\\', Some(&next @ ('|' | '\\'))) => {
                    chars.next();
                    part.push(next);
                }
                _ => part.push(c),
            }
        }
        Some(part.trim().to_owned())
    };
    std::iter::from_fn(part).filter(|part| !part.is_empty())
}

/// The rows so far.
struct Rows {
    list: Vec<Row>,
    /// Where the row with an id, an address, or a name and what is broader is.
    same: HashMap<Vec<String>, usize>,
}

impl Rows {
    /// Adds a row, or adds it to the one that names the same term below the same.
    fn add(&mut self, row: Row, draft: &mut Draft) -> Result<(), VocabularyError> {
        let Row { term, parents } = &row;
        let line = term.line;
        if self.list.len() >= MAX_TERMS {
            let reason = format!("the table has more than {MAX_TERMS} rows");
            return Err(VocabularyError::at(line, reason, "import a part of it"));
        }
        let addresses = [term.id.as_ref().map(|id| id.to_string()), term.uri.clone()];
        for address in addresses.into_iter().flatten() {
            if let Some(first) = self.same.insert(vec![address], self.list.len()) {
                let (name, first) = (shown(term.name()), self.list[first].term.line);
                let reason = format!("the id or the address of the term '{name}' is also in line {first}");
                return Err(VocabularyError::at(line, reason, "make one row of the two"));
            }
        }
        if term.id.is_none() && term.uri.is_none() {
            let mut identity = parents.clone();
            identity.sort();
            identity.insert(0, term.name().to_owned());
            // So that it is no address.
            identity.push(String::new());
            if let Some(&at) = self.same.get(&identity) {
                let first = self.list[at].term.line;
                draft.note(
                    line,
                    format!("the term '{}' is also in line {first}; both became one", shown(term.name())),
                );
                return self.list[at].term.absorb(row.term);
            }
            self.same.insert(identity, self.list.len());
        }
        self.list.push(row);
        Ok(())
    }
}

impl DraftTerm {
    /// Adds what another row says of the same term.
    fn absorb(&mut self, other: Self) -> Result<(), VocabularyError> {
        let line = other.line;
        for label in other.labels {
            self.add_label(line, (label.role, label.language), &label.text)?;
        }
        for note in other.notes {
            self.add_note(line, note.language, &note.text)?;
        }
        for prompt in &other.prompts {
            self.add_prompt(line, prompt)?;
        }
        self.notation = other.notation.or(self.notation.take());
        self.threshold = other.threshold.or(self.threshold);
        self.enabled = other.enabled.or(self.enabled);
        self.heading = other.heading.or(self.heading);
        Ok(())
    }
}

/// Gives each row its key, and finds what the rows call broader.
fn finish(rows: Vec<Row>, mut draft: Draft) -> Result<Draft, VocabularyError> {
    let key = |term: &DraftTerm| {
        let address = term.id.as_ref().map(|id| id.to_string()).or_else(|| term.uri.clone());
        address.unwrap_or_else(|| format!("{KEY_MARK}{}{KEY_MARK}{}", term.line, term.name()))
    };
    let keys: Vec<String> = rows.iter().map(|row| key(&row.term)).collect();
    let mut directory = Directory::new(rows.iter().map(entry).collect());
    let mut parents = Vec::with_capacity(rows.len());
    for row in &rows {
        let found = row.parents.iter().map(|text| parent(&rows, &keys, row, (text, directory.find(text)?)));
        parents.push(found.collect::<Result<Vec<_>, _>>()?);
    }
    drop(directory);
    for ((row, key), parents) in rows.into_iter().zip(keys).zip(parents) {
        let mut term = DraftTerm { key, ..row.term };
        for parent in parents {
            term.add_parent(term.line, parent)?;
        }
        draft.push(term)?;
    }
    Ok(draft)
}

fn entry(row: &Row) -> Entry<'_> {
    let term = &row.term;
    let preferred = term.labels.iter().filter(|label| label.role == Role::Preferred);
    Entry {
        addresses: term.id.as_ref().map(TermId::as_str).into_iter().chain(term.uri.as_deref()).collect(),
        names: preferred.map(|label| label.text.as_str()).collect(),
        parents: row.parents.iter().map(|parent| Above::Text(parent)).collect(),
    }
}

/// The key of what `row` calls broader, or its text if no row is that; the vocabulary may have it.
fn parent(
    rows: &[Row],
    keys: &[String],
    row: &Row,
    (text, found): (&String, Found),
) -> Result<String, VocabularyError> {
    match found {
        Found::Nothing => Ok(text.clone()),
        Found::One(at) => Ok(keys[at].clone()),
        Found::Several(first, second) => {
            let (a, b) = (rows[first].term.line, rows[second].term.line);
            let reason =
                format!("'{}' is the name of several terms, such as those in lines {a} and {b}", shown(text));
            let next = "write the path to it, such as Animals > Dogs, or its id";
            Err(VocabularyError::at(row.term.line, reason, next))
        }
    }
}

#[cfg(test)]
mod tests;
