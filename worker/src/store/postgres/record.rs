//! What a recorded run writes, inside its transaction.

use docent_pipelines::suggestion::Claim;
use docent_pipelines::{Analysis, AnalyzerId, Confidence, Suggestion, VectorRecord, VectorSpace};
use serde_json::json;
use sqlx::types::Json;
use sqlx::{Postgres, Transaction};

use super::ledger::models;
use super::{get, region, text, unavailable};
use crate::store::codec::{corrupt, kind_order, millis, vector_bytes};
use crate::store::{Outcome, OutcomeState, Recorded, Run, StoreError};

pub(super) async fn run_row(
    tx: &mut Transaction<'_, Postgres>,
    run: &Run,
    analysis: &Analysis,
    repeated: bool,
    now: i64,
) -> Result<i64, sqlx::Error> {
    if repeated {
        let former: Option<i64> = sqlx::query_scalar("select max(id) from run where asset_id = $1")
            .bind(run.asset.as_str())
            .fetch_one(&mut **tx)
            .await?;
        if let Some(former) = former {
            return Ok(former);
        }
    }
    sqlx::query_scalar(
        "insert into run (asset_id, owner, finished_at, models) values ($1, $2, $3, $4) returning id",
    )
    .bind(run.asset.as_str())
    .bind(&run.owner)
    .bind(now)
    .bind(models(analysis))
    .fetch_one(&mut **tx)
    .await
}

/// Settles all work rows of a run in one statement.
pub(super) async fn settle(
    tx: &mut Transaction<'_, Postgres>,
    asset: &str,
    outcomes: &[Outcome],
    count: bool,
    now: i64,
) -> Result<(), sqlx::Error> {
    let settled: Vec<(&str, i64, Option<&docent_pipelines::Failure>)> = outcomes
        .iter()
        .map(|outcome| match &outcome.state {
            OutcomeState::Done => ("done", 0, None),
            OutcomeState::Retry { after, failure } => {
                ("pending", now.saturating_add(millis(*after)), Some(failure))
            }
            OutcomeState::Failed { failure } => ("failed", 0, Some(failure)),
        })
        .collect();
    let analyzers: Vec<&str> = outcomes.iter().map(|outcome| outcome.analyzer.as_str()).collect();
    let model: Vec<String> = outcomes.iter().map(|outcome| outcome.model.to_string()).collect();
    let states: Vec<&str> = settled.iter().map(|(state, ..)| *state).collect();
    let not_before: Vec<i64> = settled.iter().map(|(_, at, _)| *at).collect();
    let kinds: Vec<Option<&str>> = settled.iter().map(|(.., f)| f.map(|f| f.kind.as_str())).collect();
    let reasons: Vec<Option<String>> = settled.iter().map(|(.., f)| f.map(|f| text(&f.reason))).collect();
    sqlx::query(
        "insert into work as w (asset_id, analyzer, state, model, attempts, not_before, failure_kind, reason,
             updated_at)
         select $1, o.analyzer, o.state, o.model, 1, o.not_before, o.kind, o.reason, $8
         from unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[])
             o (analyzer, state, model, not_before, kind, reason)
         on conflict (asset_id, analyzer) do update set state = excluded.state, model = excluded.model,
             attempts = w.attempts + $9, not_before = excluded.not_before, failure_kind = excluded.failure_kind,
             reason = excluded.reason, updated_at = excluded.updated_at",
    )
    .bind(asset)
    .bind(&analyzers)
    .bind(&states)
    .bind(&model)
    .bind(&not_before)
    .bind(&kinds)
    .bind(&reasons)
    .bind(now)
    .bind(i64::from(count))
    .execute(&mut **tx)
    .await?;
    // Without pixels nothing else can be done: it waits with the decoder, or is set aside with it.
    let decode = outcomes.iter().position(|outcome| outcome.analyzer == AnalyzerId::Decode);
    let others = match decode.map(|index| (states[index], not_before[index])) {
        Some(("pending", at)) => {
            sqlx::query("update work set not_before = $2 where asset_id = $1 and state = 'pending'")
                .bind(asset)
                .bind(at)
        }
        Some(("failed", _)) => sqlx::query(
            "update work set state = 'blocked', not_before = 0 where asset_id = $1 and state = 'pending'",
        )
        .bind(asset),
        _ => return Ok(()),
    };
    others.execute(&mut **tx).await.map(drop)
}

/// Where suggestions belong: their run, their asset's time, the present.
pub(super) struct Place {
    pub run_id: i64,
    pub asset_at: i64,
    pub now: i64,
}

/// Replaces the pending suggestions of the completed analyzers; decided ones stay and answer what repeats them.
pub(super) async fn suggest(
    tx: &mut Transaction<'_, Postgres>,
    run: &Run,
    analysis: &Analysis,
    place: &Place,
) -> Result<Recorded, StoreError> {
    let failed = unavailable("record suggestions");
    let asset = run.asset.as_str();
    let decided = sqlx::query(
        "select kind, value, confidence, region_x, region_y, region_width, region_height from suggestion
         where asset_id = $1 and status in ('accepted', 'rejected')",
    )
    .bind(asset)
    .fetch_all(&mut **tx)
    .await
    .map_err(failed)?
    .iter()
    .map(|row| {
        Ok(Claim {
            kind: get::<String>(row, "kind")?.parse().map_err(corrupt("kind"))?,
            value: get(row, "value")?,
            confidence: Confidence::new(get(row, "confidence")?),
            region: region(row)?,
        })
    })
    .collect::<Result<Vec<Claim>, StoreError>>()?;
    let (answered, mut raised): (Vec<&Suggestion>, Vec<&Suggestion>) = analysis
        .suggestions
        .iter()
        .partition(|suggestion| decided.iter().any(|decided| suggestion.is_answered_by(decided)));
    let count = raised.len() as u64;
    // One statement may touch a row once. The same claim twice is the same row; the later one counts, as if they had
    // been written one after the other.
    raised.reverse();
    raised.sort_by(|a, b| a.id.cmp(&b.id));
    raised.dedup_by(|a, b| a.id == b.id);
    let all = |of: fn(&Suggestion) -> String| raised.iter().map(|s| of(s)).collect::<Vec<String>>();
    let side = |of: fn(docent_pipelines::Region) -> f64| {
        raised.iter().map(|s| s.region.map(of)).collect::<Vec<Option<f64>>>()
    };
    let ids = all(|s| s.id.to_string());
    sqlx::query(
        "insert into suggestion as s (id, asset_id, analyzer, kind, value, confidence, region_x, region_y,
             region_width, region_height, model, kind_order, status, run_id, created_at, asset_at)
         select n.id, $1, n.analyzer, n.kind, n.value, n.confidence, n.x, n.y, n.width, n.height, n.model,
             n.kind_order, 'pending', $13, $14, $15
         from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::float8[], $8::float8[],
             $9::float8[], $10::float8[], $11::text[], $12::bigint[])
             n (id, analyzer, kind, value, confidence, x, y, width, height, model, kind_order)
         on conflict (id) do update set confidence = excluded.confidence, model = excluded.model,
             analyzer = excluded.analyzer, run_id = excluded.run_id, status = 'pending'
         where s.status in ('pending', 'superseded')",
    )
    .bind(asset)
    .bind(&ids)
    .bind(all(|s| s.analyzer.as_str().to_owned()))
    .bind(all(|s| s.kind.as_str().to_owned()))
    .bind(all(|s| text(&s.value)))
    .bind(raised.iter().map(|s| s.confidence.value()).collect::<Vec<f64>>())
    .bind(side(|r| r.x))
    .bind(side(|r| r.y))
    .bind(side(|r| r.width))
    .bind(side(|r| r.height))
    .bind(all(|s| s.model.to_string()))
    .bind(raised.iter().map(|s| kind_order(s.kind)).collect::<Vec<i64>>())
    .bind(place.run_id)
    .bind(place.now)
    .bind(place.asset_at)
    .execute(&mut **tx)
    .await
    .map_err(failed)?;
    let completed: Vec<&str> = analysis.completed.keys().map(|analyzer| analyzer.as_str()).collect();
    let superseded = sqlx::query(
        "update suggestion set status = 'superseded'
         where asset_id = $1 and status = 'pending' and analyzer = any($2::text[]) and id <> all($3::text[])",
    )
    .bind(asset)
    .bind(&completed)
    .bind(&ids)
    .execute(&mut **tx)
    .await
    .map_err(failed)?
    .rows_affected();
    Ok(Recorded { raised: count, answered: answered.len() as u64, superseded })
}

/// Overwrites the vectors in the spaces of the completed analyzers; each gets a new sequence number. Those of other
/// models stay until their space is dropped.
pub(super) async fn write_vectors(
    tx: &mut Transaction<'_, Postgres>,
    asset: &str,
    analysis: &Analysis,
) -> Result<(), sqlx::Error> {
    let mut vectors: Vec<&VectorRecord> = analysis.vectors.iter().collect();
    vectors.sort_by(|a, b| a.id.cmp(&b.id));
    vectors.dedup_by(|a, b| a.id == b.id);
    let ids: Vec<&str> = vectors.iter().map(|vector| vector.id.as_str()).collect();
    let spaces: Vec<&str> = analysis.spaces.iter().map(VectorSpace::as_str).collect();
    if spaces.is_empty() && vectors.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "delete from vector where asset_id = $1
         and (id = any($3::text[]) or space = any($2::text[]))",
    )
    .bind(asset)
    .bind(&spaces)
    .bind(&ids)
    .execute(&mut **tx)
    .await?;
    // Shared by all writers; `vectors_after` takes the other side.
    sqlx::query("select pg_advisory_xact_lock_shared(hashtext('docent vector'))").execute(&mut **tx).await?;
    let side = |of: fn(docent_pipelines::Region) -> f64| {
        vectors.iter().map(|v| v.region.map(of)).collect::<Vec<Option<f64>>>()
    };
    sqlx::query(
        "insert into vector (id, asset_id, space, region_x, region_y, region_width, region_height, data)
         select n.id, $1, n.space, n.x, n.y, n.width, n.height, n.data
         from unnest($2::text[], $3::text[], $4::float8[], $5::float8[], $6::float8[], $7::float8[], $8::bytea[])
             n (id, space, x, y, width, height, data)",
    )
    .bind(asset)
    .bind(&ids)
    .bind(vectors.iter().map(|vector| vector.space.as_str()).collect::<Vec<&str>>())
    .bind(side(|r| r.x))
    .bind(side(|r| r.y))
    .bind(side(|r| r.width))
    .bind(side(|r| r.height))
    .bind(vectors.iter().map(|vector| vector_bytes(&vector.values)).collect::<Vec<Vec<u8>>>())
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Says in the outbox that a run was recorded.
pub(super) async fn announce(
    tx: &mut Transaction<'_, Postgres>,
    run: &Run,
    analysis: &Analysis,
    recorded: Recorded,
    now: i64,
) -> Result<(), sqlx::Error> {
    let body = json!({
        "asset_id": run.asset,
        "analyzers": models(analysis).0,
        "raised": recorded.raised,
        "superseded": recorded.superseded,
        "failures": analysis.failures.iter().map(|failure| json!({
            "analyzer": failure.analyzer, "kind": failure.kind, "reason": text(&failure.reason),
        })).collect::<Vec<_>>(),
    });
    publish(tx, "suggestions.created", body, now).await
}

/// Puts an event into the outbox.
pub(super) async fn publish(
    tx: &mut Transaction<'_, Postgres>,
    event: &str,
    body: serde_json::Value,
    now: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query("insert into outbox (event, body, created_at) values ($1, $2, $3)")
        .bind(event)
        .bind(Json(body))
        .bind(now)
        .execute(&mut **tx)
        .await
        .map(drop)
}
