//! ONNX Runtime. The only folder that names `ort`.

mod assignment;
mod concurrent;
mod device;
mod placement;
mod runtime;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

pub use concurrent::Siblings;
pub use device::{DeviceOptions, Policy, Provider};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session as OrtSession, SessionInputValue};
use ort::value::{DynValue, TensorElementType, TensorRef, ValueType};
pub use placement::{Offer, Placement, Refusal, offers, placement};
pub use runtime::{RuntimeInfo, init_runtime};

use self::assignment::Assigned;
use self::concurrent::Loaded;
use self::runtime::runtime;
use crate::{Error, ModelRef};

/// How a session computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    /// Threads inside one call. One is best where several sessions share the cores.
    pub intra_threads: usize,
    /// Which processors are asked.
    pub device: Arc<DeviceOptions>,
    /// The session's number among those of its network: GPUs are given to them in turn.
    pub number: usize,
    /// Who loads the same file with a clone of these runs the same session, where it is on the processor and has one thread.
    pub siblings: Siblings,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { intra_threads: 1, device: Arc::default(), number: 0, siblings: Siblings::default() }
    }
}

/// One loaded graph. Answers own their memory.
pub(crate) struct Session {
    held: Held,
    model: ModelRef,
}

enum Held {
    /// On the processor.
    Shared(Arc<Loaded>),
    /// With an accelerator, whose runs are exclusive, and by what name.
    Own(Box<OrtSession>, String),
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
    ///
    /// An accelerator that does not take this graph is left out with a warning, or is an error where it is required.
    pub fn load(path: &Path, model: ModelRef, options: &SessionOptions) -> Result<Self, Error> {
        let placement = placement(&options.device)?;
        let mut accelerators = placement.accelerators();
        let is_shared = accelerators.is_empty() && options.intra_threads <= 1;
        if let Some(loaded) = is_shared.then(|| options.siblings.find(path)).flatten() {
            return Ok(Self { held: Held::Shared(loaded), model });
        }
        loop {
            let loaded = build(options, accelerators).and_then(|mut builder| {
                let session = builder.commit_from_file(path)?;
                let assigned = Assigned::of(&session)?;
                Ok((session, assigned))
            });
            let reason = match (accelerators, loaded) {
                ([], Err(error)) => {
                    return Err(Error::File { path: path.to_path_buf(), reason: error.to_string() });
                }
                (_, Err(error)) => error.to_string(),
                ([_, ..], Ok((_, assigned))) if !assigned.accelerated() => {
                    "it took none of the network's nodes".to_owned()
                }
                ([], Ok((session, assigned))) => {
                    let loaded = Arc::new(Loaded { session, provider: assigned.to_string() });
                    if is_shared {
                        options.siblings.enter(path, &loaded);
                    }
                    return Ok(Self { held: Held::Shared(loaded), model });
                }
                (_, Ok((session, assigned))) => {
                    return Ok(Self { held: Held::Own(Box::new(session), assigned.to_string()), model });
                }
            };
            if let [refusing, others @ ..] = accelerators {
                placement.refused_by(*refusing, &model, reason, &options.device)?;
                accelerators = others;
            }
        }
    }

    /// On what the graph's nodes are run: ONNX Runtime's name, as in `CPUExecutionProvider`, or
    /// `CUDAExecutionProvider (partly CPU)`.
    pub fn provider(&self) -> &str {
        match &self.held {
            Held::Shared(loaded) => &loaded.provider,
            Held::Own(_, provider) => provider,
        }
    }

    pub fn model(&self) -> &ModelRef {
        &self.model
    }

    /// The graph answered something that its reader cannot use.
    pub fn unexpected(&self, what: String) -> Error {
        Error::Inference { model: self.model.to_string(), reason: format!("answered {what}") }
    }

    pub fn inputs(&self) -> Vec<Port> {
        let session = match &self.held {
            Held::Shared(loaded) => &loaded.session,
            Held::Own(session, _) => session.as_ref(),
        };
        session
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
        match &mut self.held {
            Held::Shared(loaded) => {
                let outputs = concurrent::run(&loaded.session, &values, wanted).map_err(|e| failed(&e))?;
                outputs.iter().map(|value| floats(value).map_err(|e| failed(&e))).collect()
            }
            Held::Own(session, _) => {
                let outputs = session.run(values).map_err(|e| failed(&e))?;
                wanted
                    .iter()
                    .map(|name| {
                        let value =
                            outputs.get(name).ok_or_else(|| failed(&format!("has no output '{name}'")))?;
                        floats(value).map_err(|e| failed(&e))
                    })
                    .collect()
            }
        }
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
        let joined;
        let data: &[f32] = match batch {
            [single] => &single.data,
            many => {
                let parts: Vec<&[f32]> = many.iter().map(|tensor| &tensor.data[..]).collect();
                joined = parts.concat();
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

/// A copy of a value, which must be a float tensor.
fn floats(value: &DynValue) -> Result<Output, ort::Error> {
    let (shape, data) = value.try_extract_tensor::<f32>()?;
    Ok(Output { shape: shape.iter().map(|&n| n as usize).collect(), data: data.to_vec() })
}

/// A builder with all of `options`, and with `accelerators` in that order.
fn build(options: &SessionOptions, accelerators: &[Provider]) -> Result<SessionBuilder, ort::Error> {
    let mut builder = OrtSession::builder(&runtime().map_err(ort::Error::wrap)?.environment)?
        .with_optimization_level(GraphOptimizationLevel::Level3)?
        .with_intra_threads(options.intra_threads.max(1))?
        .with_inter_threads(1)?
        // Spinning threads steal the cores from decoding and from the other sessions.
        .with_intra_op_spinning(false)?
        // A plan of the memory for every shape of input keeps a block for each: an eighth of a process's memory with
        // two sessions of each bundled network, and no faster.
        .with_memory_pattern(false)?
        .with_config_entry(assignment::RECORD, "1")?;
    for &accelerator in accelerators {
        placement::register(&mut builder, accelerator, options)?;
    }
    Ok(builder)
}

/// A tensor without values, such as a cache before the first token. It cannot be a view, having no memory.
fn empty(shape: &[usize]) -> Result<SessionInputValue<'static>, ort::Error> {
    let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
    Ok(ort::value::Tensor::<f32>::new(&ort::memory::Allocator::default(), shape)?.into())
}

#[cfg(test)]
mod tests;
