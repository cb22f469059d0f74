//! Heads that come with a space: terms whose rules were learned elsewhere.

use std::collections::HashMap;

use serde::Deserialize;

use super::{Rule, logit};

/// A head is offered from here on: about so many of the pictures just above its threshold are right, and more further up.
const AT_THRESHOLD: f64 = 0.7;
/// What the addresses of the starter vocabulary's terms begin with.
pub const STARTER: &str = "urn:docent:starter:";

/// The heads of one space, by their terms' addresses.
#[derive(Debug, Clone, Default)]
pub struct Heads {
    heads: HashMap<String, Rule>,
}

/// What is wrong with a file of heads.
#[derive(Debug, thiserror::Error)]
pub enum HeadsError {
    /// Not the expected JSON.
    #[error("read the heads")]
    Json(#[from] serde_json::Error),
    /// It belongs to another space.
    #[error("read the heads: they belong to {found}, not to {expected}")]
    Space {
        /// The space that it was read for.
        expected: String,
        /// The space that it names.
        found: String,
    },
}

#[derive(Deserialize)]
struct File {
    space: String,
    terms: HashMap<String, Head>,
}

#[derive(Deserialize)]
struct Head {
    weights: Vec<f32>,
    bias: f64,
    /// Of `weights · vector + bias`.
    threshold: f64,
}

impl Heads {
    /// Reads `{"space": …, "terms": {"animal.dog": {"weights": […], "bias": …, "threshold": …}, …}}`.
    pub fn parse(json: &str, space: &str) -> Result<Self, HeadsError> {
        let File { space: found, terms } = serde_json::from_str(json)?;
        if found != space {
            return Err(HeadsError::Space { expected: space.to_owned(), found });
        }
        let rule = |(key, head): (String, Head)| {
            let bias = head.bias - head.threshold + logit(AT_THRESHOLD);
            (format!("{STARTER}{key}"), Rule { weights: head.weights, bias, least: AT_THRESHOLD })
        };
        Ok(Self { heads: terms.into_iter().map(rule).collect() })
    }

    /// The head of a term, given by its address.
    pub fn of(&self, uri: &str) -> Option<&Rule> {
        self.heads.get(uri)
    }

    /// The addresses of all terms with a head.
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        self.heads.keys().map(String::as_str)
    }

    /// Whether it is known that the words of a term are not enough in this space: it is of the starter vocabulary, which was
    /// measured here, and has no head.
    pub fn are_all_of(&self, uri: &str) -> bool {
        !self.heads.is_empty() && uri.starts_with(STARTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_offered_from_its_threshold_on() {
        let json = r#"{"space": "picture/a@1", "terms": {"x": {"weights": [2.0, 0.0], "bias": -1.0, "threshold": 3.0}}}"#;
        let heads = Heads::parse(json, "picture/a@1").expect("is right");
        let rule = heads.of("urn:docent:starter:x").expect("is there");
        assert!(rule.probability(&[2.001, 0.0]) > rule.least);
        assert!(rule.probability(&[1.999, 0.0]) < rule.least);
        assert!(heads.of("urn:docent:starter:y").is_none() && heads.are_all_of("urn:docent:starter:y"));
        assert!(!heads.are_all_of("https://example.org/y"));
        assert!(matches!(Heads::parse(json, "picture/b@1"), Err(HeadsError::Space { .. })));
    }
}
