//! What the XML parser is not trusted with.
//!
//! Entities made of entities, tags with thousands of attributes, and elements thousands deep cost it memory or time
//! without end (RUSTSEC-2026-0194, RUSTSEC-2026-0195). No vocabulary has them. They are refused before it sees them.

use crate::vocabulary::VocabularyError;

/// Elements in one another. SKOS needs four.
const MAX_NESTING: usize = 32;
/// Bytes of a tag, a comment or an instruction.
const MAX_TAG: usize = 64 << 10;
/// Attributes of a tag. The outermost has one for each namespace.
const MAX_ATTRIBUTES: usize = 100;
/// Bytes of a text between two tags.
const MAX_TEXT: usize = 1 << 20;
/// Bytes of a document type, where entities are declared.
const MAX_DOCTYPE: usize = 64 << 10;
/// Bytes of an entity. They abbreviate addresses.
const MAX_ENTITY: usize = 300;

const NEXT: &str = "export the vocabulary again, plainly";

/// Whether the file declares a Latin alphabet of one byte for each letter.
pub(super) fn declares_latin(bytes: &[u8]) -> bool {
    let Some(end) = bytes.iter().take(300).position(|&byte| byte == b'>') else { return false };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    head.starts_with("<?xml")
        && ["iso-8859-1\"", "windows-1252\"", "iso-8859-1'", "windows-1252'"]
            .iter()
            .any(|name| head.contains(name))
}

/// The text behind the declaration of XML.
pub(super) fn without_declaration(text: &str) -> &str {
    let rest = text.trim_start();
    let Some(rest) = rest.strip_prefix("<?xml").filter(|rest| rest.starts_with(char::is_whitespace)) else {
        return text;
    };
    rest.split_once("?>").map_or(text, |(_, body)| body)
}

/// Refuses what would cost the parser too much.
pub(super) fn check(text: &str) -> Result<(), VocabularyError> {
    let mut scan = Scan { rest: text, line: 1, nesting: 0 };
    while !scan.rest.is_empty() {
        scan.text()?;
        scan.markup()?;
    }
    if scan.nesting > 0 {
        return Err(VocabularyError::at(
            scan.line,
            "the file ends before its elements do",
            "get the whole file",
        ));
    }
    Ok(())
}

struct Scan<'a> {
    rest: &'a str,
    line: u64,
    nesting: usize,
}

impl<'a> Scan<'a> {
    fn wrong(&self, reason: String) -> VocabularyError {
        VocabularyError::at(self.line, reason, NEXT)
    }

    /// Goes on by `bytes`, which end at a character.
    fn skip(&mut self, bytes: usize) -> &'a str {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.line += skipped.bytes().filter(|&byte| byte == b'\n').count() as u64;
        self.rest = rest;
        skipped
    }

    fn text(&mut self) -> Result<(), VocabularyError> {
        let end = self.rest.find('<').unwrap_or(self.rest.len());
        if end > MAX_TEXT {
            return Err(self.wrong(format!("a text has more than {MAX_TEXT} bytes")));
        }
        self.skip(end);
        Ok(())
    }

    fn markup(&mut self) -> Result<(), VocabularyError> {
        let rest = self.rest;
        if rest.is_empty() {
            Ok(())
        } else if rest.starts_with("<!--") {
            self.until("-->", MAX_TEXT)
        } else if rest.starts_with("<![CDATA[") {
            self.until("]]>", MAX_TEXT)
        } else if rest.starts_with("<?") {
            self.until("?>", MAX_TAG)
        } else if rest.starts_with("<!") {
            self.doctype()
        } else {
            self.tag()
        }
    }

    fn until(&mut self, end: &str, most: usize) -> Result<(), VocabularyError> {
        match self.rest.find(end) {
            Some(at) if at <= most => {
                self.skip(at + end.len());
                Ok(())
            }
            Some(_) => {
                Err(self.wrong(format!("what begins here has more than {most} bytes before its '{end}'")))
            }
            None => Err(self.wrong(format!("what begins here has no '{end}'"))),
        }
    }

    fn tag(&mut self) -> Result<(), VocabularyError> {
        let mut quote = None;
        let mut attributes = 0;
        let mut end = None;
        for (at, byte) in self.rest.bytes().enumerate().skip(1) {
            match (quote, byte) {
                (Some(open), _) if byte == open => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'=') => attributes += 1,
                (None, b'>') => {
                    end = Some(at);
                    break;
                }
                (None, _) => {}
            }
            if at > MAX_TAG || attributes > MAX_ATTRIBUTES {
                let reason = format!("a tag has more than {MAX_TAG} bytes or {MAX_ATTRIBUTES} attributes");
                return Err(self.wrong(reason));
            }
        }
        let Some(end) = end else { return Err(self.wrong("a tag is never closed".to_owned())) };
        let tag = self.skip(end + 1);
        if tag.starts_with("</") {
            self.nesting = self.nesting.saturating_sub(1);
        } else if !tag.ends_with("/>") {
            self.nesting += 1;
            if self.nesting > MAX_NESTING {
                return Err(self.wrong(format!("more than {MAX_NESTING} elements are open")));
            }
        }
        Ok(())
    }

    /// Allows entities that are short and contain no other.
    fn doctype(&mut self) -> Result<(), VocabularyError> {
        let mut open = 0_usize;
        let mut end = None;
        for (at, byte) in self.rest.bytes().enumerate() {
            match byte {
                b'<' => open += 1,
                b'>' => open -= 1,
                _ => {}
            }
            if open == 0 {
                end = Some(at);
                break;
            }
            if at > MAX_DOCTYPE {
                return Err(self.wrong(format!("the document type has more than {MAX_DOCTYPE} bytes")));
            }
        }
        let Some(end) = end else { return Err(self.wrong("the document type is never closed".to_owned())) };
        let doctype = &self.rest[..=end];
        if doctype.contains('&') {
            return Err(self.wrong("an entity is made of another".to_owned()));
        }
        if doctype.split(['"', '\'']).any(|part| part.len() > MAX_ENTITY) {
            return Err(self.wrong(format!("the document type has a part of more than {MAX_ENTITY} bytes")));
        }
        self.skip(end + 1);
        Ok(())
    }
}
