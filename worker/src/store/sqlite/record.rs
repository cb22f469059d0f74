//! Recorded runs, written together: a statement for each table, however many runs there are. Each one is a round trip to
//! the database's thread.

use std::collections::HashMap;

use docent_pipelines::suggestion::Claim;
use docent_pipelines::vocabulary::{TermId, Vocabulary};
use docent_pipelines::{Confidence, Suggestion};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, Transaction};

use super::due::due_columns;
use super::erase::absent;
use super::identity::turn;
use super::matches::give_way;
use super::outbox::tell_recorded;
use super::succession::carry_over;
use super::terms::vocabulary_in;
use super::texts::keep_texts;
use super::{SqliteStore, fault, get, now, region};
use crate::store::codec::{corrupt, json_array, kind_order, text, vector_bytes};
use crate::store::recording::{Settled, blind, pair, rounds, settled, texts, translated, unanswered};
use crate::store::{Finished, PictureFacts, Recorded, StoreError};

const OPERATION: &str = "record runs";

/// What the ledger knows of the asset of a run, and the run's number.
struct Place {
    asset_at: i64,
    /// Its first answer was lost, and it is still one run.
    repeated: bool,
    run_id: i64,
}

type Places = HashMap<String, Place>;
type Tx<'t> = Transaction<'t, Sqlite>;

impl SqliteStore {
    pub(super) async fn record_runs(&self, runs: &[Finished]) -> Result<Vec<Recorded>, StoreError> {
        let mut recorded = Vec::with_capacity(runs.len());
        let mut tx = self.begin(OPERATION).await?;
        let known = vocabulary_in(self, &mut tx).await?;
        for runs in rounds(runs) {
            recorded.extend(record(&mut tx, runs, &known, now()).await?);
        }
        tx.commit().await.map_err(fault(OPERATION))?;
        Ok(recorded)
    }
}

async fn record(
    tx: &mut Tx<'_>,
    runs: &[Finished],
    known: &Vocabulary,
    now: i64,
) -> Result<Vec<Recorded>, StoreError> {
    let failed = fault(OPERATION);
    let assets = json_array(runs.iter().map(|finished| &finished.run.asset));
    let places = places(tx, runs, &assets, now).await?;
    turn(tx, runs).await?;
    settle(tx, runs, &places, now).await.map_err(failed)?;
    let recorded = suggest(tx, runs, &places, &assets, known, now).await?;
    write_vectors(tx, runs, &assets).await.map_err(failed)?;
    carry_over(tx, runs, now).await?;
    end(tx, runs, now).await.map_err(failed)?;
    let repeated =
        |finished: &Finished| places.get(finished.run.asset.as_str()).is_some_and(|place| place.repeated);
    tell_recorded(tx, runs, &recorded, repeated, now).await.map_err(failed)?;
    Ok(recorded)
}

/// Enters the runs.
async fn places(tx: &mut Tx<'_>, runs: &[Finished], assets: &str, now: i64) -> Result<Places, StoreError> {
    let failed = fault(OPERATION);
    let rows = sqlx::query(
        "select id, created_at, run_began, (select max(r.id) from run r where r.asset_id = asset.id) as former
         from asset where id in (select value from json_each($1))",
    )
    .bind(assets)
    .fetch_all(&mut **tx)
    .await
    .map_err(failed)?;
    let mut places = Places::with_capacity(runs.len());
    for row in &rows {
        let former: Option<i64> = get(row, "former")?;
        let repeated = get::<i64>(row, "run_began")? == 0;
        let place = Place {
            asset_at: get(row, "created_at")?,
            repeated,
            run_id: former.filter(|_| repeated).unwrap_or(0),
        };
        places.insert(get(row, "id")?, place);
    }
    let mut fresh = Vec::new();
    for Finished { run, analysis, .. } in runs {
        let asset = run.asset.as_str();
        let Some(place) = places.get(asset) else { return Err(absent(&mut **tx, &run.asset).await) };
        if place.run_id == 0 {
            let models = serde_json::to_string(&analysis.completed).unwrap_or_default();
            fresh.push(json!({ "asset": asset, "owner": run.owner, "models": models }));
        }
    }
    if !fresh.is_empty() {
        let entered: Vec<SqliteRow> = sqlx::query(
            "insert into run (asset_id, owner, finished_at, models)
             select value ->> 'asset', value ->> 'owner', $2, value ->> 'models' from json_each($1)
             returning id, asset_id",
        )
        .bind(Value::from(fresh).to_string())
        .bind(now)
        .fetch_all(&mut **tx)
        .await
        .map_err(failed)?;
        for row in &entered {
            if let Some(place) = places.get_mut(&get::<String>(row, "asset_id")?) {
                place.run_id = get(row, "id")?;
            }
        }
    }
    Ok(places)
}

/// Settles the work rows.
async fn settle(tx: &mut Tx<'_>, runs: &[Finished], places: &Places, now: i64) -> Result<(), sqlx::Error> {
    let rows = runs.iter().flat_map(|Finished { run, outcomes, .. }| {
        let asset = run.asset.as_str();
        let counted = places.get(asset).is_none_or(|place| !place.repeated);
        settled(outcomes, now).map(move |Settled { outcome, state, not_before, failure }| {
            json!({
                "asset": asset, "analyzer": outcome.analyzer.as_str(), "state": state,
                "model": outcome.model.to_string(), "counted": i64::from(counted), "not_before": not_before,
                "kind": failure.map(|f| f.kind.as_str()), "reason": failure.map(|f| text(&f.reason)),
            })
        })
    });
    sqlx::query(
        "insert into work (asset_id, analyzer, state, model, attempts, not_before, failure_kind, reason, updated_at)
         select value ->> 'asset', value ->> 'analyzer', value ->> 'state', value ->> 'model', value ->> 'counted',
                value ->> 'not_before', value ->> 'kind', value ->> 'reason', $2
         from json_each($1) where true
         on conflict do update set state = excluded.state, model = excluded.model,
             attempts = attempts + excluded.attempts, not_before = excluded.not_before,
             failure_kind = excluded.failure_kind, reason = excluded.reason, updated_at = excluded.updated_at",
    )
    .bind(Value::from_iter(rows).to_string())
    .bind(now)
    .execute(&mut **tx)
    .await?;
    let blind = blind(runs, now);
    if !blind.waiting.is_empty() {
        let waiting = blind.waiting.iter().map(|(asset, at)| json!({ "asset": asset, "at": at }));
        sqlx::query(
            "update work set not_before = w.at
             from (select value ->> 'asset' as asset, value ->> 'at' as at from json_each($1)) w
             where work.asset_id = w.asset and work.state = 'pending'",
        )
        .bind(Value::from_iter(waiting).to_string())
        .execute(&mut **tx)
        .await?;
    }
    if !blind.failed.is_empty() {
        sqlx::query(
            "update work set state = 'blocked', not_before = 0
             where asset_id in (select value from json_each($1)) and state = 'pending'",
        )
        .bind(json_array(&blind.failed))
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Replaces the pending suggestions of the completed analyzers; decided ones stay and answer what repeats them.
async fn suggest(
    tx: &mut Tx<'_>,
    runs: &[Finished],
    places: &Places,
    assets: &str,
    known: &Vocabulary,
    now: i64,
) -> Result<Vec<Recorded>, StoreError> {
    let failed = fault(OPERATION);
    let decided = decided(tx, assets, known).await?;
    let mut rows = Vec::new();
    let mut raised: Vec<&Suggestion> = Vec::new();
    let mut recorded = Vec::with_capacity(runs.len());
    let said = translated(runs, known);
    for (Finished { run, .. }, said) in runs.iter().zip(&said) {
        let asset = run.asset.as_str();
        let (counts, of_run) = unanswered(said, decided.get(asset).map_or(&[], Vec::as_slice));
        recorded.push(counts);
        rows.extend(of_run.iter().map(|suggestion| row(asset, suggestion, places.get(asset))));
        raised.extend(of_run);
    }
    sqlx::query(
        "insert into suggestion (id, asset_id, analyzer, kind, value, confidence, region_x, region_y, region_width,
             region_height, status, model, run_id, created_at, asset_at, kind_order, implies, term_id)
         select value ->> 'id', value ->> 'asset', value ->> 'analyzer', value ->> 'kind', value ->> 'value',
                value ->> 'confidence', value ->> 'x', value ->> 'y', value ->> 'width', value ->> 'height',
                'pending', value ->> 'model', value ->> 'run', $2, value ->> 'asset_at', value ->> 'order',
                value ->> 'implies', value ->> 'term'
         from json_each($1) where true
         on conflict do update set confidence = excluded.confidence, model = excluded.model,
             analyzer = excluded.analyzer, run_id = excluded.run_id, implies = excluded.implies,
             term_id = excluded.term_id, status = 'pending'
         where status in ('pending', 'superseded')",
    )
    .bind(Value::from(rows).to_string())
    .bind(now)
    .execute(&mut **tx)
    .await
    .map_err(failed)?;
    keep_texts(tx, texts(&raised)).await.map_err(failed)?;
    let completed = runs.iter().flat_map(|Finished { run, analysis, .. }| {
        analysis.completed.keys().map(|analyzer| pair(run.asset.as_str(), analyzer.as_str()))
    });
    let superseded: Vec<String> = sqlx::query_scalar(
        "update suggestion set status = 'superseded'
         where asset_id in (select value from json_each($1)) and status = 'pending'
           and asset_id || ' ' || analyzer in (select value from json_each($2))
           and id not in (select value from json_each($3))
         returning asset_id",
    )
    .bind(assets)
    .bind(json_array(completed))
    .bind(json_array(raised.iter().map(|suggestion| &suggestion.id)))
    .fetch_all(&mut **tx)
    .await
    .map_err(failed)?;
    give_way(tx, &raised).await?;
    for (finished, counts) in runs.iter().zip(&mut recorded) {
        let own = superseded.iter().filter(|asset| *asset == finished.run.asset.as_str());
        counts.superseded = own.count() as u64;
    }
    Ok(recorded)
}

fn row(asset: &str, suggestion: &Suggestion, place: Option<&Place>) -> Value {
    let region = suggestion.region;
    json!({
        "id": suggestion.id, "asset": asset, "analyzer": suggestion.analyzer.as_str(),
        "kind": suggestion.kind.as_str(), "value": text(&suggestion.value),
        "confidence": suggestion.confidence.value(),
        "x": region.map(|r| r.x), "y": region.map(|r| r.y),
        "width": region.map(|r| r.width), "height": region.map(|r| r.height),
        "model": suggestion.model.to_string(), "order": kind_order(suggestion.kind),
        "term": suggestion.term,
        "implies": Some(&suggestion.implies).filter(|implies| !implies.is_empty()),
        "run": place.map(|place| place.run_id), "asset_at": place.map(|place| place.asset_at),
    })
}

/// What was decided of these assets.
async fn decided(
    tx: &mut Tx<'_>,
    assets: &str,
    known: &Vocabulary,
) -> Result<HashMap<String, Vec<Claim>>, StoreError> {
    let rows = sqlx::query(
        "select asset_id, kind, value, term_id, confidence, region_x, region_y, region_width, region_height from suggestion
         where asset_id in (select value from json_each($1)) and status in ('accepted', 'rejected')",
    )
    .bind(assets)
    .fetch_all(&mut **tx)
    .await
    .map_err(fault(OPERATION))?;
    let mut decided: HashMap<String, Vec<Claim>> = HashMap::new();
    for row in &rows {
        let claim = Claim {
            kind: get::<String>(row, "kind")?.parse().map_err(corrupt("kind"))?,
            value: value(row, known)?,
            confidence: Confidence::new(get(row, "confidence")?),
            region: region(row)?,
            implies: Vec::new(),
        };
        decided.entry(get(row, "asset_id")?).or_default().push(claim);
    }
    Ok(decided)
}

/// What was decided, by the name that its term has now.
fn value(row: &SqliteRow, known: &Vocabulary) -> Result<String, StoreError> {
    let term = get::<Option<String>>(row, "term_id")?.and_then(|id| TermId::try_from(id).ok());
    match term.and_then(|id| known.term(&id)) {
        Some(term) => Ok(known.tag(term).to_owned()),
        None => get(row, "value"),
    }
}

/// Overwrites the vectors in the spaces of the completed analyzers; each gets a new sequence number. Those of other
/// models stay until their space is dropped.
async fn write_vectors(tx: &mut Tx<'_>, runs: &[Finished], assets: &str) -> Result<(), sqlx::Error> {
    let spaces: Vec<String> = runs
        .iter()
        .flat_map(|Finished { run, analysis, .. }| {
            analysis.spaces.iter().map(|space| pair(run.asset.as_str(), space.as_str()))
        })
        .collect();
    if !spaces.is_empty() {
        sqlx::query(
            "delete from vector where asset_id in (select value from json_each($1))
             and asset_id || ' ' || space in (select value from json_each($2))",
        )
        .bind(assets)
        .bind(json_array(spaces))
        .execute(&mut **tx)
        .await?;
    }
    // JSON has no bytes: those of all vectors are one value, of which each row takes its part.
    let (mut rows, mut values) = (Vec::new(), Vec::new());
    for Finished { run, analysis, .. } in runs {
        for vector in &analysis.vectors {
            let (region, data) = (vector.region, vector_bytes(&vector.values));
            rows.push(json!({
                "id": vector.id, "asset": run.asset, "space": vector.space.as_str(),
                "x": region.map(|r| r.x), "y": region.map(|r| r.y),
                "width": region.map(|r| r.width), "height": region.map(|r| r.height),
                // Counted from 1.
                "at": values.len() + 1, "bytes": data.len(),
            }));
            values.extend(data);
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert or replace into vector (id, asset_id, space, region_x, region_y, region_width, region_height, data)
         select value ->> 'id', value ->> 'asset', value ->> 'space', value ->> 'x', value ->> 'y',
                value ->> 'width', value ->> 'height', substr($2, value ->> 'at', value ->> 'bytes')
         from json_each($1)",
    )
    .bind(Value::from(rows).to_string())
    .bind(values)
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Notes the pictures' sizes and ends the leases.
async fn end(tx: &mut Tx<'_>, runs: &[Finished], now: i64) -> Result<(), sqlx::Error> {
    let rows = runs.iter().map(|Finished { run, .. }| {
        let picture = run.picture.as_ref();
        json!({
            "asset": run.asset, "width": picture.map(|p| p.width), "height": picture.map(|p| p.height),
            "format": picture.map(|p| p.format), "tolerated": picture.map(PictureFacts::tolerated),
            "orientation": picture.map(|p| p.orientation),
        })
    });
    let sql = format!(
        "update asset set width = coalesce(r.width, asset.width), height = coalesce(r.height, asset.height),
             format = coalesce(r.format, asset.format), tolerated = coalesce(r.tolerated, asset.tolerated),
             orientation = coalesce(r.orientation, asset.orientation), lease_owner = null, lease_until = null, run_began = 0,
             run_alone = 0, suspect = 0, lost_alone = 0, {}
         from (select value ->> 'asset' as id, value ->> 'width' as width, value ->> 'height' as height,
                      value ->> 'format' as format, value ->> 'tolerated' as tolerated,
                      value ->> 'orientation' as orientation from json_each($1)) r
         where asset.id = r.id",
        due_columns(2)
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(Value::from_iter(rows).to_string())
        .bind(now)
        .execute(&mut **tx)
        .await
        .map(drop)
}
