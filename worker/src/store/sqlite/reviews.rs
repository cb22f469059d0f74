//! Listing and deciding suggestions.

use async_trait::async_trait;
use docent_pipelines::{AnalyzerId, Kind, Status, SuggestionId};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite};

use super::{SqliteStore, get, now, parsed, region, unavailable};
use crate::store::codec::{MOST_ROWS, corrupt, cursor, is_id_prefix, json_array, number, rfc3339};
use crate::store::{
    Decision, Page, Paged, ReviewRow, Reviewer, Reviews, StoreError, SuggestionFilter, SuggestionRow,
};

const COLUMNS: &str =
    "select s.id, s.asset_id, s.kind, s.value, s.confidence, s.region_x, s.region_y, s.region_width,
    s.region_height, s.status, s.model, s.analyzer, s.created_at, s.asset_at, s.kind_order,
    coalesce((select min(p.uri) from asset_path p where p.asset_id = s.asset_id), '') as uri
    from suggestion s where true";

#[async_trait]
impl Reviews for SqliteStore {
    async fn suggestions(
        &self,
        filter: &SuggestionFilter,
        page: &Page,
    ) -> Result<Paged<SuggestionRow>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(COLUMNS);
        restrict(&mut query, filter);
        if let Some(after) = &page.after {
            let [asset_at, asset, kind, confidence, id] = cursor::<5>(after)?;
            let asset_at: i64 = number(&asset_at, after)?;
            let kind: i64 = number(&kind, after)?;
            let confidence: f64 = number(&confidence, after)?;
            query.push(" and s.asset_at <= ").push_bind(asset_at);
            query.push(" and (s.asset_at < ").push_bind(asset_at);
            query.push(" or s.asset_id > ").push_bind(asset.clone());
            query.push(" or (s.asset_id = ").push_bind(asset);
            query.push(" and (s.kind_order > ").push_bind(kind);
            query.push(" or (s.kind_order = ").push_bind(kind);
            query.push(" and (s.confidence < ").push_bind(confidence);
            query.push(" or (s.confidence = ").push_bind(confidence);
            query.push(" and s.id > ").push_bind(id).push("))))))");
        }
        let limit = page.limit.clamp(1, MOST_ROWS);
        query.push(" order by s.asset_at desc, s.asset_id, s.kind_order, s.confidence desc, s.id limit ");
        query.push_bind(limit + 1);
        let rows = query.build().fetch_all(&self.read).await.map_err(unavailable("list suggestions"))?;
        let next = match rows.get(limit as usize - 1) {
            Some(last) if rows.len() > limit as usize => Some(json_array([
                get::<i64>(last, "asset_at")?.to_string(),
                get(last, "asset_id")?,
                get::<i64>(last, "kind_order")?.to_string(),
                get::<f64>(last, "confidence")?.to_string(),
                get(last, "id")?,
            ])),
            _ => None,
        };
        let rows = rows.iter().take(limit as usize).map(suggestion).collect::<Result<_, _>>()?;
        Ok(Paged { rows, next })
    }

    async fn count_suggestions(&self, filter: &SuggestionFilter) -> Result<u64, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("select count(*) from suggestion s where true");
        restrict(&mut query, filter);
        let count: i64 = query
            .build_query_scalar()
            .fetch_one(&self.read)
            .await
            .map_err(unavailable("count suggestions"))?;
        Ok(count.unsigned_abs())
    }

    async fn suggestion(&self, id: &str) -> Result<SuggestionRow, StoreError> {
        let missing = || StoreError::NotFound { what: "suggestion", id: id.to_owned() };
        if !is_id_prefix(id) {
            return Err(missing());
        }
        let mut query = QueryBuilder::<Sqlite>::new(COLUMNS);
        // 'g' is the first letter after the digits.
        query
            .push(" and s.id >= ")
            .push_bind(id)
            .push(" and s.id < ")
            .push_bind(format!("{id}g"))
            .push(" limit 100");
        let rows = query.build().fetch_all(&self.read).await.map_err(unavailable("look up a suggestion"))?;
        match rows.as_slice() {
            [] => Err(missing()),
            [row] => suggestion(row),
            rows => Err(StoreError::Ambiguous { prefix: id.to_owned(), count: rows.len() as u64 }),
        }
    }

    async fn decide(
        &self,
        id: &SuggestionId,
        decision: Decision,
        by: &Reviewer,
    ) -> Result<SuggestionRow, StoreError> {
        const OPERATION: &str = "decide";
        let failed = unavailable(OPERATION);
        let (from, to, action, expected) = match decision {
            Decision::Accept => (&[Status::Pending][..], Status::Accepted, "accept", "pending"),
            Decision::Reject => (&[Status::Pending][..], Status::Rejected, "reject", "pending"),
            Decision::Undo => {
                (&[Status::Accepted, Status::Rejected][..], Status::Pending, "undo", "accepted or rejected")
            }
        };
        let mut tx = self.begin(OPERATION).await?;
        let before: Option<String> = sqlx::query_scalar("select status from suggestion where id = $1")
            .bind(id.as_str())
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed)?;
        let before: Status = before
            .ok_or_else(|| StoreError::NotFound { what: "suggestion", id: id.to_string() })?
            .parse()
            .map_err(corrupt("status"))?;
        let decided = sqlx::query(
            "update suggestion set status = $2 where id = $1 and status in (select value from json_each($3))",
        )
        .bind(id.as_str())
        .bind(to.as_str())
        .bind(json_array(from))
        .execute(&mut *tx)
        .await
        .map_err(failed)?
        .rows_affected();
        if decided == 0 {
            return Err(StoreError::Conflict { id: id.clone(), expected, actual: before });
        }
        sqlx::query(
            "insert into review (suggestion_id, at, reviewer, client, action, before, after)
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(id.as_str())
        .bind(now())
        .bind(&by.name)
        .bind(&by.client)
        .bind(action)
        .bind(before.as_str())
        .bind(to.as_str())
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        self.suggestion(id.as_str()).await
    }

    async fn accept_all(&self, filter: &SuggestionFilter, by: &Reviewer) -> Result<u64, StoreError> {
        const OPERATION: &str = "accept all";
        let failed = unavailable(OPERATION);
        if filter.min_confidence.is_none() {
            return Err(StoreError::NoConfidence);
        }
        let filter = SuggestionFilter { status: Some(Status::Pending), ..filter.clone() };
        let mut tx = self.begin(OPERATION).await?;
        let mut query = QueryBuilder::<Sqlite>::new("select s.id from suggestion s where true");
        restrict(&mut query, &filter);
        let ids: Vec<String> = query.build_query_scalar().fetch_all(&mut *tx).await.map_err(failed)?;
        let listed = json_array(&ids);
        sqlx::query(
            "insert into review (suggestion_id, at, reviewer, client, action, before, after)
             select value, $2, $3, $4, 'accept', 'pending', 'accepted' from json_each($1)",
        )
        .bind(&listed)
        .bind(now())
        .bind(&by.name)
        .bind(&by.client)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        sqlx::query(
            "update suggestion set status = 'accepted' where id in (select value from json_each($1))",
        )
        .bind(&listed)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(ids.len() as u64)
    }

    async fn reviews(&self, suggestion: &SuggestionId) -> Result<Vec<ReviewRow>, StoreError> {
        let rows = sqlx::query(
            "select suggestion_id, at, reviewer, client, action, before, after from review
             where suggestion_id = $1 order by id",
        )
        .bind(suggestion.as_str())
        .fetch_all(&self.read)
        .await
        .map_err(unavailable("list reviews"))?;
        rows.iter()
            .map(|row| {
                let status =
                    |column| get::<String>(row, column)?.parse::<Status>().map_err(corrupt("status"));
                Ok(ReviewRow {
                    suggestion_id: parsed(row, "suggestion_id")?,
                    at: rfc3339(get(row, "at")?),
                    reviewer: get(row, "reviewer")?,
                    client: get(row, "client")?,
                    action: get(row, "action")?,
                    before: status("before")?,
                    after: status("after")?,
                })
            })
            .collect()
    }
}

/// Adds the conditions of `filter` on `suggestion s`.
fn restrict(query: &mut QueryBuilder<Sqlite>, filter: &SuggestionFilter) {
    if let Some(status) = filter.status {
        query.push(" and s.status = ").push_bind(status.as_str());
    }
    if let Some(kind) = filter.kind {
        query.push(" and s.kind = ").push_bind(kind.as_str());
    }
    if let Some(asset) = &filter.asset {
        query.push(" and s.asset_id = ").push_bind(asset.to_string());
    }
    if let Some(least) = filter.min_confidence {
        query.push(" and s.confidence >= ").push_bind(least);
    }
    if let Some(value) = &filter.value {
        query.push(" and s.value = ").push_bind(value.clone());
    }
    if let Some(prefix) = &filter.uri_prefix {
        query.push(" and exists (select 1 from asset_path p where p.asset_id = s.asset_id and ");
        has_prefix(query, prefix);
        query.push(")");
    }
}

/// `p.uri` is `prefix` or under it.
pub(super) fn has_prefix(query: &mut QueryBuilder<Sqlite>, prefix: &str) {
    let place = prefix.trim_end_matches('/').to_owned();
    let folder = format!("{place}/");
    query.push("(p.uri = ").push_bind(place).push(" or substr(p.uri, 1, length(").push_bind(folder.clone());
    query.push(")) = ").push_bind(folder).push(")");
}

fn suggestion(row: &SqliteRow) -> Result<SuggestionRow, StoreError> {
    Ok(SuggestionRow {
        id: parsed(row, "id")?,
        asset_id: parsed(row, "asset_id")?,
        uri: get(row, "uri")?,
        kind: get::<String>(row, "kind")?.parse::<Kind>().map_err(corrupt("kind"))?,
        value: get(row, "value")?,
        confidence: get(row, "confidence")?,
        region: region(row)?,
        status: get::<String>(row, "status")?.parse().map_err(corrupt("status"))?,
        model: parsed(row, "model")?,
        analyzer: get::<String>(row, "analyzer")?.parse::<AnalyzerId>().map_err(corrupt("analyzer"))?,
        created_at: rfc3339(get(row, "created_at")?),
    })
}
