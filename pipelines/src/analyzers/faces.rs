//! Faces, their vectors and, where enabled, their emotion.

use docent_models::emotion::{self, EmotionScore};
use docent_models::faces::{self, FaceDetection, FaceLook, Landmarks};
use docent_models::{InputSpec, ModelRef, Picture, Prepared, Tensor};
use futures_util::future::{BoxFuture, FutureExt, try_join_all};

use super::{Analyzer, AnalyzerError, AnalyzerId, Findings, Subject};
use crate::executor::{Limit, ModelHandle};
use crate::suggestion::{Claim, Confidence, Kind, Region};
use crate::vector::VectorSpace;

/// Runs detector, landmarks and embedder in sequence, and emotion if it is enabled.
pub struct FacesAnalyzer {
    /// Finds faces.
    pub detector: (InputSpec, ModelHandle<Prepared, FaceLook>),
    /// Finds the 68 points a face is aligned by.
    pub landmarks: (InputSpec, ModelHandle<Prepared, Landmarks>),
    /// Embeds an aligned face.
    pub embedder: (InputSpec, ModelHandle<Tensor, Vec<f32>>),
    /// Reads a face's expression, if that is enabled.
    pub emotion: Option<(InputSpec, ModelHandle<Tensor, Vec<EmotionScore>>)>,
    /// Thresholds for faces.
    pub rule: FaceRule,
}

/// Thresholds for faces.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaceRule {
    /// Smallest width and height, in pixels of the working picture, of a face that gets a vector: below about 40 the network
    /// confuses strangers (models/starter/MODELS.md).
    pub min_identity_pixels: f32,
    /// Least probability at which `happy` is offered, as `smiling`.
    pub min_smile: f32,
    /// Least probability of any other expression; below it they are guesses.
    pub min_other_emotion: f32,
}

impl Default for FaceRule {
    fn default() -> Self {
        Self { min_identity_pixels: 40.0, min_smile: 0.8, min_other_emotion: 0.9 }
    }
}

/// From this long side on, in pixels, small faces vanish on the detector's canvas, so tiles that may hold one are searched
/// again.
const TILES_FROM_SIDE: u32 = 1600;
/// This many faces in the first look make a group photograph, and its tiles are searched again.
const GROUP: usize = 5;

impl Analyzer for FacesAnalyzer {
    fn id(&self) -> AnalyzerId {
        AnalyzerId::Faces
    }

    fn analyze<'a>(&'a self, subject: &'a Subject<'a>) -> BoxFuture<'a, Result<Findings, AnalyzerError>> {
        async move {
            let picture = &**subject.picture;
            let limit = subject.limits.step.as_ref();
            let found = self.detect(limit, picture).await?;
            let found = self.believed(subject, found).await;
            let each = try_join_all(found.iter().map(|face| self.describe(limit, picture, face))).await?;
            let mut findings =
                Findings { spaces: vec![VectorSpace::face(self.embedder.1.model())], ..Findings::default() };
            for face in each {
                findings.claims.extend(face.claims);
                findings.vectors.extend(face.vectors);
            }
            Ok(findings)
        }
        .boxed()
    }
}

impl FacesAnalyzer {
    async fn detect(
        &self,
        limit: Option<&Limit>,
        picture: &Picture,
    ) -> Result<Vec<FaceDetection>, AnalyzerError> {
        let (spec, detector) = &self.detector;
        let (width, height) = (picture.width(), picture.height());
        let FaceLook { faces: whole, hints } = detector.run_within(limit, spec.prepare(picture)?).await?;
        if width.max(height) <= TILES_FROM_SIDE && whole.len() < GROUP {
            return Ok(whole);
        }
        // One after the other: a tensor takes 12 MiB, and several pictures are analyzed at once.
        let mut tiles = Vec::new();
        for tile in faces::promising_tiles(width, height, &hints) {
            let found = detector.run_within(limit, spec.prepare(&picture.crop(tile)?)?).await?.faces;
            tiles.push((tile, found));
        }
        Ok(faces::merge_tiles(whole, tiles, width, height))
    }

    /// Keeps the faces that agree with the other networks. These are asked only if there is a face. If one of them fails, that
    /// is its own analyzer's failure.
    async fn believed(&self, subject: &Subject<'_>, mut found: Vec<FaceDetection>) -> Vec<FaceDetection> {
        if found.is_empty() {
            return found;
        }
        let (things, tags) = futures_util::join!(subject.objects(), subject.tags());
        if let Ok(Some(things)) = things {
            let tags = tags.ok().flatten();
            let faces = found.len();
            found.retain(|face| subject.thresholds().is_face(face, things, faces, tags));
        }
        found
    }

    async fn describe(
        &self,
        limit: Option<&Limit>,
        picture: &Picture,
        face: &FaceDetection,
    ) -> Result<Findings, AnalyzerError> {
        let Some(region) = Region::from_box(face.bbox, picture.width(), picture.height()) else {
            return Ok(Findings::default());
        };
        let claim = |kind, value: &str, confidence: f32| Claim {
            kind,
            value: value.to_owned(),
            confidence: Confidence::new(f64::from(confidence)),
            region: Some(region),
            implies: Vec::new(),
        };
        let mut findings = Findings::default();
        findings.claims.push((claim(Kind::Face, "face", face.score), self.detector.1.model().clone()));
        if face.bbox.width().min(face.bbox.height()) >= self.rule.min_identity_pixels {
            let (spec, finder) = &self.landmarks;
            let landmarks =
                finder.run_within(limit, faces::prepare_landmarks(spec, picture, face.bbox)?).await?;
            let (spec, embedder) = &self.embedder;
            let vector = embedder.run_within(limit, faces::align(spec, picture, &landmarks)?).await?;
            findings.vectors.push((VectorSpace::face(embedder.model()), Some(region), vector));
        }
        if let Some((spec, classifier)) = &self.emotion {
            let scores = classifier.run_within(limit, emotion::prepare(spec, picture, face.bbox)?).await?;
            if let Some((value, probability)) = self.rule.expression(&scores) {
                findings.claims.push((claim(Kind::Emotion, value, probability), classifier.model().clone()));
            }
        }
        Ok(findings)
    }

    /// The models behind the analyzer's answer.
    pub fn models(&self) -> Vec<&ModelRef> {
        let emotion = self.emotion.as_ref().map(|(_, classifier)| classifier.model());
        [self.detector.1.model(), self.landmarks.1.model(), self.embedder.1.model()]
            .into_iter()
            .chain(emotion)
            .collect()
    }
}

impl FaceRule {
    /// The strongest expression, if it is strong enough to be offered.
    fn expression<'a>(&self, scores: &'a [EmotionScore]) -> Option<(&'a str, f32)> {
        let best = scores.iter().max_by(|a, b| a.probability.total_cmp(&b.probability))?;
        let (value, least) = match &*best.label {
            "happy" => ("smiling", self.min_smile),
            other => (other, self.min_other_emotion),
        };
        (best.probability >= least).then_some((value, best.probability))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_below_their_threshold_are_not_offered() {
        let rule = FaceRule::default();
        let scores = |label: &str, probability| [EmotionScore { label: label.into(), probability }];
        assert_eq!(rule.expression(&scores("happy", 0.79)), None);
        assert_eq!(rule.expression(&scores("happy", 0.8)), Some(("smiling", 0.8)));
        assert_eq!(rule.expression(&scores("angry", 0.85)), None);
        assert_eq!(rule.expression(&scores("angry", 0.95)), Some(("angry", 0.95)));
    }
}
