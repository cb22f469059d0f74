//! Boxes and transforms in pixels. Fractions of a picture are `docent-pipelines`' `Region`.

use serde::{Deserialize, Serialize};

/// An axis-aligned box in pixels of the upright picture; `x2`, `y2` are exclusive edges.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BoundingBox {
    /// Left edge.
    pub x1: f32,
    /// Top edge.
    pub y1: f32,
    /// Right edge.
    pub x2: f32,
    /// Bottom edge.
    pub y2: f32,
}

impl BoundingBox {
    /// In pixels; 0 for an inverted box.
    pub fn width(&self) -> f32 {
        (self.x2 - self.x1).max(0.0)
    }

    /// In pixels; 0 for an inverted box.
    pub fn height(&self) -> f32 {
        (self.y2 - self.y1).max(0.0)
    }

    /// In square pixels.
    pub fn area(&self) -> f32 {
        self.width() * self.height()
    }

    /// Intersection over union, 0..=1.
    pub fn iou(&self, other: &Self) -> f32 {
        let intersection = Self {
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
            x2: self.x2.min(other.x2),
            y2: self.y2.min(other.y2),
        }
        .area();
        let union = self.area() + other.area() - intersection;
        if union > 0.0 { intersection / union } else { 0.0 }
    }

    /// The part inside a picture of `width` x `height`. NaN becomes 0.
    pub fn clamp(&self, width: f32, height: f32) -> Self {
        Self {
            x1: self.x1.max(0.0).min(width),
            y1: self.y1.max(0.0).min(height),
            x2: self.x2.max(0.0).min(width),
            y2: self.y2.max(0.0).min(height),
        }
    }
}

/// Greedy non-maximum suppression: keeps the strongest of `items` and drops every weaker one that `suppresses` says
/// it covers. Answers the kept ones, strongest first.
pub fn suppress<T>(
    mut items: Vec<T>,
    score: impl Fn(&T) -> f32,
    suppresses: impl Fn(&T, &T) -> bool,
) -> Vec<T> {
    items.sort_by(|a, b| score(b).total_cmp(&score(a)));
    let mut kept: Vec<T> = Vec::new();
    for item in items {
        if !kept.iter().any(|stronger| suppresses(stronger, &item)) {
            kept.push(item);
        }
    }
    kept
}

/// `(x, y) -> (a x - b y + tx, b x + a y + ty)`: rotation, scale and shift, no mirror, no shear.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    /// Scale times cosine.
    pub a: f32,
    /// Scale times sine.
    pub b: f32,
    /// Shift.
    pub tx: f32,
    /// Shift.
    pub ty: f32,
}

impl Similarity {
    /// The least-squares fit of `from` onto `to` (Umeyama 1991, in two dimensions, where it has a closed form);
    /// `None` if the points coincide.
    pub fn fit(from: &[[f32; 2]], to: &[[f32; 2]]) -> Option<Self> {
        let n = from.len().min(to.len());
        if n < 2 {
            return None;
        }
        let mean = |points: &[[f32; 2]]| {
            let sum =
                points[..n].iter().fold([0.0; 2], |s, p| [s[0] + f64::from(p[0]), s[1] + f64::from(p[1])]);
            [sum[0] / n as f64, sum[1] / n as f64]
        };
        let (m, t) = (mean(from), mean(to));
        let (mut dot, mut cross, mut spread) = (0.0, 0.0, 0.0);
        for (p, q) in from.iter().zip(to) {
            let (px, py) = (f64::from(p[0]) - m[0], f64::from(p[1]) - m[1]);
            let (qx, qy) = (f64::from(q[0]) - t[0], f64::from(q[1]) - t[1]);
            dot += px * qx + py * qy;
            cross += px * qy - py * qx;
            spread += px * px + py * py;
        }
        if !(spread > 0.0 && dot.hypot(cross) > 0.0) {
            return None;
        }
        let (a, b) = (dot / spread, cross / spread);
        Some(Self {
            a: a as f32,
            b: b as f32,
            tx: (t[0] - a * m[0] + b * m[1]) as f32,
            ty: (t[1] - b * m[0] - a * m[1]) as f32,
        })
    }

    /// Length ratio.
    pub fn scale(&self) -> f32 {
        self.a.hypot(self.b)
    }

    /// Maps a point.
    pub fn apply(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        [self.a * x - self.b * y + self.tx, self.b * x + self.a * y + self.ty]
    }

    /// The way back.
    pub fn inverse(&self) -> Self {
        let square = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / square, -self.b / square);
        Self { a, b, tx: -(a * self.tx - b * self.ty), ty: -(b * self.tx + a * self.ty) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_of_boxes() {
        let a = BoundingBox { x1: 0.0, y1: 0.0, x2: 2.0, y2: 2.0 };
        let b = BoundingBox { x1: 1.0, y1: 0.0, x2: 3.0, y2: 2.0 };
        assert!((a.iou(&b) - 1.0 / 3.0).abs() < 1e-6);
        assert_eq!(a.iou(&BoundingBox { x1: 5.0, y1: 5.0, x2: 4.0, y2: 4.0 }), 0.0);
    }

    #[test]
    fn a_similarity_is_found_from_its_points_and_inverted() {
        let true_one = Similarity { a: 0.6, b: -1.1, tx: 12.0, ty: -7.0 };
        let from = [[0.0, 0.0], [10.0, 3.0], [-4.0, 8.0]];
        let found = Similarity::fit(&from, &from.map(|p| true_one.apply(p))).expect("is fitted");
        for p in from {
            let [x, y] = found.inverse().apply(true_one.apply(p));
            assert!((x - p[0]).abs() < 1e-3 && (y - p[1]).abs() < 1e-3);
        }
        assert_eq!(Similarity::fit(&[[1.0, 1.0]; 3], &from), None);
    }

    #[test]
    fn the_strongest_survives() {
        let kept = suppress(vec![(1, 0.5), (1, 0.9), (2, 0.1)], |i| i.1, |a, b| a.0 == b.0);
        assert_eq!(kept, [(1, 0.9), (2, 0.1)]);
    }
}
