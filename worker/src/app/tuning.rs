//! Remembers in a folder how large batches should be on this machine.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use docent_pipelines::executor::batching::{Trial, TuningKey, TuningMemory};
use serde::{Deserialize, Serialize};

use crate::config::Config;

/// What else decides on the best size. Where any of it has changed, it is measured again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Machine {
    processor: String,
    cores: usize,
    gpus: Vec<String>,
    /// ONNX Runtime's file and its own words on its build.
    library: String,
    threads_per_session: usize,
    /// The GPUs that are used, and whether they compute in 16 bits.
    devices: Vec<u32>,
    fp16: bool,
}

impl Machine {
    /// This one, with ONNX Runtime's own words on itself.
    pub(super) fn new(config: &Config, library: &Path, build: &str) -> Self {
        let name = library.canonicalize().unwrap_or_else(|_| library.to_path_buf());
        Self {
            processor: processor(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            gpus: gpus(Path::new("/proc/driver/nvidia/gpus")),
            library: format!("{} {build}", name.file_name().unwrap_or_default().display()),
            threads_per_session: config.work.threads_per_session,
            devices: config.device.devices.clone(),
            fp16: config.device.fp16,
        }
    }
}

/// The processor's name, if the system tells.
fn processor(cpuinfo: &str) -> String {
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    // Hosts often hide the name, and seldom the family and the model.
    ["model name", "cpu family", "model\t"].into_iter().filter_map(field).collect::<Vec<_>>().join(", ")
}

/// The names of NVIDIA's GPUs, where there is a driver.
fn gpus(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("information")).ok())
        .filter_map(|text| Some(text.lines().find_map(|line| line.strip_prefix("Model:"))?.trim().to_owned()))
        .collect();
    names.sort();
    names
}

/// One file for each network and whatever decides on it.
#[derive(Debug)]
pub(super) struct TuningFolder {
    folder: Option<PathBuf>,
    machine: Machine,
}

#[derive(Serialize, Deserialize)]
struct Record {
    key: TuningKey,
    machine: Machine,
    trials: Vec<Trial>,
}

/// Of a record; a few hundred bytes.
const MAX_BYTES: u64 = 1 << 16;

impl TuningFolder {
    pub(super) fn new(folder: Option<PathBuf>, machine: Machine) -> Self {
        Self { folder, machine }
    }

    /// Where the record is, if it is kept.
    fn path(&self, key: &TuningKey) -> anyhow::Result<Option<PathBuf>> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let all = serde_json::to_vec(&(key, &self.machine))?;
        Ok(Some(folder.join(format!("{}.json", &blake3::hash(&all).to_hex()[..32]))))
    }

    fn read(&self, key: &TuningKey) -> anyhow::Result<Option<Vec<Trial>>> {
        let Some(path) = self.path(key)? else { return Ok(None) };
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text)?;
        let record: Record =
            serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))?;
        let fits = record.key == *key && record.machine == self.machine;
        let is_sound =
            |trial: &Trial| (1..=key.most.max(1)).contains(&trial.size) && trial.seconds.is_finite();
        Ok((fits && record.trials.iter().all(is_sound)).then_some(record.trials))
    }

    fn write(&self, key: &TuningKey, trials: &[Trial]) -> anyhow::Result<()> {
        let (Some(folder), Some(path)) = (&self.folder, self.path(key)?) else { return Ok(()) };
        std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        let record = Record { key: key.clone(), machine: self.machine.clone(), trials: trials.to_vec() };
        // Another process may read or write it at the same moment.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec_pretty(&record)?)?;
        file.persist(&path)?;
        Ok(())
    }
}

impl TuningMemory for TuningFolder {
    fn recall(&self, key: &TuningKey) -> Option<Vec<Trial>> {
        self.read(key).unwrap_or_else(|error| {
            tracing::warn!(model = %key.model, error = format!("{error:#}"), "what was measured is lost; it is measured again");
            None
        })
    }

    fn keep(&self, key: &TuningKey, trials: &[Trial]) {
        if let Err(error) = self.write(key, trials) {
            tracing::warn!(model = %key.model, error = format!("{error:#}"), "what was measured cannot be kept (device.tuning_cache)");
        }
    }
}

#[cfg(test)]
mod tests {
    use docent_models::ModelRef;

    use super::*;

    fn machine() -> Machine {
        Machine {
            processor: "a processor".to_owned(),
            cores: 2,
            gpus: Vec::new(),
            library: "libonnxruntime.so.1".to_owned(),
            threads_per_session: 1,
            devices: vec![0],
            fp16: false,
        }
    }

    fn key() -> TuningKey {
        let provider = Some("CPUExecutionProvider".to_owned());
        TuningKey { model: ModelRef::new("a", "1"), provider, most: 8 }
    }

    #[test]
    fn records_are_for_their_machine_and_network_only() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = Some(folder.path().join("deep/er"));
        let memory = TuningFolder::new(place.clone(), machine());
        let trials = vec![Trial { size: 1, seconds: 0.02 }, Trial { size: 2, seconds: 0.026 }];
        assert_eq!(memory.recall(&key()), None);
        memory.keep(&key(), &trials);
        assert_eq!(memory.recall(&key()), Some(trials.clone()));
        assert_eq!(TuningFolder::new(place.clone(), machine()).recall(&key()), Some(trials.clone()));
        let other = TuningFolder::new(place, Machine { cores: 4, ..machine() });
        assert_eq!(other.recall(&key()), None);
        assert_eq!(memory.recall(&TuningKey { model: ModelRef::new("a", "2"), ..key() }), None);
        assert_eq!(memory.recall(&TuningKey { provider: None, ..key() }), None);
        let nowhere = TuningFolder::new(None, machine());
        nowhere.keep(&key(), &trials);
        assert_eq!(nowhere.recall(&key()), None);
    }

    #[test]
    fn broken_records_are_as_good_as_none() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let memory = TuningFolder::new(Some(folder.path().to_path_buf()), machine());
        memory.keep(&key(), &[Trial { size: 4, seconds: 0.02 }]);
        let path = memory.path(&key()).expect("has a name").expect("is kept");
        let good = std::fs::read_to_string(&path).expect("is there");
        for bad in ["", "{}", &good[..good.len() / 2], &good.replace("\"size\": 4", "\"size\": 4000")] {
            std::fs::write(&path, bad).expect("is written");
            assert_eq!(memory.recall(&key()), None, "{bad}");
        }
        // A folder that cannot be made costs nothing but the memory.
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("is written");
        TuningFolder::new(Some(file), machine()).keep(&key(), &[]);
    }

    #[test]
    fn processors_and_gpus_are_told_apart() {
        let text =
            "processor\t: 0\nvendor_id\t: X\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: Some CPU\n";
        assert_eq!(processor(text), "Some CPU, 25, 17");
        assert_eq!(processor(""), "");
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("0000:01:00.0")).expect("is made");
        let information = "Model: \t\t Some GPU\nIRQ:   \t\t 1\n";
        std::fs::write(folder.path().join("0000:01:00.0/information"), information).expect("is written");
        assert_eq!(gpus(folder.path()), ["Some GPU"]);
        assert!(gpus(&folder.path().join("none")).is_empty());
    }
}
