//! Every vector index passes the same cases: the embedded one, and Qdrant's in front of the server in this process.
//! `DOCENT_TEST_QDRANT_URL` names a server of one's own that is to be tested as well; `DOCENT_TEST_QDRANT_KEY` is its
//! API key, if it asks for one.

use std::collections::HashSet;
use std::env;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use docent::vectors::{EmbeddedIndex, QdrantIndex, QdrantOptions, VectorIndex, VectorSource};
use docent_pipelines::{VectorRecord, VectorSpace};
use docent_tests::conformance::vectors::{self as cases, Fixture};
use docent_tests::qdrant::QdrantServer;

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

    async fn vectors_at(
        &self,
        space: &VectorSpace,
        sequences: &[i64],
    ) -> anyhow::Result<Vec<(i64, VectorRecord)>> {
        let rows = self.0.lock().expect("not poisoned");
        let asked: HashSet<&i64> = sequences.iter().collect();
        let found = rows.iter().filter(|(number, record)| asked.contains(number) && record.space == *space);
        Ok(found.cloned().collect())
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

struct Qdrant(QdrantIndex);

impl Qdrant {
    fn connect(options: QdrantOptions) -> Self {
        Self(QdrantIndex::connect(options).expect("the options are right"))
    }
}

#[async_trait]
impl Fixture for Qdrant {
    fn index(&self) -> &dyn VectorIndex {
        &self.0
    }

    async fn write(&self, records: &[VectorRecord]) {
        self.0.upsert(records).await.expect("upserts");
    }
}

/// A server of one's own, and a prefix on it that nobody else uses.
fn own_server(case: &str) -> Option<QdrantOptions> {
    let url = env::var("DOCENT_TEST_QDRANT_URL").ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let case = case.replace('_', "-");
    Some(QdrantOptions {
        api_key: env::var("DOCENT_TEST_QDRANT_KEY").ok(),
        prefix: format!("docent-test-{}-{now:x}-{case}", std::process::id()),
        ..QdrantOptions::new(url)
    })
}

macro_rules! conformance {
    ($($case:ident),* $(,)?) => {
        mod embedded {
            use super::*;

            $(#[tokio::test]
            async fn $case() {
                cases::$case(&Embedded::new()).await;
            })*
        }

        mod qdrant_in_process {
            use super::*;

            $(#[tokio::test]
            async fn $case() {
                let server = QdrantServer::start();
                cases::$case(&Qdrant::connect(QdrantOptions::new(server.url()))).await;
            })*
        }

        #[tokio::test]
        async fn qdrant_on_a_server_of_ones_own() {
            $(
                let Some(options) = own_server(stringify!($case)) else {
                    // Not by a macro, whose text would be kept from view.
                    let skipped = "skipped: qdrant_on_a_server_of_ones_own: DOCENT_TEST_QDRANT_URL is not set";
                    writeln!(std::io::stderr(), "{skipped}").expect("writes to stderr");
                    return;
                };
                let qdrant = Qdrant::connect(options);
                cases::$case(&qdrant).await;
                for space in qdrant.0.spaces().await.expect("lists") {
                    qdrant.0.drop_space(&space).await.expect("removes");
                }
            )*
        }
    };
}

conformance!(
    finds_the_nearest,
    upsert_twice_is_upsert_once,
    filters_are_exact,
    large_filters_are_exact,
    equals_go_by_record_id,
    near_ones_are_told_apart,
    answers_are_those_of_comparing_with_every_vector,
    neighbors_are_what_was_written,
    odd_wishes_are_granted,
    pruning_keeps_what_is_named,
    a_dropped_space_is_empty,
    spaces_are_apart,
    similar_names_are_apart,
);
