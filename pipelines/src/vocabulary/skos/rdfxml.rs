//! RDF/XML.

use oxrdfxml::{RdfXmlParser, RdfXmlSerializer};

use super::gather::Gathered;
use super::names::{DOCENT, SKOS};
use super::triples::triples;
use super::xml;
use crate::vocabulary::error::parser_said;
use crate::vocabulary::loss::{Losses, Written};
use crate::vocabulary::text::{Text, decode, unix, windows_1252};
use crate::vocabulary::{Draft, Term, VocabularyError};

/// A file's text: UTF-8, UTF-16, or the Latin alphabet if it declares that.
pub(in crate::vocabulary) fn text(bytes: &[u8]) -> Result<Text, VocabularyError> {
    if xml::declares_latin(bytes) {
        let text: String = bytes.iter().map(|&byte| windows_1252(byte)).collect();
        return Ok(Text { text: unix(&text), windows_1252: None });
    }
    decode(bytes, false)
}

/// Reads SKOS in RDF/XML.
pub(in crate::vocabulary) fn read(text: &str) -> Result<Draft, VocabularyError> {
    // The text is decoded. What the file says of its encoding does not hold any more.
    let body = xml::without_declaration(text);
    let skipped = text.len() - body.len();
    xml::check(text)?;
    let mut lines = Lines { bytes: text.as_bytes(), at: 0, line: 1 };
    let mut gathered = Gathered::new();
    let mut parser = RdfXmlParser::new().for_slice(body);
    while let Some(result) = parser.next() {
        let offset = usize::try_from(parser.buffer_position()).unwrap_or(usize::MAX);
        let line = lines.of(skipped.saturating_add(offset));
        let triple = result.map_err(|error| {
            let said = error.to_string();
            let next = match said.as_str() {
                said if said.contains("scheme") => "give the file an absolute xml:base",
                _ => "correct it there, or export the vocabulary again",
            };
            VocabularyError::at(line, parser_said(&said), next)
        })?;
        gathered.take(line, triple)?;
    }
    gathered.finish()
}

/// Counts lines up to growing offsets.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    fn of(&mut self, offset: usize) -> u64 {
        let offset = offset.min(self.bytes.len());
        if offset > self.at {
            let ends = self.bytes[self.at..offset].iter().filter(|&&byte| byte == b'\n').count();
            self.line += ends as u64;
            self.at = offset;
        }
        self.line
    }
}

/// Writes SKOS in RDF/XML, an element for each term.
pub(in crate::vocabulary) fn write(terms: &[Term]) -> Result<Written, VocabularyError> {
    let failed =
        |error: String| VocabularyError::whole(format!("the terms are no RDF/XML: {error}"), "report this");
    let mut losses = Losses::default();
    let mut writer = RdfXmlSerializer::new()
        .with_prefix("docent", DOCENT)
        .and_then(|serializer| serializer.with_prefix("skos", SKOS))
        .map_err(|error| failed(error.to_string()))?
        .for_writer(Vec::new());
    for triple in triples(terms, &mut losses) {
        writer.serialize_triple(&triple).map_err(|error| failed(error.to_string()))?;
    }
    let mut bytes = writer.finish().map_err(|error| failed(error.to_string()))?;
    bytes.push(b'\n');
    Ok(Written { bytes, lost: losses.into_list() })
}
