//! docent's own form, which loses nothing: `{"docent_vocabulary": 1, "terms": [...]}`.
//!
//! A term has the fields of [`Term`]. A field that docent does not know is refused: it would be lost.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::draft::Carries;
use super::error::{parser_said, shown};
use super::loss::Written;
use super::{Draft, DraftTerm, Language, Role, Term, TermId, VocabularyError};

/// The version that is written, and the newest that is read.
const VERSION: u32 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    docent_vocabulary: u32,
    terms: Vec<FileTerm>,
}

/// [`Term`], strictly.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTerm {
    id: TermId,
    uri: Option<String>,
    notation: Option<String>,
    #[serde(default)]
    parents: Vec<TermId>,
    labels: Vec<FileLabel>,
    #[serde(default)]
    notes: Vec<FileNote>,
    #[serde(default)]
    prompts: Vec<String>,
    threshold: Option<f64>,
    enabled: Option<bool>,
    heading: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileLabel {
    #[serde(default)]
    language: Language,
    role: Role,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileNote {
    #[serde(default)]
    language: Language,
    text: String,
}

#[derive(Serialize)]
struct Out<'a> {
    docent_vocabulary: u32,
    terms: &'a [Term],
}

/// Reads the form.
pub(super) fn read(text: &str) -> Result<Draft, VocabularyError> {
    let file: File = serde_json::from_str(text).map_err(|error| {
        let said = error.to_string();
        // The position is the line of the message already.
        let reason = said.rsplit_once(" at line ").map_or(said.as_str(), |(reason, _)| reason);
        VocabularyError::at(
            error.line() as u64,
            parser_said(reason),
            "compare it with a file that docent wrote",
        )
    })?;
    if file.docent_vocabulary != VERSION {
        let reason = format!("the file is of version {}, and docent knows {VERSION}", file.docent_vocabulary);
        return Err(VocabularyError::whole(reason, "export it again with this docent, or update docent"));
    }
    let mut draft = Draft { carries: Carries::ALL, ..Draft::default() };
    let mut lines_of: HashMap<TermId, u64> = HashMap::with_capacity(file.terms.len());
    let lines = lines(text).into_iter().chain(std::iter::repeat(0));
    for (line, term) in lines.zip(file.terms) {
        let id = term.id.clone();
        let term = term.draft(line)?;
        if let Some(first) = lines_of.insert(id, line) {
            let reason = format!("the id of the term '{}' is also in line {first}", shown(term.name()));
            return Err(VocabularyError::at(line, reason, "remove one of the two, or its id"));
        }
        draft.push(term)?;
    }
    Ok(draft)
}

impl FileTerm {
    fn draft(self, line: u64) -> Result<DraftTerm, VocabularyError> {
        let mut term = DraftTerm::new(self.id.to_string(), line);
        for FileLabel { language, role, text } in self.labels {
            term.add_label(line, (role, language), &text)?;
        }
        for parent in self.parents {
            term.add_parent(line, parent.into())?;
        }
        for FileNote { language, text } in self.notes {
            term.add_note(line, language, &text)?;
        }
        for prompt in &self.prompts {
            term.add_prompt(line, prompt)?;
        }
        if let Some(uri) = &self.uri {
            term.set_uri(line, uri)?;
        }
        if let Some(notation) = &self.notation {
            term.set_notation(line, notation)?;
        }
        if let Some(threshold) = self.threshold {
            term.set_threshold(line, &threshold.to_string())?;
        }
        term.enabled = Some(self.enabled.unwrap_or(true));
        term.heading = Some(self.heading.unwrap_or(false));
        term.id = Some(self.id);
        Ok(term)
    }
}

/// Where each term begins, in a text that is known to be of the form: the objects directly in a list of the outermost
/// object.
fn lines(text: &str) -> Vec<u64> {
    let mut lines = Vec::new();
    let (mut line, mut depth, mut quoted, mut escaped) = (1, 0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            b'\n' => line += 1,
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                if depth == 2 && byte == b'{' {
                    lines.push(line);
                }
                depth += 1;
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    lines
}

/// Writes the form, a field in a line.
pub(super) fn write(terms: &[Term]) -> Result<Written, VocabularyError> {
    let out = Out { docent_vocabulary: VERSION, terms };
    let mut bytes = serde_json::to_vec_pretty(&out)
        .map_err(|error| VocabularyError::whole(format!("the terms are no JSON: {error}"), "report this"))?;
    bytes.push(b'\n');
    Ok(Written { bytes, lost: Vec::new() })
}
