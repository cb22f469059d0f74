//! Reads text with networks: finds the lines, reads each one, and puts them in reading order.

use docent_models::ocr::{self, Corners, ReadLine, Strip, TextBox, TextLine};
use docent_models::{BoundingBox, InputSpec, ModelRef, Picture, Prepared};

use super::pieces::{closer, pieces};
use super::print;
use super::turn::Turn;
use crate::analyzers::AnalyzerError;
use crate::executor::{Limit, ModelHandle};

/// Long side of the detector's input, in pixels: for a first look, whether there is text at all; at what a program drew or a
/// scanner saw it is closer, as print there is small …
const GLANCE: u32 = 320;
const GLANCE_AT_FLAT: u32 = 640;
/// … for finding the lines …
const LOOK: u32 = 960;
/// … and for a second search, if lines are too low to be told apart.
const CLOSE_LOOK: std::ops::RangeInclusive<u32> = 1280..=1600;
/// Median height, in pixels of the input, below which lines are searched again. Letters of 12 pixels on a screen of 1920 by
/// 1080 have it; a look at 960 finds four fifths of their lines.
const LOW: f32 = 13.5;
/// Lines that are so high in a first look can be read as they are …
const HIGH: f32 = 24.0;
/// … so many of them are read, the most likely ones.
const HIGH_LINES: usize = 4;
/// From this score on a high line is looked at again if it cannot be read.
const LIKELY_SCORE: f32 = 0.6;
/// The most likely places of a first look are looked at until they cover this share of the picture.
const LARGE_PLACES: f32 = 0.25;
/// Least room around such a place, as a share of the long side.
const ROOM: f32 = 0.04;
/// Boxes below this score are not read.
const LEAST_SCORE: f32 = 0.5;
/// From so many lines on a picture may be a page on its head or a side.
const PAGE: usize = 3;
/// Mean confidence of lines that are read the right way …
const RIGHT: f32 = 0.9;
/// … and by how much it must be higher the other way. Lines on their head have 0.5 to 0.8.
const BETTER: f32 = 0.1;
/// Lines that are prepared together. A line as long as a page is wide takes 1.2 MB.
const PORTION: usize = 16;

/// The networks, and how pictures are prepared for them.
pub struct TextNetworks {
    /// Finds lines.
    pub detector: (InputSpec, ModelHandle<Prepared, Vec<TextBox>>),
    /// Reads one line.
    pub recognizer: (InputSpec, ModelHandle<Strip, ReadLine>),
}

/// What the networks read.
pub(super) struct Reading {
    /// What is likely text, in reading order.
    pub lines: Vec<TextLine>,
    /// The networks do not know the script.
    pub is_unknown_script: bool,
}

/// How a page lies, and what was read to know it.
pub(super) struct Lie {
    pub turn: Turn,
    /// Some lines: their places among the boxes, and what they say.
    pub known: Vec<(usize, ReadLine)>,
}

impl TextNetworks {
    pub(super) fn model(&self) -> &ModelRef {
        self.recognizer.1.model()
    }

    /// Whether a picture shows text. It costs little for a picture without any: one look at the whole picture from far away, and
    /// a closer look at the few places that resemble text. One of these must contain readable text.
    pub(super) async fn glance(
        &self,
        limit: Option<&Limit>,
        picture: &Picture,
        is_flat: bool,
    ) -> Result<bool, AnalyzerError> {
        for piece in pieces(picture.width(), picture.height()) {
            let part = piece.cut(picture)?;
            if self.glance_at(limit, &part, is_flat).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn glance_at(
        &self,
        limit: Option<&Limit>,
        picture: &Picture,
        is_flat: bool,
    ) -> Result<bool, AnalyzerError> {
        let glance = if is_flat { GLANCE_AT_FLAT } else { GLANCE };
        let mut found = self.detect(limit, picture, glance).await?;
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        // High lines can be read as they are. A closer look at them is nearly as large as one at the whole picture, so only those
        // get it that are likely text and too many lines in one, or cut off.
        let high: Vec<_> =
            found.iter().filter(|text| text.height_seen >= HIGH).take(HIGH_LINES).cloned().collect();
        if self.can_read(limit, picture, &high).await? {
            return Ok(true);
        }
        found.retain(|text| text.height_seen < HIGH || text.score >= LIKELY_SCORE);
        let side = picture.width().max(picture.height());
        for place in places(picture, &found) {
            let part = picture.crop(place)?;
            // The same scale as in a look at the whole picture, but for large places, whose lines are high.
            let closer = (part.width().max(part.height()) * LOOK).div_ceil(side).min(GLANCE_AT_FLAT);
            let mut lines = self.detect(limit, &part, closer).await?;
            lines.retain(|text| text.score >= LEAST_SCORE);
            if self.can_read(limit, &part, &lines).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn can_read(
        &self,
        limit: Option<&Limit>,
        picture: &Picture,
        found: &[TextBox],
    ) -> Result<bool, AnalyzerError> {
        let read = self.lines(limit, picture, &corners(found, Turn::Upright)).await?;
        Ok(read.iter().any(ocr::is_likely))
    }

    /// The lines of a picture, in no order. Long pictures are looked at in pieces.
    pub(super) async fn find(
        &self,
        limit: Option<&Limit>,
        picture: &Picture,
    ) -> Result<Vec<TextBox>, AnalyzerError> {
        let mut all = Vec::new();
        for piece in pieces(picture.width(), picture.height()) {
            let part = piece.cut(picture)?;
            piece.add(self.find_in(limit, &part).await?, &mut all);
        }
        Ok(all)
    }

    async fn find_in(&self, limit: Option<&Limit>, picture: &Picture) -> Result<Vec<TextBox>, AnalyzerError> {
        let mut found = self.detect(limit, picture, LOOK).await?;
        let side = picture.width().max(picture.height());
        if let Some(median) = median_height(&found)
            && median < LOW
            && side as f32 > LOOK as f32 * closer(picture.width(), picture.height())
        {
            let enough = (LOOK as f32 * LOW / median).ceil() as u32;
            let closer = enough.clamp(*CLOSE_LOOK.start(), *CLOSE_LOOK.end()).min(side);
            found = self.detect(limit, picture, closer).await?;
        }
        found.retain(|text| text.score >= LEAST_SCORE);
        Ok(found)
    }

    /// Reads some lines to learn how the page lies.
    pub(super) async fn lie(
        &self,
        limit: Option<&Limit>,
        picture: &Picture,
        found: &[TextBox],
    ) -> Result<Lie, AnalyzerError> {
        let usual = if found.len() < PAGE { Turn::Upright } else { Turn::usual(found) };
        let places = print::sample(found);
        let sample: Vec<TextBox> = places.iter().map(|&place| found[place].clone()).collect();
        let mut lie = (usual, self.lines(limit, picture, &corners(&sample, usual)).await?);
        let sure = mean_confidence(&lie.1);
        if found.len() >= PAGE && sure < RIGHT {
            let flipped = usual.flipped();
            let read = self.lines(limit, picture, &corners(&sample, flipped)).await?;
            if mean_confidence(&read) > sure + BETTER {
                lie = (flipped, read);
            }
        }
        Ok(Lie { turn: lie.0, known: places.into_iter().zip(lie.1).collect() })
    }

    /// Reads lines, apart from those that are known.
    pub(super) async fn read(
        &self,
        limit: Option<&Limit>,
        picture: &Picture,
        found: &[TextBox],
        lie: Lie,
    ) -> Result<Reading, AnalyzerError> {
        let is_known = |place: &usize| lie.known.iter().any(|(known, _)| known == place);
        let places: Vec<usize> = (0..found.len()).filter(|place| !is_known(place)).collect();
        let corners = corners(found, lie.turn);
        let others: Vec<Corners> = places.iter().map(|&place| corners[place]).collect();
        let mut read = vec![ReadLine::default(); found.len()];
        let lines = self.lines(limit, picture, &others).await?;
        for (place, line) in places.into_iter().zip(lines).chain(lie.known) {
            read[place] = line;
        }
        let is_unknown_script = ocr::are_letters_unknown(&read);
        let size = (picture.width(), picture.height());
        Ok(Reading { lines: in_order(found, read, lie.turn, size), is_unknown_script })
    }

    async fn lines(
        &self,
        limit: Option<&Limit>,
        picture: &Picture,
        corners: &[Corners],
    ) -> Result<Vec<ReadLine>, AnalyzerError> {
        let (spec, recognizer) = &self.recognizer;
        // Lines of equal length are read together.
        let mut places: Vec<usize> = (0..corners.len()).collect();
        places.sort_by_cached_key(|&place| length(&corners[place]));
        let mut read = vec![ReadLine::default(); corners.len()];
        for portion in places.chunks(PORTION) {
            let strips = portion
                .iter()
                .map(|&place| ocr::prepare_strip(spec, picture, &corners[place]))
                .collect::<Result<Vec<_>, _>>()?;
            for (&place, line) in portion.iter().zip(recognizer.run_together(limit, strips).await) {
                read[place] = line?;
            }
        }
        Ok(read)
    }

    async fn detect(
        &self,
        limit: Option<&Limit>,
        picture: &Picture,
        side: u32,
    ) -> Result<Vec<TextBox>, AnalyzerError> {
        let (spec, detector) = &self.detector;
        let side = (side as f32 * closer(picture.width(), picture.height())).round() as u32;
        Ok(detector.run_within(limit, ocr::prepare_detection(spec, picture, side)?).await?)
    }
}

fn corners(found: &[TextBox], turn: Turn) -> Vec<Corners> {
    found.iter().map(|text| turn.in_reading_order(&text.corners)).collect()
}

fn mean_confidence(read: &[ReadLine]) -> f32 {
    read.iter().map(|line| line.confidence).sum::<f32>() / read.len().max(1) as f32
}

/// The places around the first boxes, with room, that do not overlap. They cover [`LARGE_PLACES`] of the picture, or are one.
fn places(picture: &Picture, found: &[TextBox]) -> Vec<BoundingBox> {
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    let least_room = width.max(height) * ROOM;
    let mut places: Vec<BoundingBox> = Vec::new();
    for text in found {
        let across = |axis: usize| text.corners.iter().map(move |corner| corner[axis]);
        let (x1, x2) = (across(0).fold(f32::MAX, f32::min), across(0).fold(f32::MIN, f32::max));
        let (y1, y2) = (across(1).fold(f32::MAX, f32::min), across(1).fold(f32::MIN, f32::max));
        let room = (x2 - x1).min(y2 - y1).max(least_room);
        let mut place = BoundingBox { x1: x1 - room, y1: y1 - room, x2: x2 + room, y2: y2 + room };
        place = place.clamp(width, height);
        // Merge it with the places that it overlaps.
        while let Some(other) = places.iter().position(|other| other.iou(&place) > 0.0) {
            let other = places.swap_remove(other);
            place = BoundingBox {
                x1: place.x1.min(other.x1),
                y1: place.y1.min(other.y1),
                x2: place.x2.max(other.x2),
                y2: place.y2.max(other.y2),
            };
        }
        places.push(place);
        let area: f32 = places.iter().map(BoundingBox::area).sum();
        if area > LARGE_PLACES * width * height {
            break;
        }
    }
    places
}

fn median_height(found: &[TextBox]) -> Option<f32> {
    let mut heights: Vec<f32> = found.iter().map(|text| text.height_seen).collect();
    heights.sort_by(f32::total_cmp);
    heights.get(heights.len() / 2).copied()
}

/// A line's length divided by its height, in sixteenths; strips have this length.
pub(super) fn length(corners: &Corners) -> u32 {
    let [tl, tr, _, bl] = corners;
    let side = |a: &[f32; 2], b: &[f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]).max(1.0);
    let (width, height) = (side(tl, tr), side(tl, bl));
    (16.0 * width.max(height) / width.min(height)) as u32
}

/// What is likely text, as it is read.
fn in_order(found: &[TextBox], mut read: Vec<ReadLine>, turn: Turn, size: (u32, u32)) -> Vec<TextLine> {
    let places: Vec<usize> = (0..found.len()).filter(|&place| ocr::is_likely(&read[place])).collect();
    let corners: Vec<Corners> = places.iter().map(|&place| found[place].corners).collect();
    let mut lines = Vec::with_capacity(places.len());
    let upright: Vec<Corners> = corners.iter().map(|corners| turn.upright(corners, size)).collect();
    for row in ocr::reading_order(&upright) {
        for (column, of_likely) in row.into_iter().enumerate() {
            let line = std::mem::take(&mut read[places[of_likely]]);
            let across = |axis: usize| corners[of_likely].iter().map(move |corner| corner[axis]);
            let least = |axis| across(axis).fold(f32::MAX, f32::min);
            let most = |axis| across(axis).fold(f32::MIN, f32::max);
            lines.push(TextLine {
                text: line.text,
                bbox: BoundingBox { x1: least(0), y1: least(1), x2: most(0), y2: most(1) },
                confidence: line.confidence,
                continues: column > 0,
            });
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_box(x: f32, y: f32, width: f32) -> TextBox {
        let corners = [[x, y], [x + width, y], [x + width, y + 20.0], [x, y + 20.0]];
        TextBox { corners, score: 0.9, height_seen: 20.0 }
    }

    fn line(text: &str, confidence: f32) -> ReadLine {
        ReadLine { text: text.to_owned(), confidence, aspect: 3.0 }
    }

    #[test]
    fn lines_come_in_their_order_without_what_is_no_text() {
        let found = [text_box(0.0, 90.0, 80.0), text_box(100.0, 2.0, 80.0), text_box(0.0, 0.0, 80.0)];
        let read = vec![line("|.", 0.9), line("2.50", 0.9), line("Coffee", 0.9)];
        let lines = in_order(&found, read, Turn::Upright, (200, 200));
        let told: Vec<_> = lines.iter().map(|line| (&*line.text, line.continues)).collect();
        assert_eq!(told, [("Coffee", false), ("2.50", true)]);
        assert_eq!(lines[1].bbox, BoundingBox { x1: 100.0, y1: 2.0, x2: 180.0, y2: 22.0 });
    }

    #[test]
    fn places_have_room_and_do_not_overlap() {
        let picture = Picture::new(1000, 800, vec![0; 2_400_000]).expect("is a picture");
        let found =
            vec![text_box(5.0, 300.0, 60.0), text_box(600.0, 100.0, 80.0), text_box(700.0, 120.0, 80.0)];
        let sides = |found: &[TextBox]| -> Vec<[f32; 4]> {
            places(&picture, found).iter().map(|place| [place.x1, place.y1, place.x2, place.y2]).collect()
        };
        assert_eq!(sides(&found), [[0.0, 260.0, 105.0, 360.0], [560.0, 60.0, 820.0, 180.0]]);
        assert_eq!(sides(&[]), [[0.0; 4]; 0]);
        // Of many the first ones, as long as they are little.
        let many: Vec<_> = (0..9).rev().map(|row| text_box(0.0, row as f32 * 80.0, 980.0)).collect();
        let found = sides(&many);
        assert_eq!(found.len(), 1, "those beside each other are one");
        assert!(found[0][1] > 300.0 && found[0][3] >= 700.0, "{found:?}");
    }

    #[test]
    fn upright_lines_are_as_long_as_level_ones() {
        let upright: Corners = [[0.0, 0.0], [20.0, 0.0], [20.0, 80.0], [0.0, 80.0]];
        assert_eq!(length(&upright), length(&text_box(5.0, 5.0, 80.0).corners));
        assert_eq!(length(&[[0.0; 2]; 4]), 16);
    }
}
