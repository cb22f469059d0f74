//! Leptonica's functions that a page spends its time in, besides the network.
//!
//! - The picture of each line is kept as a PNG for the moment until the network reads it. Compressing it is one twentieth of
//!   reading a page; here it is kept as it is.
//! - Ink is told from paper by Sauvola's threshold, for which Leptonica goes through tiles that overlap by half.
//! - Rules are found by opening the page with bricks 75 pixels long, for which Leptonica goes over it 150 times.

use std::ffi::c_int;

use super::super::{opening, sauvola};

/// Leptonica's picture. Lines are whole words, whose highest bits are the pixels furthest to the left.
#[repr(C)]
pub(super) struct Pix([u8; 0]);

/// Leptonica's number for PNG.
const IFF_PNG: c_int = 3;

type Side = unsafe extern "C" fn(*const Pix) -> c_int;
type Write = unsafe extern "C" fn(*mut *mut u8, *mut usize, *mut Pix, c_int) -> c_int;
type Binarize =
    unsafe extern "C" fn(*mut Pix, c_int, f32, c_int, c_int, *mut *mut Pix, *mut *mut Pix) -> c_int;
type Open = unsafe extern "C" fn(*mut Pix, *mut Pix, c_int, c_int) -> *mut Pix;

super::functions! {
    /// Leptonica itself.
    Leptonica {
        create: c"pixCreate", unsafe extern "C" fn(c_int, c_int, c_int) -> *mut Pix;
        copy: c"pixCopy", unsafe extern "C" fn(*mut Pix, *const Pix) -> *mut Pix;
        copy_resolution: c"pixCopyResolution", unsafe extern "C" fn(*mut Pix, *const Pix) -> c_int;
        destroy: c"pixDestroy", unsafe extern "C" fn(*mut *mut Pix);
        data: c"pixGetData", unsafe extern "C" fn(*const Pix) -> *mut u32;
        colormap: c"pixGetColormap", unsafe extern "C" fn(*const Pix) -> *mut u8;
        words: c"pixGetWpl", Side;
        width: c"pixGetWidth", Side;
        height: c"pixGetHeight", Side;
        depth: c"pixGetDepth", Side;
        /// A picture as it is, with its size in front, in memory that the caller frees; 0, or 1 if it failed.
        write_as_is: c"pixWriteMemSpix", unsafe extern "C" fn(*mut *mut u8, *mut usize, *mut Pix) -> c_int;
        write: c"pixWriteMem", Write;
        binarize: c"pixSauvolaBinarizeTiled", Binarize;
        open: c"pixOpenBrick", Open;
    }
}

/// A picture as a file in memory; not compressed where PNG is asked for, since whoever reads it back recognizes the format by
/// itself.
///
/// SAFETY: the arguments are passed on as they are, to a function with the same demands.
#[unsafe(no_mangle)]
unsafe extern "C" fn pixWriteMem(
    data: *mut *mut u8,
    size: *mut usize,
    picture: *mut Pix,
    format: c_int,
) -> c_int {
    #[cfg(test)]
    super::calls::count("pixWriteMem");
    let Some(leptonica) = Leptonica::loaded() else { return 1 };
    // SAFETY: as above.
    match format {
        IFF_PNG => unsafe { (leptonica.write_as_is)(data, size, picture) },
        _ => unsafe { (leptonica.write)(data, size, picture, format) },
    }
}

/// Which pixels of a gray picture are darker than Sauvola's threshold, and the thresholds. How many tiles there should be
/// makes no difference. 0, or 1 if it failed.
///
/// SAFETY: `picture` is one of Leptonica's or null, `thresholds` and `inks` are null or places for one.
#[unsafe(no_mangle)]
unsafe extern "C" fn pixSauvolaBinarizeTiled(
    picture: *mut Pix,
    half: c_int,
    factor: f32,
    across: c_int,
    down: c_int,
    thresholds: *mut *mut Pix,
    inks: *mut *mut Pix,
) -> c_int {
    #[cfg(test)]
    super::calls::count("pixSauvolaBinarizeTiled");
    let Some(leptonica) = Leptonica::loaded() else { return 1 };
    // SAFETY: as above.
    unsafe {
        if thresholds.is_null() || inks.is_null() || picture.is_null() {
            return (leptonica.binarize)(picture, half, factor, across, down, thresholds, inks);
        }
        match leptonica.binarized(picture, half, factor) {
            Some(made) => (*thresholds, *inks) = made,
            None => return (leptonica.binarize)(picture, half, factor, across, down, thresholds, inks),
        }
    }
    0
}

impl Leptonica {
    /// Thresholds and inks. `None` where it is not sure that these would be Leptonica's: for a picture that is not plainly
    /// gray, and for a window that does not fit.
    ///
    /// SAFETY: `picture` is one of Leptonica's.
    unsafe fn binarized(&self, picture: *mut Pix, half: c_int, factor: f32) -> Option<(*mut Pix, *mut Pix)> {
        // SAFETY: as above; what is created here has the sizes that are asked for.
        unsafe {
            let (width, height) = ((self.width)(picture), (self.height)(picture));
            let fits = |side: c_int| side >= 2 * half + 3;
            let is_gray = (self.depth)(picture) == 8 && (self.colormap)(picture).is_null();
            let reaches = (2..=sauvola::MOST as c_int).contains(&half) && fits(width) && fits(height);
            if !is_gray || !reaches || factor.is_nan() || factor < 0.0 {
                return None;
            }
            let (mut levels, mut bits) = ((self.create)(width, height, 8), (self.create)(width, height, 1));
            if levels.is_null() || bits.is_null() {
                (self.destroy)(&mut levels);
                (self.destroy)(&mut bits);
                return None;
            }
            for made in [levels, bits] {
                (self.copy_resolution)(made, picture);
            }
            let (width, height) = (width as usize, height as usize);
            let words = (self.words)(picture) as usize;
            let mut gray = Vec::with_capacity(width * height);
            for line in self.lines(picture).chunks_exact(words) {
                gray.extend(line.iter().flat_map(|word| word.to_be_bytes()).take(width));
            }
            let mut levels_lines = self.lines(levels).chunks_exact_mut((self.words)(levels) as usize);
            let mut bits_lines = self.lines(bits).chunks_exact_mut((self.words)(bits) as usize);
            sauvola::thresholds(&gray, width, half as usize, factor, |_, gray, thresholds| {
                for (word, four) in levels_lines.next().into_iter().flatten().zip(thresholds.chunks(4)) {
                    let mut bytes = [0; 4];
                    bytes[..four.len()].copy_from_slice(four);
                    *word = u32::from_be_bytes(bytes);
                }
                let pixels = gray.chunks(32).zip(thresholds.chunks(32));
                for (word, (gray, thresholds)) in bits_lines.next().into_iter().flatten().zip(pixels) {
                    let dark = |(i, (gray, threshold))| u32::from(gray < threshold) << (31 - i);
                    *word = gray.iter().zip(thresholds).enumerate().map(dark).sum();
                }
            });
            Some((levels, bits))
        }
    }

    /// All words of a picture.
    ///
    /// SAFETY: it is one of Leptonica's, and lives as long; nobody else looks at its pixels meanwhile.
    #[allow(clippy::mut_from_ref, reason = "the pixels are not the table's")]
    unsafe fn lines<'a>(&self, picture: *mut Pix) -> &'a mut [u32] {
        // SAFETY: as above.
        unsafe {
            let words = (self.words)(picture) as usize * (self.height)(picture) as usize;
            std::slice::from_raw_parts_mut((self.data)(picture), words)
        }
    }
}

/// Opens a picture of two levels by a brick, into `to`, which may be the picture itself, or into a new one if that is null.
/// Answers where it is, or `to` if it failed.
///
/// SAFETY: `picture` is one of Leptonica's or null, `to` as well.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pixOpenBrick(
    to: *mut Pix,
    picture: *mut Pix,
    across: c_int,
    down: c_int,
) -> *mut Pix {
    #[cfg(test)]
    super::calls::count("pixOpenBrick");
    let Some(leptonica) = Leptonica::loaded() else { return to };
    // SAFETY: as above; the copy has the size of what is copied.
    unsafe {
        if picture.is_null() || (leptonica.depth)(picture) != 1 || across < 1 || down < 1 {
            return (leptonica.open)(to, picture, across, down);
        }
        let opened = (leptonica.copy)(to, picture);
        if opened.is_null() {
            return to;
        }
        let (words, width) = ((leptonica.words)(opened) as usize, (leptonica.width)(opened) as usize);
        opening::open(leptonica.lines(opened), words, width, across as usize, down as usize);
        opened
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    fn leptonica() -> &'static Leptonica {
        super::super::silence_leptonica();
        Leptonica::loaded().expect("Leptonica is loaded")
    }

    /// A picture of Leptonica's that goes away again.
    struct Owned(*mut Pix);

    impl Owned {
        fn new((width, height): (c_int, c_int), depth: c_int, level: impl Fn(usize, usize) -> usize) -> Self {
            // SAFETY: a new picture.
            let made = Self(unsafe { (leptonica().create)(width, height, depth) });
            // SAFETY: nobody else knows it.
            let lines = unsafe { leptonica().lines(made.0) };
            let depth = depth as usize;
            let words = lines.len() / height as usize;
            for (y, line) in lines.chunks_exact_mut(words).enumerate() {
                for x in 0..width as usize {
                    let level = level(x, y) as u32 & (u32::MAX >> (32 - depth));
                    line[x * depth / 32] |= level << (32 - depth) >> (x * depth % 32);
                }
            }
            made
        }

        fn size(&self) -> (c_int, c_int) {
            // SAFETY: a picture.
            unsafe { ((leptonica().width)(self.0), (leptonica().height)(self.0)) }
        }

        /// All levels, row by row.
        fn levels(&self) -> Vec<u32> {
            let (width, height) = self.size();
            // SAFETY: a picture, at which nobody else looks.
            let (depth, lines) = unsafe { ((leptonica().depth)(self.0) as usize, leptonica().lines(self.0)) };
            let level = |line: &[u32], x: usize| line[x * depth / 32] << (x * depth % 32) >> (32 - depth);
            let lines = lines.chunks_exact(lines.len() / height as usize);
            lines.flat_map(|line| (0..width as usize).map(move |x| level(line, x))).collect()
        }
    }

    impl Drop for Owned {
        fn drop(&mut self) {
            // SAFETY: null or a picture that nobody else owns.
            unsafe { (leptonica().destroy)(&mut self.0) };
        }
    }

    /// Code and what was made, where anything was.
    fn binarized(
        binarize: Binarize,
        picture: &Owned,
        (half, factor): (c_int, f32),
        wanted: [bool; 2],
    ) -> (c_int, [Option<Vec<u32>>; 2]) {
        let (width, height) = picture.size();
        let tiles = |side: c_int| (side / (half.max(1) + 2)).min((side + 125) / 250).max(1);
        let (across, down) = (tiles(width), tiles(height));
        let mut made = [Owned(ptr::null_mut()), Owned(ptr::null_mut())];
        let [thresholds, inks] = &mut made;
        let place = |made: &mut Owned, wanted| if wanted { &raw mut made.0 } else { ptr::null_mut() };
        let (thresholds, inks) = (place(thresholds, wanted[0]), place(inks, wanted[1]));
        // SAFETY: places for pictures.
        let code = unsafe { binarize(picture.0, half, factor, across, down, thresholds, inks) };
        (code, made.map(|made| (!made.0.is_null()).then(|| made.levels())))
    }

    /// Compilers may round once instead of twice where the processor can multiply and add at once.
    const TOLERANCE: u32 = if cfg!(target_arch = "x86_64") { 0 } else { 1 };

    #[test]
    fn thresholds_are_those_of_leptonica() {
        let levels: [fn(usize, usize) -> usize; 4] = [
            |x, y| x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503) >> 5,
            |x, y| if x % 9 < 2 && y % 30 < 17 { 20 + x % 7 } else { 200 + y % 50 },
            |x, _| 255 * (x / 100 % 2),
            |_, _| 255,
        ];
        let sizes = [
            (900, 700, 49),
            (131, 97, 5),
            (301, 210, 90),
            (4, 9, 2),
            (103, 500, 50),
            (300, 300, 91),
            (9, 9, 1),
        ];
        for (width, height, half) in sizes {
            for (i, level) in levels.iter().enumerate() {
                let picture = Owned::new((width, height), 8, level);
                for wanted in [[true, true], [true, false], [false, true], [false, false]] {
                    let (code, theirs) = binarized(leptonica().binarize, &picture, (half, 0.34), wanted);
                    let (ours_code, ours) =
                        binarized(pixSauvolaBinarizeTiled, &picture, (half, 0.34), wanted);
                    let case = format!("{width} x {height}, {half}, {i}, {wanted:?}");
                    assert_eq!(code, ours_code, "{case}");
                    for (theirs, ours) in theirs.iter().zip(&ours) {
                        assert_eq!(theirs.is_some(), ours.is_some(), "{case}");
                        let pairs = theirs.iter().flatten().zip(ours.iter().flatten());
                        assert!(pairs.map(|(a, b)| a.abs_diff(*b)).max() <= Some(TOLERANCE), "{case}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_leptonica_refuses_is_refused() {
        let both = [true, true];
        let picture = Owned::new((60, 60), 1, |x, y| x & y);
        assert_eq!(binarized(pixSauvolaBinarizeTiled, &picture, (5, 0.34), both), (1, [None, None]));
        let picture = Owned::new((60, 60), 8, |x, y| x * y);
        for factor in [-0.5, f32::NAN] {
            let theirs = binarized(leptonica().binarize, &picture, (5, factor), both);
            assert_eq!(binarized(pixSauvolaBinarizeTiled, &picture, (5, factor), both), theirs);
        }
        // SAFETY: none of them is a picture, or all are.
        unsafe {
            let (mut thresholds, mut inks) = (picture.0, picture.0);
            let code = pixSauvolaBinarizeTiled(ptr::null_mut(), 5, 0.3, 1, 1, &mut thresholds, &mut inks);
            assert!(code == 1 && thresholds.is_null() && inks.is_null());
            assert!(pixOpenBrick(ptr::null_mut(), ptr::null_mut(), 3, 3).is_null());
            assert!(pixOpenBrick(ptr::null_mut(), picture.0, 3, 3).is_null());
            let lines = Owned::new((60, 60), 1, |x, y| x & y);
            assert!(pixOpenBrick(ptr::null_mut(), lines.0, 0, 3).is_null());
        }
    }

    #[test]
    fn openings_are_those_of_leptonica() {
        for (width, height) in [(400, 300), (65, 31), (32, 5), (7, 200)] {
            for (across, down) in [(1, 1), (1, 75), (75, 1), (15, 15), (4, 2), (2, 6), (300, 1), (33, 32)] {
                for place in ["new", "itself", "other"] {
                    let opened = [leptonica().open, pixOpenBrick].map(|open| {
                        let picture = Owned::new((width, height), 1, |_, _| 0);
                        // SAFETY: nobody else knows it.
                        let words = unsafe { leptonica().lines(picture.0) };
                        for (i, word) in words.iter_mut().enumerate() {
                            // Runs of all lengths, with whatever behind the end of the line.
                            *word = match i.wrapping_mul(2_654_435_761) >> 7 & 15 {
                                0 => 0xffff_0fff,
                                1 => 0x7fff_fffe,
                                2 if i % 5 == 0 => i as u32,
                                _ => u32::MAX,
                            };
                        }
                        let to = match place {
                            "new" => Owned(ptr::null_mut()),
                            "itself" => Owned(picture.0),
                            _ => Owned::new((11, 17), 1, |x, y| x + y),
                        };
                        // SAFETY: pictures, and null.
                        let made = Owned(unsafe { open(to.0, picture.0, across, down) });
                        assert!(!made.0.is_null() && (to.0.is_null() || to.0 == made.0));
                        if place != "new" {
                            std::mem::forget(to);
                        }
                        if place == "itself" {
                            std::mem::forget(picture);
                        }
                        (made.size(), made.levels())
                    });
                    assert!(opened[0] == opened[1], "{width} x {height} by {across} x {down}, {place}");
                }
            }
        }
    }

    #[test]
    fn written_pictures_are_read_back() {
        type Read = unsafe extern "C" fn(*const u8, usize) -> *mut Pix;
        unsafe extern "C" {
            fn free(data: *mut u8);
        }
        let read = super::super::next(c"pixReadMem").expect("Leptonica has it");
        // SAFETY: that is its type.
        let read: Read = unsafe { std::mem::transmute::<*mut std::ffi::c_void, Read>(read) };
        let bmp = 1;
        for (depth, format, begins) in [
            (8, IFF_PNG, "spix"),
            (1, IFF_PNG, "spix"),
            (32, IFF_PNG, "spix"),
            (8, bmp, "BM"),
            (1, bmp, "BM"),
        ] {
            let picture = Owned::new((103, 41), depth, |x, y| x.wrapping_mul(7) ^ y.wrapping_mul(13));
            let (mut data, mut size) = (ptr::null_mut(), 0);
            // SAFETY: a picture, and places for where and how much; freed once.
            let again = unsafe {
                assert_eq!(pixWriteMem(&mut data, &mut size, picture.0, format), 0);
                assert!(std::slice::from_raw_parts(data, size).starts_with(begins.as_bytes()));
                let again = Owned(read(data, size));
                free(data);
                again
            };
            assert!(!again.0.is_null() && again.size() == picture.size());
            assert!(again.levels() == picture.levels(), "{depth}, {format}");
        }
    }
}
