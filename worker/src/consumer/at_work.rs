//! The assets this process is working on, so that it does not start one twice: a job arrives twice if its connection to the queue
//! was lost.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use docent_pipelines::AssetId;

/// The assets in progress. Clones share them.
#[derive(Clone, Default)]
pub(super) struct AtWork(Arc<Mutex<HashSet<AssetId>>>);

/// Marks an asset as in progress until it is dropped.
pub(super) struct InWork {
    all: AtWork,
    asset: AssetId,
}

impl AtWork {
    /// Starts work on an asset; `None` if it is in progress already.
    pub fn begin(&self, asset: &AssetId) -> Option<InWork> {
        let is_new = self.assets().insert(asset.clone());
        is_new.then(|| InWork { all: self.clone(), asset: asset.clone() })
    }

    fn assets(&self) -> MutexGuard<'_, HashSet<AssetId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InWork {
    fn drop(&mut self) {
        self.all.assets().remove(&self.asset);
    }
}

#[cfg(test)]
mod tests {
    use docent_pipelines::asset::ContentHash;

    use super::*;

    #[test]
    fn an_asset_is_in_work_once() {
        let at_work = AtWork::default();
        let [one, two] = [1_u8, 2].map(|number| ContentHash::of(&[number]).asset_id());
        let first = at_work.begin(&one);
        assert!(first.is_some() && at_work.clone().begin(&one).is_none() && at_work.begin(&two).is_some());
        drop(first);
        assert!(at_work.begin(&one).is_some());
    }
}
