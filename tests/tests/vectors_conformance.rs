//! Every vector index passes the same cases.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use docent::vectors::{EmbeddedIndex, VectorIndex, VectorSource};
use docent_pipelines::{VectorRecord, VectorSpace};
use docent_tests::conformance::vectors::{self as cases, Fixture};

/// Stands for the ledger: the latest record of each id, numbered by writes.
#[derive(Default)]
struct Rows(Mutex<Vec<(i64, VectorRecord)>>);

#[async_trait]
impl VectorSource for Rows {
    async fn vectors_after(
        &self,
        space: &VectorSpace,
        sequence: i64,
        limit: u32,
    ) -> anyhow::Result<Vec<(i64, VectorRecord)>> {
        let rows = self.0.lock().expect("not poisoned");
        let newer = rows.iter().filter(|(number, record)| *number > sequence && record.space == *space);
        Ok(newer.take(limit as usize).cloned().collect())
    }
}

struct Embedded {
    rows: Arc<Rows>,
    index: EmbeddedIndex,
}

impl Embedded {
    fn new() -> Self {
        let rows = Arc::new(Rows::default());
        Self { index: EmbeddedIndex::new(Arc::clone(&rows) as Arc<dyn VectorSource>), rows }
    }
}

#[async_trait]
impl Fixture for Embedded {
    fn index(&self) -> &dyn VectorIndex {
        &self.index
    }

    async fn write(&self, records: &[VectorRecord]) {
        self.index.upsert(records).await.expect("upserts");
        let mut rows = self.rows.0.lock().expect("not poisoned");
        for record in records {
            let number = rows.last().map_or(1, |(number, _)| number + 1);
            rows.retain(|(_, row)| row.id != record.id);
            rows.push((number, record.clone()));
        }
    }
}

macro_rules! conformance {
    ($($case:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $case() {
            cases::$case(&Embedded::new()).await;
        }
    )*};
}

conformance!(
    finds_the_nearest,
    upsert_twice_is_upsert_once,
    filters_are_exact,
    deletes_an_asset,
    spaces_are_apart,
);
