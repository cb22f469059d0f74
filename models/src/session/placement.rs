//! Which of the wanted providers can be used here, found out by trying.
//!
//! A library that was built with a provider says that it has it; whether the provider's own libraries, a driver and the GPU
//! are there shows when a session is made. So one is made, of a graph with a single node.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use ort::ep::{self, ArenaExtendStrategy, ExecutionProvider, cuda::ConvAlgorithmSearch};
use ort::session::builder::SessionBuilder;

use super::assignment::Assigned;
use super::{DeviceOptions, Policy, Provider, SessionOptions, build, init_runtime};
use crate::{Error, ModelRef};

/// What sessions with some options run on.
#[derive(Debug)]
pub struct Placement {
    accelerators: Vec<Provider>,
    refusals: Vec<Refusal>,
    /// Networks that an accelerator did not take, and that were warned of.
    warned: Mutex<BTreeSet<(Provider, ModelRef)>>,
}

/// A provider that was wanted and cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The provider.
    pub provider: Provider,
    /// ONNX Runtime's own words.
    pub reason: String,
}

/// What the library says of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The provider.
    pub provider: Provider,
    /// Why it cannot be used, in ONNX Runtime's words.
    pub problem: Option<String>,
}

impl Placement {
    /// The wanted providers that can be used, in the order wanted, without the processor.
    pub fn accelerators(&self) -> &[Provider] {
        &self.accelerators
    }

    /// Those that cannot.
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }

    /// An error where `provider` is required, else a warning for each network.
    pub(super) fn refused_by(
        &self,
        provider: Provider,
        model: &ModelRef,
        reason: String,
        options: &DeviceOptions,
    ) -> Result<(), Error> {
        let reason = one_line(&reason);
        if options.policy == Policy::Required {
            return Err(refusal(provider, format!("run {model}: {reason}")));
        }
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.insert((provider, model.clone())) {
            tracing::warn!(%provider, %model, reason, "cannot run this network there; the next provider takes it");
        }
        Ok(())
    }
}

/// The process finds out once for each set of options.
static FOUND: Mutex<Vec<(DeviceOptions, Arc<Placement>)>> = Mutex::new(Vec::new());

/// What sessions with `options` run on. Warns, once per process, of each preferred provider that cannot be used; a required
/// one is an error. The runtime is initialized first if nobody did so.
pub fn placement(options: &DeviceOptions) -> Result<Arc<Placement>, Error> {
    init_runtime(None)?;
    // Held while trying: networks are loaded side by side, and one of them is enough to find out.
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, placement)) = found.iter().find(|(known, _)| known == options) {
        return Ok(Arc::clone(placement));
    }
    let mut placement =
        Placement { accelerators: Vec::new(), refusals: Vec::new(), warned: Mutex::default() };
    for provider in options.accelerators() {
        match attempt(provider, options) {
            Ok(()) => placement.accelerators.push(provider),
            Err(reason) if options.policy == Policy::Required => return Err(refusal(provider, reason)),
            Err(reason) => {
                tracing::warn!(%provider, reason, "cannot be used; networks run on the next of device.providers");
                placement.refusals.push(Refusal { provider, reason });
            }
        }
    }
    let placement = Arc::new(placement);
    found.push((options.clone(), Arc::clone(&placement)));
    Ok(placement)
}

/// The providers that the library was built with, of those that docent knows, and whether each can be used.
pub fn offers(options: &DeviceOptions) -> Result<Vec<Offer>, Error> {
    init_runtime(None)?;
    let built_in = |provider: &Provider| match provider {
        Provider::TensorRt => ep::TensorRT::is_available(),
        Provider::Cuda => ep::CUDA::is_available(),
        Provider::Cpu => ep::CPU::is_available(),
    };
    let offered = Provider::ALL.into_iter().filter(|provider| built_in(provider).unwrap_or(false));
    let tried = offered.map(|provider| Offer { provider, problem: attempt(provider, options).err() });
    Ok(tried.collect())
}

fn refusal(provider: Provider, reason: String) -> Error {
    let library = init_runtime(None).map(|info| info.path.clone()).unwrap_or_else(|_| PathBuf::new());
    Error::Provider { provider: provider.to_string(), library, reason }
}

/// `y = Relu(x)`, four floats, as ONNX's protocol buffer.
const RELU: &[u8] = b"\x08\x08\
    :\x3f\
    \x0a\x0c\x0a\x01x\x12\x01y\x22\x04Relu\
    \x12\x05probe\
    \x5a\x13\x0a\x01x\x12\x0e\x0a\x0c\x08\x01\x12\x08\x0a\x02\x08\x01\x0a\x02\x08\x04\
    \x62\x13\x0a\x01y\x12\x0e\x0a\x0c\x08\x01\x12\x08\x0a\x02\x08\x01\x0a\x02\x08\x04\
    B\x02\x10\x0d";

/// Makes a session on each of the GPUs, or says why that does not work.
fn attempt(provider: Provider, options: &DeviceOptions) -> Result<(), String> {
    let devices = if provider == Provider::Cpu { 1 } else { options.devices.len() };
    let accelerators = if provider == Provider::Cpu { &[][..] } else { &[provider] };
    for number in 0..devices {
        let session =
            SessionOptions { device: Arc::new(options.clone()), number, ..SessionOptions::default() };
        let assigned = build(&session, accelerators)
            .and_then(|mut builder| Assigned::of(&builder.commit_from_memory(RELU)?))
            .map_err(|error| one_line(&error.to_string()))
            .and_then(|assigned| match assigned.accelerated() || provider == Provider::Cpu {
                true => Ok(()),
                false => Err("it took nothing of a graph that it should know".to_owned()),
            });
        assigned.map_err(|reason| match options.devices.as_slice() {
            [_] => reason,
            devices => format!("device {}: {reason}", devices[number]),
        })?;
    }
    Ok(())
}

/// ONNX Runtime's words without its source's place before them, and without line breaks.
fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // `file:line function [ONNXRuntimeError] : code : NAME : words`
    match words.split_once("[ONNXRuntimeError] : ").and_then(|(_, rest)| rest.splitn(3, " : ").nth(2)) {
        Some(said) => said.to_owned(),
        None => words,
    }
}

/// Asks for `provider` in a session that is being built.
pub(super) fn register(
    builder: &mut SessionBuilder,
    provider: Provider,
    options: &SessionOptions,
) -> Result<(), ort::Error> {
    let device = &options.device;
    let id = i32::try_from(device.device(options.number)).unwrap_or(i32::MAX);
    let limit = usize::try_from(device.memory_limit_mb << 20).ok().filter(|&bytes| bytes > 0);
    match provider {
        // It is there without being asked for.
        Provider::Cpu => Ok(()),
        Provider::Cuda => {
            // Batches have any size, and an exhaustive search runs again for each one.
            let mut cuda = ep::CUDA::default()
                .with_device_id(id)
                .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic);
            if let Some(bytes) = limit {
                // Doubling would run into the limit with half of it unused.
                cuda = cuda
                    .with_memory_limit(bytes)
                    .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested);
            }
            cuda.register(builder)
        }
        Provider::TensorRt => {
            let mut tensorrt = ep::TensorRT::default().with_device_id(id).with_fp16(device.fp16);
            if let Some(bytes) = limit {
                tensorrt = tensorrt.with_max_workspace_size(bytes);
            }
            if let Some(folder) = &device.engine_cache {
                match std::fs::create_dir_all(folder) {
                    Ok(()) => {
                        let path = folder.display();
                        tensorrt = tensorrt.with_engine_cache(true).with_engine_cache_path(path);
                    }
                    Err(error) => {
                        tracing::warn!(folder = %folder.display(), %error, "cannot keep compiled networks");
                    }
                }
            }
            tensorrt.register(builder)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_in_the_source_is_left_out() {
        let said = "/src/bridge.cc:2043 Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load x.so: y.so: \n no such file\n";
        assert_eq!(one_line(said), "Failed to load x.so: y.so: no such file");
        assert_eq!(one_line("CUDA is not\nenabled"), "CUDA is not enabled");
    }

    #[test]
    fn a_network_that_is_not_taken_is_warned_of_once_or_an_error() {
        let placement =
            Placement { accelerators: vec![Provider::Cuda], refusals: Vec::new(), warned: Mutex::default() };
        let model = ModelRef::new("a", "1");
        let refused = |policy| {
            let options = DeviceOptions { policy, ..DeviceOptions::default() };
            placement.refused_by(Provider::Cuda, &model, "out of\nmemory".to_owned(), &options)
        };
        refused(Policy::Preferred).expect("the next takes it");
        refused(Policy::Preferred).expect("the next takes it");
        assert_eq!(placement.warned.lock().expect("nothing panics").len(), 1);
        let error = refused(Policy::Required).expect_err("it is required").to_string();
        assert!(error.starts_with("use CUDAExecutionProvider of "), "{error}");
        assert!(error.ends_with(": run a@1: out of memory"), "{error}");
    }
}
