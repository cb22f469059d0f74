//! Reading with a deadline. Tesseract looks at its monitor between two words; the binding has the monitor, and no way to
//! give it to Tesseract.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tesseract_rs::TesseractAPI;

// Tesseract's C interface (tesseract/capi.h), of the library that `tesseract_rs` links.
unsafe extern "C" {
    fn TessMonitorCreate() -> *mut c_void;
    fn TessMonitorDelete(monitor: *mut c_void);
    fn TessMonitorSetDeadlineMSecs(monitor: *mut c_void, deadline: c_int);
    fn TessBaseAPIRecognize(handle: *mut c_void, monitor: *mut c_void) -> c_int;
}

/// A monitor that is deleted when this is dropped.
struct Monitor(*mut c_void);

impl Monitor {
    fn new(time: Duration) -> Self {
        // SAFETY: it takes nothing, and what it gives is deleted once.
        let monitor = unsafe { TessMonitorCreate() };
        if !monitor.is_null() {
            let time = c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX);
            // SAFETY: the monitor was made above.
            unsafe { TessMonitorSetDeadlineMSecs(monitor, time) };
        }
        Self(monitor)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: it was made by `new` and is deleted here alone.
            unsafe { TessMonitorDelete(self.0) };
        }
    }
}

/// Reads the picture that was given to `api`. Why not, if that takes longer than `time` or fails.
pub(super) fn recognize(api: &TesseractAPI, time: Duration) -> Result<(), String> {
    let started = Instant::now();
    let monitor = Monitor::new(time);
    let handle = api.handle.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the handle is the reader's, which its lock keeps from everybody else; a monitor may be null.
    let outcome = unsafe { TessBaseAPIRecognize(*handle, monitor.0) };
    // Stopped between two words it may say that all is well.
    if started.elapsed() >= time {
        Err(format!("not finished after {} s (work.text_timeout_seconds)", time.as_secs_f64()))
    } else if outcome != 0 {
        Err("the picture cannot be read".to_owned())
    } else {
        Ok(())
    }
}
