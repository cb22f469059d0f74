//! EXIF orientation.

use docent_models::Picture;

use super::ifd::Source;

const ORIENTATION: u16 = 0x0112;

/// The orientation in an EXIF block, with or without its `Exif\0\0` prefix; 1 if there is none or it cannot be read. Damage to other
/// tags does not matter.
pub(super) fn of_exif(block: &[u8]) -> u8 {
    let block = match block {
        [b'E', b'x', b'i', b'f', 0, _, rest @ ..] => rest,
        block => block,
    };
    Source::new(block)
        .and_then(Source::first)
        .and_then(|first| first.number(ORIENTATION))
        .and_then(|value| u8::try_from(value).ok())
        .filter(|value| (1..=8).contains(value))
        .unwrap_or(1)
}

/// Pixels on a side of what is turned at once: two such squares lie in a first-level cache.
const SQUARE: usize = 32;

/// Turns and mirrors a stored picture so that it stands upright.
pub(super) fn upright(picture: Picture, orientation: u8) -> Picture {
    if !(2..=8).contains(&orientation) {
        return picture;
    }
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    // EXIF 2.32, 4.6.5, tag 0x0112: which stored row and column are the first ones, and whether rows become columns.
    let from_below = matches!(orientation, 3 | 4 | 6 | 7);
    let from_right = matches!(orientation, 2 | 3 | 7 | 8);
    let turns = orientation >= 5;
    let (from, _) = picture.rgb().as_chunks::<3>();
    let mut rgb = vec![0; picture.rgb().len()];
    let (to, _) = rgb.as_chunks_mut::<3>();
    let row = |y: usize| &from[if from_below { height - 1 - y } else { y } * width..][..width];
    if !turns {
        for (y, line) in to.chunks_exact_mut(width).enumerate() {
            if from_right {
                line.iter_mut().zip(row(y).iter().rev()).for_each(|(to, from)| *to = *from);
            } else {
                line.copy_from_slice(row(y));
            }
        }
    } else {
        // Square by square: a row of the one is a column of the other, and columns are far apart in memory.
        for first in (0..height).step_by(SQUARE) {
            let rows = SQUARE.min(height - first);
            for left in (0..width).step_by(SQUARE) {
                for x in left..width.min(left + SQUARE) {
                    let column = if from_right { width - 1 - x } else { x };
                    for (y, pixel) in to[x * height + first..][..rows].iter_mut().enumerate() {
                        *pixel = row(first + y)[column];
                    }
                }
            }
        }
    }
    let (width, height) = if turns { (height, width) } else { (width, height) };
    Picture::new(width as u32, height as u32, rgb).expect("the same pixels in another order")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 3 x 2 picture whose red values are 0..6 in reading order.
    fn numbered() -> Picture {
        Picture::new(3, 2, (0..6).flat_map(|i| [i, 0, 0]).collect()).expect("is a picture")
    }

    #[test]
    fn every_orientation_moves_the_corners_where_they_belong() {
        let reds = |o| {
            let picture = upright(numbered(), o);
            (picture.width(), picture.rgb().chunks_exact(3).map(|p| p[0]).collect::<Vec<_>>())
        };
        assert_eq!(reds(1), (3, vec![0, 1, 2, 3, 4, 5]));
        assert_eq!(reds(2), (3, vec![2, 1, 0, 5, 4, 3]));
        assert_eq!(reds(3), (3, vec![5, 4, 3, 2, 1, 0]));
        assert_eq!(reds(4), (3, vec![3, 4, 5, 0, 1, 2]));
        assert_eq!(reds(5), (2, vec![0, 3, 1, 4, 2, 5]));
        assert_eq!(reds(6), (2, vec![3, 0, 4, 1, 5, 2]));
        assert_eq!(reds(7), (2, vec![5, 2, 4, 1, 3, 0]));
        assert_eq!(reds(8), (2, vec![2, 5, 1, 4, 0, 3]));
    }

    #[test]
    fn large_pictures_are_turned_square_by_square() {
        let (width, height) = (75, 67);
        let pixels = (0..width * height).flat_map(|i| [(i % width) as u8, (i / width) as u8, 0]).collect();
        let picture = Picture::new(width, height, pixels).expect("is a picture");
        let turned = upright(picture.clone(), 6);
        assert_eq!((turned.width(), turned.height()), (height, width));
        for (place, pixel) in turned.rgb().chunks_exact(3).enumerate() {
            let (x, y) = (place as u32 % height, place as u32 / height);
            assert_eq!(pixel[..2], [y as u8, (height - 1 - x) as u8]);
        }
        let back = [(3, 3), (6, 8), (5, 5), (7, 7), (2, 2), (4, 4)];
        for (there, back) in back {
            assert_eq!(upright(upright(picture.clone(), there), back), picture, "{there}");
        }
    }

    #[test]
    fn broken_exif_is_upright() {
        for block in [&b""[..], b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08", b"nonsense"] {
            assert_eq!(of_exif(block), 1);
        }
    }
}
