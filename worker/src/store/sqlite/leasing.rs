//! Who holds what, and who lives.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite};

use super::{SqliteStore, fault, get, now, parsed};
use crate::queue::Lane;
use crate::store::codec::{
    FORGOTTEN, LEASES_AT_ONCE, MOST_ROWS, cursor, json_array, lane_number, lane_of, millis, number, rfc3339,
};
use crate::store::leasing::{LeaseFilter, LeaseRow, Leasing};
use crate::store::{Page, Paged, StoreError};

/// The process of a lease's owner: a feeder is part of its worker.
const PROCESS: &str = "substr(a.lease_owner, 1, instr(a.lease_owner || '/', '/') - 1)";

#[async_trait]
impl Leasing for SqliteStore {
    async fn beat(&self, owner: &str, lives: Duration) -> Result<(), StoreError> {
        const OPERATION: &str = "say that this process lives";
        let now = now();
        let until = now.saturating_add(millis(lives));
        let mut tx = self.begin(OPERATION).await?;
        sqlx::query(
            "insert into process (owner, alive_until, judges_at) values ($1, $2, $2)
             on conflict (owner) do update set alive_until = excluded.alive_until,
                 judges_at = case when process.alive_until < $3 then excluded.judges_at else process.judges_at end",
        )
        .bind(owner)
        .bind(until)
        .bind(now)
        .execute(&mut *tx)
        .await
        .map_err(fault(OPERATION))?;
        sqlx::query("delete from process where alive_until < $1")
            .bind(now.saturating_sub(millis(FORGOTTEN)))
            .execute(&mut *tx)
            .await
            .map_err(fault(OPERATION))?;
        tx.commit().await.map_err(fault(OPERATION))
    }

    async fn take_back(&self, lane: Lane, left: Range<Duration>) -> Result<u64, StoreError> {
        let now = now();
        let ended = sqlx::query(
            "update asset set lease_owner = null, lease_until = null, run_alone = 0
             where id in (select id from asset where lease_until is not null and run_began = 0 and lane = $1
                          and lease_until between $2 and $3 limit $4)",
        )
        .bind(lane_number(lane))
        .bind(now.saturating_add(millis(left.start)))
        .bind(now.saturating_add(millis(left.end)))
        .bind(LEASES_AT_ONCE)
        .execute(&self.write)
        .await
        .map_err(fault("take leases back"))?;
        Ok(ended.rows_affected())
    }

    async fn leases(&self, filter: &LeaseFilter, page: &Page) -> Result<Paged<LeaseRow>, StoreError> {
        let limit = page.limit.clamp(1, MOST_ROWS);
        let mut query = QueryBuilder::<Sqlite>::new(
            "select a.id, a.lane, a.lease_owner, a.lease_until, a.run_began, a.run_alone or a.suspect > 0 as alone,
                 (select p.uri from asset_path p where p.asset_id = a.id order by p.uri limit 1) as uri,
                 (select p.alive_until >= ",
        );
        query.push_bind(now()).push(" from process p where p.owner = ").push(PROCESS);
        query.push(") as alive from asset a where a.lease_until is not null");
        restrict(&mut query, filter);
        if let Some(after) = &page.after {
            let [until, id] = cursor::<2>(after)?;
            query.push(" and (a.lease_until, a.id) > (").push_bind(number::<i64>(&until, after)?);
            query.push(", ").push_bind(id).push(")");
        }
        query.push(" order by a.lease_until, a.id limit ").push_bind(i64::from(limit) + 1);
        let rows = query.build().fetch_all(&self.read).await.map_err(fault("list leases"))?;
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
            let mut query = QueryBuilder::<Sqlite>::new(
                "update asset set lease_owner = null, lease_until = null, run_began = 0, run_alone = 0
                 where id in (select a.id from asset a where a.lease_until is not null",
            );
            restrict(&mut query, filter);
            query.push(" limit ").push_bind(LEASES_AT_ONCE).push(")");
            let ended = query.build().execute(&self.write).await.map_err(fault("release leases"))?;
            released += ended.rows_affected();
            if ended.rows_affected() < LEASES_AT_ONCE.unsigned_abs() {
                return Ok(released);
            }
        }
    }
}

fn restrict(query: &mut QueryBuilder<Sqlite>, filter: &LeaseFilter) {
    let LeaseFilter { owner, assets, begun } = filter;
    if let Some(owner) = owner {
        query.push(" and (a.lease_owner = ").push_bind(owner.clone());
        query.push(" or ").push(PROCESS).push(" = ").push_bind(owner.clone()).push(")");
    }
    if let Some(assets) = assets {
        query.push(" and a.id in (select value from json_each(").push_bind(json_array(assets)).push("))");
    }
    if let Some(begun) = begun {
        query.push(" and a.run_began = ").push_bind(*begun);
    }
}

fn lease(row: &SqliteRow) -> Result<LeaseRow, StoreError> {
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
