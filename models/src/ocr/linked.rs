//! What Tesseract calls in other libraries, answered here for less.
//!
//! The dynamic linker looks into the program before it looks into its libraries, so that these functions, whose names and
//! types are the libraries' stable C interfaces, stand in for theirs; text is the same to the last letter. A Tesseract
//! that was built otherwise does not call them, and is slower.
//!
//! - Tesseract keeps the picture of each line as a PNG for the moment until its network reads it. Compressing them is one
//!   twentieth of reading a page; here they are kept as they are.
//! - It runs the two directions of a network's layer as sections of OpenMP. In a team of one thread, which all but a single
//!   page at a time should have, GCC's runtime still wakes sleepers that do not exist: 160,000 calls of the kernel for a
//!   page, again one twentieth. Here they run one after the other, on the thread that asks.
//! - It tells ink from paper by Leptonica's local threshold, which goes through tiles that overlap by half, and finds rules by
//!   opening the page with bricks 75 pixels long, for which Leptonica goes over it 300 times.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{c_int, c_uint, c_void};
use std::ptr;

use super::{opening, sauvola};

#[cfg(test)]
static CALLS: [std::sync::atomic::AtomicUsize; 4] = [const { std::sync::atomic::AtomicUsize::new(0) }; 4];

#[cfg(test)]
fn count(which: usize) {
    CALLS[which].fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}

thread_local! {
    /// Of the sections that this thread is in: how many there are, and how many were begun.
    static SECTIONS: Cell<(c_uint, c_uint)> = const { Cell::new((0, 0)) };
}

type Region = unsafe extern "C" fn(*mut c_void);

/// Leptonica's picture. Lines are whole words, whose highest bits are the pixels furthest to the left.
#[repr(C)]
struct Pix([u8; 0]);

unsafe extern "C" {
    fn pixCreate(width: c_int, height: c_int, depth: c_int) -> *mut Pix;
    fn pixCopy(to: *mut Pix, from: *const Pix) -> *mut Pix;
    fn pixCopyResolution(to: *mut Pix, from: *const Pix) -> c_int;
    fn pixGetData(picture: *const Pix) -> *mut u32;
    fn pixGetWpl(picture: *const Pix) -> c_int;
    fn pixGetWidth(picture: *const Pix) -> c_int;
    fn pixGetHeight(picture: *const Pix) -> c_int;
    fn pixGetDepth(picture: *const Pix) -> c_int;
    /// Leptonica: a picture as a PNM file in memory that the caller frees; 0, or 1 if it failed.
    fn pixWriteMemPnm(data: *mut *mut u8, size: *mut usize, picture: *mut Pix) -> c_int;
}

// The linker shows the libraries only those functions of a program of which it has seen that a library has them as well.
#[link(name = "gomp")]
unsafe extern "C" {}

/// Leptonica: a picture as a file in memory. Whoever reads it back recognizes the format by itself.
///
/// SAFETY: the arguments are passed on as they are, to a function with the same demands.
#[unsafe(no_mangle)]
unsafe extern "C" fn pixWriteMem(
    data: *mut *mut u8,
    size: *mut usize,
    picture: *mut Pix,
    _format: c_int,
) -> c_int {
    #[cfg(test)]
    count(0);
    // SAFETY: as above.
    unsafe { pixWriteMemPnm(data, size, picture) }
}

/// Leptonica: which pixels of a gray picture are darker than Sauvola's threshold, and the thresholds. How many tiles there
/// should be makes no difference. 0, or 1 if it failed.
///
/// SAFETY: `picture` is one of Leptonica's, `inks` and `thresholds` are null or places for one.
#[unsafe(no_mangle)]
unsafe extern "C" fn pixSauvolaBinarizeTiled(
    picture: *mut Pix,
    half: c_int,
    factor: f32,
    _across: c_int,
    _down: c_int,
    thresholds: *mut *mut Pix,
    inks: *mut *mut Pix,
) -> c_int {
    #[cfg(test)]
    count(2);
    // SAFETY: as above; what is created here has the sizes that are asked for.
    unsafe {
        let (width, height) = (pixGetWidth(picture), pixGetHeight(picture));
        let fits = |side: c_int| side >= 2 * half + 3;
        let reaches = (2..=sauvola::MOST as c_int).contains(&half);
        if pixGetDepth(picture) != 8 || !reaches || !fits(width) || !fits(height) {
            return 1;
        }
        let create = |place: *mut *mut Pix, depth| {
            if place.is_null() {
                return (ptr::null_mut(), 0);
            }
            *place = pixCreate(width, height, depth);
            if (*place).is_null() {
                return (ptr::null_mut(), 0);
            }
            pixCopyResolution(*place, picture);
            (pixGetData(*place), pixGetWpl(*place) as usize)
        };
        let (width, height) = (width as usize, height as usize);
        let words = pixGetWpl(picture) as usize;
        let mut gray = Vec::with_capacity(width * height);
        for line in std::slice::from_raw_parts(pixGetData(picture), words * height).chunks_exact(words) {
            gray.extend(line.iter().flat_map(|word| word.to_be_bytes()).take(width));
        }
        let (levels, levels_words) = create(thresholds, 8);
        let (bits, bits_words) = create(inks, 1);
        sauvola::thresholds(&gray, width, half as usize, factor, |y, gray, thresholds| {
            if !levels.is_null() {
                let line = std::slice::from_raw_parts_mut(levels.add(y * levels_words), levels_words);
                for (word, four) in line.iter_mut().zip(thresholds.chunks(4)) {
                    let mut bytes = [0; 4];
                    bytes[..four.len()].copy_from_slice(four);
                    *word = u32::from_be_bytes(bytes);
                }
            }
            if !bits.is_null() {
                let line = std::slice::from_raw_parts_mut(bits.add(y * bits_words), bits_words);
                for (word, (gray, thresholds)) in
                    line.iter_mut().zip(gray.chunks(32).zip(thresholds.chunks(32)))
                {
                    let dark = |(i, (gray, threshold))| u32::from(gray < threshold) << (31 - i);
                    *word = gray.iter().zip(thresholds).enumerate().map(dark).sum();
                }
            }
        });
        let failed = |place: *mut *mut Pix| !place.is_null() && (*place).is_null();
        c_int::from(failed(thresholds) || failed(inks))
    }
}

/// Leptonica: opens a picture of two levels by a brick, into `to`, which may be the picture itself, or into a new one if
/// that is null. Answers where it is, or `to` if it failed.
///
/// SAFETY: `picture` is one of Leptonica's, `to` as well or null.
#[unsafe(no_mangle)]
unsafe extern "C" fn pixOpenBrick(to: *mut Pix, picture: *mut Pix, across: c_int, down: c_int) -> *mut Pix {
    #[cfg(test)]
    count(3);
    // SAFETY: as above; the copy has the size that it is asked for.
    unsafe {
        if picture.is_null() || pixGetDepth(picture) != 1 || across < 1 || down < 1 {
            return to;
        }
        let opened = pixCopy(to, picture);
        if opened.is_null() {
            return to;
        }
        let words = pixGetWpl(opened) as usize;
        let bits = std::slice::from_raw_parts_mut(pixGetData(opened), words * pixGetHeight(opened) as usize);
        opening::open(bits, words, pixGetWidth(opened) as usize, across as usize, down as usize);
        opened
    }
}

/// OpenMP: all threads of a team run `region`. The team is one thread.
///
/// SAFETY: `region` is called as the caller's compiler meant it to be, on a team of the size that is answered below.
#[unsafe(no_mangle)]
unsafe extern "C" fn GOMP_parallel(region: Region, data: *mut c_void, _threads: c_uint, _flags: c_uint) {
    // SAFETY: as above.
    unsafe { region(data) };
}

/// OpenMP: all threads of a team take turns at the `sections` of `region`.
///
/// SAFETY: as for [`GOMP_parallel`].
#[unsafe(no_mangle)]
unsafe extern "C" fn GOMP_parallel_sections(
    region: Region,
    data: *mut c_void,
    _threads: c_uint,
    sections: c_uint,
    _flags: c_uint,
) {
    #[cfg(test)]
    count(1);
    // A section may have sections of its own.
    let around = SECTIONS.replace((sections, 0));
    // SAFETY: as above.
    unsafe { region(data) };
    SECTIONS.set(around);
}

/// OpenMP: the number of the next section, from 1, or 0 after the last.
#[unsafe(no_mangle)]
extern "C" fn GOMP_sections_next() -> c_uint {
    let (count, begun) = SECTIONS.get();
    if begun == count {
        return 0;
    }
    SECTIONS.set((count, begun + 1));
    begun + 1
}

/// OpenMP: this thread has no more sections to run.
#[unsafe(no_mangle)]
extern "C" fn GOMP_sections_end_nowait() {}

/// OpenMP: the size of the team.
#[unsafe(no_mangle)]
extern "C" fn omp_get_num_threads() -> c_int {
    1
}

/// OpenMP: which thread of the team this is, from 0.
#[unsafe(no_mangle)]
extern "C" fn omp_get_thread_num() -> c_int {
    0
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::Picture;
    use crate::ocr::{OcrInput, OcrOptions, load};

    #[test]
    fn tesseract_calls_these() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/pictures/page.png");
        let page = image::open(page).expect("the fixture").into_rgb8();
        let page = Picture::new(page.width(), page.height(), page.into_raw()).expect("is a picture");
        let mut reader =
            load(&OcrOptions { languages: vec!["eng".to_owned()], tessdata: None }).expect("Tesseract");
        let lines = reader.run(&[OcrInput::from_picture(&page)]).expect("reads").remove(0);
        assert!(!lines.is_empty());
        let [pictures, sections, pages, openings] =
            CALLS.each_ref().map(|calls| calls.load(Ordering::Relaxed));
        assert!(
            pictures >= lines.len() && sections >= lines.len() && pages > 0 && openings > 0,
            "{pictures}, {sections}"
        );
    }

    /// The function of that name in Leptonica itself.
    fn original(name: &std::ffi::CStr) -> *mut c_void {
        unsafe extern "C" {
            fn dlsym(from: *mut c_void, name: *const std::ffi::c_char) -> *mut c_void;
        }
        // SAFETY: -1 asks for the next library that has it.
        let found = unsafe { dlsym(ptr::without_provenance_mut(usize::MAX), name.as_ptr()) };
        assert!(!found.is_null());
        found
    }

    #[test]
    fn thresholds_are_those_of_leptonica() {
        type Binarize =
            unsafe extern "C" fn(*mut Pix, c_int, f32, c_int, c_int, *mut *mut Pix, *mut *mut Pix) -> c_int;
        // SAFETY: that is its type.
        let theirs: Binarize = unsafe { std::mem::transmute(original(c"pixSauvolaBinarizeTiled")) };
        assert!(!std::ptr::fn_addr_eq(theirs, pixSauvolaBinarizeTiled as Binarize));
        let levels: [fn(usize, usize) -> usize; 3] = [
            |x, y| x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503) >> 5,
            |x, y| if x % 9 < 2 && y % 30 < 17 { 20 + x % 7 } else { 200 + y % 50 },
            |x, _| 255 * (x / 100 % 2),
        ];
        for (width, height, half) in [(900, 700, 49), (131, 97, 5), (301, 210, 90), (4, 9, 2), (103, 500, 50)]
        {
            for level in levels {
                // SAFETY: pictures are created, and read within their sizes; they are not destroyed.
                unsafe {
                    let picture = pixCreate(width, height, 8);
                    let words = pixGetWpl(picture) as usize;
                    for y in 0..height as usize {
                        for x in 0..width as usize {
                            let shift = 24 - 8 * (x % 4);
                            *pixGetData(picture).add(y * words + x / 4) |=
                                (level(x, y) as u32 & 255) << shift;
                        }
                    }
                    let read = |binarize: Binarize| {
                        let (mut thresholds, mut inks) = (ptr::null_mut(), ptr::null_mut());
                        let tiles = |side: c_int| (side / (half + 2)).min((side + 125) / 250).max(1);
                        let (across, down) = (tiles(width), tiles(height));
                        let code = binarize(picture, half, 0.34, across, down, &mut thresholds, &mut inks);
                        if code != 0 {
                            return (code, Vec::new());
                        }
                        let mut all = Vec::new();
                        for (made, depth) in [(thresholds, 8), (inks, 1)] {
                            let words = pixGetWpl(made) as usize;
                            let data = std::slice::from_raw_parts(pixGetData(made), words * height as usize);
                            for (x, y) in
                                (0..height as usize).flat_map(|y| (0..width as usize).map(move |x| (x, y)))
                            {
                                let bit = x * depth;
                                let word = data[y * words + bit / 32];
                                all.push(word << (bit % 32) >> (32 - depth));
                            }
                        }
                        (code, all)
                    };
                    assert!(read(theirs) == read(pixSauvolaBinarizeTiled), "{width} x {height}, {half}");
                }
            }
        }
    }

    #[test]
    fn openings_are_those_of_leptonica() {
        type Open = unsafe extern "C" fn(*mut Pix, *mut Pix, c_int, c_int) -> *mut Pix;
        // SAFETY: that is its type.
        let theirs: Open = unsafe { std::mem::transmute(original(c"pixOpenBrick")) };
        assert!(!std::ptr::fn_addr_eq(theirs, pixOpenBrick as Open));
        for (width, height) in [(400, 300), (65, 31), (32, 5), (7, 200)] {
            for (across, down) in [(1, 1), (1, 75), (75, 1), (15, 15), (4, 2), (2, 6), (300, 1), (33, 32)] {
                for in_place in [false, true] {
                    // SAFETY: pictures are created, and read within their sizes; they are not destroyed.
                    let opened = [theirs, pixOpenBrick].map(|open| unsafe {
                        let picture = pixCreate(width, height, 1);
                        let words = pixGetWpl(picture) as usize;
                        let bits =
                            std::slice::from_raw_parts_mut(pixGetData(picture), words * height as usize);
                        for (i, word) in bits.iter_mut().enumerate() {
                            // Runs of all lengths, with whatever behind the end of the line.
                            *word = match i.wrapping_mul(2_654_435_761) >> 7 & 15 {
                                0 => 0xffff_0fff,
                                1 => 0x7fff_fffe,
                                2 if i % 5 == 0 => i as u32,
                                _ => u32::MAX,
                            };
                        }
                        let to = if in_place { picture } else { ptr::null_mut() };
                        let made = open(to, picture, across, down);
                        assert!(!made.is_null() && (made == picture) == in_place);
                        let words = pixGetWpl(made) as usize;
                        let bits = std::slice::from_raw_parts(pixGetData(made), words * height as usize);
                        let bit = |x: usize, y: usize| bits[y * words + x / 32] >> (31 - x % 32) & 1;
                        let place = |i: usize| (i % width as usize, i / width as usize);
                        (0..(width * height) as usize).map(place).map(|(x, y)| bit(x, y)).collect::<Vec<_>>()
                    });
                    assert!(opened[0] == opened[1], "{width} x {height} by {across} x {down}");
                }
            }
        }
    }

    #[test]
    fn every_section_has_its_turn_once_also_those_within() {
        unsafe extern "C" fn region(data: *mut c_void) {
            // SAFETY: what the test passes on below.
            let turns = unsafe { &mut *data.cast::<Vec<c_uint>>() };
            loop {
                let section = GOMP_sections_next();
                turns.push(section);
                match section {
                    0 => break,
                    // SAFETY: the same data.
                    2 if turns.len() == 2 => unsafe { GOMP_parallel_sections(region, data, 0, 3, 0) },
                    _ => {}
                }
            }
        }
        let mut turns: Vec<c_uint> = Vec::new();
        // SAFETY: `turns` lives until all sections have returned.
        unsafe { GOMP_parallel_sections(region, (&raw mut turns).cast(), 0, 2, 0) };
        assert_eq!(turns, [1, 2, 1, 2, 3, 0, 0]);
        assert_eq!(GOMP_sections_next(), 0);
    }
}
