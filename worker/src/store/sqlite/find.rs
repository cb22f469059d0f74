//! Candidates for a filter, and which of them pass.

use std::collections::HashSet;

use async_trait::async_trait;
use docent_pipelines::Status;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Sqlite};

use super::listing::{has_prefix, is_at};
use super::{fault, get};
use crate::store::codec::{json_array, kind_order};
use crate::store::find::{Archive, Arranged, Asked, From, Heap, Said, Shelf, Source, Spot, Standing};
use crate::store::{Arrangement, StoreError};

const OPERATION: &str = "filter";

#[async_trait]
impl Archive for &mut SqliteConnection {
    async fn candidates(
        &mut self,
        source: &Source,
        from: Option<&From>,
        limit: usize,
    ) -> Result<Vec<Spot>, StoreError> {
        let mut query = QueryBuilder::new("");
        match source {
            Source::Among(assets) => {
                query.push(
                    "select created_at as asset_at, id as asset_id from asset where id in (select value from json_each(",
                );
                query.push_bind(json_array(assets)).push("))");
                behind(&mut query, "+created_at", "+id", from);
                query.push(" order by +created_at desc, +id limit ").push(limit);
            }
            Source::Sure(said) => {
                query.push("select distinct asset_at, asset_id from suggestion s where true");
                is_sure(&mut query, said);
                behind(&mut query, "+asset_at", "+asset_id", from);
                query.push(" order by +asset_at desc, +asset_id limit ").push(limit);
            }
            Source::Value(value, statuses) => {
                branches(&mut query, statuses, limit, |query| {
                    query.push(" and value = ").push_bind(value.clone());
                    behind(query, "asset_at", "asset_id", from);
                });
            }
            // The index knows no kinds; which pass is found out anyway.
            Source::Status(statuses, _) => {
                branches(&mut query, statuses, limit, |query| behind(query, "asset_at", "asset_id", from));
            }
            Source::Owner(owner) => {
                query.push("select asset_at, asset_id from asset_path where owner = ");
                query.push_bind(owner.to_string());
                behind(&mut query, "asset_at", "asset_id", from);
                query.push(" order by asset_at desc, asset_id limit ").push(limit);
            }
            Source::Folder(prefix) => {
                // From its end: what is new tends to be there, and the first places that are read exclude most others.
                query.push(
                    "select asset_at, asset_id from (select asset_at, asset_id from asset_path p where ",
                );
                has_prefix(&mut query, "p", prefix);
                behind(&mut query, "+p.asset_at", "+p.asset_id", from);
                query.push(" order by p.uri desc limit -1 offset 0) order by asset_at desc, asset_id limit ");
                query.push(limit);
            }
            Source::Newest => {
                query.push("select created_at as asset_at, id as asset_id from asset where true");
                behind(&mut query, "created_at", "id", from);
                query.push(" order by created_at desc, id limit ").push(limit);
            }
        }
        let rows = query.build().fetch_all(&mut **self).await.map_err(fault(OPERATION))?;
        rows.iter().map(spot).collect()
    }

    async fn size(&mut self, source: &Source, most: usize) -> Result<usize, StoreError> {
        let mut query = QueryBuilder::new("select count(*) from (select 1 from ");
        match source {
            Source::Sure(said) => {
                query.push("suggestion s indexed by suggestion_sure where true");
                is_sure(&mut query, said);
            }
            Source::Folder(prefix) => {
                query.push("asset_path p where ");
                has_prefix(&mut query, "p", prefix);
            }
            Source::Value(value, statuses) => {
                query
                    .push("suggestion s indexed by suggestion_value where s.value = ")
                    .push_bind(value.clone());
                one_of(&mut query, statuses);
            }
            // Nobody asks how many these are.
            _ => return Ok(most),
        }
        query.push(" limit ").push(most).push(")");
        let size: i64 = query.build_query_scalar().fetch_one(&mut **self).await.map_err(fault(OPERATION))?;
        Ok(usize::try_from(size).unwrap_or(most))
    }

    async fn passing(&mut self, asked: &Asked, assets: &[String]) -> Result<HashSet<String>, StoreError> {
        let mut query = QueryBuilder::new("select c.value from json_each(");
        query.push_bind(json_array(assets)).push(") c where true");
        for said in &asked.said {
            query.push(" and exists (select 1 from suggestion s indexed by suggestion_asset where s.asset_id = c.value");
            says(&mut query, said);
            query.push(")");
        }
        at_place(&mut query, asked);
        let passing: Vec<String> =
            query.build_query_scalar().fetch_all(&mut **self).await.map_err(fault(OPERATION))?;
        Ok(passing.into_iter().collect())
    }

    async fn counted(&mut self, asked: &Asked, assets: &[String]) -> Result<Vec<Heap>, StoreError> {
        let mut query = QueryBuilder::new("select s.asset_id, s.kind_order, count(*) as n from json_each(");
        query.push_bind(json_array(assets));
        query.push(
            ") c cross join suggestion s indexed by suggestion_asset on s.asset_id = c.value where true",
        );
        asked.said.first().into_iter().for_each(|said| says(&mut query, said));
        at_place(&mut query, asked);
        query.push(" group by s.asset_id, s.kind_order");
        let rows = query.build().fetch_all(&mut **self).await.map_err(fault(OPERATION))?;
        rows.iter()
            .map(|row| {
                let count = get::<i64>(row, "n")?.unsigned_abs();
                Ok(Heap { asset: get(row, "asset_id")?, kind: get(row, "kind_order")?, count })
            })
            .collect()
    }
}

#[async_trait]
impl Arranged for &mut SqliteConnection {
    async fn standing(&mut self, shelf: &Shelf<'_>, limit: usize) -> Result<Vec<Standing>, StoreError> {
        let mut query = QueryBuilder::new("select c.uri, c.modified_ns, c.asset_id, c.gone_at is null");
        if let Some(folder) = shelf.folder {
            query.push(" and ");
            has_prefix(&mut query, "c", folder);
        }
        query.push(
            " and not exists (select 1 from asset_path p indexed by asset_path_asset
                 where p.asset_id = c.asset_id and p.uri < c.uri and p.gone_at is null",
        );
        if let Some(folder) = shelf.folder {
            query.push(" and ");
            has_prefix(&mut query, "p", folder);
        }
        query.push(") as stands from ");
        let (uri, modified) = match shelf.few {
            Some(said) => {
                query.push(
                    "(select distinct s.asset_id from suggestion s indexed by suggestion_sure where true",
                );
                is_sure(&mut query, said);
                query.push(") f cross join asset_path c indexed by asset_path_asset on c.asset_id = f.asset_id where true");
                ("+c.uri", "+c.modified_ns")
            }
            None if shelf.by == Arrangement::Date => {
                query.push("asset_path c indexed by asset_path_date where true");
                ("c.uri", "c.modified_ns")
            }
            None => {
                query.push("asset_path c where true");
                if let Some(folder) = shelf.folder {
                    query.push(" and ");
                    has_prefix(&mut query, "c", folder);
                }
                ("c.uri", "c.modified_ns")
            }
        };
        match (shelf.by, shelf.after) {
            (_, None) => {}
            (Arrangement::Place, Some(after)) => {
                query.push(" and ").push(uri).push(" > ").push_bind(after.uri.clone());
            }
            (Arrangement::Date, Some(after)) => {
                query.push(" and (").push(modified).push(", ").push(uri).push(") < (");
                query.push_bind(after.modified).push(", ").push_bind(after.uri.clone()).push(")");
            }
        }
        match shelf.by {
            Arrangement::Place => query.push(" order by ").push(uri),
            Arrangement::Date => {
                query.push(" order by ").push(modified).push(" desc, ").push(uri).push(" desc")
            }
        };
        query.push(" limit ").push(limit);
        let rows = query.build().fetch_all(&mut **self).await.map_err(fault(OPERATION))?;
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

fn spot(row: &SqliteRow) -> Result<Spot, StoreError> {
    Ok(Spot { at: get(row, "asset_at")?, asset: get(row, "asset_id")? })
}

/// Adds that an asset comes after the beginning: the first condition is the range of the index.
fn behind(query: &mut QueryBuilder<Sqlite>, at: &str, asset: &str, from: Option<&From>) {
    if let Some(From { spot, inclusive }) = from {
        query.push(" and ").push(at).push(" <= ").push_bind(spot.at);
        query.push(" and (").push(at).push(" < ").push_bind(spot.at);
        query.push(" or ").push(asset).push(if *inclusive { " >= " } else { " > " });
        query.push_bind(spot.asset.clone()).push(")");
    }
}

/// Each status is in order in its index: the first of each are put in order together.
fn branches(
    query: &mut QueryBuilder<Sqlite>,
    statuses: &[Status],
    limit: usize,
    narrow: impl Fn(&mut QueryBuilder<Sqlite>),
) {
    const FIRST: &str = "select distinct asset_at, asset_id from ";
    const ORDER: &str = " order by asset_at desc, asset_id limit ";
    query.push(FIRST).push("(");
    for (place, status) in statuses.iter().enumerate() {
        query.push(if place == 0 { "select * from (" } else { " union all select * from (" });
        query.push(FIRST).push("suggestion where status = ").push_bind(status.as_str());
        narrow(query);
        query.push(ORDER).push(limit).push(")");
    }
    query.push(")").push(ORDER).push(limit);
}

fn one_of(query: &mut QueryBuilder<Sqlite>, statuses: &[Status]) {
    query.push(" and s.status in (");
    let mut names = query.separated(", ");
    for status in statuses {
        names.push_bind(status.as_str());
    }
    query.push(")");
}

/// Adds status, kind and confidence of `said` on `suggestion s`, as the index has them: all statuses and kinds are named.
fn is_sure(query: &mut QueryBuilder<Sqlite>, said: &Said) {
    one_of(query, &said.statuses);
    query.push(" and s.kind_order in (");
    let mut kinds = query.separated(", ");
    for kind in said.kinds() {
        kinds.push_bind(kind_order(kind));
    }
    query.push(")");
    if let Some(least) = said.least {
        query.push(" and s.confidence >= ").push_bind(least);
    }
}

/// Adds what `said` says on `suggestion s`.
pub(super) fn says(query: &mut QueryBuilder<Sqlite>, said: &Said) {
    if said.statuses.len() < Status::ALL.len() {
        one_of(query, &said.statuses);
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
        query.push(" and s.value = ").push_bind(value.clone());
    }
    if let Some(newest) = said.newest_run {
        query.push(" and s.run_id <= ").push_bind(newest);
    }
    if !said.ids.is_empty() {
        query.push(" and s.id in (select value from json_each(").push_bind(json_array(&said.ids)).push("))");
    }
}

/// Adds that one of the places of `c` is as asked, and that `c` can be looked at, if that is asked.
fn at_place(query: &mut QueryBuilder<Sqlite>, asked: &Asked) {
    if !asked.place.is_empty() || asked.viewable {
        query.push(
            " and exists (select 1 from asset_path p indexed by asset_path_asset where p.asset_id = c.value",
        );
        is_at(query, &asked.place);
        if asked.viewable {
            query.push(" and p.gone_at is null");
        }
        query.push(")");
    }
    if asked.viewable {
        query.push(
            " and not exists (select 1 from work w where w.asset_id = c.value and w.analyzer = 'decode'
                  and w.state = 'failed')",
        );
    }
}
