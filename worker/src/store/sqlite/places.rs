//! What is known of places besides what lies there.

use std::collections::HashMap;

use docent_pipelines::AssetId;
use sqlx::{QueryBuilder, Sqlite};

use super::listing::has_prefix;
use super::{SqliteStore, fault, get, now, parsed};
use crate::store::codec::{MOST_ROWS, json_array};
use crate::store::{KnownPlace, PLACES, StoreError};

impl SqliteStore {
    /// See [`crate::store::Ledger::note_places`].
    pub(super) async fn note(&self, gone: &[String], found: &[String]) -> Result<(), StoreError> {
        let notes = [(gone, Some(now()), "gone_at is null"), (found, None, "gone_at is not null")];
        for (uris, at, unknown) in notes.into_iter().filter(|(uris, ..)| !uris.is_empty()) {
            let sql = format!(
                "update asset_path set gone_at = $2 where {unknown} and uri in (select value from json_each($1))"
            );
            sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(json_array(uris))
                .bind(at)
                .execute(&self.write)
                .await
                .map_err(fault("note places"))?;
        }
        Ok(())
    }

    /// See [`crate::store::Ledger::known_assets`].
    pub(super) async fn places_of(
        &self,
        assets: &[AssetId],
    ) -> Result<HashMap<AssetId, Vec<KnownPlace>>, StoreError> {
        let rows = sqlx::query(
            "select a.id, p.uri, p.bytes, p.gone_at is not null as gone from asset a left join asset_path p on p.uri in (
                 select uri from asset_path where asset_id = a.id order by gone_at is not null, uri limit $2)
             where a.id in (select value from json_each($1)) order by a.id, gone, p.uri",
        )
        .bind(json_array(assets))
        .bind(PLACES)
        .fetch_all(&self.read)
        .await
        .map_err(fault("look up assets"))?;
        let mut places: HashMap<AssetId, Vec<KnownPlace>> = HashMap::new();
        for row in &rows {
            let of_asset = places.entry(parsed(row, "id")?).or_default();
            if let Some(uri) = get::<Option<String>>(row, "uri")? {
                let bytes = get::<i64>(row, "bytes")?.unsigned_abs();
                of_asset.push(KnownPlace { uri, bytes, gone: get(row, "gone")? });
            }
        }
        Ok(places)
    }

    /// See [`crate::store::Ledger::places_below`].
    pub(super) async fn below(
        &self,
        folder: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<KnownPlace>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(
            "select p.uri, p.bytes, p.gone_at is not null as gone from asset_path p where ",
        );
        has_prefix(&mut query, "p", folder);
        if let Some(after) = after {
            query.push(" and p.uri > ").push_bind(after.to_owned());
        }
        query.push(" order by p.uri limit ").push_bind(limit.min(MOST_ROWS));
        let rows = query.build().fetch_all(&self.read).await.map_err(fault("list places"))?;
        let place = |row| {
            let bytes = get::<i64>(row, "bytes")?.unsigned_abs();
            Ok(KnownPlace { uri: get(row, "uri")?, bytes, gone: get(row, "gone")? })
        };
        rows.iter().map(place).collect()
    }
}
