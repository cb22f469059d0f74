//! Decides which detections are offered, by comparing the answers of several networks.
//!
//! A detector alone takes cats for dogs and animals' faces for faces. Two other networks correct it: the tagger sees the whole
//! picture, and the detector of things sees persons and animals. The constants come from labeled pictures
//! (models/starter/MODELS.md).

use std::collections::BTreeMap;

use docent_models::BoundingBox;
use docent_models::faces::FaceDetection;
use docent_models::objects::Detection;
use serde::Deserialize;

use crate::classes::ClassTags;

/// Thresholds for the things of one detector. Scores of another detector mean something else.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// Least score of a thing whose class is not listed, 0..=1.
    default: f32,
    /// Least score of each listed class, 0..=1.
    classes: BTreeMap<String, f32>,
    /// Classes that are animals, with the tagger's tag for each.
    animals: BTreeMap<String, String>,
}

/// From this mass on the tagger sees the same animal, and a lower score of the detector suffices …
const LIKELY_TAG: f32 = 0.2;
const LIKELY_SCORE: f32 = 0.28;
/// … From this mass on it sees another animal, and refutes a detection below this score.
const OTHER_TAG: f32 = 0.8;
const SURE_SCORE: f32 = 0.6;

/// Least share of a face that lies inside its person or animal.
const INSIDE: f32 = 0.6;
/// Least score of a face without a person around it …
const SURE_FACE: f32 = 0.93;
/// … or, if the tagger sees no animal (less than this mass), this lower score.
const SURE_FACE_WITHOUT_ANIMALS: f32 = 0.85;
const SOME_ANIMAL: f32 = 0.5;
/// Any face passes in a group of at least this many, if there is hardly an animal: people in a class photograph cover each other.
const GROUP: usize = 5;
const HARDLY_AN_ANIMAL: f32 = 0.3;

/// The tagger's answer for the whole picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tags<'a> {
    pub vocabulary: &'a ClassTags,
    pub probabilities: &'a [f32],
}

impl Tags<'_> {
    /// The probability of a tag, including narrower tags, 0..=1.
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

    /// One threshold for all classes.
    pub fn of_all(default: f32) -> Self {
        Self { default, ..Self::default() }
    }

    /// Whether a thing passes by its detector's score alone.
    pub fn passes(&self, thing: &Detection) -> bool {
        thing.score >= self.least(&thing.label)
    }

    /// Whether a thing passes by its score and the tagger's answer.
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

    /// Whether a thing is an animal, so that the tagger can confirm or refute it.
    pub(super) fn is_animal(&self, thing: &Detection) -> bool {
        self.animals.contains_key(&*thing.label)
    }

    fn least(&self, label: &str) -> f32 {
        self.classes.get(label).copied().unwrap_or(self.default)
    }

    /// Whether a face passes, given the things in the picture, the number of faces and the tagger's answer. Without the tagger
    /// the picture counts as one without animals.
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
        let vocabulary = ClassTags::parse(VOCABULARY).expect("is valid");
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
        let vocabulary = ClassTags::parse(VOCABULARY).expect("is valid");
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
