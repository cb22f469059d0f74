//! Looking things up.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use docent_pipelines::{AssetId, VectorRecord, VectorSpace};
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder};

use super::find::begin;
use super::{PostgresStore, fault, get, parsed, region, text};
use crate::store::codec::{
    MOST_ROWS, analyzer, corrupt, cursor, json_array, number, place_key, rfc3339, vector_values, words,
};
use crate::store::find::{Archive, Asked, From, Spot, Standing, all, arrange, find};
use crate::store::tally::counts;
use crate::store::{
    Arrangement, AssetFilter, AssetRow, Catalog, Counts, FailureRow, Page, Paged, StoreError, Wanted,
};

const ASSET: &str = "select a.id, a.content_hash, a.picture, a.bytes, a.width, a.height, a.format, a.orientation, a.tolerated, a.created_at,
    array(select coalesce(whole, uri) from asset_path p where p.asset_id = a.id order by gone_at is not null, uri) as uris,
    not exists (select 1 from asset_path p where p.asset_id = a.id and p.gone_at is null) as gone,
    array(select distinct owner from asset_path p where p.asset_id = a.id and owner is not null order by owner) as owners,
    (select count(*) from suggestion s where s.asset_id = a.id and s.status = 'pending'
         and s.kind <> 'proposal') as pending,
    array(select distinct value from suggestion s where s.asset_id = a.id and s.status = 'accepted'
          and s.kind = 'tag' order by value) as accepted_tags
    from asset a where true";

impl PostgresStore {
    /// These assets, in this order.
    async fn asset_rows(&self, ids: &[String]) -> Result<Vec<AssetRow>, StoreError> {
        let mut query = QueryBuilder::<Postgres>::new(ASSET);
        query.push(" and a.id = any(").push_bind(ids).push(")");
        let rows = query.build().fetch_all(&self.pool).await.map_err(fault("look up assets"))?;
        let mut found: HashMap<String, AssetRow> = rows
            .iter()
            .map(|row| asset(row).map(|asset| (asset.asset_id.to_string(), asset)))
            .collect::<Result<_, _>>()?;
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }
}

#[async_trait]
impl Catalog for PostgresStore {
    async fn asset(&self, id: &AssetId) -> Result<AssetRow, StoreError> {
        let row = self.assets(std::slice::from_ref(id)).await?.pop();
        row.ok_or_else(|| StoreError::NotFound { what: "asset", id: id.to_string() })
    }

    async fn asset_at(&self, uri: &str) -> Result<Option<AssetId>, StoreError> {
        let row = sqlx::query("select asset_id from asset_path where uri = $1")
            .bind(place_key(uri))
            .fetch_optional(&self.pool)
            .await
            .map_err(fault("look up a file"))?;
        row.map(|row| parsed(&row, "asset_id")).transpose()
    }

    async fn assets(&self, ids: &[AssetId]) -> Result<Vec<AssetRow>, StoreError> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        self.asset_rows(&ids).await
    }

    async fn list_assets(&self, filter: &AssetFilter, page: &Page) -> Result<Paged<AssetRow>, StoreError> {
        let from = match &page.after {
            Some(after) => {
                let [created, asset] = cursor::<2>(after)?;
                Some(From { spot: Spot { at: number(&created, after)?, asset }, inclusive: false })
            }
            None => None,
        };
        let limit = page.limit.clamp(1, MOST_ROWS) as usize;
        let mut connection = begin(&self.pool).await?;
        let mut found = find(&mut &mut *connection, &Asked::of_assets(filter), from, limit + 1).await?;
        drop(connection);
        if found.spots.len() > limit {
            found.spots.truncate(limit);
            found.rest = found.spots.last().cloned();
        }
        let ids: Vec<String> = found.spots.into_iter().map(|spot| spot.asset).collect();
        let next = found.rest.map(|rest| json_array([rest.at.to_string(), rest.asset]));
        Ok(Paged { rows: self.asset_rows(&ids).await?, next })
    }

    async fn arranged(
        &self,
        filter: &AssetFilter,
        by: Arrangement,
        page: &Page,
    ) -> Result<Paged<AssetRow>, StoreError> {
        let after = page.after.as_deref().map(|after| Standing::read(by, after)).transpose()?;
        let limit = page.limit.clamp(1, MOST_ROWS) as usize;
        let mut connection = begin(&self.pool).await?;
        let asked = Asked::of_assets(filter);
        let (mut found, mut rest) = arrange(&mut &mut *connection, &asked, by, after, limit + 1).await?;
        drop(connection);
        if found.len() > limit {
            found.truncate(limit);
            rest = found.last().cloned();
        }
        let ids: Vec<String> = found.into_iter().map(|place| place.asset).collect();
        Ok(Paged { rows: self.asset_rows(&ids).await?, next: rest.map(|rest| rest.write(by)) })
    }

    async fn matching(
        &self,
        filter: &AssetFilter,
        most: usize,
    ) -> Result<Option<HashSet<AssetId>>, StoreError> {
        let mut connection = begin(&self.pool).await?;
        let Some(spots) = all(&mut &mut *connection, &Asked::of_assets(filter), most).await? else {
            return Ok(None);
        };
        let ids = spots.into_iter().map(|spot| AssetId::try_from(spot.asset).map_err(corrupt("asset_id")));
        ids.collect::<Result<_, _>>().map(Some)
    }

    async fn passing(
        &self,
        filter: &AssetFilter,
        assets: &[AssetId],
    ) -> Result<HashSet<AssetId>, StoreError> {
        let mut connection = begin(&self.pool).await?;
        let ids: Vec<String> = assets.iter().map(ToString::to_string).collect();
        let passing = (&mut *connection).passing(&Asked::of_assets(filter), &ids).await?;
        Ok(assets.iter().filter(|asset| passing.contains(asset.as_str())).cloned().collect())
    }

    async fn assets_beginning(&self, id: &str, most: u32) -> Result<Vec<AssetId>, StoreError> {
        // 'g' is the first letter after the digits.
        let ids: Vec<String> =
            sqlx::query_scalar("select id from asset where id >= $1 and id < $2 order by id limit $3")
                .bind(id)
                .bind(format!("{id}g"))
                .bind(i64::from(most))
                .fetch_all(&self.pool)
                .await
                .map_err(fault("look up assets"))?;
        ids.into_iter().map(|id| AssetId::try_from(id).map_err(corrupt("asset id"))).collect()
    }

    async fn counts(&self, wanted: &Wanted) -> Result<Counts, StoreError> {
        let kept = sqlx::query_as("select what, a, b, c, sum(delta)::bigint from tally group by what, a, b, c having sum(delta) <> 0")
            .fetch_all(&self.pool)
            .await
            .map_err(fault("count"))?;
        counts(kept, wanted)
    }

    async fn failures(&self, page: &Page) -> Result<Paged<FailureRow>, StoreError> {
        let mut query = QueryBuilder::<Postgres>::new(
            "select w.asset_id, coalesce(p.whole, p.uri, '') as uri,
                 coalesce(p.uri, '') as place, w.analyzer, w.failure_kind, w.reason, w.attempts,
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
                get(last, "place")?,
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

fn asset(row: &PgRow) -> Result<AssetRow, StoreError> {
    let side =
        |column| Ok::<_, StoreError>(get::<Option<i64>>(row, column)?.and_then(|n| u32::try_from(n).ok()));
    Ok(AssetRow {
        asset_id: parsed(row, "id")?,
        content_hash: get(row, "content_hash")?,
        picture: get(row, "picture")?,
        bytes: get::<i64>(row, "bytes")?.unsigned_abs(),
        width: side("width")?,
        height: side("height")?,
        format: get(row, "format")?,
        orientation: get(row, "orientation")?,
        tolerated: words(get(row, "tolerated")?)?,
        uris: get(row, "uris")?,
        gone: get(row, "gone")?,
        owners: get(row, "owners")?,
        pending: get::<i64>(row, "pending")?.unsigned_abs(),
        accepted_tags: get(row, "accepted_tags")?,
    })
}
