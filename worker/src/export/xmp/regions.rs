//! Regions as the Metadata Working Group wrote them down (Guidelines for Handling Image Metadata 2.0, section 5.9): shares of the
//! picture *as the file stores it*, before EXIF's orientation turns it upright, with the center of each.

use docent_pipelines::Region;

use super::names::{
    APPLIED_TO, AREA_H, AREA_UNIT, AREA_W, AREA_X, AREA_Y, DIM_H, DIM_UNIT, DIM_W, RDF_BAG, RDF_LI,
    RDF_PARSE_TYPE, REGION_AREA, REGION_INFO, REGION_LIST, REGION_NAME, REGION_TYPE,
};
use super::tree::New;
use super::value::Value;

/// The type of a human face.
pub const FACE: &str = "Face";
/// From this overlap (intersection over union) on, two regions are about the same thing, as for suggestions.
const SAME_IOU: f64 = 0.5;
/// Sides of pictures may be rounded by programs that reduce them, by this share.
const SAME_SHAPE: f64 = 0.02;

/// A part of a picture, in shares of its width and height: left, top, width, height.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

/// A region with what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Marked {
    /// `Face`, `Pet`, `Focus`, `BarCode`; nothing for a thing.
    pub kind: Option<String>,
    /// The person, or the thing.
    pub name: Option<String>,
    /// Where, in the stored picture.
    pub area: Area,
}

/// The regions of a packet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Regions {
    /// Width and height of the stored picture that they are about, in pixels.
    pub size: Option<(f64, f64)>,
    /// Each of the list, in its order; `None` is one in a form that is not read, such as a point or a circle.
    pub list: Vec<Option<Marked>>,
}

impl Area {
    /// A region of the upright picture in the picture as it is stored. `orientation` is EXIF's, 1..=8.
    pub fn stored(region: Region, orientation: u8) -> Self {
        // EXIF 2.32, 4.6.5, tag 0x0112: which stored row and column are the first ones, and whether rows become columns.
        let from_below = matches!(orientation, 3 | 4 | 6 | 7);
        let from_right = matches!(orientation, 2 | 3 | 7 | 8);
        let (across, down) = ((region.x, region.width), (region.y, region.height));
        let (across, down) = if orientation >= 5 { (down, across) } else { (across, down) };
        let place = |(start, length): (f64, f64), mirrored: bool| {
            if mirrored { 1.0 - start - length } else { start }
        };
        Self { x: place(across, from_right), y: place(down, from_below), width: across.1, height: down.1 }
    }

    /// Intersection over union, 0..=1.
    fn iou(self, other: Self) -> f64 {
        let overlap =
            |a: f64, a_len: f64, b: f64, b_len: f64| ((a + a_len).min(b + b_len) - a.max(b)).max(0.0);
        let shared = overlap(self.x, self.width, other.x, other.width)
            * overlap(self.y, self.height, other.y, other.height);
        let union = self.width * self.height + other.width * other.height - shared;
        if union > 0.0 { shared / union } else { 0.0 }
    }
}

impl Marked {
    /// Whether another region marks the same.
    pub fn is_about(&self, other: &Self) -> bool {
        let names = match (&self.name, &other.name) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        names && self.kind == other.kind && self.area.iou(other.area) >= SAME_IOU
    }

    /// A text that is the same for the same region, however a program wrote its numbers.
    pub fn key(&self) -> String {
        let Area { x, y, width, height } = self.area;
        let numbers = [x, y, width, height].map(|share| format!("{:.4}", share + 0.0));
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        format!("{}|{}|{}", text(&self.kind), numbers.join(" "), text(&self.name))
    }

    /// As an item of the list.
    pub fn item(&self) -> New {
        let Area { x, y, width, height } = self.area;
        let area = [(AREA_X, x + width / 2.0), (AREA_Y, y + height / 2.0), (AREA_W, width), (AREA_H, height)];
        let mut fields: Vec<New> =
            area.into_iter().map(|(name, share)| New::text(name, number(share))).collect();
        fields.push(New::text(AREA_UNIT, "normalized"));
        let mut parts = vec![resource(New::elements(REGION_AREA, fields))];
        parts.extend(self.name.as_ref().map(|name| New::text(REGION_NAME, name)));
        parts.extend(self.kind.as_ref().map(|kind| New::text(REGION_TYPE, kind)));
        resource(New::elements(RDF_LI, parts))
    }
}

impl Regions {
    /// Reads the regions of a packet.
    pub fn read(value: &Value) -> Self {
        let number = |value: Option<&Value>| value.and_then(Value::text)?.trim().parse::<f64>().ok();
        let size = value.field(APPLIED_TO).and_then(|size| {
            let is_pixels = size.field(DIM_UNIT).and_then(Value::text).is_none_or(|unit| unit == "pixel");
            is_pixels.then_some((number(size.field(DIM_W))?, number(size.field(DIM_H))?))
        });
        let mark = |item: &Value| {
            let area = item.field(REGION_AREA)?;
            let is_share =
                area.field(AREA_UNIT).and_then(Value::text).is_none_or(|unit| unit == "normalized");
            let [x, y, width, height] = [AREA_X, AREA_Y, AREA_W, AREA_H].map(|name| number(area.field(name)));
            let (width, height) = (width?, height?);
            let text = |name| item.field(name).and_then(Value::text).map(str::to_owned);
            is_share.then_some(Marked {
                kind: text(REGION_TYPE),
                name: text(REGION_NAME),
                area: Area { x: x? - width / 2.0, y: y? - height / 2.0, width, height },
            })
        };
        let items = value.field(REGION_LIST).map(Value::items).unwrap_or_default();
        Self { size, list: items.into_iter().map(mark).collect() }
    }

    /// Whether these are about a stored picture of this shape, so that others can stand beside them. Where no size is given, they are.
    pub fn fit(&self, (width, height): (u32, u32)) -> bool {
        let (width, height) = (f64::from(width), f64::from(height));
        self.size.is_none_or(|(w, h)| (w * height - width * h).abs() <= SAME_SHAPE * width * h)
    }

    /// A property with regions of a stored picture of this size.
    pub fn property((width, height): (u32, u32), items: Vec<New>) -> New {
        let size = [(DIM_W, width.to_string()), (DIM_H, height.to_string()), (DIM_UNIT, "pixel".to_owned())];
        let size = size.into_iter().map(|(name, value)| New::text(name, value)).collect();
        let list = New::elements(REGION_LIST, vec![New::elements(RDF_BAG, items)]);
        resource(New::elements(REGION_INFO, vec![resource(New::elements(APPLIED_TO, size)), list]))
    }
}

fn resource(new: New) -> New {
    new.with(RDF_PARSE_TYPE, "Resource")
}

/// A share. Six decimals are a thousandth of a pixel of a large picture.
fn number(share: f64) -> String {
    let text = format!("{:.6}", share.clamp(0.0, 1.0));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_turned_back_into_the_stored_picture() {
        // The upper left corner of the upright picture, wider than high.
        let region = Region::from_corners(0.0, 0.0, 0.3, 0.1).expect("a region");
        let stored = |orientation| {
            let Area { x, y, width, height } = Area::stored(region, orientation);
            [x, y, width, height].map(|share| (share * 10.0).round() as i32)
        };
        assert_eq!(stored(1), [0, 0, 3, 1]);
        assert_eq!(stored(2), [7, 0, 3, 1]);
        assert_eq!(stored(3), [7, 9, 3, 1]);
        assert_eq!(stored(4), [0, 9, 3, 1]);
        assert_eq!(stored(5), [0, 0, 1, 3]);
        assert_eq!(stored(6), [0, 7, 1, 3]);
        assert_eq!(stored(7), [9, 7, 1, 3]);
        assert_eq!(stored(8), [9, 0, 1, 3]);
    }

    #[test]
    fn a_region_is_known_however_its_numbers_are_written() {
        let area = Area { x: 0.1, y: 0.2, width: 0.25, height: 0.3 };
        let marked = Marked { kind: Some(FACE.to_owned()), name: None, area };
        let read = Regions::read(&Value::of(&Regions::property((40, 30), vec![marked.item()])));
        assert_eq!(read.size, Some((40.0, 30.0)));
        let again = read.list[0].clone().expect("is read");
        assert_eq!(again.key(), marked.key());
        assert!(read.fit((4000, 3000)) && read.fit((4000, 2990)) && !read.fit((3000, 4000)));
        let moved = Area { x: 0.12, ..area };
        assert!(marked.is_about(&Marked { area: moved, ..marked.clone() }));
        assert!(!marked.is_about(&Marked { kind: None, ..marked.clone() }));
        assert!(!marked.is_about(&Marked { area: Area { x: 0.3, ..area }, ..marked.clone() }));
    }
}
