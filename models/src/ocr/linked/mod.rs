//! What Tesseract calls in other libraries, answered here for less.
//!
//! The dynamic linker looks for a function in the program before it looks in the libraries. The functions of the two files
//! here have the names and types of Leptonica's and of OpenMP's, so Tesseract calls these instead. What it reads stays the
//! same to the last letter. Whatever is unusual is handed on to the library's own function, by [`next`].
//!
//! A program shows its functions to the libraries only if its linker saw that a library asks for them: LLD does, which is
//! Rust's on x86-64. With another linker the functions of OpenMP may stay hidden; reading is then right, and slower.
//! [`in_use`] tells.
#![allow(unsafe_code)]

mod leptonica;
mod openmp;

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr;

pub(super) use openmp::Reading;

unsafe extern "C" {
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    /// Not 0 if it knows which library has something at this address.
    fn dladdr(address: *const c_void, place: *mut Place) -> c_int;
}

/// glibc's and musl's `Dl_info`.
#[repr(C)]
struct Place {
    library: *const c_char,
    base: *mut c_void,
    name: *const c_char,
    address: *mut c_void,
}

/// The function of that name in the libraries behind the program; `None` if none has it.
fn next(name: &CStr) -> Option<*mut c_void> {
    // glibc's and musl's RTLD_NEXT.
    let behind = ptr::without_provenance_mut(usize::MAX);
    // SAFETY: the name ends with a zero.
    let found = unsafe { dlsym(behind, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

/// The file that Tesseract was loaded from.
pub(super) fn library() -> Option<PathBuf> {
    let mut place =
        Place { library: ptr::null(), base: ptr::null_mut(), name: ptr::null(), address: ptr::null_mut() };
    // SAFETY: asks of an address, and has a place for the answer.
    if unsafe { dladdr(next(c"TessVersion")?, &mut place) } == 0 || place.library.is_null() {
        return None;
    }
    // SAFETY: the dynamic linker's own name of a library that is loaded as long as the program.
    let name = unsafe { CStr::from_ptr(place.library) };
    Some(PathBuf::from(OsStr::from_bytes(name.to_bytes())))
}

/// Leptonica has a few lines to say on stderr of many a screenshot, which are of no use to anybody. What fails, Tesseract
/// tells.
pub(super) fn silence_leptonica() {
    /// Its number for no messages at all.
    const L_SEVERITY_NONE: c_int = 6;
    type Set = unsafe extern "C" fn(c_int) -> c_int;
    if let Some(set) = next(c"setMsgSeverity") {
        // SAFETY: that is its type.
        unsafe { std::mem::transmute::<*mut c_void, Set>(set)(L_SEVERITY_NONE) };
    }
}

/// Whether the libraries find the functions of this program.
pub(super) fn in_use() -> bool {
    let found = |name: &CStr| {
        // SAFETY: as above; null asks in the order in which the libraries' own calls are answered.
        unsafe { dlsym(ptr::null_mut(), name.as_ptr()) }
    };
    let ours: [(&CStr, *const c_void); 2] = [
        (c"pixOpenBrick", leptonica::pixOpenBrick as *const c_void),
        (c"GOMP_parallel", openmp::GOMP_parallel as *const c_void),
    ];
    ours.iter().all(|(name, function)| ptr::eq(found(name), *function))
}

/// A table of a library's own functions, which is looked up once.
macro_rules! functions {
    ($(#[$about:meta])* $table:ident { $($(#[$note:meta])* $field:ident: $name:literal, $type:ty;)* }) => {
        $(#[$about])*
        struct $table {
            $($(#[$note])* $field: $type,)*
        }

        impl $table {
            /// `None` if one of them is missing.
            fn loaded() -> Option<&'static Self> {
                static LOADED: std::sync::OnceLock<Option<$table>> = std::sync::OnceLock::new();
                let table = LOADED.get_or_init(|| {
                    // SAFETY: these are the types under which the library's header declares them.
                    Some(Self { $($field: unsafe {
                        std::mem::transmute::<*mut std::ffi::c_void, $type>(super::next($name)?)
                    },)* })
                });
                table.as_ref()
            }
        }
    };
}
use functions;

/// For the tests: how often this thread has called each of the functions.
#[cfg(test)]
mod calls {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    thread_local! {
        static CALLS: RefCell<BTreeMap<&'static str, usize>> = const { RefCell::new(BTreeMap::new()) };
    }

    pub(super) fn count(function: &'static str) {
        CALLS.with_borrow_mut(|calls| *calls.entry(function).or_default() += 1);
    }

    pub(super) fn taken() -> BTreeMap<&'static str, usize> {
        CALLS.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Picture;
    use crate::ocr::{OcrInput, OcrOptions, load};

    #[test]
    fn tesseract_calls_these() {
        assert!(in_use());
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/pictures/page.png");
        let page = image::open(page).expect("the fixture").into_rgb8();
        let page = Picture::new(page.width(), page.height(), page.into_raw()).expect("is a picture");
        let mut reader = load(&OcrOptions { languages: vec!["eng".to_owned()], tessdata: None, time: None })
            .expect("Tesseract");
        calls::taken();
        let lines = reader.run(&[OcrInput::from_picture(&page)]).expect("reads").remove(0);
        assert!(!lines.is_empty());
        let calls = calls::taken();
        let often =
            ["pixWriteMem", "GOMP_parallel_sections", "GOMP_sections_next", "GOMP_sections_end_nowait"];
        let least = |function: &str| if often.contains(&function) { lines.len() } else { 1 };
        for function in often.iter().chain(&["pixSauvolaBinarizeTiled", "pixOpenBrick", "GOMP_parallel"]) {
            assert!(calls.get(function) >= Some(&least(function)), "{function} of {calls:?}");
        }
    }
}
