//! Measurements. Each is a program of its own under `src/bin`; what they need in common is here.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use docent::vectors::{IndexError, Neighbor, VectorIndex};
use docent_pipelines::image::{DecodeLimits, Image};
use docent_pipelines::{AssetId, VectorRecord, VectorSpace};

/// The files in `folder`, by name.
pub fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    Ok(files)
}

/// The pictures in `folder`, decoded, with their names.
pub fn pictures(folder: &Path) -> anyhow::Result<Vec<(String, Image)>> {
    let decode = |path: PathBuf| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some((name, Image::decode(&std::fs::read(&path).ok()?, &DecodeLimits::default()).ok()?))
    };
    Ok(files(folder)?.into_iter().filter_map(decode).collect())
}

/// The folder named by the first argument.
pub fn folder_argument(what: &str) -> anyhow::Result<PathBuf> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    folder.filter(|folder| folder.is_dir()).ok_or_else(|| anyhow::anyhow!("name a folder with {what}"))
}

/// The value below which `share` of `values` lie.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}

/// An index that holds nothing: what is measured asks the ledger alone.
pub struct NoIndex;

#[async_trait]
impl VectorIndex for NoIndex {
    async fn upsert(&self, _: &[VectorRecord]) -> Result<(), IndexError> {
        Ok(())
    }

    async fn search(
        &self,
        _: &VectorSpace,
        _: &[f32],
        _: usize,
        _: Option<&HashSet<AssetId>>,
    ) -> Result<Vec<Neighbor>, IndexError> {
        Ok(Vec::new())
    }

    async fn prune(&self, _: &VectorSpace, _: &[AssetId], _: &[&str]) -> Result<(), IndexError> {
        Ok(())
    }

    async fn forget(&self, _: &[AssetId]) -> Result<(), IndexError> {
        Ok(())
    }

    async fn drop_space(&self, _: &VectorSpace) -> Result<(), IndexError> {
        Ok(())
    }

    async fn count(&self, _: &VectorSpace) -> Result<u64, IndexError> {
        Ok(0)
    }

    async fn ping(&self) -> Result<(), IndexError> {
        Ok(())
    }
}
