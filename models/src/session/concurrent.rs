//! Sessions that several threads run at once.
//!
//! ONNX Runtime allows overlapping calls of one session (microsoft/onnxruntime#114) and supports them in its own providers. The
//! binding does not rely on that and wants a session for each thread. So docent overlaps calls on the processor only, without the
//! binding. Weights, which often take twice their file's size in memory, are loaded once, and calls share the memory of
//! intermediate values.
#![allow(unsafe_code)]

use std::borrow::Cow;
use std::ffi::CString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ort::AsPointer;
use ort::session::{Session as OrtSession, SessionInputValue};
use ort::value::DynValue;

/// A session on the processor, with its report of where its nodes run.
pub(super) struct Loaded {
    pub session: OrtSession,
    pub provider: String,
}

/// The sessions on the processor that are in use, for others that load the same file. Only those without threads of their own:
/// calls that overlap would have to wait for these.
#[derive(Clone, Default)]
pub struct Siblings(Arc<Mutex<Vec<Known>>>);

struct Known {
    path: PathBuf,
    loaded: Weak<Loaded>,
}

impl Siblings {
    pub(super) fn find(&self, path: &Path) -> Option<Arc<Loaded>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut same = known.iter().filter(|known| known.path == path);
        same.find_map(|known| known.loaded.upgrade())
    }

    /// Two sessions that were loaded at the same time are both listed.
    pub(super) fn enter(&self, path: &Path, loaded: &Arc<Loaded>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| known.loaded.strong_count() > 0);
        known.push(Known { path: path.to_path_buf(), loaded: Arc::downgrade(loaded) });
    }
}

/// Nothing that is computed depends on it.
impl PartialEq for Siblings {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Siblings {}

impl fmt::Debug for Siblings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Siblings")
    }
}

/// Runs a session that others may be running, and answers the outputs in `wanted`, in that order.
pub(super) fn run(
    session: &OrtSession,
    inputs: &[(Cow<'_, str>, SessionInputValue<'_>)],
    wanted: &[&str],
) -> Result<Vec<DynValue>, ort::Error> {
    let text = |name: &str| CString::new(name).map_err(ort::Error::wrap);
    let names = inputs.iter().map(|(name, _)| text(name)).collect::<Result<Vec<_>, _>>()?;
    let wanted = wanted.iter().map(|name| text(name)).collect::<Result<Vec<_>, _>>()?;
    let pointers = |names: &[CString]| names.iter().map(|name| name.as_ptr()).collect::<Vec<_>>();
    let (names, outputs) = (pointers(&names), pointers(&wanted));
    let values: Vec<_> = inputs.iter().map(|(_, value)| value.ptr()).collect();
    let mut answers = vec![ptr::null_mut(); outputs.len()];
    // SAFETY: session and values are borrowed and names are held above, so they live; each list of names has as many pointers
    // as the list of values beside it, and is read only. Answers are null, so that the library makes them, and belong to the
    // caller afterwards: each becomes one value, made by the session's own allocator on the processor. That a session may be
    // run by several threads is the library's promise. `result_from_status` takes the status that was answered, once.
    unsafe {
        let status = (ort::api().Run)(
            session.ptr().cast_mut(),
            ptr::null(),
            names.as_ptr(),
            values.as_ptr(),
            values.len(),
            outputs.as_ptr(),
            outputs.len(),
            answers.as_mut_ptr(),
        );
        ort::Error::result_from_status(status)?;
        let answers = answers.into_iter().map(|answer| {
            let answer = NonNull::new(answer).ok_or_else(|| ort::Error::new("an output was not answered"))?;
            Ok(DynValue::from_ptr(answer, Some(session.allocator())))
        });
        answers.collect()
    }
}
