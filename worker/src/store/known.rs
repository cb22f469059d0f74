//! The vocabulary in memory, as long as it is as the ledger has it.

use std::sync::{Arc, Mutex, PoisonError};

use docent_pipelines::vocabulary::Vocabulary;

/// The vocabulary that was read last.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Option<Arc<Vocabulary>>>);

impl Known {
    /// The vocabulary of this revision, if it was read.
    pub fn at(&self, revision: i64) -> Option<Arc<Vocabulary>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|known| known.revision == revision).cloned()
    }

    /// The vocabulary as it was read last, if it was read before this revision.
    pub fn before(&self, revision: i64) -> Option<Arc<Vocabulary>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|known| known.revision < revision).cloned()
    }

    /// Keeps the newest.
    pub fn keep(&self, read: &Arc<Vocabulary>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_none_or(|known| known.revision < read.revision) {
            *known = Some(Arc::clone(read));
        }
    }
}
