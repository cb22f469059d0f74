//! What a database does for the statements that were really sent to it.
//!
//! `seek`: every large table is reached over an index. `scan`: one is read from its beginning, and which.

use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{AssertSqlSafe, PgConnection, Row, SqliteConnection};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Tables that grow with the archive.
const LARGE: [&str; 8] = ["asset", "asset_path", "work", "suggestion", "review", "run", "vector", "job_item"];

/// Listens to the statements that this process sends.
#[derive(Clone)]
pub struct Plans(Arc<Mutex<Vec<String>>>);

impl Plans {
    pub fn listen() -> Self {
        let plans = Self(Arc::default());
        let only = EnvFilter::new("off,sqlx::query=debug");
        tracing_subscriber::registry().with(plans.clone().with_filter(only)).init();
        plans
    }

    /// Begins again.
    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The statements since, each once.
    pub fn heard(&self) -> Vec<String> {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        heard.sort();
        heard.dedup();
        heard
    }
}

impl<S: tracing::Subscriber> Layer<S> for Plans {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut statement = Statement::default();
        event.record(&mut statement);
        let text = if statement.whole.trim().is_empty() { statement.summary } else { statement.whole };
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Enough for one question; asked often, it would be a great many.
        if heard.len() < 200 {
            heard.push(text.trim().to_owned());
        }
    }
}

#[derive(Default)]
struct Statement {
    summary: String,
    whole: String,
}

impl Visit for Statement {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => self.summary = value.to_owned(),
            "db.statement" => self.whole = value.to_owned(),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// Whether it can be explained, which executes nothing.
fn is_question(statement: &str) -> bool {
    ["select", "with", "insert", "update", "delete"].iter().any(|word| statement.starts_with(word))
        && !statement.contains("set_config")
}

fn verdict(mut scans: Vec<String>) -> String {
    scans.sort();
    scans.dedup();
    if scans.is_empty() { "seek".to_owned() } else { format!("scan of {}", scans.join(", ")) }
}

/// The plans that PostgreSQL makes without knowing the values; `in_order` as the store asks where it lists and counts.
pub async fn of_postgres(
    connection: &mut PgConnection,
    statements: &[String],
    in_order: bool,
) -> anyhow::Result<String> {
    sqlx::raw_sql("set plan_cache_mode = force_generic_plan").execute(&mut *connection).await?;
    if in_order {
        sqlx::raw_sql(
            "set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off;
             set max_parallel_workers_per_gather = 0",
        )
        .execute(&mut *connection)
        .await?;
    }
    let mut scans = Vec::new();
    for (number, statement) in statements.iter().filter(|statement| is_question(statement)).enumerate() {
        let parameters = (1..).take_while(|n| statement.contains(&format!("${n}"))).count();
        let values = vec!["null"; parameters].join(", ");
        let values = if parameters == 0 { String::new() } else { format!("({values})") };
        sqlx::raw_sql(AssertSqlSafe(format!("prepare q{number} as {statement}")))
            .execute(&mut *connection)
            .await?;
        let plan = sqlx::raw_sql(AssertSqlSafe(format!("explain execute q{number}{values}")))
            .fetch_all(&mut *connection)
            .await?;
        for row in plan {
            let line: String = row.try_get(0)?;
            if let Some((_, rest)) = line.split_once("Seq Scan on ") {
                let table = rest.split_whitespace().next().unwrap_or_default();
                scans.extend(LARGE.contains(&table).then(|| table.to_owned()));
            }
        }
    }
    Ok(verdict(scans))
}

/// The plans of SQLite, which does not look at values.
pub async fn of_sqlite(connection: &mut SqliteConnection, statements: &[String]) -> anyhow::Result<String> {
    let mut scans = Vec::new();
    for statement in statements.iter().filter(|statement| is_question(statement)) {
        let explain = AssertSqlSafe(format!("explain query plan {statement}"));
        for row in sqlx::query(explain).fetch_all(&mut *connection).await? {
            let line: String = row.try_get("detail")?;
            // Over an index it is a walk in the order of the listing, which its limit ends.
            if line.starts_with("SCAN ") && !line.contains(" USING ") {
                let table = line.split_whitespace().nth(1).unwrap_or_default();
                let short = [("a", "asset"), ("s", "suggestion"), ("p", "asset_path"), ("w", "work")];
                let name = short.iter().find(|(alias, _)| *alias == table).map_or(table, |(_, name)| name);
                scans.extend(LARGE.contains(&name).then(|| name.to_owned()));
            }
        }
    }
    Ok(verdict(scans))
}
