//! The columns of a table.

use crate::vocabulary::error::shown;
use crate::vocabulary::{Draft, Language, Role, VocabularyError};

/// Columns of a table. Nobody has more.
const MAX_COLUMNS: usize = 1_000;

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Column {
    Id,
    Uri,
    Notation,
    Label(Role, Language),
    Parent,
    Note(Language),
    Prompt,
    Threshold,
    Enabled,
    Heading,
}

impl Column {
    /// The column with this header. `None` if docent does not know it.
    pub(super) fn of(header: &str) -> Option<Self> {
        let (name, language) = header.split_once('@').unwrap_or((header, ""));
        let name: String =
            name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        let column = match name.as_str() {
            "id" => Self::Id,
            "uri" | "url" | "iri" => Self::Uri,
            "notation" | "code" => Self::Notation,
            "term" | "label" | "name" | "keyword" | "preferred" | "preflabel" | "preferredlabel"
            | "begriff" | "schlagwort" | "stichwort" | "bezeichnung" => {
                Self::Label(Role::Preferred, language_of(language)?)
            }
            "alt" | "altlabel" | "alternative" | "synonym" | "synonyms" | "synonyme" => {
                Self::Label(Role::Alternative, language_of(language)?)
            }
            "hidden" | "hiddenlabel" => Self::Label(Role::Hidden, language_of(language)?),
            "parent" | "parents" | "broader" | "broaderterm" | "bt" | "oberbegriff" | "oberbegriffe" => {
                Self::Parent
            }
            "note" | "notes" | "scopenote" | "definition" | "notiz" | "anmerkung" | "bemerkung"
            | "erläuterung" => Self::Note(language_of(language)?),
            "prompt" | "prompts" => Self::Prompt,
            "threshold" | "schwelle" | "schwellwert" | "schwellenwert" => Self::Threshold,
            "enabled" | "aktiv" => Self::Enabled,
            "heading" | "category" | "kategorie" => Self::Heading,
            _ => return None,
        };
        let takes_language = matches!(column, Self::Label(..) | Self::Note(_));
        (takes_language || !header.contains('@')).then_some(column)
    }

    /// Whether it holds the preferred label.
    pub(super) fn is_name(&self) -> bool {
        matches!(self, Self::Label(Role::Preferred, _))
    }

    /// As docent writes it.
    pub(super) fn header(&self) -> String {
        let with = |name: &str, language: &Language| match language.is_none() {
            true => name.to_owned(),
            false => format!("{name}@{language}"),
        };
        match self {
            Self::Id => "id".to_owned(),
            Self::Uri => "uri".to_owned(),
            Self::Notation => "notation".to_owned(),
            Self::Label(Role::Preferred, language) if language.is_none() => "term".to_owned(),
            Self::Label(Role::Preferred, language) => with("label", language),
            Self::Label(Role::Alternative, language) => with("alt", language),
            Self::Label(Role::Hidden, language) => with("hidden", language),
            Self::Parent => "parent".to_owned(),
            Self::Note(language) => with("note", language),
            Self::Prompt => "prompt".to_owned(),
            Self::Threshold => "threshold".to_owned(),
            Self::Enabled => "enabled".to_owned(),
            Self::Heading => "heading".to_owned(),
        }
    }
}

fn language_of(text: &str) -> Option<Language> {
    Language::try_from(text.to_owned()).ok()
}

/// The columns of a header. Those that docent does not know are noted.
pub(super) fn of_header(
    line: u64,
    header: &csv::StringRecord,
    draft: &mut Draft,
) -> Result<Vec<Option<Column>>, VocabularyError> {
    if header.len() > MAX_COLUMNS {
        let reason = format!("the table has more than {MAX_COLUMNS} columns");
        return Err(VocabularyError::at(line, reason, "remove those that say nothing about the terms"));
    }
    let columns: Vec<Option<Column>> = header.iter().map(Column::of).collect();
    for (name, column) in header.iter().zip(&columns) {
        if column.is_none() && !name.trim().is_empty() {
            draft.note(
                line,
                format!("docent does not know the column '{}' and left it out", shown(name.trim())),
            );
        }
    }
    if columns.iter().flatten().any(|column| column.is_name() || matches!(column, Column::Id | Column::Uri)) {
        Ok(columns)
    } else {
        let next = "name the column with the terms 'term' in the first row";
        Err(VocabularyError::at(line, "no column of the table holds the terms", next))
    }
}

/// A cell that says yes or no.
pub(super) fn yes_or_no(line: u64, cell: &str) -> Result<bool, VocabularyError> {
    match cell.to_lowercase().as_str() {
        "yes" | "true" | "1" | "y" | "x" | "ja" | "wahr" => Ok(true),
        "no" | "false" | "0" | "n" | "nein" | "falsch" => Ok(false),
        _ => Err(VocabularyError::at(
            line,
            format!("'{}' is neither yes nor no", shown(cell)),
            "write yes or no",
        )),
    }
}
