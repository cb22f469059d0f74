//! Connected pixels of a mask.

/// One run of set pixels in a row; `end` is exclusive.
#[derive(Debug, Clone, Copy)]
struct Run {
    row: i32,
    start: i32,
    end: i32,
}

/// The connected parts of a mask of `width` columns, diagonal neighbors included: for each the outer pixels of its runs, which
/// have the same hull as all its pixels. The largest `most` of them, in the order of their first pixels.
pub(super) fn components(mask: &[bool], width: usize, most: usize) -> Vec<Vec<[i32; 2]>> {
    let mut runs: Vec<Run> = Vec::new();
    // Of each run the place of an older one that it touches, in the end of the first of all.
    let mut parents: Vec<usize> = Vec::new();
    let mut above = 0..0;
    for (row, pixels) in mask.chunks_exact(width.max(1)).enumerate() {
        let first = runs.len();
        let mut column = 0;
        for pixels in pixels.chunk_by(|a, b| a == b) {
            let (start, end) = (column, column + pixels.len());
            column = end;
            if pixels[0] {
                runs.push(Run { row: row as i32, start: start as i32, end: end as i32 });
                parents.push(parents.len());
            }
        }
        let mut candidate = above.start;
        for run in first..runs.len() {
            // Those that end before this one begins end before the next one, too.
            while candidate < above.end && runs[candidate].end < runs[run].start {
                candidate += 1;
            }
            let touching = (candidate..above.end).take_while(|&other| runs[other].start <= runs[run].end);
            for other in touching.collect::<Vec<_>>() {
                let (a, b) = (root(&mut parents, run), root(&mut parents, other));
                parents[a.max(b)] = a.min(b);
            }
        }
        above = first..runs.len();
    }
    let mut found: Vec<(i64, Vec<[i32; 2]>)> = Vec::new();
    let mut places: Vec<usize> = vec![0; runs.len()];
    for (place, run) in runs.iter().enumerate() {
        let root = root(&mut parents, place);
        if root == place {
            places[place] = found.len();
            found.push((0, Vec::new()));
        }
        let (area, points) = &mut found[places[root]];
        *area += i64::from(run.end - run.start);
        points.extend([[run.start, run.row], [run.end - 1, run.row]]);
    }
    if found.len() > most {
        let mut areas: Vec<i64> = found.iter().map(|(area, _)| *area).collect();
        areas.sort_unstable_by(|a, b| b.cmp(a));
        let least = areas[most];
        found.retain(|(area, _)| *area > least);
    }
    found.into_iter().map(|(_, points)| points).collect()
}

fn root(parents: &mut [usize], mut place: usize) -> usize {
    while parents[place] != place {
        parents[place] = parents[parents[place]];
        place = parents[place];
    }
    place
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drawn(rows: &[&str]) -> (Vec<bool>, usize) {
        (rows.iter().flat_map(|row| row.bytes().map(|b| b == b'#')).collect(), rows[0].len())
    }

    #[test]
    fn parts_are_told_apart_and_joined_by_their_corners() {
        let (mask, width) = drawn(&["##..#..", "..#.#..", "....#.#", "#......"]);
        let parts = components(&mask, width, 9);
        let sizes: Vec<usize> = parts.iter().map(Vec::len).collect();
        assert_eq!(sizes, [4, 6, 2, 2], "{parts:?}");
        // Two arms that meet below are one.
        let (mask, width) = drawn(&["#...#", "#.#.#", "#####"]);
        assert_eq!(components(&mask, width, 9).len(), 1);
        assert_eq!(components(&[], 0, 9).len(), 0);
        // Of too many the largest.
        let (mask, width) = drawn(&["#.##.###"]);
        assert_eq!(components(&mask, width, 1), [[[5, 0], [7, 0]]]);
    }

    proptest! {
        /// Against filling from each pixel.
        #[test]
        fn as_many_as_by_filling(mask in prop::collection::vec(prop::bool::weighted(0.4), 12 * 9)) {
            let (width, mut left, mut parts) = (12_i32, mask.clone(), 0);
            while let Some(seed) = left.iter().position(|&set| set) {
                parts += 1;
                let mut open = vec![seed as i32];
                while let Some(at) = open.pop() {
                    let (x, y) = (at % width, at / width);
                    if !std::mem::take(&mut left[at as usize]) {
                        continue;
                    }
                    for (x, y) in (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (x + dx, y + dy))) {
                        if (0..width).contains(&x) && (0..9).contains(&y) && left[(y * width + x) as usize] {
                            open.push(y * width + x);
                        }
                    }
                }
            }
            prop_assert_eq!(components(&mask, 12, 1000).len(), parts);
        }
    }
}
