//! What is offered of that which detectors found, when the others have been asked.
//!
//! A detector alone takes cats for dogs and the faces of animals for faces. The tagger, which sees the whole picture, and the
//! detector of things, which sees persons and animals, say otherwise. Constants were found on labeled pictures
//! (models/starter/MODELS.md).

use std::collections::BTreeMap;

use docent_models::BoundingBox;
use docent_models::faces::FaceDetection;
use docent_models::objects::Detection;
use serde::Deserialize;

use crate::vocabulary::TagVocabulary;

/// When things of a class are offered; belongs to a detector, whose scores mean nothing to others.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// Least score of a thing whose class is not named, 0..=1.
    default: f32,
    /// Least score by class.
    classes: BTreeMap<String, f32>,
    /// Classes that are animals, and the tag that says the same.
    animals: BTreeMap<String, String>,
}

/// The tagger is for this class: then the detector needs to be less sure …
const LIKELY_TAG: f32 = 0.2;
const LIKELY_SCORE: f32 = 0.28;
/// … or for another animal, which a detector that is not surer than this has to believe.
const OTHER_TAG: f32 = 0.8;
const SURE_SCORE: f32 = 0.6;

/// So much of a face lies inside of the person, or the animal, that it belongs to.
const INSIDE: f32 = 0.6;
/// A face without a person around it has to be as sure as this …
const SURE_FACE: f32 = 0.93;
/// … or as this, where the tagger sees no animal.
const SURE_FACE_WITHOUT_ANIMALS: f32 = 0.85;
const SOME_ANIMAL: f32 = 0.5;
/// Or it is one of so many, in a picture with hardly an animal: the people of a class photograph cover each other.
const GROUP: usize = 5;
const HARDLY_AN_ANIMAL: f32 = 0.3;

/// What the tagger says of animals in the whole picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tags<'a> {
    pub vocabulary: &'a TagVocabulary,
    pub probabilities: &'a [f32],
}

impl Tags<'_> {
    /// How likely a tag is, its narrower ones included, 0..=1.
    fn mass(&self, tag: &str) -> f32 {
        self.vocabulary.mass(self.probabilities, tag) as f32
    }

    fn animals(&self) -> f32 {
        self.mass("animal")
    }
}

impl Thresholds {
    /// Reads `default`, `[classes]` and `[animals]`.
    pub fn parse(toml: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(toml)
    }

    /// One for all classes.
    pub fn of_all(default: f32) -> Self {
        Self { default, ..Self::default() }
    }

    /// Whether a thing is likely enough, as far as its detector can tell.
    pub fn passes(&self, thing: &Detection) -> bool {
        thing.score >= self.least(&thing.label)
    }

    /// Whether it is when the tagger was asked.
    pub(super) fn passes_with(&self, thing: &Detection, tags: Tags<'_>) -> bool {
        let Some(tag) = self.animals.get(&*thing.label) else { return self.passes(thing) };
        let own = tags.mass(tag);
        let other = tags.animals() - own;
        if other >= OTHER_TAG && own < other / 2.0 && thing.score < SURE_SCORE {
            return false;
        }
        let least = self.least(&thing.label);
        thing.score >= if own >= LIKELY_TAG { least.min(LIKELY_SCORE) } else { least }
    }

    /// Whether the tagger has something to say of a thing.
    pub(super) fn is_animal(&self, thing: &Detection) -> bool {
        self.animals.contains_key(&*thing.label)
    }

    fn least(&self, label: &str) -> f32 {
        self.classes.get(label).copied().unwrap_or(self.default)
    }

    /// Whether a face is one, given the things around it, how many faces there are, and what the tagger says. Without the
    /// tagger no animal is known of.
    pub(super) fn is_face(
        &self,
        face: &FaceDetection,
        things: &[Detection],
        faces: usize,
        tags: Option<Tags<'_>>,
    ) -> bool {
        let holds = |thing: &Detection| share_inside(&face.bbox, &thing.bbox) >= INSIDE;
        if things.iter().any(|thing| &*thing.label == "person" && holds(thing)) {
            return true;
        }
        if things.iter().any(|thing| self.is_animal(thing) && holds(thing)) {
            return false;
        }
        let animals = tags.map_or(0.0, |tags| tags.animals());
        face.score >= SURE_FACE
            || (face.score >= SURE_FACE_WITHOUT_ANIMALS && animals < SOME_ANIMAL)
            || (faces >= GROUP && animals < HARDLY_AN_ANIMAL)
    }
}

/// The share of `inner` that lies in `outer`, 0..=1.
fn share_inside(inner: &BoundingBox, outer: &BoundingBox) -> f32 {
    let common = BoundingBox {
        x1: inner.x1.max(outer.x1),
        y1: inner.y1.max(outer.y1),
        x2: inner.x2.min(outer.x2),
        y2: inner.y2.min(outer.y2),
    };
    if inner.area() > 0.0 { common.area() / inner.area() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: &str = r#"
        default = 0.4
        [classes]
        dog = 0.35
        bear = 0.5
        [animals]
        dog = "dog"
        bear = "bear""#;
    const VOCABULARY: &str = r#"{"classes": [
        {"index": 0, "tag": "beagle", "parents": ["dog", "animal"]},
        {"index": 1, "tag": "brown bear", "parents": ["bear", "animal"]},
        {"index": 2, "tag": "cup", "parents": ["dishes"]}]}"#;

    fn thing(label: &str, score: f32, [x1, y1, x2, y2]: [f32; 4]) -> Detection {
        Detection { label: label.into(), score, bbox: BoundingBox { x1, y1, x2, y2 } }
    }

    const HERE: [f32; 4] = [0.0, 0.0, 100.0, 100.0];

    #[test]
    fn each_class_has_its_threshold_and_the_tagger_a_word_on_animals() {
        let thresholds = Thresholds::parse(THRESHOLDS).expect("is valid");
        let vocabulary = TagVocabulary::parse(VOCABULARY).expect("is valid");
        let passes = |label: &str, score: f32, dog: f32, bear: f32| {
            let tags = Tags { vocabulary: &vocabulary, probabilities: &[dog, bear, 0.0] };
            thresholds.passes_with(&thing(label, score, HERE), tags)
        };
        assert!(thresholds.passes(&thing("cup", 0.4, HERE)) && !thresholds.passes(&thing("bear", 0.4, HERE)));
        assert!(passes("cup", 0.4, 0.9, 0.0) && !passes("cup", 0.39, 0.0, 0.0));
        assert!(!passes("dog", 0.3, 0.0, 0.0) && passes("dog", 0.3, 0.3, 0.0));
        // A dog that the tagger takes for a bear is none, unless the detector is sure or the tagger is not.
        assert!(
            !passes("dog", 0.5, 0.05, 0.9) && passes("dog", 0.6, 0.05, 0.9) && passes("dog", 0.5, 0.05, 0.7)
        );
    }

    #[test]
    fn a_face_belongs_to_a_person_or_is_sure() {
        let thresholds = Thresholds::parse(THRESHOLDS).expect("is valid");
        let vocabulary = TagVocabulary::parse(VOCABULARY).expect("is valid");
        let face =
            |score| FaceDetection { bbox: BoundingBox { x1: 10.0, y1: 10.0, x2: 40.0, y2: 40.0 }, score };
        let is_face = |score: f32, things: &[Detection], faces: usize, dog: f32| {
            let tags = Tags { vocabulary: &vocabulary, probabilities: &[dog, 0.0, 0.0] };
            thresholds.is_face(&face(score), things, faces, Some(tags))
        };
        let (person, dog) = (thing("person", 0.26, HERE), thing("dog", 0.26, HERE));
        assert!(is_face(0.6, std::slice::from_ref(&person), 1, 0.9));
        assert!(is_face(0.6, &[dog.clone(), person], 1, 0.9), "a dog on a lap");
        assert!(!is_face(0.99, std::slice::from_ref(&dog), 1, 0.0));
        assert!(is_face(0.99, &[thing("dog", 0.9, [30.0, 0.0, 100.0, 100.0])], 1, 0.9), "the dog beside it");
        assert!(is_face(0.86, &[], 1, 0.4) && !is_face(0.86, &[], 1, 0.6) && !is_face(0.8, &[], 4, 0.0));
        assert!(is_face(0.6, &[], 5, 0.2) && !is_face(0.6, &[], 5, 0.4));
        assert!(thresholds.is_face(&face(0.86), &[], 1, None));
    }

    #[test]
    fn a_detector_without_a_list_has_one_threshold() {
        let all = Thresholds::of_all(0.3);
        assert!(all.passes(&thing("anything", 0.3, HERE)) && !all.passes(&thing("anything", 0.29, HERE)));
    }
}
