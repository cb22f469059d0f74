//! Looking things up.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use docent_pipelines::{AssetId, VectorRecord, VectorSpace};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite};

use super::{SqliteStore, fault, get, parsed, region};
use crate::store::codec::{MOST_ROWS, corrupt, cursor, json_array, number, rfc3339, vector_values, words};
use crate::store::find::{Archive, Asked, From, Spot, Standing, all, arrange, find};
use crate::store::tally::counts;
use crate::store::{
    Arrangement, AssetFilter, AssetRow, Catalog, Counts, FailureRow, Page, Paged, StoreError, Wanted,
};

const ASSET: &str =
    "select a.id, a.content_hash, a.picture, a.bytes, a.width, a.height, a.format, a.orientation, a.tolerated, a.created_at,
    (select json_group_array(uri) from (select uri from asset_path p where p.asset_id = a.id
         order by gone_at is not null, uri)) as uris,
    not exists (select 1 from asset_path p where p.asset_id = a.id and p.gone_at is null) as gone,
    (select json_group_array(owner) from (select distinct owner from asset_path p where p.asset_id = a.id
         and owner is not null order by owner)) as owners,
    (select count(*) from suggestion s where s.asset_id = a.id and s.status = 'pending'
         and s.kind <> 'proposal') as pending,
    (select json_group_array(value) from (select distinct value from suggestion s where s.asset_id = a.id
         and s.status = 'accepted' and s.kind = 'tag' order by value)) as accepted_tags
    from asset a where true";

impl SqliteStore {
    /// These assets, in this order.
    async fn asset_rows(&self, ids: &[String]) -> Result<Vec<AssetRow>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(ASSET);
        query.push(" and a.id in (select value from json_each(").push_bind(json_array(ids)).push("))");
        let rows = query.build().fetch_all(&self.read).await.map_err(fault("look up assets"))?;
        let mut found: HashMap<String, AssetRow> = rows
            .iter()
            .map(|row| asset(row).map(|asset| (asset.asset_id.to_string(), asset)))
            .collect::<Result<_, _>>()?;
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }
}

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
        let mut connection = self.read.acquire().await.map_err(fault("list assets"))?;
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
        let mut connection = self.read.acquire().await.map_err(fault("list assets"))?;
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
        let mut connection = self.read.acquire().await.map_err(fault("filter assets"))?;
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
        let mut connection = self.read.acquire().await.map_err(fault("filter assets"))?;
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
                .fetch_all(&self.read)
                .await
                .map_err(fault("look up assets"))?;
        ids.into_iter().map(|id| AssetId::try_from(id).map_err(corrupt("asset id"))).collect()
    }

    async fn counts(&self, wanted: &Wanted) -> Result<Counts, StoreError> {
        let kept = sqlx::query_as("select what, a, b, c, n from tally where n <> 0")
            .fetch_all(&self.read)
            .await
            .map_err(fault("count"))?;
        counts(kept, wanted)
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

fn asset(row: &SqliteRow) -> Result<AssetRow, StoreError> {
    let list = |column| {
        serde_json::from_str::<Vec<String>>(&get::<String>(row, column)?)
            .map_err(|error| corrupt(column)(error.to_string()))
    };
    Ok(AssetRow {
        asset_id: parsed(row, "id")?,
        content_hash: get(row, "content_hash")?,
        picture: get(row, "picture")?,
        bytes: get::<i64>(row, "bytes")?.unsigned_abs(),
        width: get(row, "width")?,
        height: get(row, "height")?,
        format: get(row, "format")?,
        orientation: get(row, "orientation")?,
        tolerated: words(get(row, "tolerated")?)?,
        uris: list("uris")?,
        gone: get(row, "gone")?,
        owners: list("owners")?,
        pending: get::<i64>(row, "pending")?.unsigned_abs(),
        accepted_tags: list("accepted_tags")?,
    })
}
