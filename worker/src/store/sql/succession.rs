//! Pictures that took the place of others: what was accepted before an edit is offered again. Both ledgers compile this file.

use docent_pipelines::suggestion::Claim;
use docent_pipelines::vector::dot;
use docent_pipelines::{AnalyzerId, AssetId, Confidence, Suggestion};
use serde_json::{Value, json};

use super::dialect::{Flag, Tx, each, each_text};
use super::{fault, get, parsed};
use crate::store::codec::{corrupt, json_array, vector_values};
use crate::store::{Finished, FoundFile, StoreError};

const OPERATION: &str = "carry decisions over";

/// An edited picture is at least so many spreads more similar to what it was than the archive's pictures usually are to each other.
/// Measured: benches/runs/2026-12-01-edits.md.
const SPREADS: f32 = 2.5;
/// Pictures that say what is usual. Ids are hashes, so the first ones are a random sample.
const SAMPLE: i64 = 64;
/// With fewer pictures nothing is usual, and this cosine has to do.
const FEWEST: usize = 16;
const STILL_THE_SAME: f32 = 0.5;

/// Notes which pictures took the place of others, of those that are new. Before places are written.
pub(super) async fn follow(
    tx: &mut Tx<'_>,
    files: &[&FoundFile],
    assets: &[AssetId],
    key: fn(&str) -> String,
    now: i64,
) -> Result<(), sqlx::Error> {
    let listed = files.iter().zip(assets).map(|(file, asset)| json!({ "uri": key(&file.uri), "id": asset }));
    let sql = format!(
        "update asset set predecessor = f.before, succession = 'open'
         from (select n.value ->> 'id' as id, min(p.asset_id) as before from {} n
               join asset_path p on p.uri = n.value ->> 'uri' and p.asset_id <> n.value ->> 'id'
               group by n.value ->> 'id') f
         where asset.id = f.id and asset.created_at = $2 and asset.predecessor is null",
        each(1)
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(Value::from_iter(listed).to_string())
        .bind(now)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Offers again what was accepted before these pictures were edited, once it is known that they are no other pictures.
pub(super) async fn carry_over(tx: &mut Tx<'_>, runs: &[Finished], now: i64) -> Result<(), StoreError> {
    let decoded = runs.iter().filter(|finished| finished.run.picture.is_some());
    let sql = format!(
        "select a.id, a.predecessor, a.created_at, (select max(r.id) from run r where r.asset_id = a.id) as run,
             case when exists (select 1 from work w where w.asset_id = a.id and w.analyzer = 'embedding'
                               and w.state = 'pending') then 1 else 0 end as waits
         from asset a where a.succession = 'open' and a.id in (select value from {})",
        each_text(1)
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(json_array(decoded.map(|finished| &finished.run.asset)))
        .fetch_all(&mut **tx)
        .await
        .map_err(fault(OPERATION))?;
    for row in &rows {
        let (asset, before): (AssetId, AssetId) = (parsed(row, "id")?, parsed(row, "predecessor")?);
        let compared = compare(tx, &asset, &before).await?;
        if compared.is_none() && get::<Flag>(row, "waits")? != 0 {
            continue;
        }
        // Where nothing can be compared, nothing speaks against it.
        let is_the_same = compared.unwrap_or(true);
        if is_the_same {
            let place = (get(row, "created_at")?, get::<Option<i64>>(row, "run")?.unwrap_or_default());
            offer(tx, &asset, &before, place, now).await?;
        }
        sqlx::query("update asset set succession = $2 where id = $1")
            .bind(asset.as_str())
            .bind(if is_the_same { "carried" } else { "other" })
            .execute(&mut **tx)
            .await
            .map_err(fault(OPERATION))?;
    }
    Ok(())
}

/// Whether a picture is still the one that it was, in a space that has both; `None` if there is none.
async fn compare(tx: &mut Tx<'_>, asset: &AssetId, before: &AssetId) -> Result<Option<bool>, StoreError> {
    let failed = fault(OPERATION);
    let row = sqlx::query(
        "select n.space, n.data as now, b.data as before from vector n join vector b on b.space = n.space
         where n.asset_id = $1 and b.asset_id = $2 and n.region_x is null and b.region_x is null
           and n.space like 'picture/%' order by n.sequence desc limit 1",
    )
    .bind(asset.as_str())
    .bind(before.as_str())
    .fetch_optional(&mut **tx)
    .await
    .map_err(failed)?;
    let Some(row) = row else { return Ok(None) };
    let others = sqlx::query(
        "select v.data from (select id from asset where id not in ($1, $2) order by id limit $4) a
         join vector v on v.asset_id = a.id and v.space = $3 and v.region_x is null",
    )
    .bind(asset.as_str())
    .bind(before.as_str())
    .bind(get::<String>(&row, "space")?)
    .bind(SAMPLE)
    .fetch_all(&mut **tx)
    .await
    .map_err(failed)?;
    let values = |row, column| vector_values(&get::<Vec<u8>>(row, column)?);
    let (now, before) = (values(&row, "now")?, values(&row, "before")?);
    let usual = others.iter().map(|other| Ok(dot(&values(other, "data")?, &before)));
    let usual: Vec<f32> = usual.collect::<Result<_, StoreError>>()?;
    Ok(Some(dot(&now, &before) > still_the_same(usual)))
}

/// Beyond which cosine a picture is the one it was, where others have these with it.
fn still_the_same(mut usual: Vec<f32>) -> f32 {
    if usual.len() < FEWEST {
        return STILL_THE_SAME;
    }
    usual.sort_by(f32::total_cmp);
    let at = |share: f32| usual[(((usual.len() - 1) as f32) * share).round() as usize];
    let median = at(0.5);
    median + SPREADS * (at(0.84) - median)
}

/// Raises what was accepted of `before`, and withdraws what says the same. Regions are left to the networks: an edit may have cut the
/// picture.
async fn offer(
    tx: &mut Tx<'_>,
    asset: &AssetId,
    before: &AssetId,
    (asset_at, run): (i64, i64),
    now: i64,
) -> Result<(), StoreError> {
    let failed = fault(OPERATION);
    let rows = sqlx::query(
        "select id, kind, value, model from suggestion
         where asset_id = $1 and status = 'accepted' and region_x is null and kind in ('tag', 'caption', 'alt_text')",
    )
    .bind(before.as_str())
    .fetch_all(&mut **tx)
    .await
    .map_err(failed)?;
    let mut listed = Vec::with_capacity(rows.len());
    for row in &rows {
        let claim = Claim {
            kind: get::<String>(row, "kind")?.parse().map_err(corrupt("kind"))?,
            value: get(row, "value")?,
            confidence: Confidence::new(1.0),
            region: None,
            implies: Vec::new(),
        };
        let model = get::<String>(row, "model")?.try_into().map_err(corrupt("model"))?;
        let said = Suggestion::new(asset.clone(), AnalyzerId::Predecessor, claim, model);
        listed.push(json!({ "id": said.id, "from": get::<String>(row, "id")? }));
    }
    if listed.is_empty() {
        return Ok(());
    }
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "insert into suggestion (id, asset_id, analyzer, kind, value, confidence, status, model, run_id, created_at,
             asset_at, kind_order, implies, term_id)
         select f.value ->> 'id', $2, 'predecessor', s.kind, s.value, s.confidence, 'pending', s.model, $3, $4, $5,
                s.kind_order, s.implies, s.term_id
         from {} f join suggestion s on s.id = f.value ->> 'from'
         where not exists (
             select 1 from suggestion d where d.asset_id = $2 and d.status in ('accepted', 'rejected')
             and d.kind = s.kind and d.value = s.value)
         on conflict (id) do nothing",
        each(1)
    )))
    .bind(Value::from(listed).to_string())
    .bind(asset.as_str())
    .bind(run)
    .bind(now)
    .bind(asset_at)
    .execute(&mut **tx)
    .await
    .map_err(failed)?;
    sqlx::query(
        "update suggestion set status = 'superseded'
         where asset_id = $1 and status = 'pending' and analyzer <> 'predecessor' and region_x is null
           and exists (
             select 1 from suggestion o where o.asset_id = $1 and o.analyzer = 'predecessor' and o.status = 'pending'
             and o.kind = suggestion.kind and o.value = suggestion.value)",
    )
    .bind(asset.as_str())
    .execute(&mut **tx)
    .await
    .map(drop)
    .map_err(failed)
}
