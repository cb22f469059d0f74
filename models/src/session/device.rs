//! What processors a session is asked to run on.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

/// A kind of processor that docent can ask ONNX Runtime for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// NVIDIA's compiler of networks: takes what it can of a graph, and leaves the rest to the next.
    TensorRt,
    /// NVIDIA GPUs.
    Cuda,
    /// The processor. What nobody else takes runs here.
    Cpu,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::TensorRt, Self::Cuda, Self::Cpu];

    /// The name in the configuration.
    pub fn option(self) -> &'static str {
        match self {
            Self::TensorRt => "tensorrt",
            Self::Cuda => "cuda",
            Self::Cpu => "cpu",
        }
    }
}

/// ONNX Runtime's name.
impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TensorRt => "TensorrtExecutionProvider",
            Self::Cuda => "CUDAExecutionProvider",
            Self::Cpu => "CPUExecutionProvider",
        })
    }
}

/// What becomes of a session whose provider cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// The next provider takes it, after a warning.
    Preferred,
    /// It is an error.
    Required,
}

/// Which processors are asked, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceOptions {
    /// In the order in which they choose among a graph's nodes. The processor comes last, named or not.
    pub providers: Vec<Provider>,
    /// Whether they have to be there.
    pub policy: Policy,
    /// The driver's numbers of the GPUs; a network's sessions are given to them in turn. At least one.
    pub devices: Vec<u32>,
    /// Most memory of one session on its GPU, in MiB; 0: no limit.
    pub memory_limit_mb: u64,
    /// Let TensorRT compute in 16 bits.
    pub fp16: bool,
    /// Where TensorRT keeps what it has compiled; without, it compiles at every start.
    pub engine_cache: Option<PathBuf>,
}

impl Default for DeviceOptions {
    fn default() -> Self {
        Self {
            providers: vec![Provider::Cpu],
            policy: Policy::Preferred,
            devices: vec![0],
            memory_limit_mb: 0,
            fp16: false,
            engine_cache: None,
        }
    }
}

impl DeviceOptions {
    /// The providers that are not the processor.
    pub fn accelerators(&self) -> impl Iterator<Item = Provider> {
        self.providers.iter().copied().filter(|&provider| provider != Provider::Cpu)
    }

    /// The GPU of a network's session of this number.
    pub(super) fn device(&self, number: usize) -> u32 {
        self.devices.get(number % self.devices.len().max(1)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_spread_over_the_gpus() {
        let options = DeviceOptions { devices: vec![2, 5], ..DeviceOptions::default() };
        assert_eq!([0, 1, 2, 3].map(|number| options.device(number)), [2, 5, 2, 5]);
    }
}
