//! Turtle.

use oxttl::{TurtleParser, TurtleSerializer};

use super::gather::Gathered;
use super::names::{DOCENT, SKOS};
use super::triples::triples;
use crate::vocabulary::error::parser_said;
use crate::vocabulary::loss::{Losses, Written};
use crate::vocabulary::{Draft, Term, VocabularyError};

/// Brackets and parentheses in one another. Each costs the parser memory.
const MAX_NESTING: usize = 100;

/// Reads SKOS in Turtle.
pub(in crate::vocabulary) fn read(text: &str) -> Result<Draft, VocabularyError> {
    let mut gathered = Gathered::new();
    let mut parser = TurtleParser::new().low_level();
    let mut pieces = Pieces { rest: text, line: 1, nesting: 0 };
    let mut line = 1;
    loop {
        // Piece by piece, because the parser does not say in which line a statement is.
        match pieces.next()? {
            Some((first, piece)) => {
                line = first;
                parser.extend_from_slice(piece.as_bytes());
            }
            None => parser.end(),
        }
        while let Some(result) = parser.parse_next() {
            let triple = result.map_err(|error| {
                let next = match error.message() {
                    message if message.contains("scheme") => "give the file an absolute @base",
                    _ => "correct it there, or export the vocabulary again",
                };
                VocabularyError::at(error.location().start.line + 1, parser_said(error.message()), next)
            })?;
            gathered.take(line, triple)?;
        }
        if parser.is_end() {
            return gathered.finish();
        }
    }
}

/// A text in pieces that end with a line, but not within a quote.
struct Pieces<'a> {
    rest: &'a str,
    line: u64,
    nesting: usize,
}

impl<'a> Pieces<'a> {
    /// The next piece and its first line.
    fn next(&mut self) -> Result<Option<(u64, &'a str)>, VocabularyError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let first = self.line;
        let bytes = self.rest.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            at += 1;
            match byte {
                b'\n' => {
                    self.line += 1;
                    break;
                }
                b'"' | b'\'' => at = self.quoted(at - 1),
                b'<' => at += bytes[at..].iter().take_while(|&&byte| byte != b'>' && byte != b'\n').count(),
                b'#' => at += bytes[at..].iter().take_while(|&&byte| byte != b'\n').count(),
                b'\\' => at += usize::from(bytes.get(at).is_some_and(|byte| byte.is_ascii_punctuation())),
                b'[' | b'(' => {
                    self.nesting += 1;
                    if self.nesting > MAX_NESTING {
                        let reason = format!("more than {MAX_NESTING} brackets are open");
                        return Err(VocabularyError::at(self.line, reason, "close them, or name the nodes"));
                    }
                }
                b']' | b')' => self.nesting = self.nesting.saturating_sub(1),
                _ => {}
            }
        }
        let (piece, rest) = self.rest.split_at(at);
        self.rest = rest;
        Ok(Some((first, piece)))
    }

    /// Where the quote that opens at `at` has ended.
    fn quoted(&mut self, at: usize) -> usize {
        let bytes = self.rest.as_bytes();
        let quote = bytes[at];
        let long = bytes[at..].starts_with(&[quote; 3]);
        let mut end = at + if long { 3 } else { 1 };
        while let Some(&byte) = bytes.get(end) {
            match byte {
                b'\\' if bytes.get(end + 1) != Some(&b'\n') => end += 1,
                b'\n' if !long => return end,
                b'\n' => self.line += 1,
                _ if byte == quote && !long => return end + 1,
                _ if byte == quote && bytes[end..].starts_with(&[quote; 3]) => return end + 3,
                _ => {}
            }
            end += 1;
        }
        bytes.len()
    }
}

/// Writes SKOS in Turtle, the statements about each term together.
pub(in crate::vocabulary) fn write(terms: &[Term]) -> Result<Written, VocabularyError> {
    let failed =
        |error: String| VocabularyError::whole(format!("the terms are no Turtle: {error}"), "report this");
    let mut losses = Losses::default();
    let mut writer = TurtleSerializer::new()
        .with_prefix("docent", DOCENT)
        .and_then(|serializer| serializer.with_prefix("skos", SKOS))
        .map_err(|error| failed(error.to_string()))?
        .for_writer(Vec::new());
    for triple in triples(terms, &mut losses) {
        writer.serialize_triple(&triple).map_err(|error| failed(error.to_string()))?;
    }
    let bytes = writer.finish().map_err(|error| failed(error.to_string()))?;
    Ok(Written { bytes, lost: losses.into_list() })
}
