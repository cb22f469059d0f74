//! Who holds what, and who lives.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use docent_pipelines::AssetId;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder};

use super::{PostgresStore, fault, get, parsed};
use crate::queue::Lane;
use crate::store::codec::{
    FORGOTTEN, LEASES_AT_ONCE, MOST_ROWS, cursor, json_array, lane_number, lane_of, millis, number, rfc3339,
};
use crate::store::leasing::{LeaseFilter, LeaseRow, Leasing};
use crate::store::{Page, Paged, StoreError};

#[async_trait]
impl Leasing for PostgresStore {
    async fn beat(&self, owner: &str, lives: Duration) -> Result<(), StoreError> {
        sqlx::query(
            "with n as (select docent_now() as now), forgotten as (
                 delete from process where owner in (
                     select owner from process, n where alive_until < n.now - $3 order by owner for update skip locked))
             insert into process as p (owner, alive_until, judges_at)
             select $1, n.now + $2, n.now + $2 from n
             on conflict (owner) do update set alive_until = excluded.alive_until,
                 judges_at = case when p.alive_until < docent_now() then excluded.judges_at else p.judges_at end",
        )
        .bind(owner)
        .bind(millis(lives))
        .bind(millis(FORGOTTEN))
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(fault("say that this process lives"))
    }

    async fn take_back(&self, lane: Lane, left: Range<Duration>) -> Result<u64, StoreError> {
        let ended = sqlx::query(
            "with n as (select docent_now() as now), vanished as materialized (
                 select id from asset, n
                 where lease_until is not null and not run_began and lane = $1
                   and lease_until between n.now + $2 and n.now + $3
                 order by id limit $4 for update of asset skip locked)
             update asset a set lease_owner = null, lease_until = null, run_alone = false
             from vanished where a.id = vanished.id",
        )
        .bind(lane_number(lane))
        .bind(millis(left.start))
        .bind(millis(left.end))
        .bind(LEASES_AT_ONCE)
        .execute(&self.pool)
        .await
        .map_err(fault("take leases back"))?;
        Ok(ended.rows_affected())
    }

    async fn leases(&self, filter: &LeaseFilter, page: &Page) -> Result<Paged<LeaseRow>, StoreError> {
        let limit = page.limit.clamp(1, MOST_ROWS);
        let mut query = QueryBuilder::<Postgres>::new(
            "select a.id, a.lane, a.lease_owner, a.lease_until, a.run_began, a.run_alone or a.suspect > 0 as alone,
                 (select coalesce(p.whole, p.uri) from asset_path p where p.asset_id = a.id order by p.uri limit 1) as uri,
                 (select p.alive_until >= docent_now() from process p
                  where p.owner = split_part(a.lease_owner, '/', 1)) as alive
             from asset a where a.lease_until is not null",
        );
        restrict(&mut query, filter);
        if let Some(after) = &page.after {
            let [until, id] = cursor::<2>(after)?;
            query.push(" and (a.lease_until, a.id) > (").push_bind(number::<i64>(&until, after)?);
            query.push(", ").push_bind(id).push(")");
        }
        query.push(" order by a.lease_until, a.id limit ").push_bind(i64::from(limit) + 1);
        let rows = query.build().fetch_all(&self.pool).await.map_err(fault("list leases"))?;
        let next = match rows.get(limit as usize - 1) {
            Some(last) if rows.len() > limit as usize => {
                Some(json_array([get::<i64>(last, "lease_until")?.to_string(), get(last, "id")?]))
            }
            _ => None,
        };
        let rows = rows.iter().take(limit as usize).map(lease).collect::<Result<_, _>>()?;
        Ok(Paged { rows, next })
    }

    async fn release(&self, filter: &LeaseFilter) -> Result<u64, StoreError> {
        let mut released = 0;
        loop {
            let mut query = QueryBuilder::<Postgres>::new(
                "update asset set lease_owner = null, lease_until = null, run_began = false, run_alone = false
                 where id in (select a.id from asset a where a.lease_until is not null",
            );
            restrict(&mut query, filter);
            query.push(" order by a.id limit ").push_bind(LEASES_AT_ONCE).push(" for update)");
            let ended = query.build().execute(&self.pool).await.map_err(fault("release leases"))?;
            released += ended.rows_affected();
            if ended.rows_affected() < LEASES_AT_ONCE.unsigned_abs() {
                return Ok(released);
            }
        }
    }
}

fn restrict(query: &mut QueryBuilder<Postgres>, filter: &LeaseFilter) {
    let LeaseFilter { owner, assets, begun } = filter;
    if let Some(owner) = owner {
        query.push(" and (a.lease_owner = ").push_bind(owner.clone());
        query.push(" or split_part(a.lease_owner, '/', 1) = ").push_bind(owner.clone()).push(")");
    }
    if let Some(assets) = assets {
        let ids: Vec<String> = assets.iter().map(AssetId::to_string).collect();
        query.push(" and a.id = any(").push_bind(ids).push("::text[])");
    }
    if let Some(begun) = begun {
        query.push(" and a.run_began = ").push_bind(*begun);
    }
}

fn lease(row: &PgRow) -> Result<LeaseRow, StoreError> {
    Ok(LeaseRow {
        asset_id: parsed(row, "id")?,
        uri: get(row, "uri")?,
        lane: lane_of(get(row, "lane")?),
        owner: get::<Option<String>>(row, "lease_owner")?.unwrap_or_default(),
        alive: get(row, "alive")?,
        begun: get(row, "run_began")?,
        alone: get(row, "alone")?,
        until: rfc3339(get(row, "lease_until")?),
    })
}
