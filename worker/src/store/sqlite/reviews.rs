//! Listing and deciding suggestions.

use async_trait::async_trait;
use docent_pipelines::{AnalyzerId, Kind, Status, SuggestionId};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite};

use super::listing::{self, FIELDS, Part};
use super::{SqliteStore, fault, get, now, parsed, region};
use crate::store::codec::{ListingPlace, MOST_ROWS, corrupt, is_id_prefix, json_array, rfc3339};
use crate::store::find::{Asked, count, sum_up};
use crate::store::jobs::LOOKED_BACK;
use crate::store::{
    Counted, Decision, Jobs, Page, Paged, ReviewRow, Reviewer, Reviews, Step, StoreError, SuggestionFilter,
    SuggestionRow, Summary,
};

/// Pending tags that are accepted with a tag.
const IMPLIED: &str =
    "select b.id from suggestion s, json_each(s.implies) i, suggestion b indexed by suggestion_asset
    where s.id = $1 and s.kind = 'tag' and b.asset_id = s.asset_id and b.status = 'pending' and b.kind = 'tag'
      and b.value = i.value and b.id <> s.id order by b.id";
/// Tags that were accepted with a tag that was decided last, and stand so.
const FOLLOWED: &str = "select f.suggestion_id from review f join suggestion b on b.id = f.suggestion_id
    where f.because = (select max(r.id) from review r where r.suggestion_id = $1) and b.status = f.after
      and f.id = (select max(r.id) from review r where r.suggestion_id = f.suggestion_id) order by 1";

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
        let SuggestionFilter { status, kind, .. } = filter.clone();
        if *filter != (SuggestionFilter { status, kind, ..SuggestionFilter::default() }) {
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
        let others = match decision {
            Decision::Accept => Some(IMPLIED),
            Decision::Undo => Some(FOLLOWED),
            // Nothing broader is untrue for that.
            Decision::Reject => None,
        };
        let implied: Vec<String> = match others {
            Some(sql) => {
                sqlx::query_scalar(sql).bind(id.as_str()).fetch_all(&mut *tx).await.map_err(failed)?
            }
            None => Vec::new(),
        };
        let at = now();
        let entry: i64 = sqlx::query_scalar(
            "insert into review (suggestion_id, at, reviewer, client, action, before, after)
             values ($1, $2, $3, $4, $5, $6, $7) returning id",
        )
        .bind(id.as_str())
        .bind(at)
        .bind(&by.name)
        .bind(&by.client)
        .bind(action)
        .bind(before.as_str())
        .bind(to.as_str())
        .fetch_one(&mut *tx)
        .await
        .map_err(failed)?;
        if !implied.is_empty() {
            sqlx::query("update suggestion set status = $2 where id in (select value from json_each($1))")
                .bind(json_array(&implied))
                .bind(to.as_str())
                .execute(&mut *tx)
                .await
                .map_err(failed)?;
            sqlx::query(
                "insert into review (suggestion_id, at, reviewer, client, action, before, after, because)
                 select value, $2, $3, $4, $5, $6, $7, $8 from json_each($1)",
            )
            .bind(json_array(&implied))
            .bind(at)
            .bind(&by.name)
            .bind(&by.client)
            .bind(action)
            .bind(before.as_str())
            .bind(to.as_str())
            .bind(entry)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        }
        tx.commit().await.map_err(failed)?;
        self.suggestion(id.as_str()).await
    }

    async fn sum_up(&self, filter: &SuggestionFilter) -> Result<Summary, StoreError> {
        let mut connection = self.read.acquire().await.map_err(fault("count suggestions"))?;
        sum_up(&mut &mut *connection, &Asked::of_suggestions(filter, None)).await
    }

    async fn last_step(&self, by: &Reviewer) -> Result<Option<Step>, StoreError> {
        let failed = fault("look for the last decision");
        let mut one: Option<(i64, String)> = None;
        // Nearly always it is one of the newest.
        for looked_at in LOOKED_BACK {
            if one.is_some() {
                break;
            }
            one = sqlx::query_as(
                "select r.id, r.suggestion_id from (
                     select id, suggestion_id, action from review
                     where reviewer = $1 and client = $2 and job_id is null and because is null
                     order by id desc limit $3) r
                 where r.action <> 'undo'
                   and r.id = (select max(q.id) from review q where q.suggestion_id = r.suggestion_id)
                 order by r.id desc limit 1",
            )
            .bind(&by.name)
            .bind(&by.client)
            .bind(looked_at)
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?;
        }
        let mut many: Option<(i64, Option<i64>)> = None;
        for looked_at in LOOKED_BACK {
            if many.is_some() {
                break;
            }
            many = sqlx::query_as(
                "select j.id, (select max(r.id) from review r where r.job_id = j.id) from (
                     select id, action, state from job where reviewer = $1 and client = $2 order by id desc limit $3) j
                 where j.action <> 'revert' and not exists (select 1 from job b where b.reverts = j.id)
                   and (j.state in ('collecting', 'deciding') or exists (
                       select 1 from (select id, suggestion_id from review where job_id = j.id limit $4) r
                       where r.id = (select max(q.id) from review q where q.suggestion_id = r.suggestion_id)))
                 order by j.id desc limit 1",
            )
            .bind(&by.name)
            .bind(&by.client)
            .bind(looked_at)
            .bind(LOOKED_BACK[1])
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?;
        }
        match (one, many) {
            (one, Some((job, last)))
                if one.as_ref().is_none_or(|(entry, _)| last.is_none_or(|last| last > *entry)) =>
            {
                Ok(Some(Step::Many(self.job(job).await?)))
            }
            (Some((entry, id)), _) => {
                let also = sqlx::query_scalar(
                    "select b.value from review f join suggestion b on b.id = f.suggestion_id
                     where f.because = $1 order by b.value",
                )
                .bind(entry)
                .fetch_all(&self.read)
                .await
                .map_err(failed)?;
                Ok(Some(Step::One { suggestion: self.suggestion(&id).await?, also }))
            }
            _ => Ok(None),
        }
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

fn implied(row: &SqliteRow) -> Result<Vec<String>, StoreError> {
    let Some(implies) = get::<Option<String>>(row, "implies")? else { return Ok(Vec::new()) };
    serde_json::from_str(&implies).map_err(|error| corrupt("implies")(error.to_string()))
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
        implies: implied(row)?,
        status: get::<String>(row, "status")?.parse().map_err(corrupt("status"))?,
        model: parsed(row, "model")?,
        analyzer: get::<String>(row, "analyzer")?.parse::<AnalyzerId>().map_err(corrupt("analyzer"))?,
        created_at: rfc3339(get(row, "created_at")?),
    })
}
