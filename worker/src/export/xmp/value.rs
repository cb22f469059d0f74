//! What a property says, in whichever of RDF's forms.

use std::collections::BTreeMap;

use super::names::{RDF, RDF_ALT, RDF_BAG, RDF_PARSE_TYPE, RDF_RESOURCE, RDF_SEQ, RDF_VALUE, XML, XML_LANG};
use super::tree::{Element, Expanded, Name, New, Scope};

/// What a property says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text, a number, an address.
    Text(String),
    /// Several values: a bag, a sequence, or alternatives.
    List(Vec<Item>),
    /// Fields by their names.
    Struct(BTreeMap<Expanded, Value>),
    /// Something that XMP does not know.
    Unknown,
}

/// One of several values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its language, in lower case.
    pub language: Option<String>,
    /// The value.
    pub value: Value,
}

impl Value {
    /// The text, of a text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list; a lone value is one, too.
    pub fn items(&self) -> Vec<&Self> {
        match self {
            Self::List(items) => items.iter().map(|item| &item.value).collect(),
            Self::Text(text) if text.trim().is_empty() => Vec::new(),
            other => vec![other],
        }
    }

    /// The texts among the items.
    pub fn texts(&self) -> Vec<String> {
        self.items().into_iter().filter_map(Self::text).map(str::to_owned).collect()
    }

    /// A field.
    pub fn field(&self, name: Name) -> Option<&Self> {
        match self {
            Self::Struct(fields) => fields.get(&Expanded::from(name)),
            _ => None,
        }
    }

    /// What a new element would be read as.
    pub fn of(new: &New) -> Self {
        value(&Element::new(new, &Scope::default(), 0))
    }
}

/// Whether an element is a bag, a sequence or alternatives.
pub(super) fn is_list(element: &Element) -> bool {
    [RDF_BAG, RDF_SEQ, RDF_ALT].iter().any(|name| name.is(element.name()))
}

/// What the element of a property, a field or an item says. Qualifiers of a value are left out.
pub(super) fn value(element: &Element) -> Value {
    match element.attribute(RDF_PARSE_TYPE) {
        Some("Resource") => return fields(element),
        Some(_) => return Value::Unknown,
        None => {}
    }
    let mut inside = element.elements();
    match (inside.next(), inside.next()) {
        (Some((_, list)), None) if is_list(list) => {
            let items = list.elements().map(|(_, item)| Item {
                language: item.attribute(XML_LANG).map(str::to_ascii_lowercase),
                value: value(item),
            });
            Value::List(items.collect())
        }
        (Some((_, node)), None) => fields(node),
        (Some(_), Some(_)) => Value::Unknown,
        (None, _) => {
            let single = element.attribute(RDF_RESOURCE).or(element.attribute(RDF_VALUE));
            if let Some(text) = single {
                return Value::Text(text.to_owned());
            }
            match fields(element) {
                Value::Struct(fields) if fields.is_empty() => Value::Text(element.text()),
                fields => fields,
            }
        }
    }
}

/// The fields that stand in an element, as attributes and as elements. A value with qualifiers is that value.
fn fields(element: &Element) -> Value {
    let attributes = element
        .attributes()
        .iter()
        .filter(|a| ![RDF, XML].contains(&a.name.namespace.as_str()) && !a.name.namespace.is_empty())
        .map(|a| (a.name.clone(), Value::Text(a.value.clone())));
    let elements = element.elements().map(|(_, field)| (field.name().clone(), value(field)));
    let mut fields: BTreeMap<Expanded, Value> = attributes.chain(elements).collect();
    if let Some(text) = element.attribute(RDF_VALUE) {
        return Value::Text(text.to_owned());
    }
    match fields.remove(&Expanded::from(RDF_VALUE)) {
        Some(value) => value,
        None => Value::Struct(fields),
    }
}
