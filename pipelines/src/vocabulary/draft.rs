//! A vocabulary as a file says it, before anything is compared with what the archive has.

use std::collections::HashSet;

use super::error::shown;
use super::limits::{
    MAX_LABELS, MAX_NOTATION_CHARS, MAX_NOTE_CHARS, MAX_NOTES, MAX_PARENTS, MAX_PROMPT_CHARS, MAX_PROMPTS,
    MAX_TERMS, MAX_URI_CHARS,
};
use super::{Label, Language, Note, Role, Term, TermId, VocabularyError};

/// How many remarks a draft keeps.
const MAX_NOTED: usize = 100;

/// Begins the address of a term that has none of its own. Its id follows.
pub(super) const OWN_URI: &str = "urn:docent:term:";

/// Begins the key of a term that has neither an id nor an address. No label and no address contains it.
pub(super) const KEY_MARK: char = '\u{1f}';

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Draft {
    /// Its terms, in the order of the file. Their keys differ.
    pub terms: Vec<DraftTerm>,
    /// What was left out or tolerated, at most 100 remarks.
    pub noted: Vec<Noted>,
    /// How many more remarks there were.
    pub noted_more: u64,
    /// What the file could have said. A replacement leaves alone what it could not.
    pub carries: Carries,
    /// Whether the file may be a part of something larger, as extracts of public thesauri are: it names broader terms by their
    /// addresses and does not contain all of them.
    pub extract: bool,
}

/// Something that was left out or tolerated while a file was read. A person is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// The line, from 1. 0 for the whole file.
    pub line: u64,
    /// What it was, and what docent made of it.
    pub text: String,
}

/// Which properties of a term a file can say. A keyword list says nothing of scope notes, so that it has none of a term's
/// notes does not mean that they are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carries {
    /// Broader terms.
    pub parents: bool,
    /// The language of a label.
    pub languages: bool,
    /// Synonyms.
    pub alternative: bool,
    /// Hidden labels.
    pub hidden: bool,
    /// Addresses.
    pub uri: bool,
    /// Notations.
    pub notation: bool,
    /// Scope notes.
    pub notes: bool,
    /// Prompts.
    pub prompts: bool,
    /// Thresholds.
    pub threshold: bool,
    /// Whether a term is offered.
    pub enabled: bool,
    /// Whether a term only groups others.
    pub heading: bool,
}

/// A term as a file says it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DraftTerm {
    /// What identifies it within the file: its address, its id, or the path of its names.
    pub key: String,
    /// Where it begins, from 1.
    pub line: u64,
    /// docent's own id of it, if the file has one.
    pub id: Option<TermId>,
    /// What is broader: keys of this file, or else an id, an address, a name or a path of names in the vocabulary.
    pub parents: Vec<String>,
    /// Its words.
    pub labels: Vec<Label>,
    /// Its scope notes.
    pub notes: Vec<Note>,
    /// Its address.
    pub uri: Option<String>,
    /// Its code in a classification.
    pub notation: Option<String>,
    /// Its sentences for matching by meaning.
    pub prompts: Vec<String>,
    /// Its threshold, if the file states one.
    pub threshold: Option<f64>,
    /// Whether it is offered, if the file states it.
    pub enabled: Option<bool>,
    /// Whether it only groups others, if the file states it.
    pub heading: Option<bool>,
}

impl Default for Carries {
    fn default() -> Self {
        Self::ALL
    }
}

impl Carries {
    /// Everything.
    pub const ALL: Self = Self {
        parents: true,
        languages: true,
        alternative: true,
        hidden: true,
        uri: true,
        notation: true,
        notes: true,
        prompts: true,
        threshold: true,
        enabled: true,
        heading: true,
    };

    /// Nothing but names.
    pub const NAMES: Self = Self {
        parents: false,
        languages: false,
        alternative: false,
        hidden: false,
        uri: false,
        notation: false,
        notes: false,
        prompts: false,
        threshold: false,
        enabled: false,
        heading: false,
    };
}

impl Draft {
    /// Remembers a remark, or counts it if there are many.
    pub(super) fn note(&mut self, line: u64, text: impl Into<String>) {
        if self.noted.len() < MAX_NOTED {
            self.noted.push(Noted { line, text: text.into() });
        } else {
            self.noted_more += 1;
        }
    }

    /// Leaves out what an extract calls broader and neither it nor the vocabulary has, and remarks on it. Any other file has to
    /// name what there is.
    pub fn leave_out_unknown(&mut self, existing: &[Term]) {
        if !self.extract {
            return;
        }
        let keys = |term: &DraftTerm| {
            [Some(term.key.clone()), term.uri.clone(), term.id.as_ref().map(TermId::to_string)]
        };
        let mut known: HashSet<String> = self.terms.iter().flat_map(keys).flatten().collect();
        known
            .extend(existing.iter().flat_map(|term| [Some(term.id.to_string()), term.uri.clone()]).flatten());
        let mut remarks = Vec::new();
        for term in &mut self.terms {
            let (kept, unknown) =
                std::mem::take(&mut term.parents).into_iter().partition(|key| known.contains(key));
            term.parents = kept;
            let unknown: Vec<String> = unknown;
            remarks.extend(unknown.first().map(|first| {
                let text = format!(
                    "what is broader than the term '{}' is neither in the file nor in the vocabulary, and was left out: '{}'",
                    shown(term.name()),
                    shown(first)
                );
                (term.line, text)
            }));
        }
        for (line, text) in remarks {
            self.note(line, text);
        }
    }

    /// Appends a term.
    pub(super) fn push(&mut self, term: DraftTerm) -> Result<(), VocabularyError> {
        if self.terms.len() >= MAX_TERMS {
            let reason = format!("the file has more than {MAX_TERMS} terms");
            return Err(VocabularyError::at(term.line, reason, "import a part of it"));
        }
        self.terms.push(term);
        Ok(())
    }
}

impl DraftTerm {
    /// A term that says nothing yet.
    pub(super) fn new(key: String, line: u64) -> Self {
        Self { key, line, ..Self::default() }
    }

    /// A word for messages: the preferred label without a language, or else in English, or any, or else the key.
    pub fn name(&self) -> &str {
        let preferred = || self.labels.iter().filter(|label| label.role == Role::Preferred);
        let of = |wanted: &str| preferred().find(|label| label.language.as_str() == wanted);
        let label = of("").or_else(|| of("en")).or_else(|| preferred().next()).or(self.labels.first());
        label.map_or_else(|| self.key.trim_start_matches(KEY_MARK), |label| &label.text)
    }

    fn wrong(&self, line: u64, what: &str, next: impl Into<String>) -> VocabularyError {
        VocabularyError::at(line, format!("the term '{}' {what}", shown(self.name())), next)
    }

    /// Adds a label that is not there yet. Space and line breaks around it are not part of it, those inside are a space.
    pub(super) fn add_label(
        &mut self,
        line: u64,
        (role, language): (Role, Language),
        text: &str,
    ) -> Result<(), VocabularyError> {
        let text =
            one_line(text).map_err(|what| self.wrong(line, &format!("has a label with {what}"), RETYPE))?;
        if text.is_empty() {
            return Err(self.wrong(line, "has an empty label", "write a word, or remove it"));
        }
        if text.chars().count() > Label::MAX_CHARS {
            let what =
                format!("has a label of more than {} characters: '{}'", Label::MAX_CHARS, shown(&text));
            return Err(self.wrong(line, &what, "shorten it, or make it a note"));
        }
        let label = Label { language, role, text };
        if self.labels.contains(&label) {
            return Ok(());
        }
        if self.labels.len() >= MAX_LABELS {
            return Err(self.wrong(line, &format!("has more than {MAX_LABELS} labels"), "remove some"));
        }
        self.labels.push(label);
        Ok(())
    }

    /// Adds what is broader, unless it is there.
    pub(super) fn add_parent(&mut self, line: u64, key: String) -> Result<(), VocabularyError> {
        if self.parents.contains(&key) {
            return Ok(());
        }
        if self.parents.len() >= MAX_PARENTS {
            return Err(self.wrong(
                line,
                &format!("has more than {MAX_PARENTS} broader terms"),
                "remove some",
            ));
        }
        self.parents.push(key);
        Ok(())
    }

    /// Adds a scope note that is not there yet.
    pub(super) fn add_note(
        &mut self,
        line: u64,
        language: Language,
        text: &str,
    ) -> Result<(), VocabularyError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(());
        }
        if let Some(wrong) = text.chars().find(|&c| is_unwanted(c) && !matches!(c, '\n' | '\t')) {
            let what = format!("has a note with the control character U+{:04X}", u32::from(wrong));
            return Err(self.wrong(line, &what, RETYPE));
        }
        if text.chars().count() > MAX_NOTE_CHARS {
            let what = format!("has a note of more than {MAX_NOTE_CHARS} characters");
            return Err(self.wrong(line, &what, "shorten it"));
        }
        let note = Note { language, text: text.to_owned() };
        if self.notes.contains(&note) {
            return Ok(());
        }
        if self.notes.len() >= MAX_NOTES {
            return Err(self.wrong(line, &format!("has more than {MAX_NOTES} notes"), "remove some"));
        }
        self.notes.push(note);
        Ok(())
    }

    /// Adds a prompt that is not there yet.
    pub(super) fn add_prompt(&mut self, line: u64, text: &str) -> Result<(), VocabularyError> {
        let text =
            one_line(text).map_err(|what| self.wrong(line, &format!("has a prompt with {what}"), RETYPE))?;
        if text.is_empty() || self.prompts.contains(&text) {
            return Ok(());
        }
        if text.chars().count() > MAX_PROMPT_CHARS {
            let what = format!("has a prompt of more than {MAX_PROMPT_CHARS} characters");
            return Err(self.wrong(line, &what, "shorten it"));
        }
        if self.prompts.len() >= MAX_PROMPTS {
            return Err(self.wrong(line, &format!("has more than {MAX_PROMPTS} prompts"), "remove some"));
        }
        self.prompts.push(text);
        Ok(())
    }

    /// Sets the address, which has to be an absolute one.
    pub(super) fn set_uri(&mut self, line: u64, text: &str) -> Result<(), VocabularyError> {
        let text = text.trim();
        let next = "write an absolute address, such as https://example.org/terms/17";
        if text.chars().count() > MAX_URI_CHARS {
            let what = format!("has an address of more than {MAX_URI_CHARS} characters");
            return Err(self.wrong(line, &what, next));
        }
        if text.starts_with(OWN_URI) {
            let what = format!("has the address '{}', which docent makes of ids", shown(text));
            return Err(self.wrong(line, &what, "give it as the id, or give another address"));
        }
        if oxrdf::NamedNodeRef::new(text).is_err() {
            return Err(self.wrong(line, &format!("has '{}', which is no address", shown(text)), next));
        }
        self.uri = Some(text.to_owned());
        Ok(())
    }

    /// Sets the notation.
    pub(super) fn set_notation(&mut self, line: u64, text: &str) -> Result<(), VocabularyError> {
        let text = one_line(text)
            .map_err(|what| self.wrong(line, &format!("has a notation with {what}"), RETYPE))?;
        if text.chars().count() > MAX_NOTATION_CHARS {
            let what = format!("has a notation of more than {MAX_NOTATION_CHARS} characters");
            return Err(self.wrong(line, &what, "shorten it"));
        }
        self.notation = (!text.is_empty()).then_some(text);
        Ok(())
    }

    /// Sets the threshold, 0 to 1. A decimal comma is understood. Twelve digits after it are kept.
    pub(super) fn set_threshold(&mut self, line: u64, text: &str) -> Result<(), VocabularyError> {
        let number = text.trim().replace(',', ".").parse::<f64>().ok();
        let Some(number) = number.filter(|number| (0.0..=1.0).contains(number)) else {
            let what = format!("has the threshold '{}'", shown(text.trim()));
            return Err(self.wrong(line, &what, "write a number from 0 to 1"));
        };
        self.threshold = Some(rounded(number));
        Ok(())
    }
}

/// A number with as many digits as every format gives back: parsers of JSON are not exact with more. No minus is left
/// before a zero.
pub(super) fn rounded(number: f64) -> f64 {
    const DIGITS: f64 = 1e12;
    ((number * DIGITS).round() / DIGITS).abs()
}

const RETYPE: &str = "type it again without";

/// Whether labels and notes go without a character: files in XML could not hold it.
pub(super) fn is_unwanted(c: char) -> bool {
    c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// A text in one line: no space around it, and one space for each line break or tabulator with the space around that.
/// Says what else is in the way.
fn one_line(text: &str) -> Result<String, String> {
    let text = text.trim();
    let breaks = |c: char| matches!(c, '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' | '\u{85}');
    if let Some(wrong) = text.chars().find(|&c| is_unwanted(c) && !breaks(c)) {
        return Err(format!("the control character U+{:04X}", u32::from(wrong)));
    }
    if !text.contains(breaks) {
        return Ok(text.to_owned());
    }
    let parts = text.split(breaks).map(str::trim).filter(|part| !part.is_empty());
    Ok(parts.collect::<Vec<_>>().join(" "))
}

/// A text compared without regard to case.
pub(super) fn folded(text: &str) -> String {
    text.to_lowercase()
}
