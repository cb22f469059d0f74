//! ONNX Runtime. The only file that names `ort`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session as OrtSession, SessionInputValue};
use ort::value::{TensorElementType, TensorRef, ValueType};

use crate::{Error, ModelRef};

/// ONNX Runtime as it was loaded.
#[derive(Debug, Clone)]
pub struct RuntimeInfo {
    /// The shared library.
    pub path: PathBuf,
    /// Its own words on its version and build.
    pub build: String,
}

/// How a session computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionOptions {
    /// Threads inside one call. One is best where several sessions share the cores.
    pub intra_threads: usize,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { intra_threads: 1 }
    }
}

struct Runtime {
    environment: ort::environment::Environment,
    info: RuntimeInfo,
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
    let environment = builder.with_name("docent").build().map_err(|error| failed(error.to_string()))?;
    let info = RuntimeInfo { path: path.clone(), build: ort::info().to_owned() };
    Ok(&RUNTIME.get_or_init(|| Runtime { environment, info }).info)
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

/// What kind of processor runs the networks, as ONNX Runtime names it. docent asks for no accelerator, so this is
/// what a session without any registered provider uses.
pub const EXECUTION_PROVIDER: &str = "CPUExecutionProvider";

/// One loaded graph. Runs are exclusive; answers own their memory.
pub(crate) struct Session {
    session: OrtSession,
    model: ModelRef,
}

/// A named input of a graph.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Port {
    pub name: String,
    /// -1 where any size goes.
    pub shape: Vec<i64>,
    pub is_bool: bool,
}

/// Values for one input, borrowed.
pub(crate) enum Input<'a> {
    F32(&'a [f32]),
    I64(&'a [i64]),
    Bool(&'a [bool]),
}

/// A float output.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

impl Output {
    /// The values of one row of the batch.
    pub fn row(&self, index: usize) -> &[f32] {
        let length = self.row_len();
        &self.data[index * length..(index + 1) * length]
    }

    pub fn row_len(&self) -> usize {
        self.shape.iter().skip(1).product()
    }
}

impl Session {
    /// Loads a graph. The runtime is initialized first if nobody did so.
    pub fn load(path: &Path, model: ModelRef, options: &SessionOptions) -> Result<Self, Error> {
        init_runtime(None)?;
        let runtime = RUNTIME.get().expect("init_runtime succeeded");
        let failed = |error: &dyn std::fmt::Display| Error::File {
            path: path.to_path_buf(),
            reason: error.to_string(),
        };
        // Builder errors carry the builder and convert into nothing else.
        let mut builder = OrtSession::builder(&runtime.environment).map_err(|e| failed(&e))?;
        builder = builder.with_optimization_level(GraphOptimizationLevel::Level3).map_err(|e| failed(&e))?;
        builder = builder.with_intra_threads(options.intra_threads.max(1)).map_err(|e| failed(&e))?;
        builder = builder.with_inter_threads(1).map_err(|e| failed(&e))?;
        // Spinning threads steal the cores from decoding and from the other sessions.
        builder = builder.with_intra_op_spinning(false).map_err(|e| failed(&e))?;
        let session = builder.commit_from_file(path).map_err(|e| failed(&e))?;
        Ok(Self { session, model })
    }

    pub fn model(&self) -> &ModelRef {
        &self.model
    }

    pub fn inputs(&self) -> Vec<Port> {
        self.session
            .inputs()
            .iter()
            .map(|outlet| {
                let (shape, is_bool) = match outlet.dtype() {
                    ValueType::Tensor { ty, shape, .. } => (shape.to_vec(), *ty == TensorElementType::Bool),
                    _ => (Vec::new(), false),
                };
                Port { name: outlet.name().to_owned(), shape, is_bool }
            })
            .collect()
    }

    /// Runs the graph and answers the float outputs in `wanted`, in that order.
    pub fn run(&mut self, inputs: &[(&str, &[usize], Input)], wanted: &[&str]) -> Result<Vec<Output>, Error> {
        let model = self.model.to_string();
        let failed = |error: &dyn std::fmt::Display| Error::Inference {
            model: model.clone(),
            reason: error.to_string(),
        };
        let mut values: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::with_capacity(inputs.len());
        for (name, shape, input) in inputs {
            let value: SessionInputValue<'_> = if shape.contains(&0) {
                empty(shape).map_err(|e| failed(&e))?
            } else {
                match input {
                    Input::F32(data) => {
                        TensorRef::from_array_view((shape.to_vec(), *data)).map_err(|e| failed(&e))?.into()
                    }
                    Input::I64(data) => {
                        TensorRef::from_array_view((shape.to_vec(), *data)).map_err(|e| failed(&e))?.into()
                    }
                    Input::Bool(data) => {
                        TensorRef::from_array_view((shape.to_vec(), *data)).map_err(|e| failed(&e))?.into()
                    }
                }
            };
            values.push((Cow::Borrowed(*name), value));
        }
        let outputs = self.session.run(values).map_err(|e| failed(&e))?;
        wanted
            .iter()
            .map(|name| {
                let value = outputs.get(name).ok_or_else(|| failed(&format!("has no output '{name}'")))?;
                let (shape, data) = value.try_extract_tensor::<f32>().map_err(|e| failed(&e))?;
                Ok(Output { shape: shape.iter().map(|&n| n as usize).collect(), data: data.to_vec() })
            })
            .collect()
    }

    /// Runs a graph of one float input over a batch of equal tensors; a batch of one is not copied.
    pub fn run_batch(
        &mut self,
        batch: &[&crate::Tensor],
        input: &str,
        wanted: &[&str],
    ) -> Result<Vec<Output>, Error> {
        let Some(first) = batch.first() else { return Ok(Vec::new()) };
        let mut shape = vec![batch.len()];
        shape.extend(&first.shape);
        if let Some(other) = batch.iter().find(|tensor| tensor.shape != first.shape) {
            return Err(Error::Input(format!(
                "tensors of {:?} and {:?} in a batch",
                first.shape, other.shape
            )));
        }
        let joined: Vec<f32>;
        let data: &[f32] = match batch {
            [single] => &single.data,
            many => {
                joined = many.iter().flat_map(|tensor| tensor.data.iter().copied()).collect();
                &joined
            }
        };
        let outputs = self.run(&[(input, &shape, Input::F32(data))], wanted)?;
        match outputs.iter().find(|output| output.shape.first() != Some(&batch.len())) {
            Some(output) => Err(Error::Inference {
                model: self.model.to_string(),
                reason: format!("answered {:?} to a batch of {}", output.shape, batch.len()),
            }),
            None => Ok(outputs),
        }
    }
}

/// A tensor without values, such as a cache before the first token. It cannot be a view, having no memory.
fn empty(shape: &[usize]) -> Result<SessionInputValue<'static>, ort::Error> {
    let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
    Ok(ort::value::Tensor::<f32>::new(&ort::memory::Allocator::default(), shape)?.into())
}

#[cfg(test)]
mod tests;
