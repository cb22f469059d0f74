//! Rectangles at an angle: around the pixels of a line of text, and grown to what the line covers.

/// The corners of a line of text: top left, top right, bottom right, bottom left, in pixels.
pub type Corners = [[f32; 2]; 4];

/// A rectangle at any angle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rectangle {
    center: [f32; 2],
    /// Unit vector along `length`.
    along: [f32; 2],
    pub length: f32,
    pub breadth: f32,
}

impl Rectangle {
    /// The smallest rectangle around `points`; `None` without any. One side of it lies on the hull of the points.
    pub fn around(points: Vec<[i32; 2]>) -> Option<Self> {
        let hull = hull(points);
        let first = *hull.first()?;
        let mut best: Option<(f32, Self)> = None;
        let edges = hull.iter().zip(hull.iter().cycle().skip(1));
        for (from, to) in edges {
            let [dx, dy] = [(to[0] - from[0]) as f32, (to[1] - from[1]) as f32];
            let norm = dx.hypot(dy);
            let along = if norm > 0.0 { [dx / norm, dy / norm] } else { [1.0, 0.0] };
            let (mut low, mut high) = ([f32::MAX; 2], [f32::MIN; 2]);
            for point in &hull {
                let [x, y] = [(point[0] - first[0]) as f32, (point[1] - first[1]) as f32];
                let place = [x * along[0] + y * along[1], y * along[0] - x * along[1]];
                for axis in 0..2 {
                    low[axis] = low[axis].min(place[axis]);
                    high[axis] = high[axis].max(place[axis]);
                }
            }
            let [length, breadth] = [high[0] - low[0], high[1] - low[1]];
            if best.as_ref().is_none_or(|(area, _)| length * breadth < *area) {
                let [u, v] = [(low[0] + high[0]) / 2.0, (low[1] + high[1]) / 2.0];
                let center = [
                    first[0] as f32 + u * along[0] - v * along[1],
                    first[1] as f32 + u * along[1] + v * along[0],
                ];
                best = Some((length * breadth, Self { center, along, length, breadth }));
            }
        }
        best.map(|(_, rectangle)| rectangle)
    }

    pub fn short_side(&self) -> f32 {
        self.length.min(self.breadth)
    }

    /// The same with `distance` more on every side.
    pub fn grown(self, distance: f32) -> Self {
        Self { length: self.length + 2.0 * distance, breadth: self.breadth + 2.0 * distance, ..self }
    }

    /// Of the two leftmost corners the upper one is the top left, of the two others the top right.
    pub fn corners(&self) -> Corners {
        let half = [self.length / 2.0, self.breadth / 2.0];
        let mut corners = [[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]].map(|sign: [f32; 2]| {
            let [u, v] = [sign[0] * half[0], sign[1] * half[1]];
            [
                self.center[0] + u * self.along[0] - v * self.along[1],
                self.center[1] + u * self.along[1] + v * self.along[0],
            ]
        });
        corners.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let [a, b, c, d] = corners;
        let (top_left, bottom_left) = if a[1] <= b[1] { (a, b) } else { (b, a) };
        let (top_right, bottom_right) = if c[1] <= d[1] { (c, d) } else { (d, c) };
        [top_left, top_right, bottom_right, bottom_left]
    }
}

/// The convex hull, counterclockwise where y points up (Andrew's monotone chain).
fn hull(mut points: Vec<[i32; 2]>) -> Vec<[i32; 2]> {
    points.sort_unstable();
    points.dedup();
    if points.len() < 3 {
        return points;
    }
    let turns_left = |a: [i32; 2], b: [i32; 2], c: [i32; 2]| {
        let (ax, ay) = (i64::from(b[0] - a[0]), i64::from(b[1] - a[1]));
        let (bx, by) = (i64::from(c[0] - a[0]), i64::from(c[1] - a[1]));
        ax * by - ay * bx > 0
    };
    let half = |points: &mut dyn Iterator<Item = [i32; 2]>| {
        let mut chain: Vec<[i32; 2]> = Vec::new();
        for point in points {
            while let [.., a, b] = chain[..]
                && !turns_left(a, b, point)
            {
                chain.pop();
            }
            chain.push(point);
        }
        // The last point begins the other half.
        chain.pop();
        chain
    };
    let mut hull = half(&mut points.iter().copied());
    hull.extend(half(&mut points.iter().rev().copied()));
    hull
}

pub(super) fn distance(a: [f32; 2], b: [f32; 2]) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// Width and height of what lies between four corners, whole pixels: the longer of each two opposite sides.
pub(super) fn size(corners: &Corners) -> (u32, u32) {
    let [tl, tr, br, bl] = *corners;
    let longer = |a: f32, b: f32| a.max(b) as u32;
    (longer(distance(tl, tr), distance(bl, br)), longer(distance(tl, bl), distance(tr, br)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_rectangle_lies_along_the_points() {
        // A band of 41 by 11 pixels along (4, 3).
        let mut points = Vec::new();
        for u in 0..=10 {
            for v in 0..=2 {
                points.push([4 * u - 3 * v, 3 * u + 4 * v]);
            }
        }
        let found = Rectangle::around(points).expect("has points");
        let sides = (found.length.max(found.breadth), found.short_side());
        assert!((sides.0 - 50.0).abs() < 1e-3 && (sides.1 - 10.0).abs() < 1e-3, "{found:?}");
        let corners = found.corners();
        for (corner, expected) in corners.iter().zip([[0.0, 0.0], [40.0, 30.0], [34.0, 38.0], [-6.0, 8.0]]) {
            assert!(distance(*corner, expected) < 1e-3, "{corners:?}");
        }
        assert_eq!(size(&corners), (50, 10));
    }

    #[test]
    fn few_points_have_a_rectangle_without_area() {
        assert_eq!(Rectangle::around(Vec::new()), None);
        let one = Rectangle::around(vec![[3, 4]]).expect("has a point");
        assert_eq!((one.length, one.breadth, one.center), (0.0, 0.0, [3.0, 4.0]));
        let line = Rectangle::around(vec![[0, 0], [3, 4], [6, 8]]).expect("has points");
        assert!((line.length.max(line.breadth) - 10.0).abs() < 1e-4 && line.short_side() < 1e-4);
    }
}
