//! Listing and deciding suggestions.

use async_trait::async_trait;
use docent_pipelines::{Kind, Status, SuggestionId};
use serde_json::json;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder};

use super::listing::{self, FIELDS};
use super::record::publish;
use super::{PostgresStore, fault, get, parsed, region, text};
use crate::store::codec::{ListingPlace, MOST_ROWS, analyzer, corrupt, is_id_prefix, json_array, rfc3339};
use crate::store::{
    Decision, Page, Paged, ReviewRow, Reviewer, Reviews, StoreError, SuggestionFilter, SuggestionRow,
};

/// Suggestions accepted in one statement.
const PORTION: usize = 5000;

#[async_trait]
impl Reviews for PostgresStore {
    async fn suggestions(
        &self,
        filter: &SuggestionFilter,
        page: &Page,
    ) -> Result<Paged<SuggestionRow>, StoreError> {
        let after = page.after.as_deref().map(ListingPlace::read).transpose()?;
        let limit = page.limit.clamp(1, MOST_ROWS);
        let rows = listing::read(&self.pool, filter, after.as_ref(), i64::from(limit) + 1)
            .await
            .map_err(fault("list suggestions"))?;
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
        let SuggestionFilter { status, kind, asset, min_confidence, value, place } = filter;
        // What is kept need not be counted.
        let kept = asset.is_none() && min_confidence.is_none() && value.is_none() && place.is_empty();
        let count: i64 = if kept {
            sqlx::query_scalar(
                "select coalesce(sum(delta), 0)::bigint from tally where what = 'suggestion'
                 and a = coalesce($1, a) and b = coalesce($2, b)",
            )
            .bind(status.map(Status::as_str))
            .bind(kind.map(Kind::as_str))
            .fetch_one(&self.pool)
            .await
        } else {
            let mut query = QueryBuilder::<Postgres>::new("select count(*) from suggestion s where true");
            listing::restrict(&mut query, filter);
            listing::in_place(&mut query, filter);
            query.build_query_scalar().fetch_one(&self.pool).await
        }
        .map_err(fault("count suggestions"))?;
        Ok(count.unsigned_abs())
    }

    async fn suggestion(&self, id: &str) -> Result<SuggestionRow, StoreError> {
        let missing = || StoreError::NotFound { what: "suggestion", id: id.to_owned() };
        if !is_id_prefix(id) {
            return Err(missing());
        }
        let mut query = QueryBuilder::<Postgres>::new(FIELDS);
        // 'g' is the first letter after the digits.
        query
            .push("suggestion s where s.id >= ")
            .push_bind(id)
            .push(" and s.id < ")
            .push_bind(format!("{id}g"));
        query.push(" limit 100");
        let rows = query.build().fetch_all(&self.pool).await.map_err(fault("look up a suggestion"))?;
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
        let failed = fault(OPERATION);
        let (from, to, action, expected) = match decision {
            Decision::Accept => (&["pending"][..], Status::Accepted, "accept", "pending"),
            Decision::Reject => (&["pending"][..], Status::Rejected, "reject", "pending"),
            Decision::Undo => {
                (&["accepted", "rejected"][..], Status::Pending, "undo", "accepted or rejected")
            }
        };
        let (mut tx, now) = self.begin(OPERATION).await?;
        let before: Option<String> =
            sqlx::query_scalar("select status from suggestion where id = $1 for update")
                .bind(id.as_str())
                .fetch_optional(&mut *tx)
                .await
                .map_err(failed)?;
        let before: Status = before
            .ok_or_else(|| StoreError::NotFound { what: "suggestion", id: id.to_string() })?
            .parse()
            .map_err(corrupt("status"))?;
        let decided =
            sqlx::query("update suggestion set status = $2 where id = $1 and status = any($3::text[])")
                .bind(id.as_str())
                .bind(to.as_str())
                .bind(from)
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
        .bind(now)
        .bind(text(&by.name))
        .bind(text(&by.client))
        .bind(action)
        .bind(before.as_str())
        .bind(to.as_str())
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        let mut query = QueryBuilder::<Postgres>::new(FIELDS);
        query.push("suggestion s where s.id = ").push_bind(id.as_str());
        let row = suggestion(&query.build().fetch_one(&mut *tx).await.map_err(failed)?)?;
        if self.events {
            let body = json!({
                "suggestion_id": id, "asset_id": row.asset_id, "kind": row.kind, "value": row.value,
                "action": action, "before": before, "after": to, "reviewer": by.name, "client": by.client,
            });
            publish(&mut tx, "suggestion.decided", body, now).await.map_err(failed)?;
        }
        tx.commit().await.map_err(failed)?;
        Ok(row)
    }

    async fn accept_all(&self, filter: &SuggestionFilter, by: &Reviewer) -> Result<u64, StoreError> {
        const OPERATION: &str = "accept all";
        let failed = fault(OPERATION);
        if filter.min_confidence.is_none() {
            return Err(StoreError::NoConfidence);
        }
        let filter = SuggestionFilter { status: Some(Status::Pending), ..filter.clone() };
        let mut accepted = 0;
        loop {
            let (mut tx, now) = self.begin(OPERATION).await?;
            let mut query = QueryBuilder::<Postgres>::new("select s.id from suggestion s where true");
            listing::restrict(&mut query, &filter);
            listing::in_place(&mut query, &filter);
            query
                .push(" order by s.id limit ")
                .push_bind(PORTION as i64)
                .push(" for update of s skip locked");
            let ids: Vec<String> = query.build_query_scalar().fetch_all(&mut *tx).await.map_err(failed)?;
            if ids.is_empty() {
                return Ok(accepted);
            }
            let rows: Vec<(String, String, String, String)> = sqlx::query_as(
                "with logged as (
                     insert into review (suggestion_id, at, reviewer, client, action, before, after)
                     select id, $2, $3, $4, 'accept', 'pending', 'accepted' from unnest($1::text[]) id)
                 update suggestion set status = 'accepted' where id = any($1::text[])
                 returning id, asset_id, kind, value",
            )
            .bind(&ids)
            .bind(now)
            .bind(text(&by.name))
            .bind(text(&by.client))
            .fetch_all(&mut *tx)
            .await
            .map_err(failed)?;
            if self.events {
                for (id, asset, kind, value) in rows {
                    let body = json!({
                        "suggestion_id": id, "asset_id": asset, "kind": kind, "value": value, "action": "accept",
                        "before": "pending", "after": "accepted", "reviewer": by.name, "client": by.client,
                    });
                    publish(&mut tx, "suggestion.decided", body, now).await.map_err(failed)?;
                }
            }
            tx.commit().await.map_err(failed)?;
            accepted += ids.len() as u64;
        }
    }

    async fn reviews(&self, suggestion: &SuggestionId) -> Result<Vec<ReviewRow>, StoreError> {
        let rows = sqlx::query(
            "select suggestion_id, at, reviewer, client, action, before, after from review
             where suggestion_id = $1 order by id",
        )
        .bind(suggestion.as_str())
        .fetch_all(&self.pool)
        .await
        .map_err(fault("list reviews"))?;
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

fn suggestion(row: &PgRow) -> Result<SuggestionRow, StoreError> {
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
        analyzer: analyzer(&get::<String>(row, "analyzer")?)?,
        created_at: rfc3339(get(row, "created_at")?),
    })
}
