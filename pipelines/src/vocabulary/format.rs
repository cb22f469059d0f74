//! The formats of vocabulary files.

use std::fmt;
use std::str::FromStr;

use super::limits::MAX_BYTES;
use super::loss::Written;
use super::text::decode;
use super::{Draft, Term, VocabularyError, json, keywords, skos, table};

/// A form of vocabulary file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// SKOS in Turtle.
    Turtle,
    /// SKOS in RDF/XML.
    RdfXml,
    /// A keyword list of Lightroom or Photo Mechanic.
    Keywords,
    /// A table, separated by commas, semicolons or tabulators.
    Csv,
    /// docent's own form, which loses nothing.
    Json,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Turtle, Self::RdfXml, Self::Keywords, Self::Csv, Self::Json];

    /// Its name, as people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Turtle => "turtle",
            Self::RdfXml => "rdfxml",
            Self::Keywords => "keywords",
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }

    /// The ending of its files, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Turtle => "ttl",
            Self::RdfXml => "rdf",
            Self::Keywords => "txt",
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }

    /// The format of a file with this name and these bytes. The name decides if its ending is known.
    ///
    /// # Errors
    ///
    /// JSON-LD is refused by its name, and what is none of the formats by its content.
    pub fn guess(name: &str, bytes: &[u8]) -> Result<Self, VocabularyError> {
        let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        match ending.as_deref() {
            Some("ttl") => Ok(Self::Turtle),
            Some("rdf" | "xml" | "owl") => Ok(Self::RdfXml),
            Some("txt") => Ok(Self::Keywords),
            Some("csv" | "tsv") => Ok(Self::Csv),
            Some("json") => Ok(Self::Json),
            Some("jsonld") => Err(VocabularyError::whole(
                "docent does not read JSON-LD",
                "export the vocabulary as Turtle or RDF/XML, which many programs do",
            )),
            _ => Self::of_content(bytes),
        }
    }

    fn of_content(bytes: &[u8]) -> Result<Self, VocabularyError> {
        let head = &bytes[..bytes.len().min(4096)];
        let text = match decode(head, true) {
            Ok(text) => text.text,
            // UTF-16, cut in the middle: its Latin letters.
            Err(_) => head.iter().skip(2).filter(|&&byte| byte != 0).map(|&byte| char::from(byte)).collect(),
        };
        let first = text.trim_start();
        let begins = |with: &[&str]| with.iter().any(|with| first.starts_with(with));
        if begins(&["<?xml", "<rdf:", "<!"]) {
            Ok(Self::RdfXml)
        } else if begins(&["@prefix", "@base", "PREFIX", "BASE", "# ", "<http", "<urn"]) {
            Ok(Self::Turtle)
        } else if begins(&["{\"", "{ \"", "{\n", "{}"]) {
            Ok(Self::Json)
        } else if table::looks_like_one(&text) {
            Ok(Self::Csv)
        } else {
            Err(VocabularyError::whole(
                "neither the file's name nor its content says what it is",
                format!("name its format: {}", Self::ALL.map(Self::name).join(", ")),
            ))
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("'{text}' is no format of vocabularies ({names})")
        })
    }
}

/// Reads a vocabulary file.
///
/// # Errors
///
/// The first thing wrong with it, and its line.
pub fn read(format: Format, bytes: &[u8]) -> Result<Draft, VocabularyError> {
    if bytes.len() > MAX_BYTES {
        let reason = format!("the file has more than {} MiB", MAX_BYTES >> 20);
        return Err(VocabularyError::whole(reason, "import a part of it"));
    }
    let text = match format {
        Format::RdfXml => skos::xml_text(bytes),
        Format::Keywords | Format::Csv => decode(bytes, true),
        Format::Turtle | Format::Json => decode(bytes, false),
    }?;
    let mut draft = match format {
        Format::Turtle => skos::read_turtle(&text.text),
        Format::RdfXml => skos::read_rdfxml(&text.text),
        Format::Keywords => keywords::read(&text.text),
        Format::Csv => table::read(&text.text),
        Format::Json => json::read(&text.text),
    }?;
    if let Some(line) = text.windows_1252 {
        draft.note(line, "the file is not UTF-8; it was read as Windows-1252");
    }
    draft.noted.sort_by_key(|noted| noted.line);
    Ok(draft)
}

/// Writes `terms`: JSON in their order, a list or a table by their names, SKOS by their addresses.
///
/// # Errors
///
/// What keeps the format from saying them at all.
pub fn write(format: Format, terms: &[Term]) -> Result<Written, VocabularyError> {
    match format {
        Format::Turtle => skos::write_turtle(terms),
        Format::RdfXml => skos::write_rdfxml(terms),
        Format::Keywords => keywords::write(terms),
        Format::Csv => table::write(terms),
        Format::Json => json::write(terms),
    }
}
