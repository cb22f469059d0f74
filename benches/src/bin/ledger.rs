//! How long the ledger's questions take when it holds a million assets and ten million suggestions.
//!
//!     cargo run --release -p docent-benches --bin ledger [-- ASSETS]
//!
//! Starts a PostgreSQL server of its own in a temporary folder (or uses an empty database at
//! `DOCENT_TEST_POSTGRES_URL`), fills it with `benches/sql/ledger.sql`, asks, and prints the plans that were used.

#![allow(clippy::print_stdout, reason = "a measurement prints what it measured")]

use std::time::{Duration, Instant};

use docent::queue::Lane;
use docent::store::{
    AssetFilter, Catalog, LeaseRequest, Ledger, Page, PlaceFilter, PostgresOptions, PostgresStore, Requeue,
    Reviews, SuggestionFilter, Wanted,
};
use docent_models::ModelRef;
use docent_pipelines::{AnalyzerId, AssetId, Kind, Status};
use docent_tests::servers::Database;
use sqlx::{Connection, PgConnection, Row};

/// Each question is asked so often, with other values each time.
const TIMES: usize = 200;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let assets: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let database = Database::new().await?;
    let options = PostgresOptions { connections: 4 };
    let store = PostgresStore::connect(database.url(), options).await?;
    let mut connection = PgConnection::connect(database.url()).await?;
    let filling = Instant::now();
    let script = include_str!("../../sql/ledger.sql").replace("$assets$", &assets.to_string());
    for statement in statements(&script) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await?;
    }
    let size: String = sqlx::query_scalar("select pg_size_pretty(pg_database_size(current_database()))")
        .fetch_one(&mut connection)
        .await?;
    println!("{assets} assets, {} suggestions, {size}, filled in {:.0?}", assets * 10, filling.elapsed());

    let mut random = fastrand::Rng::with_seed(7);
    let wanted = wanted();
    let pending = SuggestionFilter { status: Some(Status::Pending), ..SuggestionFilter::default() };
    let page = |after: Option<String>| Page { limit: 50, after };
    // Anywhere in the archive: a cursor is a row's place, and every row has one.
    let cursors: Vec<String> = (0..TIMES)
        .map(|_| {
            let i = random.u64(1..=assets);
            let at = 1_700_000_000_000 + (i / 40) * 1000;
            serde_json::json!([at.to_string(), format!("{:032x}", random.u128(..)), "0", "0.5", ""])
                .to_string()
        })
        .collect();

    let mut report = Report::default();
    for cursor in &cursors {
        let filter = SuggestionFilter::default();
        report.time("review listing, first page", store.suggestions(&pending, &page(None))).await?;
        let after = page(Some(cursor.clone()));
        report.time("review listing, any page", store.suggestions(&pending, &after)).await?;
        report.time("review listing, any page, any status", store.suggestions(&filter, &after)).await?;
        let kind = SuggestionFilter { kind: Some(Kind::Object), ..pending.clone() };
        report.time("review listing, any page, one kind", store.suggestions(&kind, &after)).await?;
        let sure = SuggestionFilter { min_confidence: Some(0.9), ..pending.clone() };
        report.time("review listing, any page, sure ones", store.suggestions(&sure, &after)).await?;
        let folder = format!("file:///archive/{}", random.u64(0..=assets / 10_000));
        let below = SuggestionFilter {
            place: PlaceFilter { uri_prefix: Some(folder), owner: None },
            ..pending.clone()
        };
        let first = page(None);
        report.time("review listing, first page, one folder", store.suggestions(&below, &first)).await?;
        let nothing_left = SuggestionFilter { status: Some(Status::Superseded), ..below.clone() };
        report
            .time("review listing, a folder with nothing left", store.suggestions(&nothing_left, &first))
            .await?;
        report.time("count of pending suggestions, one folder", store.count_suggestions(&below)).await?;
        let value = Some(format!("thing {}", random.u32(0..2000)));
        let of_value = SuggestionFilter { value: value.clone(), ..pending.clone() };
        report
            .time("review listing, first page, one value", store.suggestions(&of_value, &page(None)))
            .await?;
        report.time("counts of everything", store.counts(&wanted)).await?;
        report.time("count of pending suggestions", store.count_suggestions(&pending)).await?;
        report.time("asset page, any tag", store.list_assets(&AssetFilter::default(), &page(None))).await?;
        report.time("failures, first page", store.failures(&page(None))).await?;
        let request = LeaseRequest {
            owner: "bench".to_owned(),
            limit: 64,
            duration: Duration::from_secs(60),
            lane: Some(Lane::Backfill),
            wanted: wanted.clone(),
        };
        let jobs = report.time("feeder page of 64, leased", store.lease(&request)).await?;
        assert_eq!(jobs.len(), 64, "there is enough to lease");
        store.hand_back_all("bench").await?;
        let id: AssetId = jobs[0].asset.clone();
        report.time("stale work of one asset", store.requeue(Requeue::Stale, &wanted, Some(&[id]))).await?;
        let stale = stale_page(&mut connection, random.u128(..));
        report.time("stale query, a page of 1000", stale).await?;
    }
    report.print();
    plans(database.url(), &store, &pending, &cursors[0], &wanted).await?;
    store.close().await;
    Ok(())
}

/// The ledger's statement for stale work, without its change.
const STALE: &str = "select asset_id from work where analyzer = $1 and state = 'done' and model < $2
     and asset_id > $3 order by model, asset_id limit 1000";

async fn stale_page(connection: &mut PgConnection, after: u128) -> anyhow::Result<Vec<String>> {
    // Of one half of the ids at least, so that there is a page.
    let after = format!("{:032x}", after / 2);
    Ok(sqlx::query_scalar(STALE).bind("tags").bind("tags-model@2").bind(after).fetch_all(connection).await?)
}

fn wanted() -> Wanted {
    [
        AnalyzerId::Decode,
        AnalyzerId::Tags,
        AnalyzerId::Objects,
        AnalyzerId::Faces,
        AnalyzerId::Text,
        AnalyzerId::Caption,
        AnalyzerId::Embedding,
    ]
    .map(|id| (id, ModelRef::new(format!("{}-model", id.as_str()), "2")))
    .into()
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

/// Times by question, in the order they were first asked.
#[derive(Default)]
struct Report(Vec<(&'static str, Vec<f64>)>);

impl Report {
    async fn time<T, E>(
        &mut self,
        what: &'static str,
        question: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let start = Instant::now();
        let answer = question.await?;
        let took = start.elapsed().as_secs_f64() * 1000.0;
        match self.0.iter_mut().find(|(name, _)| *name == what) {
            Some((_, times)) => times.push(took),
            None => self.0.push((what, vec![took])),
        }
        Ok(answer)
    }

    fn print(&mut self) {
        println!("{:<42} {:>9} {:>9} {:>9}", "milliseconds", "median", "p95", "worst");
        for (what, times) in &mut self.0 {
            let [median, p95, worst] = [0.5, 0.95, 1.0].map(|q| docent_benches::quantile(times, q));
            println!("{what:<42} {median:>9.2} {p95:>9.2} {worst:>9.2}");
        }
    }
}

/// Lets the server write down the plans of the questions themselves, and prints them.
async fn plans(
    url: &str,
    store: &PostgresStore,
    pending: &SuggestionFilter,
    cursor: &str,
    wanted: &Wanted,
) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    // The same statements as the store's, explained on a connection of our own.
    let statements = [
        (
            "review listing, any page",
            "explain select id from suggestion s where s.status = 'pending'
             and (-s.asset_at, s.asset_id, s.kind_order, -s.confidence, s.id)
                 > (-1700010000000, '8', 0, -0.5, '')
             order by -s.asset_at, s.asset_id, s.kind_order, -s.confidence, s.id limit 51",
        ),
        (
            "review listing, one kind",
            "explain select id from suggestion s where s.status = 'pending' and s.kind_order = 2
             and (-s.asset_at, s.asset_id, s.kind_order, -s.confidence, s.id)
                 > (-1700010000000, '8', 0, -0.5, '')
             order by -s.asset_at, s.asset_id, s.kind_order, -s.confidence, s.id limit 51",
        ),
        (
            "review listing, the assets of one folder",
            "explain select p.asset_at, p.asset_id from asset_path p
             where p.uri >= 'file:///archive/42' and p.uri < 'file:///archive/420'
             and (p.uri = 'file:///archive/42' or p.uri >= 'file:///archive/42/')
             order by -p.asset_at, p.asset_id limit 64",
        ),
        (
            "counts of everything",
            "explain select what, a, b, c, sum(delta)::bigint from tally group by what, a, b, c",
        ),
        (
            "feeder page",
            "explain select id from asset a where lane = 1 and due = 'caption,decode,embedding,faces,objects,tags,text'
             and due is not null and lease_until is null
             order by suspect, lost_alone, created_at, id limit 64 for update skip locked",
        ),
        (
            "stale query",
            "explain select asset_id from work where analyzer = 'tags' and state = 'done'
             and model < 'tags-model@2' and asset_id > '4' order by model, asset_id limit 1000",
        ),
    ];
    for (what, statement) in statements {
        println!("\n{what}:");
        for row in sqlx::query(statement).fetch_all(&mut connection).await? {
            println!("    {}", row.try_get::<String, _>(0)?);
        }
    }
    // The store still answers after all this.
    let page = Page { limit: 50, after: Some(cursor.to_owned()) };
    let rows = store.suggestions(pending, &page).await?.rows.len();
    println!("\n{rows} rows on a page, {} analyzers", store.counts(wanted).await?.analyzers.len());
    Ok(())
}
