//! Looking things up.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use docent_pipelines::{AssetId, VectorRecord, VectorSpace};
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder};

use super::listing::is_at;
use super::{PostgresStore, fault, get, parsed, region, text};
use crate::store::codec::{
    MOST_ROWS, analyzer, cursor, json_array, kind_order, number, rfc3339, vector_values,
};
use crate::store::{
    AssetFilter, AssetRow, Catalog, Counts, FailureRow, Page, Paged, StoreError, Wanted, WorkCounts,
};

const ASSET: &str = "select a.id, a.content_hash, a.bytes, a.width, a.height, a.format, a.created_at,
    array(select uri from asset_path p where p.asset_id = a.id order by gone_at is not null, uri) as uris,
    not exists (select 1 from asset_path p where p.asset_id = a.id and p.gone_at is null) as gone,
    array(select distinct owner from asset_path p where p.asset_id = a.id and owner is not null order by owner) as owners,
    (select count(*) from suggestion s where s.asset_id = a.id and s.status = 'pending') as pending,
    array(select distinct value from suggestion s where s.asset_id = a.id and s.status = 'accepted'
          and s.kind = 'tag' order by value) as accepted_tags
    from asset a where true";

#[async_trait]
impl Catalog for PostgresStore {
    async fn asset(&self, id: &AssetId) -> Result<AssetRow, StoreError> {
        let row = self.assets(std::slice::from_ref(id)).await?.pop();
        row.ok_or_else(|| StoreError::NotFound { what: "asset", id: id.to_string() })
    }

    async fn asset_at(&self, uri: &str) -> Result<Option<AssetId>, StoreError> {
        let row = sqlx::query("select asset_id from asset_path where uri = $1")
            .bind(text(uri))
            .fetch_optional(&self.pool)
            .await
            .map_err(fault("look up a file"))?;
        row.map(|row| parsed(&row, "asset_id")).transpose()
    }

    async fn assets(&self, ids: &[AssetId]) -> Result<Vec<AssetRow>, StoreError> {
        let listed: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let mut query = QueryBuilder::<Postgres>::new(ASSET);
        query.push(" and a.id = any(").push_bind(listed).push(")");
        let rows = query.build().fetch_all(&self.pool).await.map_err(fault("look up assets"))?;
        let mut found: HashMap<AssetId, AssetRow> = rows
            .iter()
            .map(|row| asset(row).map(|asset| (asset.asset_id.clone(), asset)))
            .collect::<Result<_, _>>()?;
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }

    async fn list_assets(&self, filter: &AssetFilter, page: &Page) -> Result<Paged<AssetRow>, StoreError> {
        let mut query = QueryBuilder::<Postgres>::new(ASSET);
        restrict(&mut query, filter);
        if let Some(after) = &page.after {
            let [created, id] = cursor::<2>(after)?;
            let created: i64 = number(&created, after)?;
            query.push(" and (a.created_at, a.id) < (").push_bind(created);
            query.push(", ").push_bind(text(&id)).push(")");
        }
        let limit = page.limit.clamp(1, MOST_ROWS);
        query.push(" order by a.created_at desc, a.id desc limit ").push_bind(i64::from(limit) + 1);
        let rows = query.build().fetch_all(&self.pool).await.map_err(fault("list assets"))?;
        let next = match rows.get(limit as usize - 1) {
            Some(last) if rows.len() > limit as usize => {
                Some(json_array([get::<i64>(last, "created_at")?.to_string(), get(last, "id")?]))
            }
            _ => None,
        };
        let rows = rows.iter().take(limit as usize).map(asset).collect::<Result<_, _>>()?;
        Ok(Paged { rows, next })
    }

    async fn matching(&self, filter: &AssetFilter) -> Result<HashSet<AssetId>, StoreError> {
        let mut query = QueryBuilder::<Postgres>::new("select a.id from asset a where true");
        restrict(&mut query, filter);
        let rows = query.build().fetch_all(&self.pool).await.map_err(fault("filter assets"))?;
        rows.iter().map(|row| parsed(row, "id")).collect()
    }

    async fn counts(&self, wanted: &Wanted) -> Result<Counts, StoreError> {
        let kept: Vec<(String, String, String, String, i64)> = sqlx::query_as(
            "select what, a, b, c, sum(delta)::bigint from tally group by what, a, b, c having sum(delta) <> 0",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(fault("count"))?;
        let mut counts = Counts::default();
        for (what, a, _, _, n) in &kept {
            let n = n.unsigned_abs();
            match what.as_str() {
                "asset" => counts.assets = n,
                "path" => counts.paths = n,
                "suggestion" => *counts.suggestions.entry(a.clone()).or_default() += n,
                "vector" => *counts.vectors.entry(a.clone()).or_default() += n,
                _ => {}
            }
        }
        let missing = counts.assets;
        for &analyzer in wanted.keys() {
            counts.analyzers.insert(analyzer, WorkCounts { missing, ..WorkCounts::default() });
        }
        for (_, name, state, model, rows) in kept.iter().filter(|(what, ..)| what == "work") {
            let analyzer = analyzer(name)?;
            let rows = rows.unsigned_abs();
            let entry = counts
                .analyzers
                .entry(analyzer)
                .or_insert_with(|| WorkCounts { missing, ..WorkCounts::default() });
            entry.missing = entry.missing.saturating_sub(rows);
            let stale = wanted.get(&analyzer).is_some_and(|wanted| wanted.to_string() != *model);
            match state.as_str() {
                "pending" => entry.pending += rows,
                "done" if stale => entry.stale += rows,
                "done" => entry.done += rows,
                "failed" => entry.failed += rows,
                _ => entry.blocked += rows,
            }
        }
        Ok(counts)
    }

    async fn failures(&self, page: &Page) -> Result<Paged<FailureRow>, StoreError> {
        let mut query = QueryBuilder::<Postgres>::new(
            "select w.asset_id, coalesce(p.uri, '') as uri, w.analyzer, w.failure_kind, w.reason, w.attempts,
                 w.updated_at
             from work w left join asset_path p on p.asset_id = w.asset_id where w.state = 'failed'",
        );
        if let Some(after) = &page.after {
            let [at, asset, analyzer, uri] = cursor::<4>(after)?;
            let at: i64 = number(&at, after)?;
            query.push(" and w.updated_at <= ").push_bind(at);
            query.push(" and (w.updated_at < ").push_bind(at);
            query.push(" or (w.asset_id, w.analyzer, coalesce(p.uri, '')) > (");
            query.push_bind(text(&asset)).push(", ").push_bind(text(&analyzer)).push(", ");
            query.push_bind(text(&uri)).push("))");
        }
        let limit = page.limit.clamp(1, MOST_ROWS);
        query.push(" order by w.updated_at desc, w.asset_id, w.analyzer, coalesce(p.uri, '') limit ");
        query.push_bind(i64::from(limit) + 1);
        let rows = query.build().fetch_all(&self.pool).await.map_err(fault("list failures"))?;
        let next = match rows.get(limit as usize - 1) {
            Some(last) if rows.len() > limit as usize => Some(json_array([
                get::<i64>(last, "updated_at")?.to_string(),
                get(last, "asset_id")?,
                get(last, "analyzer")?,
                get(last, "uri")?,
            ])),
            _ => None,
        };
        let failure = |row: &PgRow| {
            Ok(FailureRow {
                asset_id: parsed(row, "asset_id")?,
                uri: get(row, "uri")?,
                analyzer: analyzer(&get::<String>(row, "analyzer")?)?,
                kind: get::<Option<String>>(row, "failure_kind")?.unwrap_or_default(),
                reason: get::<Option<String>>(row, "reason")?.unwrap_or_default(),
                attempts: u32::try_from(get::<i64>(row, "attempts")?).unwrap_or(u32::MAX),
                at: rfc3339(get(row, "updated_at")?),
            })
        };
        let rows = rows.iter().take(limit as usize).map(failure).collect::<Result<_, StoreError>>()?;
        Ok(Paged { rows, next })
    }

    async fn vectors_after(
        &self,
        space: &VectorSpace,
        sequence: i64,
        limit: u32,
    ) -> Result<Vec<(i64, VectorRecord)>, StoreError> {
        const OPERATION: &str = "read vectors";
        let failed = fault(OPERATION);
        // Writers hold the lock's other side until they commit: once it is here, no number below the last one that
        // can be seen is still on its way.
        let mut tx = self.pool.begin().await.map_err(failed)?;
        sqlx::query("select pg_advisory_xact_lock(hashtext('docent vector'))")
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        let last: Option<i64> = sqlx::query_scalar("select max(sequence) from vector")
            .fetch_one(&mut *tx)
            .await
            .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        let rows = sqlx::query(
            "select sequence, id, asset_id, region_x, region_y, region_width, region_height, data from vector
             where space = $1 and sequence > $2 and sequence <= $3 order by sequence limit $4",
        )
        .bind(space.as_str())
        .bind(sequence)
        .bind(last.unwrap_or(0))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter().map(|row| numbered_vector(row, space)).collect()
    }

    async fn vectors_at(
        &self,
        space: &VectorSpace,
        sequences: &[i64],
    ) -> Result<Vec<(i64, VectorRecord)>, StoreError> {
        let rows = sqlx::query(
            "select sequence, id, asset_id, region_x, region_y, region_width, region_height, data from vector
             where sequence = any($2) and space = $1",
        )
        .bind(space.as_str())
        .bind(sequences)
        .fetch_all(&self.pool)
        .await
        .map_err(fault("read vectors"))?;
        rows.iter().map(|row| numbered_vector(row, space)).collect()
    }

    async fn vector(&self, asset: &AssetId, space: &VectorSpace) -> Result<Option<Vec<f32>>, StoreError> {
        let row = sqlx::query(
            "select data from vector where asset_id = $1 and space = $2 and region_x is null
             order by sequence desc limit 1",
        )
        .bind(asset.as_str())
        .bind(space.as_str())
        .fetch_optional(&self.pool)
        .await
        .map_err(fault("read a vector"))?;
        row.map(|row| vector_values(get(&row, "data")?)).transpose()
    }
}

/// A vector of `space` and its sequence number.
fn numbered_vector(row: &PgRow, space: &VectorSpace) -> Result<(i64, VectorRecord), StoreError> {
    let record = VectorRecord {
        id: get(row, "id")?,
        asset: parsed(row, "asset_id")?,
        space: space.clone(),
        region: region(row)?,
        values: vector_values(get(row, "data")?)?,
    };
    Ok((get(row, "sequence")?, record))
}

/// Adds the conditions of `filter` on `asset a`.
fn restrict(query: &mut QueryBuilder<Postgres>, filter: &AssetFilter) {
    if let Some(tag) = &filter.tag {
        query.push(" and exists (select 1 from suggestion s where s.asset_id = a.id and s.kind = 'tag' and s.value = ");
        query.push_bind(text(tag)).push(" and left(s.value, 128) = left(").push_bind(text(tag));
        query.push(", 128) and s.status in ('pending', 'accepted'))");
    }
    if filter.kind.is_some() || filter.status.is_some() || filter.min_confidence.is_some() {
        query.push(" and exists (select 1 from suggestion s where s.asset_id = a.id and s.status ");
        match filter.status {
            Some(status) => query.push("= ").push_bind(status.as_str()),
            None => query.push("in ('pending', 'accepted')"),
        };
        if let Some(kind) = filter.kind {
            query.push(" and s.kind_order = ").push_bind(kind_order(kind));
        }
        if let Some(least) = filter.min_confidence {
            query.push(" and s.confidence >= ").push_bind(least);
        }
        query.push(")");
    }
    if !filter.place.is_empty() {
        query.push(" and exists (select 1 from asset_path p where p.asset_id = a.id");
        is_at(query, &filter.place);
        query.push(")");
    }
}

fn asset(row: &PgRow) -> Result<AssetRow, StoreError> {
    let side =
        |column| Ok::<_, StoreError>(get::<Option<i64>>(row, column)?.and_then(|n| u32::try_from(n).ok()));
    Ok(AssetRow {
        asset_id: parsed(row, "id")?,
        content_hash: get(row, "content_hash")?,
        bytes: get::<i64>(row, "bytes")?.unsigned_abs(),
        width: side("width")?,
        height: side("height")?,
        format: get(row, "format")?,
        uris: get(row, "uris")?,
        gone: get(row, "gone")?,
        owners: get(row, "owners")?,
        pending: get::<i64>(row, "pending")?.unsigned_abs(),
        accepted_tags: get(row, "accepted_tags")?,
    })
}
