//! Elements that do not exist yet, and the prefixes that they get.

use std::fmt;

use super::Expanded;
use crate::export::xmp::names::XML;

/// A name of docent's vocabulary: what it means, and the prefix that is usual for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// The namespace.
    pub namespace: &'static str,
    /// The prefix that a new declaration gets.
    pub prefix: &'static str,
    /// The name in the namespace.
    pub local: &'static str,
}

/// Which prefix stands for which namespace; later ones hide earlier ones.
#[derive(Debug, Clone)]
pub struct Scope(pub(super) Vec<(String, String)>);

/// An element that does not exist yet.
#[derive(Debug, Clone, PartialEq)]
pub struct New {
    /// Its name.
    pub name: Name,
    /// Its attributes.
    pub attributes: Vec<(Name, String)>,
    /// What stands in it.
    pub content: Content,
}

/// What stands in a new element.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Text.
    Text(String),
    /// Elements, each on a line of its own.
    Elements(Vec<New>),
}

impl Name {
    /// Whether `name` is this one.
    pub fn is(self, name: &Expanded) -> bool {
        self.namespace == name.namespace && self.local == name.local
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.prefix, self.local)
    }
}

impl New {
    /// An element with a text.
    pub fn text(name: Name, text: impl Into<String>) -> Self {
        Self { name, attributes: Vec::new(), content: Content::Text(text.into()) }
    }

    /// An element with elements.
    pub fn elements(name: Name, elements: Vec<Self>) -> Self {
        Self { name, attributes: Vec::new(), content: Content::Elements(elements) }
    }

    /// The same with one more attribute.
    pub fn with(mut self, name: Name, value: &str) -> Self {
        self.attributes.push((name, value.to_owned()));
        self
    }

    /// All names in it.
    pub fn names(&self) -> Vec<Name> {
        let mut names = vec![self.name];
        names.extend(self.attributes.iter().map(|(name, _)| *name));
        if let Content::Elements(elements) = &self.content {
            names.extend(elements.iter().flat_map(Self::names));
        }
        names
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self(vec![("xml".to_owned(), XML.to_owned())])
    }
}

impl Scope {
    fn bound(&self, prefix: &str) -> Option<&str> {
        self.0.iter().rev().find(|(bound, _)| bound == prefix).map(|(_, namespace)| namespace.as_str())
    }

    /// A prefix that stands for `namespace` here.
    pub fn prefix(&self, namespace: &str) -> Option<&str> {
        let stands = |(prefix, bound): &&(String, String)| {
            !prefix.is_empty() && bound == namespace && self.bound(prefix) == Some(namespace)
        };
        self.0.iter().rev().find(stands).map(|(prefix, _)| prefix.as_str())
    }

    /// A prefix for `name` that stands for nothing else here.
    pub(super) fn free(&self, name: Name) -> String {
        let numbered = (2..).map(|number: u32| format!("{}{number}", name.prefix));
        std::iter::once(name.prefix.to_owned())
            .chain(numbered)
            .find(|prefix| self.bound(prefix).is_none())
            .unwrap_or_else(|| name.prefix.to_owned())
    }

    pub(super) fn with(&self, declared: &[(String, String)]) -> Self {
        Self(self.0.iter().chain(declared).cloned().collect())
    }
}

impl From<Name> for Expanded {
    fn from(name: Name) -> Self {
        Self { namespace: name.namespace.to_owned(), local: name.local.to_owned() }
    }
}

pub(super) fn declaration(prefix: &str, namespace: &str) -> String {
    format!(" xmlns:{prefix}=\"{}\"", escaped(namespace, true))
}

/// A text as XML writes it. Line ends of other systems and, in attributes, all space but spaces would be read as something else.
pub(super) fn escaped(text: &str, is_attribute: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' if is_attribute => escaped.push_str("&quot;"),
            '\r' => escaped.push_str("&#xD;"),
            '\n' if is_attribute => escaped.push_str("&#xA;"),
            '\t' if is_attribute => escaped.push_str("&#x9;"),
            c => escaped.push(c),
        }
    }
    escaped
}
