//! Collects the statements of a file, in whatever order they come.

use std::collections::{BTreeMap, HashMap};

use oxrdf::{Literal, NamedOrBlankNode, Term, Triple};

use super::names::{DOCENT, Property, SCHEME, SKOS, SKOSXL};
use crate::vocabulary::error::shown;
use crate::vocabulary::limits::{MAX_TERMS, MAX_URI_CHARS};
use crate::vocabulary::{Draft, DraftTerm, Language, Role, VocabularyError};

/// Bytes of all addresses of a file. A real one stays below its own size; prefixes can blow a made-up one up.
const MAX_ADDRESSES: usize = 256 << 20;
/// Properties that docent does not keep and counts, each by itself.
const MAX_OTHERS: usize = 1_000;

/// A node's number.
pub(super) type Node = u32;

/// Statements about one subject that may be a term.
#[derive(Debug, Default)]
pub(super) struct Subject {
    pub term: DraftTerm,
    /// Whether the file calls it a concept or a collection.
    pub declared: bool,
    /// Whether the file calls it a scheme or a label, which is no term.
    pub other: bool,
    pub collection: bool,
    pub broader: Vec<(u64, Node)>,
    pub xl: Vec<(u64, Role, Node)>,
    pub rdfs: Vec<(u64, Language, String)>,
    pub definitions: Vec<(u64, Language, String)>,
    /// Notes that are nodes with a value.
    pub note_nodes: Vec<(u64, Node)>,
    pub note_languages: Vec<Language>,
    pub notations: u64,
}

/// Everything a file said so far.
pub(super) struct Gathered {
    pub draft: Draft,
    nodes: HashMap<String, Node>,
    pub names: Vec<String>,
    bytes: usize,
    pub subjects: Vec<Subject>,
    at: HashMap<Node, usize>,
    /// The words of label nodes and note nodes.
    pub words: HashMap<Node, Vec<(Language, String)>>,
    /// What stands below what, said from above.
    pub narrower: Vec<(u64, Node, Node)>,
    others: BTreeMap<String, (u64, u64)>,
    /// Whether docent's own words occur.
    pub own: bool,
}

impl Gathered {
    pub(super) fn new() -> Self {
        Self {
            draft: Draft::default(),
            nodes: HashMap::new(),
            names: Vec::new(),
            bytes: 0,
            subjects: Vec::new(),
            at: HashMap::new(),
            words: HashMap::new(),
            narrower: Vec::new(),
            others: BTreeMap::new(),
            own: false,
        }
    }

    /// Takes one statement, which ends in `line`.
    pub(super) fn take(&mut self, line: u64, triple: Triple) -> Result<(), VocabularyError> {
        let Triple { subject, predicate, object } = triple;
        let subject = match subject {
            NamedOrBlankNode::NamedNode(node) => node.into_string(),
            NamedOrBlankNode::BlankNode(node) => node.to_string(),
        };
        let object = match object {
            Term::NamedNode(node) => Object::Node(node.into_string()),
            Term::BlankNode(node) => Object::Node(node.to_string()),
            Term::Literal(literal) => Object::Words(literal),
        };
        for iri in [subject.as_str(), predicate.as_str(), object.iri()] {
            // In bytes, which are at least as many.
            if iri.len() > 4 * MAX_URI_CHARS {
                let reason = format!("an address has more than {MAX_URI_CHARS} characters: '{}'", shown(iri));
                return Err(VocabularyError::at(line, reason, "shorten it"));
            }
        }
        self.own |= predicate.as_str().starts_with(DOCENT);
        if subject == SCHEME {
            return Ok(());
        }
        match Property::of(predicate.as_str()) {
            Property::Implied => Ok(()),
            Property::Other => {
                self.other(line, predicate.as_str());
                Ok(())
            }
            Property::LiteralForm | Property::Value => self.words(line, &subject, object),
            Property::Type => self.typed(line, &subject, &object),
            property => self.say(line, &subject, property, object),
        }
    }

    /// Counts a property that docent does not keep.
    fn other(&mut self, line: u64, predicate: &str) {
        if let Some((_, times)) = self.others.get_mut(predicate) {
            *times += 1;
        } else if self.others.len() < MAX_OTHERS {
            self.others.insert(predicate.to_owned(), (line, 1));
        }
    }

    /// Notes what was counted.
    pub(super) fn note_others(&mut self) {
        for (predicate, (line, times)) in std::mem::take(&mut self.others) {
            let often = if times == 1 { "once".to_owned() } else { format!("{times} times") };
            self.draft
                .note(line, format!("docent does not keep <{}>, which occurs {often}", shown(&predicate)));
        }
    }

    /// The number of a node.
    fn node(&mut self, line: u64, name: &str) -> Result<Node, VocabularyError> {
        if let Some(&node) = self.nodes.get(name) {
            return Ok(node);
        }
        self.bytes += name.len();
        let node = u32::try_from(self.names.len()).ok().filter(|_| self.bytes <= MAX_ADDRESSES);
        let Some(node) = node else {
            return Err(VocabularyError::at(line, "the file has too many addresses", "import a part of it"));
        };
        self.names.push(name.to_owned());
        self.nodes.insert(name.to_owned(), node);
        Ok(node)
    }

    /// What was said of a subject that may be a term.
    fn subject(&mut self, line: u64, name: &str) -> Result<&mut Subject, VocabularyError> {
        let node = self.node(line, name)?;
        let next = self.subjects.len();
        let at = *self.at.entry(node).or_insert(next);
        if at == next {
            if next > 2 * MAX_TERMS {
                let reason = format!("the file has more than {MAX_TERMS} terms");
                return Err(VocabularyError::at(line, reason, "import a part of it"));
            }
            self.subjects.push(Subject { term: DraftTerm::new(name.to_owned(), line), ..Subject::default() });
        }
        Ok(&mut self.subjects[at])
    }

    /// The place of a node among the subjects.
    pub(super) fn place(&self, node: Node) -> Option<usize> {
        self.at.get(&node).copied()
    }

    fn words(&mut self, line: u64, subject: &str, object: Object) -> Result<(), VocabularyError> {
        if let Object::Words(literal) = object {
            let node = self.node(line, subject)?;
            let words = self.language(line, literal);
            self.words.entry(node).or_default().push(words);
        }
        Ok(())
    }

    /// A literal's language and text. A language that docent cannot keep is noted.
    fn language(&mut self, line: u64, literal: Literal) -> (Language, String) {
        let (text, _, language) = literal.destruct();
        let language = Language::try_from(language.unwrap_or_default()).unwrap_or_else(|reason| {
            self.draft.note(line, format!("{reason}; the label has none"));
            Language::none()
        });
        (language, text)
    }

    fn typed(&mut self, line: u64, subject: &str, object: &Object) -> Result<(), VocabularyError> {
        let kind = object.iri();
        let skos = kind.strip_prefix(SKOS);
        match skos {
            Some("Concept") => self.subject(line, subject)?.declared = true,
            Some("Collection" | "OrderedCollection") => {
                let subject = self.subject(line, subject)?;
                (subject.declared, subject.collection) = (true, true);
            }
            Some("ConceptScheme") => self.subject(line, subject)?.other = true,
            _ if kind.strip_prefix(SKOSXL) == Some("Label") => {
                let node = self.node(line, subject)?;
                self.words.entry(node).or_default();
            }
            _ => {}
        }
        Ok(())
    }

    fn say(
        &mut self,
        line: u64,
        subject: &str,
        property: Property,
        object: Object,
    ) -> Result<(), VocabularyError> {
        match object {
            Object::Words(literal) => {
                let (language, text) = self.language(line, literal);
                self.subject(line, subject)?.literal(line, property, language, text)
            }
            Object::Node(name) => self.link(line, subject, property, &name),
        }
    }

    fn link(
        &mut self,
        line: u64,
        subject: &str,
        property: Property,
        name: &str,
    ) -> Result<(), VocabularyError> {
        let node = self.node(line, name)?;
        match property {
            Property::Broader => self.subject(line, subject)?.broader.push((line, node)),
            Property::Narrower | Property::Member => {
                self.subject(line, subject)?;
                let above = self.node(line, subject)?;
                self.narrower.push((line, above, node));
            }
            Property::XlLabel(role) => self.subject(line, subject)?.xl.push((line, role, node)),
            Property::ScopeNote | Property::Definition => {
                self.subject(line, subject)?.note_nodes.push((line, node))
            }
            _ => {
                let text =
                    format!("'{}' is an address where words were expected; it was left out", shown(name));
                self.draft.note(line, text);
            }
        }
        Ok(())
    }
}

/// What a statement says of its subject.
enum Object {
    Node(String),
    Words(Literal),
}

impl Object {
    fn iri(&self) -> &str {
        match self {
            Self::Node(name) => name,
            Self::Words(_) => "",
        }
    }
}
