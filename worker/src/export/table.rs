//! CSV: a row for each picture.

use docent_pipelines::Kind;

use super::{Form, Picture};
use crate::assets::display_path;

/// The columns. They keep their names and their order; new ones come last.
const COLUMNS: [&str; 14] = [
    "asset_id",
    "path",
    "uri",
    "owners",
    "width",
    "height",
    "keywords",
    "keyword_paths",
    "keyword_uris",
    "caption",
    "alt_text",
    "text",
    "objects",
    "faces",
];
/// Stands between several values of a cell, as spreadsheets and image databases split them.
const BETWEEN: char = '|';
/// Stands between the names of a keyword's path, as in Lightroom's and digiKam's hierarchies.
const BELOW: &str = "/";

/// A table.
#[derive(Debug, Clone, Copy, Default)]
pub struct Csv;

impl Form for Csv {
    fn head(&self) -> Vec<u8> {
        record(COLUMNS.map(str::to_owned))
    }

    fn picture(&self, picture: &Picture) -> Vec<u8> {
        let Picture { asset, accepted } = picture;
        let of = |kind: Kind| accepted.iter().filter(move |accepted| accepted.row.kind == kind);
        let values = |kind: Kind| joined(of(kind).map(|accepted| accepted.row.value.as_str()));
        let terms = || of(Kind::Tag).filter_map(|accepted| accepted.term.as_ref());
        let uri = asset.uris.first().cloned().unwrap_or_default();
        let number = |number: Option<u32>| number.map_or_else(String::new, |number| number.to_string());
        let paths: Vec<String> = terms()
            .map(|term| term.path.iter().map(|name| name.replace('/', "-")).collect::<Vec<_>>().join(BELOW))
            .collect();
        record([
            asset.asset_id.to_string(),
            display_path(&uri),
            uri,
            joined(asset.owners.iter().map(String::as_str)),
            number(asset.width),
            number(asset.height),
            values(Kind::Tag),
            joined(paths.iter().map(String::as_str)),
            joined(terms().filter_map(|term| term.uri.as_deref())),
            of(Kind::Caption).map(|accepted| accepted.row.value.as_str()).collect::<Vec<_>>().join("\n"),
            of(Kind::AltText).map(|accepted| accepted.row.value.as_str()).collect::<Vec<_>>().join("\n"),
            of(Kind::Text).map(|accepted| accepted.row.value.as_str()).collect::<Vec<_>>().join("\n"),
            values(Kind::Object),
            of(Kind::Face).count().to_string(),
        ])
    }
}

/// Several values as one, each once.
fn joined<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let mut all: Vec<String> = Vec::new();
    for value in values.map(|value| value.replace(BETWEEN, "/")) {
        if !all.contains(&value) {
            all.push(value);
        }
    }
    all.join(&BETWEEN.to_string())
}

/// A line of a table after RFC 4180.
fn record<const N: usize>(cells: [String; N]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    // Memory takes everything.
    drop(writer.write_record(cells));
    writer.into_inner().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let line = record(["a", "b, c", "say \"no\"", "two\nlines", ""].map(str::to_owned));
        assert_eq!(line, b"a,\"b, c\",\"say \"\"no\"\"\",\"two\nlines\",\r\n");
    }

    #[test]
    fn several_values_are_told_apart() {
        assert_eq!(joined(["cat", "a|b", "cat"].into_iter()), "cat|a/b");
    }
}
