//! Recorded runs, written together: a statement for each table, however many runs there are.

use std::collections::{BTreeMap, HashMap};

use docent_pipelines::suggestion::Claim;
use docent_pipelines::vocabulary::{TermId, Vocabulary};
use docent_pipelines::{Analysis, AnalyzerId, Confidence, Region, Suggestion, VectorRecord};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Postgres, Transaction};

use super::due::due_columns;
use super::erase::absent;
use super::identity::turn;
use super::matches::give_way;
use super::outbox::tell_recorded;
use super::succession::carry_over;
use super::terms::vocabulary_in;
use super::texts::keep_texts;
use super::{PostgresStore, fault, get, region, text};
use crate::store::codec::{corrupt, kind_order, vector_bytes};
use crate::store::recording::{Settled, blind, rounds, settled, texts, translated, unanswered};
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
type Tx<'t> = Transaction<'t, Postgres>;

impl PostgresStore {
    pub(super) async fn record_runs(&self, runs: &[Finished]) -> Result<Vec<Recorded>, StoreError> {
        let mut recorded = Vec::with_capacity(runs.len());
        let (mut tx, now) = self.begin(OPERATION).await?;
        // All at once and in order, whoever else records some of them.
        sqlx::query("select 1 from asset where id = any($1::text[]) order by id for update")
            .bind(assets(runs))
            .execute(&mut *tx)
            .await
            .map_err(fault(OPERATION))?;
        let known = vocabulary_in(self, &mut tx).await?;
        for runs in rounds(runs) {
            recorded.extend(record(&mut tx, runs, &known, now).await?);
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
    let places = places(tx, runs, now).await?;
    turn(tx, runs).await?;
    settle(tx, runs, &places, now).await.map_err(failed)?;
    let recorded = suggest(tx, runs, &places, known, now).await?;
    write_vectors(tx, runs).await.map_err(failed)?;
    carry_over(tx, runs, now).await?;
    end(tx, runs, now).await.map_err(failed)?;
    let repeated =
        |finished: &Finished| places.get(finished.run.asset.as_str()).is_some_and(|place| place.repeated);
    tell_recorded(tx, runs, &recorded, repeated, now).await.map_err(failed)?;
    Ok(recorded)
}

fn assets(runs: &[Finished]) -> Vec<&str> {
    runs.iter().map(|finished| finished.run.asset.as_str()).collect()
}

/// Enters the runs.
async fn places(tx: &mut Tx<'_>, runs: &[Finished], now: i64) -> Result<Places, StoreError> {
    let failed = fault(OPERATION);
    let rows = sqlx::query(
        "select id, created_at, run_began,
             case when not run_began then (select max(r.id) from run r where r.asset_id = asset.id) end as former
         from asset where id = any($1::text[])",
    )
    .bind(assets(runs))
    .fetch_all(&mut **tx)
    .await
    .map_err(failed)?;
    let mut places = Places::with_capacity(runs.len());
    for row in &rows {
        let place = Place {
            asset_at: get(row, "created_at")?,
            repeated: !get::<bool>(row, "run_began")?,
            run_id: get::<Option<i64>>(row, "former")?.unwrap_or(0),
        };
        places.insert(get(row, "id")?, place);
    }
    let (mut of, mut owners, mut by) = (Vec::new(), Vec::new(), Vec::new());
    for Finished { run, analysis, .. } in runs {
        let asset = run.asset.as_str();
        let Some(place) = places.get(asset) else { return Err(absent(&mut **tx, &run.asset).await) };
        if place.run_id == 0 {
            of.push(asset);
            owners.push(run.owner.as_str());
            by.push(Json(models(analysis)));
        }
    }
    if !of.is_empty() {
        let entered: Vec<PgRow> = sqlx::query(
            "insert into run (asset_id, owner, finished_at, models)
             select r.asset, r.owner, $4, r.models
             from unnest($1::text[], $2::text[], $3::jsonb[]) r (asset, owner, models)
             returning id, asset_id",
        )
        .bind(&of)
        .bind(&owners)
        .bind(&by)
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
    let rows: Vec<(&str, i64, Settled<'_>)> = runs
        .iter()
        .flat_map(|Finished { run, outcomes, .. }| {
            let asset = run.asset.as_str();
            let counted = places.get(asset).is_none_or(|place| !place.repeated);
            settled(outcomes, now).map(move |settled| (asset, i64::from(counted), settled))
        })
        .collect();
    let column = |of: fn(&Settled<'_>) -> String| rows.iter().map(|row| of(&row.2)).collect::<Vec<String>>();
    sqlx::query(
        "insert into work as w (asset_id, analyzer, state, model, attempts, not_before, failure_kind, reason,
             updated_at)
         select o.asset, o.analyzer, o.state, o.model, o.counted, o.not_before, o.kind, o.reason, $9
         from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[],
                     $8::text[])
             o (asset, analyzer, state, model, counted, not_before, kind, reason)
         on conflict (asset_id, analyzer) do update set state = excluded.state, model = excluded.model,
             attempts = w.attempts + excluded.attempts, not_before = excluded.not_before,
             failure_kind = excluded.failure_kind, reason = excluded.reason, updated_at = excluded.updated_at",
    )
    .bind(rows.iter().map(|row| row.0).collect::<Vec<&str>>())
    .bind(column(|s| s.outcome.analyzer.as_str().to_owned()))
    .bind(column(|s| s.state.to_owned()))
    .bind(column(|s| s.outcome.model.to_string()))
    .bind(rows.iter().map(|row| row.1).collect::<Vec<i64>>())
    .bind(rows.iter().map(|row| row.2.not_before).collect::<Vec<i64>>())
    .bind(rows.iter().map(|row| row.2.failure.map(|f| f.kind.as_str())).collect::<Vec<Option<&str>>>())
    .bind(rows.iter().map(|row| row.2.failure.map(|f| text(&f.reason))).collect::<Vec<Option<String>>>())
    .bind(now)
    .execute(&mut **tx)
    .await?;
    let blind = blind(runs, now);
    if !blind.waiting.is_empty() {
        let (assets, at): (Vec<&str>, Vec<i64>) = blind.waiting.into_iter().unzip();
        sqlx::query(
            "update work set not_before = w.at from unnest($1::text[], $2::bigint[]) w (asset, at)
             where work.asset_id = w.asset and work.state = 'pending'",
        )
        .bind(assets)
        .bind(at)
        .execute(&mut **tx)
        .await?;
    }
    if !blind.failed.is_empty() {
        sqlx::query(
            "update work set state = 'blocked', not_before = 0
             where asset_id = any($1::text[]) and state = 'pending'",
        )
        .bind(blind.failed)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// A suggestion that is raised, with its asset and its place.
type Raised<'a> = (&'a str, &'a Suggestion);

/// Replaces the pending suggestions of the completed analyzers; decided ones stay and answer what repeats them.
async fn suggest(
    tx: &mut Tx<'_>,
    runs: &[Finished],
    places: &Places,
    known: &Vocabulary,
    now: i64,
) -> Result<Vec<Recorded>, StoreError> {
    let failed = fault(OPERATION);
    let decided = decided(tx, runs, known).await?;
    let mut raised: Vec<Raised<'_>> = Vec::new();
    let mut recorded = Vec::with_capacity(runs.len());
    let said = translated(runs, known);
    for (Finished { run, .. }, said) in runs.iter().zip(&said) {
        let asset = run.asset.as_str();
        let (counts, of_run) = unanswered(said, decided.get(asset).map_or(&[], Vec::as_slice));
        recorded.push(counts);
        raised.extend(of_run.into_iter().map(|suggestion| (asset, suggestion)));
    }
    let all = |of: fn(&Suggestion) -> String| raised.iter().map(|r| of(r.1)).collect::<Vec<String>>();
    let side =
        |of: fn(Region) -> f64| raised.iter().map(|r| r.1.region.map(of)).collect::<Vec<Option<f64>>>();
    let place =
        |of: fn(&Place) -> i64| raised.iter().map(|r| places.get(r.0).map_or(0, of)).collect::<Vec<i64>>();
    let ids = all(|s| s.id.to_string());
    sqlx::query(
        "insert into suggestion as s (id, asset_id, analyzer, kind, value, confidence, region_x, region_y,
             region_width, region_height, model, kind_order, status, run_id, created_at, asset_at, implies, term_id)
         select n.id, n.asset, n.analyzer, n.kind, n.value, n.confidence, n.x, n.y, n.width, n.height, n.model,
             n.kind_order, 'pending', n.run, $15, n.asset_at, n.implies, n.term
         from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::float8[],
             $8::float8[], $9::float8[], $10::float8[], $11::text[], $12::bigint[], $13::bigint[], $14::bigint[],
             $16::jsonb[], $17::text[])
             n (id, asset, analyzer, kind, value, confidence, x, y, width, height, model, kind_order, run, asset_at,
                implies, term)
         on conflict (id) do update set confidence = excluded.confidence, model = excluded.model,
             analyzer = excluded.analyzer, run_id = excluded.run_id, implies = excluded.implies,
             term_id = excluded.term_id, status = 'pending'
         where s.status in ('pending', 'superseded')",
    )
    .bind(&ids)
    .bind(raised.iter().map(|r| r.0).collect::<Vec<&str>>())
    .bind(all(|s| s.analyzer.as_str().to_owned()))
    .bind(all(|s| s.kind.as_str().to_owned()))
    .bind(all(|s| text(&s.value)))
    .bind(raised.iter().map(|r| r.1.confidence.value()).collect::<Vec<f64>>())
    .bind(side(|r| r.x))
    .bind(side(|r| r.y))
    .bind(side(|r| r.width))
    .bind(side(|r| r.height))
    .bind(all(|s| s.model.to_string()))
    .bind(raised.iter().map(|r| kind_order(r.1.kind)).collect::<Vec<i64>>())
    .bind(place(|place| place.run_id))
    .bind(place(|place| place.asset_at))
    .bind(now)
    .bind(raised.iter().map(|r| implied(r.1)).collect::<Vec<Option<Json<&[String]>>>>())
    .bind(raised.iter().map(|r| r.1.term.as_ref().map(TermId::as_str)).collect::<Vec<Option<&str>>>())
    .execute(&mut **tx)
    .await
    .map_err(failed)?;
    let suggestions: Vec<&Suggestion> = raised.iter().map(|r| r.1).collect();
    keep_texts(tx, texts(&suggestions)).await.map_err(failed)?;
    let (of, by): (Vec<&str>, Vec<&str>) = runs
        .iter()
        .flat_map(|Finished { run, analysis, .. }| {
            analysis.completed.keys().map(|analyzer| (run.asset.as_str(), analyzer.as_str()))
        })
        .unzip();
    let superseded: Vec<String> = sqlx::query_scalar(
        "update suggestion s set status = 'superseded' from unnest($1::text[], $2::text[]) c (asset, analyzer)
         where s.asset_id = c.asset and s.analyzer = c.analyzer and s.status = 'pending' and s.id <> all($3::text[])
         returning s.asset_id",
    )
    .bind(of)
    .bind(by)
    .bind(&ids)
    .fetch_all(&mut **tx)
    .await
    .map_err(failed)?;
    give_way(tx, &suggestions).await?;
    for (finished, counts) in runs.iter().zip(&mut recorded) {
        let own = superseded.iter().filter(|asset| *asset == finished.run.asset.as_str());
        counts.superseded = own.count() as u64;
    }
    Ok(recorded)
}

fn implied(suggestion: &Suggestion) -> Option<Json<&[String]>> {
    Some(Json(suggestion.implies.as_slice())).filter(|implies| !implies.is_empty())
}

/// What was decided of the assets of `runs`.
async fn decided(
    tx: &mut Tx<'_>,
    runs: &[Finished],
    known: &Vocabulary,
) -> Result<HashMap<String, Vec<Claim>>, StoreError> {
    let rows = sqlx::query(
        "select asset_id, kind, value, term_id, confidence, region_x, region_y, region_width, region_height from suggestion
         where asset_id = any($1::text[]) and status in ('accepted', 'rejected')",
    )
    .bind(assets(runs))
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
fn value(row: &PgRow, known: &Vocabulary) -> Result<String, StoreError> {
    let term = get::<Option<String>>(row, "term_id")?.and_then(|id| TermId::try_from(id).ok());
    match term.and_then(|id| known.term(&id)) {
        Some(term) => Ok(known.tag(term).to_owned()),
        None => get(row, "value"),
    }
}

/// Overwrites the vectors in the spaces of the completed analyzers; each gets a new sequence number. Those of other
/// models stay until their space is dropped.
async fn write_vectors(tx: &mut Tx<'_>, runs: &[Finished]) -> Result<(), sqlx::Error> {
    let (of, spaces): (Vec<&str>, Vec<&str>) = runs
        .iter()
        .flat_map(|Finished { run, analysis, .. }| {
            analysis.spaces.iter().map(|space| (run.asset.as_str(), space.as_str()))
        })
        .unzip();
    let mut vectors: Vec<(&str, &VectorRecord)> = runs
        .iter()
        .flat_map(|Finished { run, analysis, .. }| {
            analysis.vectors.iter().map(|vector| (run.asset.as_str(), vector))
        })
        .collect();
    vectors.sort_by(|a, b| a.1.id.cmp(&b.1.id));
    vectors.dedup_by(|a, b| a.1.id == b.1.id);
    if spaces.is_empty() && vectors.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = vectors.iter().map(|(_, vector)| vector.id.as_str()).collect();
    sqlx::query(
        "delete from vector v using unnest($1::text[], $2::text[]) s (asset, space)
                 where v.asset_id = s.asset and v.space = s.space",
    )
    .bind(of)
    .bind(spaces)
    .execute(&mut **tx)
    .await?;
    sqlx::query("delete from vector where id = any($1::text[])").bind(&ids).execute(&mut **tx).await?;
    // Shared by all writers; `vectors_after` takes the other side.
    sqlx::query("select pg_advisory_xact_lock_shared(hashtext('docent vector'))").execute(&mut **tx).await?;
    let side =
        |of: fn(Region) -> f64| vectors.iter().map(|v| v.1.region.map(of)).collect::<Vec<Option<f64>>>();
    sqlx::query(
        "insert into vector (id, asset_id, space, region_x, region_y, region_width, region_height, data)
         select n.id, n.asset, n.space, n.x, n.y, n.width, n.height, n.data
         from unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::float8[], $6::float8[], $7::float8[],
                     $8::bytea[])
             n (id, asset, space, x, y, width, height, data)",
    )
    .bind(&ids)
    .bind(vectors.iter().map(|v| v.0).collect::<Vec<&str>>())
    .bind(vectors.iter().map(|v| v.1.space.as_str()).collect::<Vec<&str>>())
    .bind(side(|r| r.x))
    .bind(side(|r| r.y))
    .bind(side(|r| r.width))
    .bind(side(|r| r.height))
    .bind(vectors.iter().map(|v| vector_bytes(&v.1.values)).collect::<Vec<Vec<u8>>>())
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Notes the pictures' sizes and ends the leases.
async fn end(tx: &mut Tx<'_>, runs: &[Finished], now: i64) -> Result<(), sqlx::Error> {
    let pictures = || runs.iter().map(|finished| finished.run.picture.as_ref());
    let sql = format!(
        "update asset a set width = coalesce(r.width, a.width), height = coalesce(r.height, a.height),
             format = coalesce(r.format, a.format), tolerated = coalesce(r.tolerated, a.tolerated),
             orientation = coalesce(r.orientation, a.orientation), lease_owner = null, lease_until = null, run_began = false,
             run_alone = false, suspect = 0, lost_alone = 0, {}
         from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $7::bigint[])
             r (asset, width, height, format, tolerated, orientation)
         where a.id = r.asset",
        due_columns(6)
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(assets(runs))
        .bind(pictures().map(|p| p.map(|p| i64::from(p.width))).collect::<Vec<Option<i64>>>())
        .bind(pictures().map(|p| p.map(|p| i64::from(p.height))).collect::<Vec<Option<i64>>>())
        .bind(pictures().map(|p| p.map(|p| p.format)).collect::<Vec<Option<&str>>>())
        .bind(pictures().map(|p| p.map(PictureFacts::tolerated)).collect::<Vec<Option<String>>>())
        .bind(now)
        .bind(pictures().map(|p| p.map(|p| i64::from(p.orientation))).collect::<Vec<Option<i64>>>())
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// The analyzers and models of a run, for its row.
fn models(analysis: &Analysis) -> BTreeMap<AnalyzerId, String> {
    analysis.completed.iter().map(|(&analyzer, model)| (analyzer, model.to_string())).collect()
}
