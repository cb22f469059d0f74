//! Listing and deciding suggestions.

use async_trait::async_trait;
use docent_pipelines::{AnalyzerId, Kind, Status, SuggestionId};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite};

use super::listing::{self, FIELDS};
use super::{SqliteStore, fault, get, now, parsed, region};
use crate::store::codec::{ListingPlace, MOST_ROWS, corrupt, is_id_prefix, json_array, rfc3339};
use crate::store::{
    Decision, Page, Paged, ReviewRow, Reviewer, Reviews, StoreError, SuggestionFilter, SuggestionRow,
};

#[async_trait]
impl Reviews for SqliteStore {
    async fn suggestions(
        &self,
        filter: &SuggestionFilter,
        page: &Page,
    ) -> Result<Paged<SuggestionRow>, StoreError> {
        let after = page.after.as_deref().map(ListingPlace::read).transpose()?;
        let limit = page.limit.clamp(1, MOST_ROWS);
        let rows = listing::read(&self.read, filter, after.as_ref(), i64::from(limit) + 1)
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
        let mut query = QueryBuilder::<Sqlite>::new("select count(*) from suggestion s where true");
        listing::restrict(&mut query, filter);
        listing::in_place(&mut query, filter);
        let count: i64 =
            query.build_query_scalar().fetch_one(&self.read).await.map_err(fault("count suggestions"))?;
        Ok(count.unsigned_abs())
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

    async fn accept_all(&self, filter: &SuggestionFilter, by: &Reviewer) -> Result<u64, StoreError> {
        const OPERATION: &str = "accept all";
        let failed = fault(OPERATION);
        if filter.min_confidence.is_none() {
            return Err(StoreError::NoConfidence);
        }
        let filter = SuggestionFilter { status: Some(Status::Pending), ..filter.clone() };
        let mut tx = self.begin(OPERATION).await?;
        let mut query = QueryBuilder::<Sqlite>::new("select s.id from suggestion s where true");
        listing::restrict(&mut query, &filter);
        listing::in_place(&mut query, &filter);
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
