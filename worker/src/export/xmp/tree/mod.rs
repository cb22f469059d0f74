//! XML as a tree that is written as it was read: every byte of what nobody changed is kept.

mod fresh;
mod read;

use std::ops::Range;

pub use fresh::{Content, Name, New, Scope};
use fresh::{declaration, escaped};
use roxmltree::{Document, ParsingOptions};

/// Sidecars have some thousand nodes, those with drawn masks some ten thousand.
const MAX_NODES: u32 = 500_000;
/// XMP nests a dozen levels deep.
const MAX_DEPTH: usize = 100;

/// Why a text is no tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// It is not well-formed, or has a DTD.
    #[error("{0}")]
    Malformed(String),
    /// Elements within elements within elements.
    #[error("elements are nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// It could not be written again as it was.
    #[error("it cannot be kept as it is")]
    NotKept,
}

/// A name as it was read, whatever its prefix was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expanded {
    /// The namespace; empty if there is none.
    pub namespace: String,
    /// The name in the namespace.
    pub local: String,
}

/// A document with one element at its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    before: String,
    root: Element,
    after: String,
}

/// What stands within an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// An element.
    Element(Element),
    /// Text.
    Text(Text),
    /// A comment or a processing instruction, as it was.
    Other(String),
}

/// Text, as it is written and as it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    raw: String,
    value: String,
}

/// An element. Its start and end tag are the text they were read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    name: Expanded,
    /// The start tag without what ends it.
    head: String,
    attributes: Vec<Attribute>,
    /// Prefixes, and namespaces that they stand for from here on.
    declared: Vec<(String, String)>,
    children: Vec<Node>,
    /// It ends with its start tag if it holds nothing.
    closed: bool,
    tail: String,
}

/// An attribute that is no declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: Expanded,
    /// Its value.
    pub value: String,
    /// Where it stands in the start tag.
    span: Range<usize>,
}

/// The way from the root to an element: the place of each child among the children of its parent.
pub type Path = Vec<usize>;

impl Text {
    fn blank(depth: usize) -> Self {
        let raw = format!("\n{}", " ".repeat(depth));
        Self { value: raw.clone(), raw }
    }

    fn is_blank(&self) -> bool {
        self.value.trim_ascii().is_empty()
    }
}

impl Tree {
    /// Reads a text. DTDs are refused, and with them all entities but XML's own.
    pub fn parse(text: &str) -> Result<Self, TreeError> {
        let malformed = |error: roxmltree::Error| TreeError::Malformed(error.to_string());
        let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
        let document = Document::parse_with_options(text, options).map_err(malformed)?;
        let root = document.root_element();
        let range = root.range();
        let outside = |range: Range<usize>| text.get(range).unwrap_or_default().to_owned();
        let tree = Self {
            before: outside(0..range.start),
            root: read::read(root, text, 0)?,
            after: outside(range.end..text.len()),
        };
        if tree.to_text() == text { Ok(tree) } else { Err(TreeError::NotKept) }
    }

    /// The text, byte for byte as it was read where nothing was changed.
    pub fn to_text(&self) -> String {
        let mut text = self.before.clone();
        self.root.write(&mut text);
        text.push_str(&self.after);
        text
    }

    /// Whether both say the same, however they write it.
    pub fn is_like(&self, other: &Self) -> bool {
        self.root.is_like(&other.root)
    }

    /// The element at `path`; an empty path is the root.
    pub fn at(&self, path: &[usize]) -> Option<&Element> {
        path.iter().try_fold(&self.root, |element, place| element.element(*place))
    }

    /// The element at `path`, to be changed.
    pub fn at_mut(&mut self, path: &[usize]) -> Option<&mut Element> {
        path.iter().try_fold(&mut self.root, |element, place| match element.children.get_mut(*place) {
            Some(Node::Element(element)) => Some(element),
            _ => None,
        })
    }

    /// The prefixes that may be used within the element at `path`.
    pub fn scope(&self, path: &[usize]) -> Scope {
        let mut scope = Scope::default().with(&self.root.declared);
        for end in 1..=path.len() {
            if let Some(element) = path.get(..end).and_then(|path| self.at(path)) {
                scope.0.extend(element.declared.iter().cloned());
            }
        }
        scope
    }

    /// Declares at `path` what `new` needs and what has no prefix there.
    pub fn declare(&mut self, path: &[usize], new: &New) {
        for name in new.names() {
            let scope = self.scope(path);
            if scope.prefix(name.namespace).is_none()
                && let Some(element) = self.at_mut(path)
            {
                element.declare(scope.free(name), name.namespace);
            }
        }
    }

    /// Adds an element as the last one of that at `path`.
    pub fn append(&mut self, path: &[usize], new: &New) {
        let scope = self.scope(path);
        let depth = path.len() + 1;
        if let Some(element) = self.at_mut(path) {
            element.append(Element::new(new, &scope, depth), depth);
        }
    }
}

impl Element {
    /// Makes an element that stands `depth` levels below the root.
    pub fn new(new: &New, scope: &Scope, depth: usize) -> Self {
        let mut scope = scope.clone();
        let mut declared = Vec::new();
        let mut qualified = |name: Name, scope: &mut Scope| {
            let prefix = scope.prefix(name.namespace).map(str::to_owned).unwrap_or_else(|| {
                let prefix = scope.free(name);
                declared.push((prefix.clone(), name.namespace.to_owned()));
                scope.0.push((prefix.clone(), name.namespace.to_owned()));
                prefix
            });
            format!("{prefix}:{}", name.local)
        };
        let tag = qualified(new.name, &mut scope);
        let mut head = format!("<{tag}");
        let mut attributes = Vec::new();
        for (name, value) in &new.attributes {
            let start = head.len() + 1;
            head.push_str(&format!(" {}=\"{}\"", qualified(*name, &mut scope), escaped(value, true)));
            attributes.push(Attribute {
                name: Expanded::from(*name),
                value: value.clone(),
                span: start..head.len(),
            });
        }
        for (prefix, namespace) in &declared {
            head.push_str(&declaration(prefix, namespace));
        }
        let mut element = Self {
            name: Expanded::from(new.name),
            head,
            attributes,
            declared,
            children: Vec::new(),
            closed: true,
            tail: format!("</{tag}>"),
        };
        match &new.content {
            Content::Text(text) => element.set_text(text),
            Content::Elements(elements) => {
                for new in elements {
                    element.append(Self::new(new, &scope, depth + 1), depth + 1);
                }
            }
        }
        element
    }

    /// Its name.
    pub fn name(&self) -> &Expanded {
        &self.name
    }

    /// Its attributes, without declarations.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: Name) -> Option<&str> {
        self.attributes.iter().find(|a| name.is(&a.name)).map(|a| a.value.as_str())
    }

    /// The element at this place among its children.
    pub fn element(&self, place: usize) -> Option<&Self> {
        match self.children.get(place) {
            Some(Node::Element(element)) => Some(element),
            _ => None,
        }
    }

    /// The elements within it, with their places among its children.
    pub fn elements(&self) -> impl Iterator<Item = (usize, &Self)> {
        self.children.iter().enumerate().filter_map(|(place, node)| match node {
            Node::Element(element) => Some((place, element)),
            _ => None,
        })
    }

    /// Its text, without that of elements within it.
    pub fn text(&self) -> String {
        let texts = self.children.iter().filter_map(|node| match node {
            Node::Text(text) => Some(text.value.as_str()),
            _ => None,
        });
        texts.collect()
    }

    /// Replaces everything within it.
    pub fn set_text(&mut self, text: &str) {
        self.children.clear();
        if !text.is_empty() {
            self.children.push(Node::Text(Text { raw: escaped(text, false), value: text.to_owned() }));
        }
    }

    /// Takes out what stands at this place, and the space before it.
    pub fn remove(&mut self, place: usize) {
        if place < self.children.len() {
            self.children.remove(place);
        }
        if let Some(before) = place.checked_sub(1)
            && matches!(self.children.get(before), Some(Node::Text(text)) if text.is_blank())
        {
            self.children.remove(before);
        }
        if self.children.iter().all(|node| matches!(node, Node::Text(text) if text.is_blank())) {
            self.children.clear();
        }
    }

    /// Takes out an attribute.
    pub fn remove_attribute(&mut self, index: usize) {
        if index >= self.attributes.len() {
            return;
        }
        let Range { start, end } = self.attributes.remove(index).span;
        if self.head.get(start..end).is_none() {
            return;
        }
        let kept = self.head.get(..start).unwrap_or_default().trim_ascii_end().len();
        self.head.replace_range(kept..end, "");
        for attribute in &mut self.attributes {
            if attribute.span.start >= end {
                attribute.span.start -= end - kept;
                attribute.span.end -= end - kept;
            }
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        let attributes = |element: &Self| -> Vec<(Expanded, String)> {
            let mut all: Vec<_> =
                element.attributes.iter().map(|a| (a.name.clone(), a.value.clone())).collect();
            all.sort();
            all
        };
        let others = |element: &Self| -> Vec<String> {
            let raw = element.children.iter().filter_map(|node| match node {
                Node::Other(raw) => Some(raw.clone()),
                _ => None,
            });
            raw.collect()
        };
        self.name == other.name
            && attributes(self) == attributes(other)
            && self.text() == other.text()
            && others(self) == others(other)
            && self.elements().count() == other.elements().count()
            && self.elements().zip(other.elements()).all(|((_, one), (_, other))| one.is_like(other))
    }

    fn declare(&mut self, prefix: String, namespace: &str) {
        let kept = self.head.trim_ascii_end().len();
        self.head.truncate(kept);
        self.head.push_str(&declaration(&prefix, namespace));
        self.declared.push((prefix, namespace.to_owned()));
    }

    fn append(&mut self, element: Self, depth: usize) {
        let ends_blank = matches!(self.children.last(), Some(Node::Text(text)) if text.is_blank());
        let place = self.children.len() - usize::from(ends_blank);
        self.children.insert(place, Node::Element(element));
        self.children.insert(place, Node::Text(Text::blank(depth)));
        if !ends_blank {
            self.children.push(Node::Text(Text::blank(depth.saturating_sub(1))));
        }
    }

    fn write(&self, text: &mut String) {
        text.push_str(&self.head);
        if self.children.is_empty() && self.closed {
            text.push_str("/>");
            return;
        }
        text.push('>');
        for node in &self.children {
            match node {
                Node::Element(element) => element.write(text),
                Node::Text(Text { raw, .. }) | Node::Other(raw) => text.push_str(raw),
            }
        }
        text.push_str(&self.tail);
    }
}
