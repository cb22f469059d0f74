//! Web annotations (W3C Recommendation of 23 February 2017), one on each line: regions as media fragments, terms by their
//! addresses, the model as what generated it and the reviewer as who made it.

use docent_pipelines::{Kind, Region};
use serde_json::{Value, json};

use super::{Accepted, Form, Picture};

/// An annotation on each line, for each thing that was accepted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Annotations;

const CONTEXT: &str = "http://www.w3.org/ns/anno.jsonld";
/// Media Fragments URI 1.0, of which `xywh=percent:` is a part.
const FRAGMENTS: &str = "http://www.w3.org/TR/media-frags/";

impl Form for Annotations {
    fn picture(&self, picture: &Picture) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Some(uri) = picture.asset.uris.first() else { return bytes };
        for accepted in &picture.accepted {
            bytes.extend_from_slice(annotation(accepted, uri).to_string().as_bytes());
            bytes.push(b'\n');
        }
        bytes
    }
}

fn annotation(Accepted { row, decided, term }: &Accepted, uri: &str) -> Value {
    let motivation = match row.kind {
        Kind::Caption | Kind::AltText | Kind::Emotion | Kind::Text => "describing",
        Kind::Face => "highlighting",
        Kind::Tag | Kind::Object | Kind::Proposal => "tagging",
    };
    let mut body = vec![json!({ "type": "TextualBody", "value": row.value, "purpose": motivation })];
    if let Some(uri) = term.as_ref().and_then(|term| term.uri.as_deref()) {
        body.push(json!({ "type": "SpecificResource", "source": uri, "purpose": "classifying" }));
    }
    let target = match row.region {
        None => json!(uri),
        Some(region) => json!({
            "source": uri,
            "selector": { "type": "FragmentSelector", "conformsTo": FRAGMENTS, "value": fragment(region) },
        }),
    };
    let mut annotation = json!({
        "@context": CONTEXT,
        "id": format!("urn:docent:suggestion:{}", row.id),
        "type": "Annotation",
        "motivation": motivation,
        "body": body,
        "target": target,
        "generator": { "type": "Software", "name": row.model.to_string() },
    });
    if let (Some(decided), Some(annotation)) = (decided, annotation.as_object_mut()) {
        annotation.insert("creator".to_owned(), json!({ "type": "Person", "name": decided.reviewer }));
        annotation.insert("created".to_owned(), json!(decided.at));
    }
    annotation
}

/// A region in percent of the upright picture.
fn fragment(region: Region) -> String {
    // Four decimals of a share are two of a percentage.
    let percent = |share: f64| {
        let text = format!("{:.2}", share * 100.0);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let parts = [region.x, region.y, region.width, region.height].map(percent);
    format!("xywh=percent:{}", parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_percentages() {
        let region = Region::from_corners(0.1, 0.2505, 0.6, 1.0).expect("a region");
        assert_eq!(fragment(region), "xywh=percent:10,25.05,50,74.95");
    }
}
