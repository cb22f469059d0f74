//! Candidates for a filter, and which of them pass.
//!
//! Plans are made for the values at hand (`persistent(false)`): a plan for any value would take a common one for rare.

use std::collections::HashSet;

use async_trait::async_trait;
use docent_pipelines::Status;
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::{Postgres, QueryBuilder, Transaction};

use super::listing::{has_prefix, is_at};
use super::{fault, get, text};
use crate::store::codec::kind_order;
use crate::store::find::{Archive, Arranged, Asked, From, Heap, Said, Shelf, Source, Spot, Standing};
use crate::store::{Arrangement, StoreError};

const OPERATION: &str = "filter";

/// Begins to read for a filter.
pub(super) async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, StoreError> {
    let mut tx = pool.begin().await.map_err(fault(OPERATION))?;
    in_order(&mut tx).await?;
    Ok(tx)
}

/// Until the transaction ends, what is looked for is looked for in an index, in its order, and not by what statistics
/// believe to be rare: so no answer takes longer than it has to, and none depends on when the statistics were made.
pub(super) async fn in_order(tx: &mut Transaction<'static, Postgres>) -> Result<(), StoreError> {
    sqlx::query(
        "select set_config(name, value, true) from (values ('enable_seqscan', 'off'), ('enable_bitmapscan', 'off'),
             ('enable_sort', 'off'), ('max_parallel_workers_per_gather', '0'), ('jit', 'off')) s (name, value)",
    )
    .execute(&mut **tx)
    .await
    .map(drop)
    .map_err(fault(OPERATION))
}

#[async_trait]
impl Archive for &mut PgConnection {
    async fn candidates(
        &mut self,
        source: &Source,
        from: Option<&From>,
        limit: usize,
    ) -> Result<Vec<Spot>, StoreError> {
        let mut query = QueryBuilder::new("");
        match source {
            Source::Among(assets) => {
                query.push("select created_at as asset_at, id as asset_id from asset where id = any(");
                query.push_bind(assets.iter().map(ToString::to_string).collect::<Vec<_>>()).push(")");
                behind(&mut query, "created_at", "id", from);
                query.push(" order by -created_at, id limit ").push(limit);
            }
            Source::Sure(said) => {
                query.push("select distinct asset_at, asset_id from suggestion s where true");
                is_sure(&mut query, said);
                behind(&mut query, "asset_at", "asset_id", from);
                query.push(" order by asset_at desc, asset_id limit ").push(limit);
            }
            Source::Value(value, statuses) => {
                branches(&mut query, statuses, limit, |query| {
                    begins(query, value);
                    behind(query, "asset_at", "asset_id", from);
                });
            }
            Source::Status(statuses, kind) => {
                branches(&mut query, statuses, limit, |query| {
                    if let Some(kind) = kind {
                        query.push(" and kind_order = ").push_bind(kind_order(*kind));
                    }
                    behind(query, "asset_at", "asset_id", from);
                });
            }
            Source::Owner(owner) => {
                query.push("select asset_at, asset_id from asset_path where owner = ");
                query.push_bind(owner.to_string());
                behind(&mut query, "asset_at", "asset_id", from);
                query.push(" order by -asset_at, asset_id limit ").push(limit);
            }
            Source::Folder(prefix) => {
                // From its end: what is new tends to be there, and the first places that are read exclude most others.
                query.push(
                    "select asset_at, asset_id from (select asset_at, asset_id from asset_path p where ",
                );
                has_prefix(&mut query, "p", prefix);
                behind(&mut query, "p.asset_at", "p.asset_id", from);
                query
                    .push(" order by p.uri desc offset 0) p order by -asset_at, asset_id limit ")
                    .push(limit);
            }
            Source::Newest => {
                query.push("select created_at as asset_at, id as asset_id from asset where true");
                // A range of the index, which holds the columns themselves: nothing else is read.
                if let Some(From { spot, inclusive }) = from {
                    query.push(" and created_at <= ").push_bind(spot.at);
                    query.push(" and (created_at < ").push_bind(spot.at);
                    query.push(if *inclusive { " or id >= " } else { " or id > " });
                    query.push_bind(text(&spot.asset)).push(")");
                }
                query.push(" order by created_at desc, id limit ").push(limit);
            }
        }
        let rows = query.build().persistent(false).fetch_all(&mut **self).await.map_err(fault(OPERATION))?;
        rows.iter().map(spot).collect()
    }

    async fn size(&mut self, source: &Source, most: usize) -> Result<usize, StoreError> {
        let mut query = QueryBuilder::new("select count(*) from (select 1 from ");
        match source {
            Source::Sure(said) => {
                query.push("suggestion s where true");
                is_sure(&mut query, said);
            }
            Source::Folder(prefix) => {
                query.push("asset_path p where ");
                has_prefix(&mut query, "p", prefix);
            }
            Source::Value(value, statuses) => {
                query.push("suggestion s where s.value = ").push_bind(value.clone());
                query.push(" and s.status = any(").push_bind(names(statuses)).push(")");
            }
            // Nobody asks how many these are.
            _ => return Ok(most),
        }
        query.push(" limit ").push(most).push(") counted");
        let size: i64 = query
            .build_query_scalar()
            .persistent(false)
            .fetch_one(&mut **self)
            .await
            .map_err(fault(OPERATION))?;
        Ok(usize::try_from(size).unwrap_or(most))
    }

    async fn passing(&mut self, asked: &Asked, assets: &[String]) -> Result<HashSet<String>, StoreError> {
        let mut query = QueryBuilder::new("select c.id from unnest(");
        query.push_bind(assets).push("::text[]) c (id) where true");
        for said in &asked.said {
            query.push(" and exists (select 1 from suggestion s where s.asset_id = c.id");
            says(&mut query, said);
            // Looked up for each by itself.
            query.push(" offset 0)");
        }
        at_place(&mut query, asked);
        let passing: Vec<String> = query
            .build_query_scalar()
            .persistent(false)
            .fetch_all(&mut **self)
            .await
            .map_err(fault(OPERATION))?;
        Ok(passing.into_iter().collect())
    }

    async fn counted(&mut self, asked: &Asked, assets: &[String]) -> Result<Vec<Heap>, StoreError> {
        let mut query = QueryBuilder::new("select c.id as asset_id, h.kind_order, h.n from unnest(");
        query.push_bind(assets);
        // Looked up for each by itself.
        query.push(
            "::text[]) c (id) cross join lateral (
                 select s.kind_order, count(*) as n from suggestion s where s.asset_id = c.id",
        );
        asked.said.first().into_iter().for_each(|said| says(&mut query, said));
        query.push(" group by s.kind_order) h where true");
        at_place(&mut query, asked);
        let rows = query.build().persistent(false).fetch_all(&mut **self).await.map_err(fault(OPERATION))?;
        rows.iter()
            .map(|row| {
                let count = get::<i64>(row, "n")?.unsigned_abs();
                Ok(Heap { asset: get(row, "asset_id")?, kind: get(row, "kind_order")?, count })
            })
            .collect()
    }
}

#[async_trait]
impl Arranged for &mut PgConnection {
    async fn standing(&mut self, shelf: &Shelf<'_>, limit: usize) -> Result<Vec<Standing>, StoreError> {
        let mut query = QueryBuilder::new("select c.uri, c.modified_ns, c.asset_id, c.gone_at is null");
        if let Some(folder) = shelf.folder {
            query.push(" and ");
            has_prefix(&mut query, "c", folder);
        }
        query.push(
            " and not exists (select 1 from asset_path p
                 where p.asset_id = c.asset_id and p.uri < c.uri and p.gone_at is null",
        );
        if let Some(folder) = shelf.folder {
            query.push(" and ");
            has_prefix(&mut query, "p", folder);
        }
        // Looked up for each by itself.
        query.push(" offset 0) as stands from ");
        match shelf.few {
            Some(said) => {
                query.push("(select distinct s.asset_id from suggestion s where true");
                is_sure(&mut query, said);
                query.push(
                    " offset 0) f cross join lateral (
                         select * from asset_path p where p.asset_id = f.asset_id offset 0) c where true",
                );
            }
            None => {
                query.push("asset_path c where true");
                if let Some(folder) = shelf.folder.filter(|_| shelf.by == Arrangement::Place) {
                    query.push(" and ");
                    has_prefix(&mut query, "c", folder);
                }
            }
        }
        match (shelf.by, shelf.after) {
            (_, None) => {}
            (Arrangement::Place, Some(after)) => {
                query.push(" and c.uri > ").push_bind(text(&after.uri));
            }
            (Arrangement::Date, Some(after)) => {
                query.push(" and (c.modified_ns, c.uri) < (").push_bind(after.modified).push(", ");
                query.push_bind(text(&after.uri)).push(")");
            }
        }
        query.push(match shelf.by {
            Arrangement::Place => " order by c.uri limit ",
            Arrangement::Date => " order by c.modified_ns desc, c.uri desc limit ",
        });
        query.push(limit);
        let rows = query.build().persistent(false).fetch_all(&mut **self).await.map_err(fault(OPERATION))?;
        rows.iter()
            .map(|row| {
                Ok(Standing {
                    uri: get(row, "uri")?,
                    modified: get(row, "modified_ns")?,
                    asset: get(row, "asset_id")?,
                    stands: get(row, "stands")?,
                })
            })
            .collect()
    }
}

fn spot(row: &PgRow) -> Result<Spot, StoreError> {
    Ok(Spot { at: get(row, "asset_at")?, asset: get(row, "asset_id")? })
}

/// Adds that an asset comes after the beginning, as the index has it.
fn behind(query: &mut QueryBuilder<Postgres>, at: &str, asset: &str, from: Option<&From>) {
    if let Some(From { spot, inclusive }) = from {
        query.push(" and (-").push(at).push(", ").push(asset);
        query.push(if *inclusive { ") >= (" } else { ") > (" });
        query.push_bind(spot.at.saturating_neg()).push(", ").push_bind(text(&spot.asset)).push(")");
    }
}

/// Each status is in order in its index: the first of each are put in order together.
fn branches(
    query: &mut QueryBuilder<Postgres>,
    statuses: &[Status],
    limit: usize,
    narrow: impl Fn(&mut QueryBuilder<Postgres>),
) {
    const FIRST: &str = "select distinct on (-asset_at, asset_id) asset_at, asset_id from ";
    const ORDER: &str = " order by -asset_at, asset_id limit ";
    query.push(FIRST).push("(");
    for (place, status) in statuses.iter().enumerate() {
        query.push(if place == 0 { "(" } else { " union all (" });
        query.push(FIRST).push("suggestion where status = ").push_bind(status.as_str());
        narrow(query);
        query.push(ORDER).push(limit).push(")");
    }
    query.push(") s").push(ORDER).push(limit);
}

fn names(statuses: &[Status]) -> Vec<&'static str> {
    statuses.iter().map(|status| status.as_str()).collect()
}

/// Adds status, kind and confidence of `said` on `suggestion s`, as the index has them: all statuses and kinds are named.
fn is_sure(query: &mut QueryBuilder<Postgres>, said: &Said) {
    query.push(" and s.status = any(").push_bind(names(&said.statuses));
    query.push(") and s.kind_order = any(");
    query.push_bind(said.kinds().into_iter().map(kind_order).collect::<Vec<i64>>()).push(")");
    if let Some(least) = said.least {
        query.push(" and s.confidence >= ").push_bind(least);
    }
}

/// Adds the beginning of a value, which is what its index holds. The whole is compared later: together they would look
/// rarer than they are.
fn begins(query: &mut QueryBuilder<Postgres>, value: &str) {
    query.push(" and left(value, 128) = left(").push_bind(text(value)).push(", 128)");
}

/// Adds what `said` says on `suggestion s`.
pub(super) fn says(query: &mut QueryBuilder<Postgres>, said: &Said) {
    if said.statuses.len() < Status::ALL.len() {
        query.push(" and s.status = any(").push_bind(names(&said.statuses)).push(")");
    }
    if let Some(kind) = said.kind {
        query.push(" and s.kind_order = ").push_bind(kind_order(kind));
    }
    if let Some(kind) = said.left_out() {
        query.push(" and s.kind_order <> ").push_bind(kind_order(kind));
    }
    if let Some(least) = said.least {
        query.push(" and s.confidence >= ").push_bind(least);
    }
    if let Some(value) = &said.value {
        query.push(" and s.value = ").push_bind(text(value));
    }
    if let Some(newest) = said.newest_run {
        query.push(" and s.run_id <= ").push_bind(newest);
    }
    if !said.ids.is_empty() {
        query.push(" and s.id = any(");
        query.push_bind(said.ids.iter().map(ToString::to_string).collect::<Vec<_>>()).push(")");
    }
}

/// Adds that one of the places of `c` is as asked, and that `c` can be looked at, if that is asked.
fn at_place(query: &mut QueryBuilder<Postgres>, asked: &Asked) {
    if !asked.place.is_empty() || asked.viewable {
        query.push(" and exists (select 1 from asset_path p where p.asset_id = c.id");
        is_at(query, &asked.place);
        query.push(if asked.viewable { " and p.gone_at is null offset 0)" } else { " offset 0)" });
    }
    if asked.viewable {
        query.push(
            " and not exists (select 1 from work w where w.asset_id = c.id and w.analyzer = 'decode'
                  and w.state = 'failed' offset 0)",
        );
    }
}
