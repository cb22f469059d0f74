//! Finds ONNX Runtime's library and loads it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::Error;

/// ONNX Runtime as it was loaded.
#[derive(Debug, Clone)]
pub struct RuntimeInfo {
    /// The shared library.
    pub path: PathBuf,
    /// Its own words on its version and build.
    pub build: String,
}

pub(super) struct Runtime {
    pub environment: ort::environment::Environment,
    pub info: RuntimeInfo,
}

// ONNX Runtime allows one environment per process.
static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

/// Loads ONNX Runtime, once per process; later calls answer what the first one loaded.
///
/// Looks at `path`, else at the environment's `ORT_DYLIB_PATH`, else in the usual places. A given path that does not
/// work is an error; nothing else is tried in its stead.
pub fn init_runtime(path: Option<&Path>) -> Result<&'static RuntimeInfo, Error> {
    if let Some(runtime) = RUNTIME.get() {
        return Ok(&runtime.info);
    }
    let _loading = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = RUNTIME.get() {
        return Ok(&runtime.info);
    }
    let named = path.map(Path::to_path_buf).or_else(|| std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from));
    let path = match named.filter(|path| !path.as_os_str().is_empty()) {
        Some(path) => path,
        None => find_library()?,
    };
    let failed = |reason: String| Error::Runtime { reason: format!("{}: {reason}", path.display()) };
    if !path.is_file() {
        return Err(failed("no such file".to_owned()));
    }
    let builder = ort::environment::init_from(&path).map_err(|error| failed(error.to_string()))?;
    // Builds of its makers keep a database of what is run, and send it, unless they are told not to.
    let builder = builder.with_name("docent").with_telemetry(false);
    let environment = builder.build().map_err(|error| failed(error.to_string()))?;
    let info = RuntimeInfo { path: path.clone(), build: ort::info().to_owned() };
    Ok(&RUNTIME.get_or_init(|| Runtime { environment, info }).info)
}

/// The runtime, loaded from the usual places if nobody has loaded it.
pub(super) fn runtime() -> Result<&'static Runtime, Error> {
    init_runtime(None)?;
    Ok(RUNTIME.get().expect("init_runtime succeeded"))
}

/// The newest library in the first folder that has one.
fn find_library() -> Result<PathBuf, Error> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf));
    let folders: Vec<PathBuf> = beside
        .into_iter()
        .chain(cache.map(|cache| cache.join("docent/onnxruntime")))
        .chain(
            ["/usr/local/lib", "/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"]
                .map(PathBuf::from),
        )
        .chain([PathBuf::from("/opt/onnxruntime/lib")])
        .collect();
    let libraries_in = |folder: &PathBuf| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libonnxruntime.so"))
            })
            .collect()
    };
    folders.iter().find_map(|folder| libraries_in(folder).into_iter().max()).ok_or_else(|| {
        let tried = folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", ");
        Error::Runtime {
            reason: format!(
                "libonnxruntime.so not found in {tried}; set ORT_DYLIB_PATH to the library, \
                 or run `make run` in the source folder, which obtains it"
            ),
        }
    })
}
