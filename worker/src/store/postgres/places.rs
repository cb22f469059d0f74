//! What is known of places besides what lies there.

use std::collections::HashMap;

use docent_pipelines::AssetId;
use sqlx::{Postgres, QueryBuilder};

use super::listing::has_prefix;
use super::{PostgresStore, fault, get, parsed};
use crate::store::codec::{MOST_ROWS, place_key};
use crate::store::{KnownPlace, PLACES, StoreError};

impl PostgresStore {
    /// See [`crate::store::Ledger::note_places`].
    pub(super) async fn note(&self, gone: &[String], found: &[String]) -> Result<(), StoreError> {
        let notes = [(gone, "docent_now()", "gone_at is null"), (found, "null", "gone_at is not null")];
        for (uris, at, unknown) in notes.into_iter().filter(|(uris, ..)| !uris.is_empty()) {
            // Everybody writes places in the same order.
            let sql = format!(
                "update asset_path p set gone_at = {at} from (
                     select uri from asset_path where uri = any($1::text[]) and {unknown} order by uri for update) n
                 where p.uri = n.uri"
            );
            sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(uris.iter().map(|uri| place_key(uri)).collect::<Vec<_>>())
                .execute(&self.pool)
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
            "select a.id, coalesce(p.whole, p.uri) as uri, p.bytes, p.gone_at is not null as gone
             from asset a left join lateral (
                 select * from asset_path where asset_id = a.id order by gone_at is not null, uri limit $2) p on true
             where a.id = any($1::text[]) order by a.id, gone, p.uri",
        )
        .bind(assets.iter().map(ToString::to_string).collect::<Vec<_>>())
        .bind(i64::from(PLACES))
        .fetch_all(&self.pool)
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
        let mut query = QueryBuilder::<Postgres>::new(
            "select coalesce(p.whole, p.uri) as uri, p.bytes, p.gone_at is not null as gone from asset_path p where ",
        );
        has_prefix(&mut query, "p", folder);
        if let Some(after) = after {
            query.push(" and p.uri > ").push_bind(place_key(after));
        }
        query.push(" order by p.uri limit ").push_bind(i64::from(limit.min(MOST_ROWS)));
        let rows = query.build().fetch_all(&self.pool).await.map_err(fault("list places"))?;
        let place = |row| {
            let bytes = get::<i64>(row, "bytes")?.unsigned_abs();
            Ok(KnownPlace { uri: get(row, "uri")?, bytes, gone: get(row, "gone")? })
        };
        rows.iter().map(place).collect()
    }
}
