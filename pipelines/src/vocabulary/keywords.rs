//! Keyword lists as Lightroom and Photo Mechanic write them: one term in a line, tabulators for its depth.
//!
//! ```text
//! [Animals]
//! →   dog
//! →   →   {canine}
//! →   →   poodle {caniche} {Pudel}
//! ```
//!
//! `[name]` is a heading, `{word}` a synonym of the line above that it is indented under, or of the name before it.
//!
//! **What a list cannot say.** It has no ids, addresses, notations, notes, prompts, thresholds, hidden labels and
//! languages, and nothing is off. A term with several broader ones stands under each of them. Read into an empty
//! vocabulary, that makes several terms; read into the vocabulary that it came from, it is the one term again. Of two
//! terms with the same name under the same term, one is left. A term with the name of its own broader term, or with a
//! name in braces or brackets, cannot be written. [`write()`] counts what was lost.

use std::collections::HashMap;

use super::draft::{Carries, KEY_MARK};
use super::error::shown;
use super::limits::MAX_DEPTH;
use super::{Draft, DraftTerm, Language, Role, VocabularyError};

mod write;

pub(super) use write::write;

/// One line, without its indentation.
struct Line<'a> {
    number: u64,
    depth: usize,
    /// Nothing for a line of synonyms.
    name: Option<&'a str>,
    heading: bool,
    synonyms: Vec<&'a str>,
}

/// Reads a list. Lines end with `\n`.
pub(super) fn read(text: &str) -> Result<Draft, VocabularyError> {
    let mut draft = Draft {
        carries: Carries { parents: true, alternative: true, heading: true, ..Carries::NAMES },
        ..Draft::default()
    };
    let unit = Indentation::of(text);
    if let Indentation::Spaces { line, width } = unit {
        draft.note(
            line,
            format!("the list is indented with spaces; {width} of them were taken for one level"),
        );
    }
    let mut list = List { draft, at: HashMap::new(), path: Vec::new() };
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let (depth, rest) = unit.split(number, line)?;
        list.take(&Line::parse(number, depth, rest.trim())?)?;
    }
    Ok(list.draft)
}

/// What the lines of a list are indented with.
#[derive(Clone, Copy)]
enum Indentation {
    Tabs,
    /// As older lists and other programs have it: the smallest number of spaces is one level.
    Spaces {
        line: u64,
        width: usize,
    },
}

impl Indentation {
    fn of(text: &str) -> Self {
        let filled = || (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        if filled().any(|(_, line)| line.starts_with('\t')) {
            return Self::Tabs;
        }
        let spaces = filled().map(|(number, line)| (line.len() - line.trim_start_matches(' ').len(), number));
        // The first line may be shifted alone; it begins the list all the same.
        match spaces.filter(|&(width, _)| width > 0).min() {
            Some((width, line)) => Self::Spaces { line, width },
            None => Self::Tabs,
        }
    }

    fn split(self, number: u64, line: &str) -> Result<(usize, &str), VocabularyError> {
        match self {
            // Spaces after the tabulators, or before the first, mean nothing.
            Self::Tabs => {
                let rest = line.trim_start_matches(['\t', ' ']);
                let depth = line[..line.len() - rest.len()].bytes().filter(|&byte| byte == b'\t').count();
                Ok((depth, rest))
            }
            Self::Spaces { width, .. } => {
                let rest = line.trim_start_matches(' ');
                let spaces = line.len() - rest.len();
                if spaces.is_multiple_of(width) {
                    return Ok((spaces / width, rest));
                }
                let reason = format!("the line is indented by {spaces} spaces, where one level is {width}");
                Err(VocabularyError::at(number, reason, "indent with tabulators, one for each level"))
            }
        }
    }
}

impl<'a> Line<'a> {
    /// `name`, `[name]`, `{synonym}`, or a name with synonyms behind it.
    fn parse(number: u64, depth: usize, text: &'a str) -> Result<Self, VocabularyError> {
        let (name, mut rest) = text.split_at(text.find('{').unwrap_or(text.len()));
        let wrong = |reason: String, next: &str| VocabularyError::at(number, reason, next);
        let mut synonyms = Vec::new();
        while !rest.is_empty() {
            let Some((synonym, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
                let reason =
                    format!("'{}' has a brace without its other one, or words behind it", shown(text));
                return Err(wrong(reason, "write each synonym as {word}"));
            };
            if synonym.trim().is_empty() {
                return Err(wrong("a synonym is empty".to_owned(), "write a word between the braces"));
            }
            synonyms.push(synonym);
            rest = after.trim_start();
        }
        let name = name.trim();
        if name.contains('}') {
            let reason = format!("'{}' has a brace without its other one", shown(text));
            return Err(wrong(reason, "write each synonym as {word}"));
        }
        let inside = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).map(str::trim);
        if inside == Some("") {
            return Err(wrong("a category has no name".to_owned(), "write a word between the brackets"));
        }
        let bare = inside.unwrap_or(name);
        Ok(Self {
            number,
            depth,
            name: (!bare.is_empty()).then_some(bare),
            heading: inside.is_some(),
            synonyms,
        })
    }
}

/// The list read so far.
struct List {
    draft: Draft,
    /// Where the term with a key is.
    at: HashMap<String, usize>,
    /// The terms that the last one stands under, and itself.
    path: Vec<usize>,
}

impl List {
    fn take(&mut self, line: &Line<'_>) -> Result<(), VocabularyError> {
        let next = "indent it by one more than the term that it belongs to";
        if line.depth > self.path.len() {
            let reason = match self.path.last() {
                Some(_) => format!(
                    "the line is indented by {}, and the one above by {}",
                    line.depth,
                    self.path.len().saturating_sub(1)
                ),
                None => "the first line is indented".to_owned(),
            };
            return Err(VocabularyError::at(line.number, reason, next));
        }
        let term = match line.name {
            Some(name) => self.enter(line, name)?,
            None => match line.depth.checked_sub(1) {
                Some(above) => self.path[above],
                None => {
                    let synonym = shown(line.synonyms.first().copied().unwrap_or_default().trim());
                    let reason = format!("the synonym '{synonym}' belongs to no term");
                    return Err(VocabularyError::at(line.number, reason, next));
                }
            },
        };
        for synonym in &line.synonyms {
            let role = (Role::Alternative, Language::none());
            self.draft.terms[term].add_label(line.number, role, synonym)?;
        }
        Ok(())
    }

    /// Finds or adds the term with this name under the current path.
    fn enter(&mut self, line: &Line<'_>, name: &str) -> Result<usize, VocabularyError> {
        self.path.truncate(line.depth);
        if line.depth >= MAX_DEPTH {
            let reason = format!("the list is more than {MAX_DEPTH} levels deep");
            return Err(VocabularyError::at(line.number, reason, "make it flatter"));
        }
        let above = self.path.last().map(|&at| &self.draft.terms[at]);
        let mut term = DraftTerm::new(String::new(), line.number);
        term.add_label(line.number, (Role::Preferred, Language::none()), name)?;
        if above.is_some_and(|above| above.name() == term.name()) {
            let reason = format!("the term '{}' stands under itself", shown(name));
            return Err(VocabularyError::at(
                line.number,
                reason,
                "remove one of the two, or name it differently",
            ));
        }
        // The place of the term above stands for its path, which can be long.
        let place = self.path.last().map_or_else(String::new, usize::to_string);
        term.key = format!("{KEY_MARK}{place}{KEY_MARK}{}", term.name());
        term.heading = line.heading.then_some(true);
        term.parents.extend(above.map(|above| above.key.clone()));
        let at = match self.at.get(&term.key) {
            Some(&at) => {
                let first = self.draft.terms[at].line;
                let text = format!("the term '{}' is also in line {first}; both became one", shown(name));
                self.draft.note(line.number, text);
                self.draft.terms[at].heading = self.draft.terms[at].heading.or(term.heading);
                at
            }
            None => {
                let at = self.draft.terms.len();
                self.at.insert(term.key.clone(), at);
                self.draft.push(term)?;
                at
            }
        };
        self.path.push(at);
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        let draft = read(text).expect("a list");
        let shown = |term: &DraftTerm| {
            let labels = term.labels.iter().map(|label| label.text.as_str()).collect::<Vec<_>>().join("|");
            let above = draft.terms.iter().position(|other| term.parents.contains(&other.key));
            let above = above.map_or_else(String::new, |above| format!("{above}>"));
            format!("{above}{labels}{}", term.heading.map_or("", |_| "!"))
        };
        draft.terms.iter().map(shown).collect()
    }

    #[test]
    fn synonyms_and_categories_are_told_from_terms() {
        let text = "[Animals]\n\tdog\n\t\t{canine}\n\t\t{hound} {Hund}\n\t\tpoodle {caniche}{Pudel}\n\n\tcat  \nPlaces\n";
        let wanted = ["Animals!", "0>dog|canine|hound|Hund", "1>poodle|caniche|Pudel", "0>cat", "Places"];
        assert_eq!(lines(text), wanted);
        assert_eq!(
            lines("Animals\n  dog\n    {canine}\n    poodle\n  cat"),
            ["Animals", "0>dog|canine", "1>poodle", "0>cat"]
        );
        assert_eq!(lines(" Animals\n\t dog"), ["Animals", "0>dog"]);
        assert_eq!(lines("[a] b\nc [d]"), ["[a] b", "c [d]"]);
    }

    #[test]
    fn the_same_path_twice_is_one_term() {
        let draft = read("a\n\tb\na\n\tb\n\t\t{x}\n\tc").expect("a list");
        assert_eq!(draft.terms.len(), 3);
        assert_eq!(draft.terms[1].labels.len(), 2);
        assert_eq!(draft.noted.iter().map(|noted| noted.line).collect::<Vec<_>>(), [3, 4]);
    }
}
