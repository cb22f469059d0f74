//! The vocabulary that a new archive begins with.

use anyhow::Context;
use docent_pipelines::vocabulary::{How, plan, starter};

use super::App;
use crate::store::{Reviewer, StoreError, TermChange};

impl App {
    /// Enters the starter vocabulary, where nobody has entered or left out terms yet.
    pub async fn begin_vocabulary(&self) -> anyhow::Result<()> {
        if self.store.vocabulary_has_begun().await? {
            return Ok(());
        }
        if !self.config.vocabulary.starter {
            return Ok(self.store.begin_vocabulary().await?);
        }
        let draft = starter().context("read the starter vocabulary")?;
        let known = self.store.vocabulary().await?;
        let changes = plan(known.terms(), &draft, How::Merge).context("enter the starter vocabulary")?;
        let changes: Vec<TermChange> = changes.into_iter().map(TermChange::from).collect();
        let by = Reviewer { name: "docent".to_owned(), client: "starter".to_owned() };
        match self.store.change_terms(&changes, known.revision, &by).await {
            // Another process began at the same time.
            Ok(_) | Err(StoreError::Outdated { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
