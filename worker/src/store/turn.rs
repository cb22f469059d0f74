//! What becomes of regions when the orientation of their picture changes.

/// How one view of a picture becomes another: rows and columns change places, then sides are mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    swaps: bool,
    mirrors_x: bool,
    mirrors_y: bool,
}

impl Turn {
    /// How pixels as they are stored become upright, by EXIF orientation (EXIF 2.32, 4.6.5, tag 0x0112); 1 for what is none.
    fn upright(orientation: i64) -> Self {
        let swaps = matches!(orientation, 5..=8);
        let from_below = matches!(orientation, 3 | 4 | 6 | 7);
        let from_right = matches!(orientation, 2 | 3 | 7 | 8);
        let (mirrors_x, mirrors_y) = if swaps { (from_below, from_right) } else { (from_right, from_below) };
        Self { swaps, mirrors_x, mirrors_y }
    }

    /// How the view by orientation `was` becomes the one by `is`; `None` if they are the same.
    pub fn between(was: i64, is: u8) -> Option<Self> {
        let (was, is) = (Self::upright(was), Self::upright(is.into()));
        let swaps = was.swaps != is.swaps;
        // A mirrored side is the other one once rows and columns have changed places.
        let (x, y) = if swaps { (was.mirrors_y, was.mirrors_x) } else { (was.mirrors_x, was.mirrors_y) };
        let turn = Self { swaps, mirrors_x: x != is.mirrors_x, mirrors_y: y != is.mirrors_y };
        (turn != Self { swaps: false, mirrors_x: false, mirrors_y: false }).then_some(turn)
    }

    /// The columns `region_x`, `region_y`, `region_width` and `region_height` of the turned region, in SQL.
    pub fn columns(self) -> [String; 4] {
        let [x, y, width, height] = match self.swaps {
            false => ["region_x", "region_y", "region_width", "region_height"],
            true => ["region_y", "region_x", "region_height", "region_width"],
        };
        // Where rounding would leave the picture.
        let mirrored = |from: &str, length: &str| {
            format!("case when {from} + {length} < 1 then 1 - {from} - {length} else 0 end")
        };
        [
            if self.mirrors_x { mirrored(x, width) } else { x.to_owned() },
            if self.mirrors_y { mirrored(y, height) } else { y.to_owned() },
            width.to_owned(),
            height.to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a point of a view goes.
    fn go(turn: Turn, (x, y): (i32, i32)) -> (i32, i32) {
        let (x, y) = if turn.swaps { (y, x) } else { (x, y) };
        (if turn.mirrors_x { -x } else { x }, if turn.mirrors_y { -y } else { y })
    }

    #[test]
    fn one_view_becomes_any_other() {
        for was in 1..=8 {
            for is in 1..=8_u8 {
                for stored in [(1, 2), (-3, 1), (2, -5)] {
                    let (seen, wanted) =
                        (go(Turn::upright(was), stored), go(Turn::upright(is.into()), stored));
                    let turned = Turn::between(was, is).map_or(seen, |turn| go(turn, seen));
                    assert_eq!(turned, wanted, "{was} to {is}");
                }
            }
        }
        assert_eq!(Turn::between(6, 6), None);
        assert_eq!(Turn::between(0, 1), None);
    }
}
