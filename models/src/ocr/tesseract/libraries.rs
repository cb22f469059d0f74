//! What the libraries below Tesseract are told, by their own interfaces: OpenMP to start no threads, Leptonica to say nothing.
//!
//! Tesseract splits a line's network over four threads, which spin while they wait: with many pictures on few cores that is
//! many times slower than one thread. Its API has no option for that; OpenMP's has.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

unsafe extern "C" {
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// Leptonica has a few lines to say on stderr of many a screenshot, which are of no use to anybody. What fails, Tesseract
/// tells.
pub(super) fn silence_leptonica() {
    /// Its number for no messages at all (`alltypes.h`).
    const L_SEVERITY_NONE: c_int = 6;
    type Set = unsafe extern "C" fn(c_int) -> c_int;
    if let Some(set) = named(c"setMsgSeverity") {
        // SAFETY: `l_int32 setMsgSeverity(l_int32)`, in `allheaders.h`.
        unsafe { std::mem::transmute::<*mut c_void, Set>(set)(L_SEVERITY_NONE) };
    }
}

type Set = unsafe extern "C" fn(c_int);

/// From now on this thread's parallel regions are run by this thread alone. Does nothing where Tesseract has no OpenMP.
pub(super) fn stay_alone() {
    static SET: OnceLock<Option<Set>> = OnceLock::new();
    let set = SET.get_or_init(|| {
        let function = named(c"omp_set_max_active_levels")?;
        // SAFETY: `void omp_set_max_active_levels(int)`, in `omp.h` since OpenMP 3.0, of GCC and of LLVM alike.
        Some(unsafe { std::mem::transmute::<*mut c_void, Set>(function) })
    });
    if let Some(set) = set {
        // SAFETY: takes a number, may be called outside of parallel regions at any time, and holds for this thread. With no
        // level of regions that may be active, a region is run by the thread that comes to it, whatever it asks for.
        unsafe { set(0) };
    }
}

/// The function of that name in the program or a library it has loaded.
fn named(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the name ends with a zero; null asks in the order in which the program's own calls are answered.
    let found = unsafe { dlsym(ptr::null_mut(), name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_stays_alone_has_no_active_levels_and_others_have() {
        type Get = unsafe extern "C" fn() -> c_int;
        // Some builds of Tesseract bring no OpenMP along.
        let Some(get) = named(c"omp_get_max_active_levels") else { return };
        // SAFETY: `int omp_get_max_active_levels(void)`.
        let get = unsafe { std::mem::transmute::<*mut c_void, Get>(get) };
        // SAFETY: may be called at any time.
        let levels = move || unsafe { get() };
        std::thread::spawn(move || {
            assert!(levels() > 0);
            stay_alone();
            assert_eq!(levels(), 0);
            std::thread::spawn(move || assert!(levels() > 0)).join().expect("others may have threads");
        })
        .join()
        .expect("stays alone");
    }
}
