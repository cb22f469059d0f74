//! Reads a document.

use std::ops::Range;

use roxmltree::NodeType;

use super::{Attribute, Element, Expanded, MAX_DEPTH, Node, Text, TreeError};

/// The element `node` of the document `text`.
pub(super) fn read(node: roxmltree::Node<'_, '_>, text: &str, depth: usize) -> Result<Element, TreeError> {
    if depth > MAX_DEPTH {
        return Err(TreeError::TooDeep);
    }
    let expanded = |namespace: Option<&str>, local: &str| Expanded {
        namespace: namespace.unwrap_or_default().to_owned(),
        local: local.to_owned(),
    };
    let range = node.range();
    let part = |range: Range<usize>| text.get(range).ok_or(TreeError::NotKept);
    let source = part(range.clone())?;
    let end = end_of_start_tag(source).ok_or(TreeError::NotKept)?;
    let closed = source[..end].ends_with('/');
    let head = source[..end - usize::from(closed)].to_owned();
    let attributes = node.attributes().map(|attribute| Attribute {
        name: expanded(attribute.namespace(), attribute.name()),
        value: attribute.value().to_owned(),
        span: attribute.range().start - range.start..attribute.range().end - range.start,
    });
    let mut element = Element {
        name: expanded(node.tag_name().namespace(), node.tag_name().name()),
        attributes: attributes.collect(),
        declared: if head.contains("xmlns") { declared(node) } else { Vec::new() },
        tail: String::new(),
        children: Vec::new(),
        head,
        closed,
    };
    if closed {
        let qualified = element.head[1..].split_ascii_whitespace().next().unwrap_or_default();
        element.tail = format!("</{qualified}>");
        return Ok(element);
    }
    let tail = source.rfind("</").ok_or(TreeError::NotKept)?;
    element.tail = source[tail..].to_owned();
    let (mut at, mut value) = (range.start + end + 1, String::new());
    for child in node.children() {
        if child.node_type() == NodeType::Text {
            value.push_str(child.text().unwrap_or_default());
            continue;
        }
        let inside = child.range();
        element.children.extend(between(part(at..inside.start)?, &mut value));
        let node = if child.is_element() {
            Node::Element(read(child, text, depth + 1)?)
        } else {
            Node::Other(part(inside.clone())?.to_owned())
        };
        element.children.push(node);
        at = inside.end;
    }
    element.children.extend(between(part(at..range.start + tail)?, &mut value));
    Ok(element)
}

/// What stands between two elements, and the text that it means.
fn between(raw: &str, value: &mut String) -> Option<Node> {
    let value = std::mem::take(value);
    (!raw.is_empty()).then(|| Node::Text(Text { raw: raw.to_owned(), value }))
}

/// Where the start tag ends that `source` begins with: at its `>`.
fn end_of_start_tag(source: &str) -> Option<usize> {
    let mut quote = None;
    source.bytes().position(|byte| match (quote, byte) {
        (None, b'>') => true,
        (None, b'"' | b'\'') => {
            quote = Some(byte);
            false
        }
        (Some(open), byte) if open == byte => {
            quote = None;
            false
        }
        _ => false,
    })
}

/// What an element declares that did not hold around it.
fn declared(node: roxmltree::Node<'_, '_>) -> Vec<(String, String)> {
    let around = node.parent_element();
    let holds = |prefix: Option<&str>, namespace: &str| {
        around.is_some_and(|around| around.lookup_namespace_uri(prefix) == Some(namespace))
    };
    let declared = node.namespaces().filter(|bound| !holds(bound.name(), bound.uri()));
    declared.map(|bound| (bound.name().unwrap_or_default().to_owned(), bound.uri().to_owned())).collect()
}
