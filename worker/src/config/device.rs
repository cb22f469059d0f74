//! Which processors the networks run on.

use std::path::PathBuf;
use std::sync::Arc;

use docent_models::session::{DeviceOptions, Policy, Provider};
use serde::Deserialize;

use super::path_or_none;

/// Section `device`; see [`DeviceOptions`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// What is asked for the networks, the first choice first.
    pub providers: Vec<Provider>,
    /// Whether all of it has to be there.
    pub policy: Policy,
    /// The GPUs.
    pub devices: Vec<u32>,
    /// Most inputs in one call of a network on a GPU.
    pub max_batch: usize,
    /// Most memory of one session on its GPU, in MiB; 0: no limit.
    pub memory_limit_mb: u64,
    /// Let TensorRT compute in 16 bits.
    pub fp16: bool,
    /// Where TensorRT keeps what it has compiled. `None` only where there is no cache folder.
    #[serde(deserialize_with = "path_or_none")]
    pub engine_cache: Option<PathBuf>,
}

impl Device {
    /// What sessions are asked to run on.
    pub fn options(&self) -> Arc<DeviceOptions> {
        Arc::new(DeviceOptions {
            providers: self.providers.clone(),
            policy: self.policy,
            devices: self.devices.clone(),
            memory_limit_mb: self.memory_limit_mb,
            fp16: self.fp16,
            engine_cache: self.engine_cache.clone(),
        })
    }

    /// The first option that is out of its range, and what it must be.
    pub(super) fn out_of_range(&self) -> Option<(&'static str, &'static str)> {
        let cpu_is_last = match self.providers.split_last() {
            Some((_, before)) => !before.contains(&Provider::Cpu),
            None => false,
        };
        let checks = [
            (
                cpu_is_last && each_once(&self.providers),
                "device.providers",
                "one or several of \"tensorrt\", \"cuda\" and \"cpu\", each once, with \"cpu\" last",
            ),
            (
                !self.devices.is_empty() && each_once(&self.devices),
                "device.devices",
                "at least one number of a GPU, each once, as in [0, 1]",
            ),
            ((1..=1024).contains(&self.max_batch), "device.max_batch", "from 1 to 1024"),
            (self.memory_limit_mb <= 1 << 20, "device.memory_limit_mb", "at most 1048576"),
        ];
        checks.into_iter().find_map(|(holds, key, expected)| (!holds).then_some((key, expected)))
    }
}

fn each_once<T: PartialEq>(items: &[T]) -> bool {
    items.iter().enumerate().all(|(index, item)| !items[..index].contains(item))
}
