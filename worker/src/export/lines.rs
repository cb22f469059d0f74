//! JSON lines: an object for each picture.

use docent_pipelines::Region;
use serde::Serialize;

use super::{Form, Picture, TermName};

/// An object on each line.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lines;

#[derive(Serialize)]
struct Line<'a> {
    asset_id: &'a str,
    content_hash: &'a str,
    uris: &'a [String],
    owners: &'a [String],
    bytes: u64,
    width: Option<u32>,
    height: Option<u32>,
    format: Option<&'a str>,
    accepted: Vec<Said<'a>>,
}

#[derive(Serialize)]
struct Said<'a> {
    id: &'a str,
    kind: &'a str,
    value: &'a str,
    confidence: f64,
    region: Option<Region>,
    #[serde(skip_serializing_if = "Option::is_none")]
    term: Option<&'a TermName>,
    model: String,
    accepted_by: Option<&'a str>,
    accepted_at: Option<&'a str>,
}

impl Form for Lines {
    fn picture(&self, picture: &Picture) -> Vec<u8> {
        let Picture { asset, accepted } = picture;
        let said = accepted.iter().map(|accepted| Said {
            id: accepted.row.id.as_str(),
            kind: accepted.row.kind.as_str(),
            value: &accepted.row.value,
            confidence: accepted.row.confidence,
            region: accepted.row.region,
            term: accepted.term.as_ref(),
            model: accepted.row.model.to_string(),
            accepted_by: accepted.decided.as_ref().map(|decided| decided.reviewer.as_str()),
            accepted_at: accepted.decided.as_ref().map(|decided| decided.at.as_str()),
        });
        let line = Line {
            asset_id: asset.asset_id.as_str(),
            content_hash: &asset.content_hash,
            uris: &asset.uris,
            owners: &asset.owners,
            bytes: asset.bytes,
            width: asset.width,
            height: asset.height,
            format: asset.format.as_deref(),
            accepted: said.collect(),
        };
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}
