//! Rules made of a term's words, where nothing was learned yet.
//!
//! Scores of different terms cannot be compared, nor scores of different models: the words of one term are near to every
//! picture, those of another near to none. So a term is measured against the archive's own pictures: how far is a picture
//! nearer to the term than pictures usually are, in units of their spread?

use super::{Rule, dot};
use crate::vocabulary::{Language, Role, Term};

/// A space's own pictures, by which terms are measured.
#[derive(Debug, Clone, Default)]
pub struct Background {
    dimensions: usize,
    vectors: Vec<f32>,
}

/// A picture shows a term if its score is so many spreads above the middle. Chance alone reaches 4 in one of 31,600
/// pictures, if scores were distributed normally.
pub const SURPRISE: f64 = 4.0;
/// So much surer is one spread more, in units of the logit: from 4 to 5 spreads the probability goes from 0.5 to 0.82.
const STEEPNESS: f64 = 1.5;
/// With fewer pictures nobody knows what is usual.
const LEAST_PICTURES: usize = 32;
/// Sentences that a term's name is put into. Their vectors are averaged (CLIP, arXiv:2103.00020, section 3.1.4).
pub const PROMPTS: [&str; 3] = ["a photo of {}", "a picture of {}", "{}"];

impl Background {
    /// Pictures of a space: vectors of unit length that follow each other, all of `dimensions` values.
    pub fn new(dimensions: usize, vectors: Vec<f32>) -> Self {
        Self { dimensions, vectors }
    }

    /// The vectors.
    pub fn vectors(&self) -> impl Iterator<Item = &[f32]> {
        self.vectors.chunks_exact(self.dimensions.max(1))
    }

    /// The middle and the spread of the scores that pictures have which do not show the term: the median, and its distance
    /// to the 16th percentile. The upper half is not looked at, since it may show the term. `None` with fewer than 32
    /// pictures, or if all are alike.
    fn usual(&self, text: &[f32]) -> Option<(f64, f64)> {
        if self.dimensions == 0 || text.len() != self.dimensions {
            return None;
        }
        let mut scores: Vec<f32> = self.vectors.chunks_exact(self.dimensions).map(|v| dot(text, v)).collect();
        if scores.len() < LEAST_PICTURES {
            return None;
        }
        scores.sort_by(f32::total_cmp);
        let at = |part: f64| scores.get((part * scores.len() as f64) as usize).copied().map(f64::from);
        let (middle, low) = (at(0.5)?, at(0.159)?);
        let spread = middle - low;
        (spread > 1e-6).then_some((middle, spread))
    }
}

/// A rule from a term's text vector, of unit length: a picture that is [`SURPRISE`] spreads nearer than usual has the
/// probability 0.5. `least` is the term's own threshold, 0..=1, or else 0.5. `None` if the pictures do not say what is usual.
pub fn zero_shot(text: &[f32], pictures: &Background, least: Option<f64>) -> Option<Rule> {
    let (middle, spread) = pictures.usual(text)?;
    let scale = STEEPNESS / spread;
    Some(Rule {
        weights: text.iter().map(|value| (f64::from(*value) * scale) as f32).collect(),
        bias: -(middle * scale) - SURPRISE * STEEPNESS,
        least: least.unwrap_or(0.5),
    })
}

/// A rule for a model that was trained with a scale and a bias of its own (SigLIP): its probability is the model's.
pub fn calibrated(text: &[f32], scale: f64, bias: f64, least: Option<f64>) -> Rule {
    let weights = text.iter().map(|value| (f64::from(*value) * scale) as f32).collect();
    Rule { weights, bias, least: least.unwrap_or(0.5) }
}

/// What a text encoder reads for a term: its own prompts, or its names and synonyms in the languages that the encoder
/// understands, each in [`PROMPTS`]. Without a name in these languages, all of its names.
pub fn prompts(term: &Term, languages: &[String]) -> Vec<String> {
    if !term.prompts.is_empty() {
        return term.prompts.clone();
    }
    let understood = |language: &Language| {
        language.is_none()
            || languages.is_empty()
            || languages.iter().any(|known| known.eq_ignore_ascii_case(language.as_str()))
    };
    let names = |all: bool| -> Vec<&str> {
        let shown = term.labels.iter().filter(|label| label.role != Role::Hidden);
        shown.filter(|label| all || understood(&label.language)).map(|label| label.text.as_str()).collect()
    };
    let mut words = names(false);
    if words.is_empty() {
        words = names(true);
    }
    // Few synonyms say as much as many.
    words.truncate(4);
    words.iter().flat_map(|word| PROMPTS.map(|prompt| prompt.replace("{}", word))).collect()
}

/// The average of unit vectors, of unit length. `None` for none.
pub fn ensemble(vectors: &[Vec<f32>]) -> Option<Vec<f32>> {
    let (first, others) = vectors.split_first()?;
    let mut sum = first.clone();
    for vector in others {
        sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
    }
    let length = dot(&sum, &sum).sqrt();
    if length < 1e-6 {
        return None;
    }
    sum.iter_mut().for_each(|value| *value /= length);
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::{Label, TermId};

    /// Vectors around the origin of two values, and the score along the first.
    fn background(n: usize) -> Background {
        let mut random = fastrand::Rng::with_seed(7);
        // The sum of twelve is nearly normal.
        let mut normal = || (0..12).map(|_| random.f32()).sum::<f32>() - 6.0;
        Background::new(2, (0..n).flat_map(|_| [0.2 + 0.05 * normal(), 1.0]).collect())
    }

    #[test]
    fn a_term_is_measured_against_the_archives_own_pictures() {
        let rule = zero_shot(&[1.0, 0.0], &background(2000), None).expect("is known");
        assert!((rule.probability(&[0.4, 1.0]) - 0.5).abs() < 0.1, "{}", rule.probability(&[0.4, 1.0]));
        assert!(rule.probability(&[0.2, 1.0]) < 0.01);
        assert!(rule.probability(&[0.6, 1.0]) > 0.99);
        assert_eq!(rule.least, 0.5);
        // The same pictures in another place, and at another scale, give the same answer.
        let moved = Background::new(
            2,
            background(2000).vectors.chunks_exact(2).flat_map(|v| [v[0] * 0.1 - 0.3, 1.0]).collect(),
        );
        let other = zero_shot(&[1.0, 0.0], &moved, None).expect("is known");
        let difference = other.probability(&[0.45 * 0.1 - 0.3, 1.0]) - rule.probability(&[0.45, 1.0]);
        assert!(difference.abs() < 1e-3, "{difference}");
    }

    #[test]
    fn too_few_pictures_say_nothing() {
        assert!(zero_shot(&[1.0, 0.0], &background(31), None).is_none());
        assert!(zero_shot(&[1.0, 0.0], &Background::new(2, [0.1, 1.0].repeat(100)), None).is_none());
        assert!(zero_shot(&[1.0], &background(100), None).is_none());
    }

    #[test]
    fn terms_are_described_in_a_language_that_the_encoder_understands() {
        let language = |tag: &str| Language::try_from(tag.to_owned()).expect("is one");
        let mut term = Term::named(TermId::derived(&["x"]), language("de"), "Hund");
        assert_eq!(prompts(&term, &["en".to_owned()])[0], "a photo of Hund");
        term.labels.push(Label { language: language("en"), role: Role::Preferred, text: "dog".to_owned() });
        term.labels.push(Label { language: language("en"), role: Role::Hidden, text: "dgo".to_owned() });
        assert_eq!(prompts(&term, &["en".to_owned()]), ["a photo of dog", "a picture of dog", "dog"]);
        term.prompts = vec!["a dog that sits".to_owned()];
        assert_eq!(prompts(&term, &["en".to_owned()]), ["a dog that sits"]);
    }

    #[test]
    fn an_ensemble_has_unit_length() {
        let mean = ensemble(&[vec![1.0, 0.0], vec![0.0, 1.0]]).expect("is one");
        assert!((dot(&mean, &mean) - 1.0).abs() < 1e-6);
        assert!(ensemble(&[]).is_none());
        assert!(ensemble(&[vec![1.0, 0.0], vec![-1.0, 0.0]]).is_none());
    }
}
