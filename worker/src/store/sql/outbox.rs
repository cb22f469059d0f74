//! Events are written beside what they tell of, in the same transaction, and only if somebody is told. Both ledgers compile this file.

use docent_pipelines::{AnalyzerId, FailureKind, Status};
use serde_json::{Map, Value, json};

use super::dialect::{Backend, Tx, each, stored_place};
use super::identity::identify;
use super::{fault, get};
use crate::store::codec::text;
use crate::store::{Finished, FoundFile, OutcomeState, Recorded, Registered, Reviewer, StoreError};

/// Whether anybody is told.
pub(super) async fn somebody_listens(tx: &mut Tx<'_>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select 1 from sink)").fetch_one(&mut **tx).await
}

/// Puts events of one name into the outbox, in this order.
async fn tell(tx: &mut Tx<'_>, event: &str, bodies: Vec<Value>, now: i64) -> Result<(), sqlx::Error> {
    if bodies.is_empty() {
        return Ok(());
    }
    let listed = bodies.into_iter().enumerate().map(|(n, body)| json!({ "n": n, "body": body }));
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "insert into outbox (event, body, created_at)
         select $2, f.value -> 'body', $3 from {} f order by cast(f.value ->> 'n' as integer)",
        each(1)
    )))
    .bind(Value::from_iter(listed).to_string())
    .bind(event)
    .bind(now)
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Tells that runs were recorded, and which have failed in part or as a whole, and will not be tried again. What is `repeated` was told
/// before.
pub(super) async fn tell_recorded(
    tx: &mut Tx<'_>,
    runs: &[Finished],
    recorded: &[Recorded],
    repeated: impl Fn(&Finished) -> bool,
    now: i64,
) -> Result<(), sqlx::Error> {
    if !somebody_listens(tx).await? {
        return Ok(());
    }
    let told = || runs.iter().zip(recorded).filter(|(finished, _)| !repeated(finished));
    let created = told().map(|(Finished { run, analysis, .. }, recorded)| {
        let models = analysis.completed.iter().map(|(id, model)| (id.to_string(), model.to_string().into()));
        json!({
            "asset_id": run.asset, "analyzers": models.collect::<Map<String, Value>>(),
            "raised": recorded.raised, "superseded": recorded.superseded,
            "failures": analysis.failures.iter().map(|failure| json!({
                "analyzer": failure.analyzer, "kind": failure.kind, "reason": text(&failure.reason),
            })).collect::<Vec<_>>(),
        })
    });
    tell(tx, "suggestions.created", created.collect(), now).await?;
    let failed = told().filter_map(|(Finished { run, outcomes, .. }, _)| {
        let failures: Vec<Value> = outcomes
            .iter()
            .filter_map(|outcome| match &outcome.state {
                OutcomeState::Failed { failure } => Some(json!({
                    "analyzer": failure.analyzer, "kind": failure.kind, "reason": text(&failure.reason),
                })),
                _ => None,
            })
            .collect();
        (!failures.is_empty()).then(|| json!({ "asset_id": run.asset, "failures": failures }))
    });
    tell(tx, "asset.failed", failed.collect(), now).await
}

/// Tells that an asset was given up.
pub(super) async fn tell_given_up(
    tx: &mut Tx<'_>,
    asset: &str,
    reason: &str,
    now: i64,
) -> Result<(), sqlx::Error> {
    if !somebody_listens(tx).await? {
        return Ok(());
    }
    let failure =
        json!({ "analyzer": AnalyzerId::Decode, "kind": FailureKind::Permanent, "reason": text(reason) });
    tell(tx, "asset.failed", vec![json!({ "asset_id": asset, "failures": [failure] })], now).await
}

/// A decision on suggestions that have been written.
pub(super) struct Told<'a> {
    pub action: &'static str,
    pub before: Status,
    pub after: Status,
    pub by: &'a Reviewer,
    /// The job that made it.
    pub job: Option<i64>,
}

/// Tells what was decided of each of these suggestions, in this order.
pub(super) async fn tell_decided(
    tx: &mut Tx<'_>,
    suggestions: &[String],
    decision: &Told<'_>,
    now: i64,
) -> Result<(), StoreError> {
    let failed = fault("tell of decisions");
    if suggestions.is_empty() || !somebody_listens(tx).await.map_err(failed)? {
        return Ok(());
    }
    let listed = suggestions.iter().enumerate().map(|(n, id)| json!({ "n": n, "id": id }));
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "select s.id, s.asset_id, s.kind, s.value from {} f join suggestion s on s.id = f.value ->> 'id'
         order by cast(f.value ->> 'n' as integer)",
        each(1)
    )))
    .bind(Value::from_iter(listed).to_string())
    .fetch_all(&mut **tx)
    .await
    .map_err(failed)?;
    let Told { action, before, after, by, job } = decision;
    let mut bodies = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut body = json!({
            "suggestion_id": get::<String>(row, "id")?, "asset_id": get::<String>(row, "asset_id")?,
            "kind": get::<String>(row, "kind")?, "value": text(&get::<String>(row, "value")?), "action": action,
            "before": before, "after": after, "reviewer": text(&by.name), "client": text(&by.client),
        });
        if let Some(job) = job {
            body["job"] = json!(job);
        }
        bodies.push(body);
    }
    tell(tx, "suggestion.decided", bodies, now).await.map_err(failed)
}

/// Keeps what the submission of a place is called, and tells that it was registered.
pub(super) async fn tell_submitted(
    backend: &Backend,
    file: &FoundFile,
    registered: Registered,
    correlation: Option<&str>,
) -> Result<(), StoreError> {
    const OPERATION: &str = "tell of a submission";
    let failed = fault(OPERATION);
    let (mut tx, now) = backend.begin_at(OPERATION).await?;
    if !somebody_listens(&mut tx).await.map_err(failed)? {
        return Ok(());
    }
    let Some(asset) = identify(&mut tx, &[file.hash]).await?.pop() else { return Ok(()) };
    sqlx::query("update asset_path set correlation = $1 where uri = $2 and asset_id = $3")
        .bind(correlation.map(text))
        .bind(stored_place(&file.uri))
        .bind(asset.as_str())
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
    let row = sqlx::query(
        "select pending is null as complete,
             (select count(*) from suggestion where asset_id = $1 and status = 'pending') as pending,
             (select count(*) from suggestion where asset_id = $1 and status = 'accepted') as accepted
         from asset where id = $1",
    )
    .bind(asset.as_str())
    .fetch_optional(&mut *tx)
    .await
    .map_err(failed)?;
    // It was forgotten since.
    let Some(row) = row else { return Ok(()) };
    let body = json!({
        "asset_id": asset, "uri": text(&file.uri), "owner": file.owner, "correlation_id": correlation.map(text),
        "created": registered.new_assets > 0, "new_place": registered.new_paths > 0,
        "complete": get::<bool>(&row, "complete")?,
        "pending": get::<i64>(&row, "pending")?, "accepted": get::<i64>(&row, "accepted")?,
    });
    tell(&mut tx, "asset.registered", vec![body], now).await.map_err(failed)?;
    tx.commit().await.map_err(failed)
}
