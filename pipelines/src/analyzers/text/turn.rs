//! How a page lies: upright, on its head, or on a side.

use docent_models::ocr::{Corners, TextBox};

/// Where the head of a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// At the top.
    Upright,
    /// At the bottom.
    Half,
    /// At the right: lines run from top to bottom.
    Right,
    /// At the left.
    Left,
}

/// Lines so much higher than wide run up or down …
const HIGH: f32 = 1.5;
/// … and if this share of the lines' total length does, the page lies on a side.
const SIDEWAYS: f32 = 0.6;

impl Turn {
    /// How a page with these lines lies if its head is where it is more often.
    pub fn usual(found: &[TextBox]) -> Self {
        let (mut upright, mut all) = (0.0, 0.0);
        for text in found {
            let [tl, tr, _, bl] = text.corners;
            let side = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
            let (width, height) = (side(tl, tr), side(tl, bl));
            all += width.max(height);
            if height > HIGH * width {
                upright += height;
            }
        }
        if upright > SIDEWAYS * all { Self::Right } else { Self::Upright }
    }

    /// The same page by half a turn.
    pub fn flipped(self) -> Self {
        match self {
            Self::Upright => Self::Half,
            Self::Half => Self::Upright,
            Self::Right => Self::Left,
            Self::Left => Self::Right,
        }
    }

    /// A line's corners, first the one where its first letter begins.
    pub fn in_reading_order(self, corners: &Corners) -> Corners {
        let [tl, tr, br, bl] = *corners;
        match self {
            Self::Upright => *corners,
            Self::Half => [br, bl, tl, tr],
            Self::Right => [tr, br, bl, tl],
            Self::Left => [bl, tl, tr, br],
        }
    }

    /// Where a line's corners are if a picture of this size is turned upright.
    pub fn upright(self, corners: &Corners, (width, height): (u32, u32)) -> Corners {
        let (width, height) = (width as f32, height as f32);
        self.in_reading_order(corners).map(|[x, y]| match self {
            Self::Upright => [x, y],
            Self::Half => [width - x, height - y],
            Self::Right => [y, width - x],
            Self::Left => [height - y, x],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Corners = [[10.0, 20.0], [90.0, 20.0], [90.0, 40.0], [10.0, 40.0]];

    fn text_box(corners: Corners) -> TextBox {
        TextBox { corners, score: 0.9, height_seen: 20.0 }
    }

    #[test]
    fn lines_of_a_turned_page_are_put_upright() {
        // The line's place on the page by each turn, in a picture of 100 x 60 or 60 x 100.
        let half = [[10.0, 20.0], [90.0, 20.0], [90.0, 40.0], [10.0, 40.0]];
        assert_eq!(Turn::Half.upright(&half, (100, 60)), LINE);
        let right = [[20.0, 10.0], [40.0, 10.0], [40.0, 90.0], [20.0, 90.0]];
        assert_eq!(Turn::Right.upright(&right, (60, 100)), LINE);
        assert_eq!(Turn::Left.upright(&right, (60, 100)), LINE);
        assert_eq!(Turn::Upright.upright(&LINE, (100, 60)), LINE);
    }

    #[test]
    fn high_lines_lie_on_a_side() {
        let high = [[20.0, 10.0], [40.0, 10.0], [40.0, 90.0], [20.0, 90.0]];
        assert_eq!(Turn::usual(&[text_box(high), text_box(high), text_box(LINE)]), Turn::Right);
        assert_eq!(Turn::usual(&[text_box(high), text_box(LINE)]), Turn::Upright);
        assert_eq!(Turn::usual(&[]), Turn::Upright);
    }
}
