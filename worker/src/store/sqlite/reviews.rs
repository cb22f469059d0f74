//! Listing and deciding suggestions.

use async_trait::async_trait;
use docent_pipelines::{AnalyzerId, Kind, Status, SuggestionId};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite};

use super::listing::{self, FIELDS, Part};
use super::{SqliteStore, fault, get, now, parsed, region};
use crate::store::codec::{ListingPlace, MOST_ROWS, corrupt, is_id_prefix, json_array, rfc3339};
use crate::store::find::{Asked, count};
use crate::store::{
    Counted, Decision, Page, Paged, ReviewRow, Reviewer, Reviews, StoreError, SuggestionFilter, SuggestionRow,
};

#[async_trait]
impl Reviews for SqliteStore {
    async fn suggestions(
        &self,
        filter: &SuggestionFilter,
        page: &Page,
    ) -> Result<Paged<SuggestionRow>, StoreError> {
        let after = page.after.as_deref().map(ListingPlace::read).transpose()?;
        let limit = page.limit.clamp(1, MOST_ROWS) as usize;
        let mut connection = self.read.acquire().await.map_err(fault("list suggestions"))?;
        let Part { rows, rest } = listing::read(&mut connection, filter, after.as_ref(), limit + 1).await?;
        let next = match rows.get(limit - 1) {
            Some(last) if rows.len() > limit => Some(ListingPlace {
                asset_at: get(last, "asset_at")?,
                asset: get(last, "asset_id")?,
                kind: get(last, "kind_order")?,
                confidence: get(last, "confidence")?,
                id: get(last, "id")?,
            }),
            _ => rest.map(ListingPlace::behind),
        };
        let rows = rows.iter().take(limit).map(suggestion).collect::<Result<_, _>>()?;
        Ok(Paged { rows, next: next.map(ListingPlace::write) })
    }

    async fn count_suggestions(&self, filter: &SuggestionFilter) -> Result<Counted, StoreError> {
        let failed = fault("count suggestions");
        let SuggestionFilter { status, kind, asset, min_confidence, value, place } = filter;
        if asset.is_some() || min_confidence.is_some() || value.is_some() || !place.is_empty() {
            let mut connection = self.read.acquire().await.map_err(failed)?;
            return count(&mut &mut *connection, &Asked::of_suggestions(filter, None)).await;
        }
        // What is kept need not be counted.
        let kept: i64 = sqlx::query_scalar(
            "select coalesce(sum(n), 0) from tally where what = 'suggestion'
             and a = coalesce($1, a) and b = coalesce($2, b)",
        )
        .bind(status.map(Status::as_str))
        .bind(kind.map(Kind::as_str))
        .fetch_one(&self.read)
        .await
        .map_err(failed)?;
        Ok(Counted { count: kept.unsigned_abs(), more: false })
    }

    async fn suggestion(&self, id: &str) -> Result<SuggestionRow, StoreError> {
        let missing = || StoreError::NotFound { what: "suggestion", id: id.to_owned() };
        if !is_id_prefix(id) {
            return Err(missing());
        }
        let mut query = QueryBuilder::<Sqlite>::new(FIELDS);
        // 'g' is the first letter after the digits.
        query
            .push("suggestion s where s.id >= ")
            .push_bind(id)
            .push(" and s.id < ")
            .push_bind(format!("{id}g"))
            .push(" limit 100");
        let rows = query.build().fetch_all(&self.read).await.map_err(fault("look up a suggestion"))?;
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

    async fn reviews(&self, suggestion: &SuggestionId) -> Result<Vec<ReviewRow>, StoreError> {
        let rows = sqlx::query(
            "select suggestion_id, at, reviewer, client, action, before, after, job_id from review
             where suggestion_id = $1 order by id",
        )
        .bind(suggestion.as_str())
        .fetch_all(&self.read)
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
                    job: get(row, "job_id")?,
                })
            })
            .collect()
    }
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
