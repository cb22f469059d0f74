//! The order in which lines of text are read: columns one after the other, and in each its rows from the top.

use super::rectangle::{Corners, distance};

/// Boxes are larger than their letters by about a quarter of their height on each side.
const MARGIN: f32 = 0.25;
/// Columns are so far apart, in median heights of a box.
const LEAST_GAP: f32 = 0.8;
/// Cells of a table are shorter than this many heights; lines of a column are not.
const CELL: f32 = 5.0;
/// In a table so many of the rows have all their cells.
const FULL_ROWS: f32 = 0.8;
/// So many rows are looked at for a second column, if there is none beside them.
const ROWS_AHEAD: usize = 50;

/// A line without its margin, turned level.
#[derive(Debug, Clone, Copy)]
struct Placed {
    index: usize,
    left: f32,
    right: f32,
    top: f32,
    bottom: f32,
    /// With its margin.
    height: f32,
}

/// Rows of lines, each from left to right, by their places in `boxes`. Every line is in one row.
pub fn reading_order(boxes: &[Corners]) -> Vec<Vec<usize>> {
    let angle = common_angle(boxes);
    let (sine, cosine) = (-angle).sin_cos();
    let placed = boxes.iter().enumerate().map(|(index, corners)| {
        let middle = |axis: usize| corners.iter().map(|corner| corner[axis]).sum::<f32>() / 4.0;
        let [x, y] = [middle(0), middle(1)];
        let (x, y) = (x * cosine - y * sine, x * sine + y * cosine);
        let [tl, tr, _, bl] = *corners;
        let (width, height) = (distance(tl, tr), distance(tl, bl));
        let margin = MARGIN * width.min(height);
        let (across, down) = ((width / 2.0 - margin).max(0.0), (height / 2.0 - margin).max(0.0));
        Placed { index, left: x - across, right: x + across, top: y - down, bottom: y + down, height }
    });
    let mut rows = Vec::new();
    arrange(placed.collect(), &mut rows);
    rows
}

/// The angle of most text, in radians: the median over the lines' lengths. Lines that stand upright have none.
fn common_angle(boxes: &[Corners]) -> f32 {
    let mut angles: Vec<(f32, f32)> = boxes
        .iter()
        .filter_map(|[tl, tr, _, bl]| {
            let width = distance(*tl, *tr);
            (width >= 2.0 * distance(*tl, *bl)).then(|| ((tr[1] - tl[1]).atan2(tr[0] - tl[0]), width))
        })
        .collect();
    angles.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = angles.iter().map(|(_, width)| width).sum::<f32>() / 2.0;
    let mut along = 0.0;
    let middle = angles.iter().find(|(_, width)| {
        along += width;
        along >= half
    });
    middle.map_or(0.0, |(angle, _)| *angle)
}

fn arrange(lines: Vec<Placed>, rows: &mut Vec<Vec<usize>>) {
    let slabs = slabs(lines);
    let mut heights: Vec<f32> = slabs.iter().flatten().map(|line| line.height).collect();
    heights.sort_by(f32::total_cmp);
    let least_gap = heights.get(heights.len() / 2).map_or(0.0, |median| LEAST_GAP * median);
    let mut from = 0;
    while from < slabs.len() {
        match block(&slabs[from..], least_gap) {
            Some((length, columns)) => {
                for column in columns {
                    arrange(column, rows);
                }
                from += length;
            }
            None => {
                rows.extend(rows_of(slabs[from].clone()));
                from += 1;
            }
        }
    }
}

/// Bands of lines with nothing between them that crosses, from the top.
fn slabs(mut lines: Vec<Placed>) -> Vec<Vec<Placed>> {
    lines.sort_by(|a, b| a.top.total_cmp(&b.top));
    let mut slabs: Vec<Vec<Placed>> = Vec::new();
    let mut bottom = f32::MIN;
    for line in lines {
        match slabs.last_mut() {
            Some(slab) if line.top < bottom => slab.push(line),
            _ => slabs.push(vec![line]),
        }
        bottom = bottom.max(line.bottom);
    }
    slabs
}

/// How many slabs from the first on stand in columns, and the columns.
fn block(slabs: &[Vec<Placed>], least_gap: f32) -> Option<(usize, Vec<Vec<Placed>>)> {
    let mut covered: Vec<[f32; 2]> = Vec::new();
    let mut length = 0;
    for (place, slab) in slabs.iter().enumerate() {
        for line in slab {
            cover(&mut covered, [line.left, line.right], least_gap);
        }
        match covered.len() {
            1 if length > 0 || place >= ROWS_AHEAD => break,
            1 => {}
            _ => length = place + 1,
        }
    }
    let slabs = &slabs[..length];
    covered.clear();
    for line in slabs.iter().flatten() {
        cover(&mut covered, [line.left, line.right], least_gap);
    }
    let column_of =
        |line: &Placed| covered.iter().position(|column| line.left < column[1] || line.right <= column[1]);
    let rows_in = |column: usize| {
        slabs.iter().filter(|slab| slab.iter().any(|line| column_of(line) == Some(column))).count()
    };
    if covered.len() < 2 || (0..covered.len()).any(|column| rows_in(column) < 2) {
        return None;
    }
    let mut columns = vec![Vec::new(); covered.len()];
    for line in slabs.iter().flatten() {
        columns[column_of(line).unwrap_or(0)].push(*line);
    }
    let is_short = |column: &Vec<Placed>| {
        let mut lengths: Vec<f32> =
            column.iter().map(|line| (line.right - line.left) / line.height.max(1.0)).collect();
        lengths.sort_by(f32::total_cmp);
        lengths[lengths.len() / 2] < CELL
    };
    let full =
        slabs.iter().filter(|slab| (0..covered.len()).all(|c| slab.iter().any(|l| column_of(l) == Some(c))));
    let is_table = columns.iter().any(is_short) && full.count() as f32 >= FULL_ROWS * slabs.len() as f32;
    (!is_table).then_some((length, columns))
}

/// Adds an interval to others that are `least_gap` apart; those that come closer become one.
fn cover(covered: &mut Vec<[f32; 2]>, [mut left, mut right]: [f32; 2], least_gap: f32) {
    covered.retain(|&[l, r]| {
        let is_apart = l >= right + least_gap || r + least_gap <= left;
        if !is_apart {
            (left, right) = (left.min(l), right.max(r));
        }
        is_apart
    });
    let place = covered.partition_point(|&[l, _]| l < left);
    covered.insert(place, [left, right]);
}

/// Lines whose heights overlap by half of the lower one share a row.
fn rows_of(mut lines: Vec<Placed>) -> Vec<Vec<usize>> {
    lines.sort_by(|a, b| (a.top + a.bottom).total_cmp(&(b.top + b.bottom)));
    let mut rows: Vec<Vec<Placed>> = Vec::new();
    for line in lines {
        let shares = |row: &Vec<Placed>| {
            row.iter().any(|other| {
                let overlap = other.bottom.min(line.bottom) - other.top.max(line.top);
                let is_beside = other.right <= line.left || line.right <= other.left;
                is_beside && overlap * 2.0 >= (other.bottom - other.top).min(line.bottom - line.top)
            })
        };
        match rows.iter_mut().rev().take(2).find(|row| shares(row)) {
            Some(row) => row.push(line),
            None => rows.push(vec![line]),
        }
    }
    for row in &mut rows {
        row.sort_by(|a, b| a.left.total_cmp(&b.left));
    }
    rows.into_iter().map(|row| row.into_iter().map(|line| line.index).collect()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Boxes of letters 20 high, by name, left, top and width, turned by `degrees`.
    fn read(lines: &[(&'static str, f32, f32, f32)], degrees: f32) -> Vec<String> {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        let boxes: Vec<Corners> = lines
            .iter()
            .map(|&(_, x, y, width)| {
                [[x, y], [x + width, y], [x + width, y + 20.0], [x, y + 20.0]]
                    .map(|[x, y]| [x * cosine - y * sine, x * sine + y * cosine])
            })
            .collect();
        let rows = reading_order(&boxes);
        rows.iter().map(|row| row.iter().map(|&i| lines[i].0).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn columns_are_read_one_after_the_other() {
        // The two columns have different leading, a title above and a line below across both.
        let page = [
            ("title", 150.0, 0.0, 400.0),
            ("a1", 0.0, 40.0, 300.0),
            ("b1", 350.0, 40.0, 300.0),
            ("a2", 0.0, 64.0, 300.0),
            ("b2", 350.0, 66.0, 310.0),
            ("a3", 0.0, 88.0, 200.0),
            ("b3", 350.0, 92.0, 280.0),
            ("foot", 0.0, 140.0, 650.0),
        ];
        let expected = ["title", "a1", "a2", "a3", "b1", "b2", "b3", "foot"];
        for degrees in [0.0, 4.0, -7.0, 25.0] {
            assert_eq!(read(&page, degrees), expected, "{degrees}");
        }
        let shuffled: Vec<_> = page.iter().rev().copied().collect();
        assert_eq!(read(&shuffled, 2.0), expected);
    }

    #[test]
    fn rows_of_a_receipt_stay_together() {
        let receipt = [
            ("Coffee", 0.0, 0.0, 120.0),
            ("2.50", 400.0, 2.0, 60.0),
            ("Bread roll", 0.0, 30.0, 150.0),
            ("0.90", 400.0, 31.0, 60.0),
            ("Total", 0.0, 60.0, 90.0),
            ("3.40", 400.0, 60.0, 60.0),
        ];
        assert_eq!(read(&receipt, 3.0), ["Coffee 2.50", "Bread roll 0.90", "Total 3.40"]);
    }

    #[test]
    fn a_list_beside_a_text_is_not_mixed_with_it() {
        let window = [
            ("Inbox", 0.0, 0.0, 60.0),
            ("Sent", 0.0, 50.0, 60.0),
            ("Bin", 0.0, 100.0, 50.0),
            ("Dear all,", 200.0, 10.0, 400.0),
            ("tomorrow", 200.0, 34.0, 400.0),
            ("there is", 200.0, 60.0, 400.0),
            ("no train", 200.0, 85.0, 400.0),
        ];
        assert_eq!(
            read(&window, 0.0),
            ["Inbox", "Sent", "Bin", "Dear all,", "tomorrow", "there is", "no train"]
        );
    }

    #[test]
    fn tight_lines_are_rows_of_their_own() {
        let page = [("one", 0.0, 0.0, 300.0), ("two", 0.0, 14.0, 300.0), ("three", 0.0, 28.0, 300.0)];
        assert_eq!(read(&page, 1.0), ["one", "two", "three"]);
        assert_eq!(read(&[], 0.0), [""; 0]);
    }

    proptest! {
        #[test]
        fn every_line_is_read_once(boxes in prop::collection::vec((0.0_f32..900.0, 0.0_f32..900.0, 0.0_f32..300.0, 0.0_f32..60.0, -0.4_f32..0.4), 0..60)) {
            let boxes: Vec<Corners> = boxes.into_iter().map(|(x, y, w, h, slope)| {
                [[x, y], [x + w, y + w * slope], [x + w, y + h + w * slope], [x, y + h]]
            }).collect();
            let mut read: Vec<usize> = reading_order(&boxes).into_iter().flatten().collect();
            read.sort_unstable();
            prop_assert_eq!(read, (0..boxes.len()).collect::<Vec<_>>());
        }

        #[test]
        fn no_numbers_make_it_panic(boxes in prop::collection::vec(prop::array::uniform4(prop::array::uniform2(prop::num::f32::ANY)), 0..20)) {
            prop_assert_eq!(reading_order(&boxes).into_iter().flatten().count(), boxes.len());
        }
    }
}
