//! A large archive and the API over it.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use axum::Router;
use docent::assets::{AssetSource, FetchError};
use docent::forget::Forgetter;
use docent::http::{AppState, Options, Ports, Searcher, router};
use docent::search::{Hits, Question, SearchError, nearest};
use docent::store::{
    AssetFilter, Catalog, Ledger as _, PostgresOptions, PostgresStore, SqliteStore, Store, Wanted,
};
use docent::vectors::{IndexError, Neighbor, VectorIndex};
use docent_models::ModelRef;
use docent_pipelines::{AnalyzerId, AssetId, DecodeLimits, VectorRecord, VectorSpace};
use docent_tests::servers::Database;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;

use crate::{plans, texts};

/// A ledger, filled, with the API's routes over it.
pub struct Archive {
    pub router: Router,
    /// For statements that are no request.
    pub store: Arc<dyn Store>,
    assets: Arc<Vec<AssetId>>,
    ledger: Ledger,
    _database: Option<Database>,
    _folder: Option<TempDir>,
}

enum Ledger {
    Postgres(String),
    Sqlite(PathBuf),
}

impl Archive {
    pub async fn postgres(assets: u64) -> anyhow::Result<Self> {
        let filled = std::env::var("DOCENT_BENCH_LEDGER").ok();
        let database = if filled.is_none() { Some(Database::new().await?) } else { None };
        let url = filled.clone().or_else(|| database.as_ref().map(|database| database.url().to_owned()));
        let url = url.unwrap_or_default();
        let options = PostgresOptions { connections: 16 };
        let mut store = PostgresStore::connect(&url, options).await?;
        let mut connection = PgConnection::connect(&url).await?;
        if filled.is_none() {
            let begin = Instant::now();
            let script =
                include_str!("../../../sql/filters.postgres.sql").replace("$assets$", &assets.to_string());
            for statement in statements(&script) {
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
            }
            println!("filled in {:.0?}", begin.elapsed());
            let ids: Vec<String> =
                sqlx::query_scalar("select id from asset order by id").fetch_all(&mut connection).await?;
            sqlx::raw_sql("set session_replication_role = origin").execute(&mut connection).await?;
            texts::write_postgres(&mut connection, &ids).await?;
            store.close().await;
            let begin = Instant::now();
            store = PostgresStore::connect(&url, options).await?;
            println!("made to be found in {:.0?}", begin.elapsed());
            sqlx::raw_sql("vacuum analyze suggestion, reading").execute(&mut connection).await?;
        }
        let size: String = sqlx::query_scalar("select pg_size_pretty(pg_database_size(current_database()))")
            .fetch_one(&mut connection)
            .await?;
        let ids = sqlx::query_scalar("select id from asset order by id").fetch_all(&mut connection).await?;
        println!("{} assets in PostgreSQL, {size}", ids.len());
        Ok(Self::over(Arc::new(store), ids, Ledger::Postgres(url), database, None))
    }

    pub async fn sqlite(assets: u64) -> anyhow::Result<Self> {
        let filled = std::env::var_os("DOCENT_BENCH_LEDGER").map(PathBuf::from);
        let folder = if filled.is_none() { Some(tempfile::tempdir()?) } else { None };
        let path =
            filled.clone().or_else(|| folder.as_ref().map(|folder| folder.path().join("ledger.sqlite")));
        let path = path.unwrap_or_default();
        let mut store = SqliteStore::open(&path).await?;
        let options = SqliteConnectOptions::new().filename(&path);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        if filled.is_none() {
            let begin = Instant::now();
            let script =
                include_str!("../../../sql/filters.sqlite.sql").replace("$assets$", &assets.to_string());
            for statement in statements(&script) {
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
            }
            println!("filled in {:.0?}", begin.elapsed());
            let ids: Vec<String> =
                sqlx::query_scalar("select id from asset order by id").fetch_all(&mut connection).await?;
            texts::write_sqlite(&mut connection, &ids).await?;
            store.close().await;
            let begin = Instant::now();
            store = SqliteStore::open(&path).await?;
            println!("made to be found in {:.0?}", begin.elapsed());
        }
        let ids = sqlx::query_scalar("select id from asset order by id").fetch_all(&mut connection).await?;
        println!("{} assets in SQLite, {} MB", ids.len(), std::fs::metadata(&path)?.len() / 1_000_000);
        Ok(Self::over(Arc::new(store), ids, Ledger::Sqlite(path), None, folder))
    }

    fn over<S: Store + 'static>(
        store: Arc<S>,
        ids: Vec<String>,
        ledger: Ledger,
        database: Option<Database>,
        folder: Option<TempDir>,
    ) -> Self {
        let assets: Arc<Vec<AssetId>> =
            Arc::new(ids.into_iter().filter_map(|id| AssetId::try_from(id).ok()).collect());
        let search =
            Arc::new(ByNumber { catalog: Arc::clone(&store) as _, index: Spread(Arc::clone(&assets)) });
        let index = Arc::new(Spread(Arc::clone(&assets)));
        let ports = Ports {
            forgetter: Arc::new(Forgetter::new(Arc::clone(&store) as _, index, None)),
            store: Arc::clone(&store) as _,
            search,
            source: Arc::new(Nothing),
            terms: None,
            uploads: None,
        };
        let options = Options {
            token: None,
            hosts: Vec::new(),
            reviewer: "bench".to_owned(),
            decode: DecodeLimits::default(),
            cache_bytes: 1 << 20,
            wanted: Wanted::from(
                [AnalyzerId::Tags, AnalyzerId::Text]
                    .map(|analyzer| (analyzer, ModelRef::new(format!("{}-model", analyzer.as_str()), "2"))),
            ),
            roots: docent::assets::Roots::default(),
            wake: Arc::default(),
            metrics: None,
        };
        let router = router(AppState::new(ports, options));
        Self { router, store, assets, ledger, _database: database, _folder: folder }
    }

    /// Another asset each time.
    pub fn asset(&self, turn: usize) -> &str {
        self.assets[turn * 7919 % self.assets.len()].as_str()
    }

    /// `count` assets from all over the archive, others each time.
    pub fn some(&self, turn: usize, count: usize) -> Vec<AssetId> {
        let step = (self.assets.len() / count).max(1);
        let picked = self.assets.iter().skip(turn % step).step_by(step).take(count);
        picked.cloned().collect()
    }

    /// What the database does for these statements: see [`plans`]. `in_order` as the API's filters are asked.
    pub async fn explain(&self, statements: &[String], in_order: bool) -> anyhow::Result<String> {
        match &self.ledger {
            Ledger::Postgres(url) => {
                plans::of_postgres(&mut PgConnection::connect(url).await?, statements, in_order).await
            }
            Ledger::Sqlite(path) => {
                let options = SqliteConnectOptions::new().filename(path);
                plans::of_sqlite(&mut SqliteConnection::connect_with(&options).await?, statements).await
            }
        }
    }
}

/// The statements of a script: `do` blocks contain semicolons, and what ends a line ends a statement.
fn statements(script: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut one = String::new();
    let mut inside = false;
    for line in script.lines().filter(|line| !line.trim_start().starts_with("--")) {
        inside ^= line.matches("$$").count() % 2 == 1;
        one.push_str(line);
        one.push('\n');
        if !inside && line.trim_end().ends_with(';') {
            all.push(std::mem::take(&mut one));
        }
    }
    all
}

/// Pictures are not asked for.
struct Nothing;

#[async_trait]
impl AssetSource for Nothing {
    async fn fetch(&self, _: &str) -> Result<Vec<u8>, FetchError> {
        Ok(Vec::new())
    }
}

/// A search whose words are not looked at.
struct ByNumber {
    catalog: Arc<dyn Catalog>,
    index: Spread,
}

/// An index whose nearest neighbors are spread over the archive.
struct Spread(Arc<Vec<AssetId>>);

#[async_trait]
impl Searcher for ByNumber {
    async fn by_words(&self, _: &str, k: usize, filter: &AssetFilter) -> Result<Hits, SearchError> {
        let space = VectorSpace::picture(&ModelRef::new("bench", "1"));
        let question = Question { space: &space, vector: &[1.0], k, filter, except: None };
        nearest(&*self.catalog, &self.index, question).await
    }

    async fn languages(&self) -> Result<Vec<String>, SearchError> {
        Ok(vec!["en".to_owned()])
    }

    async fn by_asset(&self, asset: &AssetId, k: usize, filter: &AssetFilter) -> Result<Hits, SearchError> {
        let space = VectorSpace::picture(&ModelRef::new("bench", "1"));
        let question = Question { space: &space, vector: &[1.0], k, filter, except: Some(asset) };
        nearest(&*self.catalog, &self.index, question).await
    }

    async fn ping(&self) -> Result<(), SearchError> {
        Ok(())
    }
}

#[async_trait]
impl VectorIndex for Spread {
    async fn search(
        &self,
        _: &VectorSpace,
        _: &[f32],
        k: usize,
        only: Option<&HashSet<AssetId>>,
    ) -> Result<Vec<Neighbor>, IndexError> {
        let neighbor = |(place, asset): (usize, &AssetId)| Neighbor {
            record: asset.to_string(),
            asset: asset.clone(),
            region: None,
            score: 1.0 / (1 + place) as f32,
        };
        Ok(match only {
            Some(only) => only.iter().take(k).enumerate().map(neighbor).collect(),
            // Ids are as good as random, and so is their order.
            None => self.0.iter().skip(fastrand::usize(..1000)).take(k).enumerate().map(neighbor).collect(),
        })
    }

    async fn upsert(&self, _: &[VectorRecord]) -> Result<(), IndexError> {
        Ok(())
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
        Ok(self.0.len() as u64)
    }

    async fn ping(&self) -> Result<(), IndexError> {
        Ok(())
    }
}
