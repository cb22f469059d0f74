//! Looking things up.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use docent_pipelines::{AnalyzerId, AssetId, VectorRecord, VectorSpace};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite};

use super::listing::is_at;
use super::{SqliteStore, fault, get, parsed, region};
use crate::store::codec::{MOST_ROWS, corrupt, cursor, json_array, number, rfc3339, vector_values};
use crate::store::{
    AssetFilter, AssetRow, Catalog, Counts, FailureRow, Page, Paged, StoreError, Wanted, WorkCounts,
};

const ASSET: &str = "select a.id, a.content_hash, a.bytes, a.width, a.height, a.format, a.created_at,
    (select json_group_array(uri) from (select uri from asset_path p where p.asset_id = a.id
         order by gone_at is not null, uri)) as uris,
    not exists (select 1 from asset_path p where p.asset_id = a.id and p.gone_at is null) as gone,
    (select json_group_array(owner) from (select distinct owner from asset_path p where p.asset_id = a.id
         and owner is not null order by owner)) as owners,
    (select count(*) from suggestion s where s.asset_id = a.id and s.status = 'pending') as pending,
    (select json_group_array(value) from (select distinct value from suggestion s where s.asset_id = a.id
         and s.status = 'accepted' and s.kind = 'tag' order by value)) as accepted_tags
    from asset a where true";

#[async_trait]
impl Catalog for SqliteStore {
    async fn asset(&self, id: &AssetId) -> Result<AssetRow, StoreError> {
        let row = self.assets(std::slice::from_ref(id)).await?.pop();
        row.ok_or_else(|| StoreError::NotFound { what: "asset", id: id.to_string() })
    }

    async fn asset_at(&self, uri: &str) -> Result<Option<AssetId>, StoreError> {
        let row = sqlx::query("select asset_id from asset_path where uri = $1")
            .bind(uri)
            .fetch_optional(&self.read)
            .await
            .map_err(fault("look up a file"))?;
        row.map(|row| parsed(&row, "asset_id")).transpose()
    }

    async fn assets(&self, ids: &[AssetId]) -> Result<Vec<AssetRow>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(ASSET);
        query.push(" and a.id in (select value from json_each(").push_bind(json_array(ids)).push("))");
        let rows = query.build().fetch_all(&self.read).await.map_err(fault("look up assets"))?;
        let mut found: HashMap<AssetId, AssetRow> = rows
            .iter()
            .map(|row| asset(row).map(|asset| (asset.asset_id.clone(), asset)))
            .collect::<Result<_, _>>()?;
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }

    async fn list_assets(&self, filter: &AssetFilter, page: &Page) -> Result<Paged<AssetRow>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(ASSET);
        restrict(&mut query, filter);
        if let Some(after) = &page.after {
            let [created, id] = cursor::<2>(after)?;
            let created: i64 = number(&created, after)?;
            query.push(" and (a.created_at, a.id) < (").push_bind(created).push(", ").push_bind(id).push(")");
        }
        let limit = page.limit.clamp(1, MOST_ROWS);
        query.push(" order by a.created_at desc, a.id desc limit ").push_bind(limit + 1);
        let rows = query.build().fetch_all(&self.read).await.map_err(fault("list assets"))?;
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
        let mut query = QueryBuilder::<Sqlite>::new("select a.id from asset a where true");
        restrict(&mut query, filter);
        let rows = query.build().fetch_all(&self.read).await.map_err(fault("filter assets"))?;
        rows.iter().map(|row| parsed(row, "id")).collect()
    }

    async fn counts(&self, wanted: &Wanted) -> Result<Counts, StoreError> {
        let failed = fault("count");
        let number = |sql: &'static str| async move {
            sqlx::query_scalar::<_, i64>(sql)
                .fetch_one(&self.read)
                .await
                .map(i64::unsigned_abs)
                .map_err(failed)
        };
        let mut counts = Counts {
            assets: number("select count(*) from asset").await?,
            paths: number("select count(*) from asset_path").await?,
            ..Counts::default()
        };
        let work: Vec<(String, String, String, i64)> = sqlx::query_as(
            "select analyzer, state, model, count(*) from work group by analyzer, state, model",
        )
        .fetch_all(&self.read)
        .await
        .map_err(failed)?;
        for &analyzer in wanted.keys() {
            counts.analyzers.insert(analyzer, WorkCounts { missing: counts.assets, ..WorkCounts::default() });
        }
        for (analyzer, state, model, rows) in work {
            let analyzer: AnalyzerId = analyzer.parse().map_err(corrupt("analyzer"))?;
            let rows = rows.unsigned_abs();
            let missing = counts.assets;
            let entry = counts
                .analyzers
                .entry(analyzer)
                .or_insert_with(|| WorkCounts { missing, ..WorkCounts::default() });
            entry.missing = entry.missing.saturating_sub(rows);
            let stale = wanted.get(&analyzer).is_some_and(|wanted| wanted.to_string() != model);
            match state.as_str() {
                "pending" => entry.pending += rows,
                "done" if stale => entry.stale += rows,
                "done" => entry.done += rows,
                "failed" => entry.failed += rows,
                _ => entry.blocked += rows,
            }
        }
        let grouped = |sql: &'static str| async move {
            let rows: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(&self.read).await.map_err(failed)?;
            Ok::<_, StoreError>(rows.into_iter().map(|(name, rows)| (name, rows.unsigned_abs())).collect())
        };
        counts.suggestions = grouped("select status, count(*) from suggestion group by status").await?;
        counts.vectors = grouped("select space, count(*) from vector group by space").await?;
        Ok(counts)
    }

    async fn failures(&self, page: &Page) -> Result<Paged<FailureRow>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(
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
            query.push_bind(asset).push(", ").push_bind(analyzer).push(", ").push_bind(uri).push("))");
        }
        let limit = page.limit.clamp(1, MOST_ROWS);
        query.push(" order by w.updated_at desc, w.asset_id, w.analyzer, uri limit ").push_bind(limit + 1);
        let rows = query.build().fetch_all(&self.read).await.map_err(fault("list failures"))?;
        let next = match rows.get(limit as usize - 1) {
            Some(last) if rows.len() > limit as usize => Some(json_array([
                get::<i64>(last, "updated_at")?.to_string(),
                get(last, "asset_id")?,
                get(last, "analyzer")?,
                get(last, "uri")?,
            ])),
            _ => None,
        };
        let failure = |row: &SqliteRow| {
            Ok(FailureRow {
                asset_id: parsed(row, "asset_id")?,
                uri: get(row, "uri")?,
                analyzer: get::<String>(row, "analyzer")?.parse().map_err(corrupt("analyzer"))?,
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
        let rows = sqlx::query(
            "select sequence, id, asset_id, region_x, region_y, region_width, region_height, data from vector
             where space = $1 and sequence > $2 order by sequence limit $3",
        )
        .bind(space.as_str())
        .bind(sequence)
        .bind(limit)
        .fetch_all(&self.read)
        .await
        .map_err(fault("read vectors"))?;
        rows.iter().map(|row| numbered_vector(row, space)).collect()
    }

    async fn vectors_at(
        &self,
        space: &VectorSpace,
        sequences: &[i64],
    ) -> Result<Vec<(i64, VectorRecord)>, StoreError> {
        let rows = sqlx::query(
            "select sequence, id, asset_id, region_x, region_y, region_width, region_height, data from vector
             where sequence in (select value from json_each($2)) and space = $1",
        )
        .bind(space.as_str())
        .bind(json_array(sequences))
        .fetch_all(&self.read)
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
        .fetch_optional(&self.read)
        .await
        .map_err(fault("read a vector"))?;
        row.map(|row| vector_values(&get::<Vec<u8>>(&row, "data")?)).transpose()
    }
}

/// A vector of `space` and its sequence number.
fn numbered_vector(row: &SqliteRow, space: &VectorSpace) -> Result<(i64, VectorRecord), StoreError> {
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
fn restrict(query: &mut QueryBuilder<Sqlite>, filter: &AssetFilter) {
    if let Some(tag) = &filter.tag {
        query.push(" and exists (select 1 from suggestion s where s.asset_id = a.id and s.kind = 'tag' and s.value = ");
        query.push_bind(tag.clone()).push(" and s.status in ('pending', 'accepted'))");
    }
    if filter.kind.is_some() || filter.status.is_some() || filter.min_confidence.is_some() {
        query.push(" and exists (select 1 from suggestion s where s.asset_id = a.id and s.status ");
        match filter.status {
            Some(status) => query.push("= ").push_bind(status.as_str()),
            None => query.push("in ('pending', 'accepted')"),
        };
        if let Some(kind) = filter.kind {
            query.push(" and s.kind = ").push_bind(kind.as_str());
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

fn asset(row: &SqliteRow) -> Result<AssetRow, StoreError> {
    let list = |column| {
        serde_json::from_str::<Vec<String>>(&get::<String>(row, column)?)
            .map_err(|error| corrupt(column)(error.to_string()))
    };
    Ok(AssetRow {
        asset_id: parsed(row, "id")?,
        content_hash: get(row, "content_hash")?,
        bytes: get::<i64>(row, "bytes")?.unsigned_abs(),
        width: get(row, "width")?,
        height: get(row, "height")?,
        format: get(row, "format")?,
        uris: list("uris")?,
        gone: get(row, "gone")?,
        owners: list("owners")?,
        pending: get::<i64>(row, "pending")?.unsigned_abs(),
        accepted_tags: list("accepted_tags")?,
    })
}
