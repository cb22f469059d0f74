//! Listing and deciding suggestions.

use async_trait::async_trait;
use docent_pipelines::vocabulary::TermId;
use docent_pipelines::{Kind, Status, SuggestionId};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder};

use super::find::begin;
use super::listing::{self, FIELDS, Part};
use super::outbox::{Told, tell_decided};
use super::{PostgresStore, fault, get, parsed, region, text};
use crate::store::codec::{
    LOOKED_AT, ListingPlace, MOST_ROWS, analyzer, corrupt, cursor, is_id_prefix, json_array, number, rfc3339,
};
use crate::store::find::{Asked, count, sum_up};
use crate::store::jobs::LOOKED_BACK;
use crate::store::{
    Counted, Decided, Decision, Jobs, LoggedReview, Page, Paged, ReviewFilter, ReviewRow, Reviewer, Reviews,
    Step, StoreError, SuggestionFilter, SuggestionRow, Summary,
};

/// Pending tags that are accepted with a tag.
const IMPLIED: &str = "select b.id from suggestion s join suggestion b on b.asset_id = s.asset_id
    where s.id = $1 and s.kind = 'tag' and b.status = 'pending' and b.kind = 'tag' and b.id <> s.id
      and (b.value = s.value or b.value in (select jsonb_array_elements_text(s.implies)))
    order by b.id for update of b";
/// The same tag, said by another analyzer.
const SAME: &str = "select b.id from suggestion s join suggestion b on b.asset_id = s.asset_id
    where s.id = $1 and s.kind = 'tag' and b.status = 'pending' and b.kind = 'tag' and b.id <> s.id
      and b.value = s.value order by b.id for update of b";
/// Tags that were accepted with a tag that was decided last, and stand so.
const FOLLOWED: &str = "select b.id from review f join suggestion b on b.id = f.suggestion_id
    where f.because = (select max(r.id) from review r where r.suggestion_id = $1) and b.status = f.after
      and f.id = (select max(r.id) from review r where r.suggestion_id = f.suggestion_id)
    order by b.id for update of b";

#[async_trait]
impl Reviews for PostgresStore {
    async fn suggestions(
        &self,
        filter: &SuggestionFilter,
        page: &Page,
    ) -> Result<Paged<SuggestionRow>, StoreError> {
        let after = page.after.as_deref().map(ListingPlace::read).transpose()?;
        let limit = page.limit.clamp(1, MOST_ROWS) as usize;
        let mut connection = begin(&self.pool).await?;
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
            let mut connection = begin(&self.pool).await?;
            return count(&mut &mut *connection, &Asked::of_suggestions(filter, None)).await;
        }
        // What is kept need not be counted.
        let kept: i64 = sqlx::query_scalar(
            "select coalesce(sum(delta), 0)::bigint from tally where what = 'suggestion'
             and a = coalesce($1, a) and b = coalesce($2, b)",
        )
        .bind(status.map(Status::as_str))
        .bind(kind.map(Kind::as_str))
        .fetch_one(&self.pool)
        .await
        .map_err(failed)?;
        Ok(Counted { count: kept.unsigned_abs(), more: false })
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
        // In the order of their ids, as jobs lock them.
        let others = match decision {
            Decision::Accept => IMPLIED,
            Decision::Undo => FOLLOWED,
            // Nothing broader is untrue for that.
            Decision::Reject => SAME,
        };
        let implied: Vec<String> =
            sqlx::query_scalar(others).bind(id.as_str()).fetch_all(&mut *tx).await.map_err(failed)?;
        let entry: i64 = sqlx::query_scalar(
            "insert into review (suggestion_id, at, reviewer, client, action, before, after)
             values ($1, $2, $3, $4, $5, $6, $7) returning id",
        )
        .bind(id.as_str())
        .bind(now)
        .bind(text(&by.name))
        .bind(text(&by.client))
        .bind(action)
        .bind(before.as_str())
        .bind(to.as_str())
        .fetch_one(&mut *tx)
        .await
        .map_err(failed)?;
        if !implied.is_empty() {
            sqlx::query("update suggestion set status = $2 where id = any($1::text[])")
                .bind(&implied)
                .bind(to.as_str())
                .execute(&mut *tx)
                .await
                .map_err(failed)?;
            sqlx::query(
                "insert into review (suggestion_id, at, reviewer, client, action, before, after, because)
                 select id, $2, $3, $4, $5, $6, $7, $8 from unnest($1::text[]) id",
            )
            .bind(&implied)
            .bind(now)
            .bind(text(&by.name))
            .bind(text(&by.client))
            .bind(action)
            .bind(before.as_str())
            .bind(to.as_str())
            .bind(entry)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        }
        let mut decided = vec![id.to_string()];
        decided.extend(implied);
        let told = Told { action, before, after: to, by, job: None };
        tell_decided(&mut tx, &decided, &told, now).await?;
        let mut query = QueryBuilder::<Postgres>::new(FIELDS);
        query.push("suggestion s where s.id = ").push_bind(id.as_str());
        let row = query.build().fetch_one(&mut *tx).await.map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        suggestion(&row)
    }

    async fn sum_up(&self, filter: &SuggestionFilter) -> Result<Summary, StoreError> {
        let mut connection = begin(&self.pool).await?;
        sum_up(&mut &mut *connection, &Asked::of_suggestions(filter, None)).await
    }

    async fn last_step(&self, by: &Reviewer) -> Result<Option<Step>, StoreError> {
        let failed = fault("look for the last decision");
        let mut tx = begin(&self.pool).await?;
        let mut one: Option<(i64, String)> = None;
        // Nearly always it is one of the newest.
        for looked_at in LOOKED_BACK {
            if one.is_some() {
                break;
            }
            one = sqlx::query_as(
                "select r.id, r.suggestion_id from (
                     select id, suggestion_id, action from review
                     where left(reviewer, 128) = left($1, 128) and client = $2 and job_id is null and because is null
                       and reviewer = $1
                     order by id desc limit $3) r
                 where r.action <> 'undo'
                   and r.id = (select max(q.id) from review q where q.suggestion_id = r.suggestion_id)
                 order by r.id desc limit 1",
            )
            .bind(text(&by.name))
            .bind(text(&by.client))
            .bind(looked_at)
            .fetch_optional(&mut *tx)
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
                     select id, action, state from job
                     where left(reviewer, 128) = left($1, 128) and client = $2 and reviewer = $1
                     order by id desc limit $3) j
                 where j.action <> 'revert' and not exists (select 1 from job b where b.reverts = j.id)
                   and (j.state in ('collecting', 'deciding') or exists (
                       select 1 from (select id, suggestion_id from review where job_id = j.id limit $4) r
                       where r.id = (select max(q.id) from review q where q.suggestion_id = r.suggestion_id)))
                 order by j.id desc limit 1",
            )
            .bind(text(&by.name))
            .bind(text(&by.client))
            .bind(looked_at)
            .bind(LOOKED_BACK[1])
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed)?;
        }
        match (one, many) {
            (one, Some((job, last)))
                if one.as_ref().is_none_or(|(entry, _)| last.is_none_or(|last| last > *entry)) =>
            {
                drop(tx);
                Ok(Some(Step::Many(self.job(job).await?)))
            }
            (Some((entry, id)), _) => {
                let also = sqlx::query_scalar(
                    "select b.value from review f join suggestion b on b.id = f.suggestion_id
                     where f.because = $1 order by b.value",
                )
                .bind(entry)
                .fetch_all(&mut *tx)
                .await
                .map_err(failed)?;
                drop(tx);
                Ok(Some(Step::One { suggestion: self.suggestion(&id).await?, also }))
            }
            _ => Ok(None),
        }
    }

    async fn decisions(
        &self,
        suggestions: &[SuggestionId],
    ) -> Result<Vec<(SuggestionId, Decided)>, StoreError> {
        super::decisions::last(self, suggestions).await
    }

    async fn reviews(&self, suggestion: &SuggestionId) -> Result<Vec<ReviewRow>, StoreError> {
        let rows = sqlx::query(
            "select suggestion_id, at, reviewer, client, action, before, after, job_id from review
             where suggestion_id = $1 order by id",
        )
        .bind(suggestion.as_str())
        .fetch_all(&self.pool)
        .await
        .map_err(fault("list reviews"))?;
        rows.iter().map(review).collect()
    }

    async fn review_log(
        &self,
        filter: &ReviewFilter,
        page: &Page,
    ) -> Result<Paged<LoggedReview>, StoreError> {
        const OPERATION: &str = "list the review log";
        let failed = fault(OPERATION);
        let before = match &page.after {
            Some(after) => {
                let [before] = cursor::<1>(after)?;
                number(&before, after)?
            }
            None => i64::MAX,
        };
        let ReviewFilter { since, reviewer, kind } = filter;
        let since = since.unwrap_or(i64::MIN);
        // Entries are looked at in portions: the next one that passes may be a million entries away.
        let (last, newest, looked_at): (Option<i64>, Option<i64>, i64) = sqlx::query_as(
            "select min(id), max(at), count(*) from (
                 select id, at from review where id < $1 order by id desc limit $2) e",
        )
        .bind(before)
        .bind(LOOKED_AT)
        .fetch_one(&self.pool)
        .await
        .map_err(failed)?;
        let (Some(last), Some(newest)) = (last, newest) else {
            return Ok(Paged { rows: Vec::new(), next: None });
        };
        let limit = page.limit.clamp(1, MOST_ROWS);
        let found = sqlx::query(
            "select r.id, r.suggestion_id, r.at, r.reviewer, r.client, r.action, r.before, r.after, r.job_id,
                 s.asset_id, s.kind, s.value, coalesce((select coalesce(p.whole, p.uri) from asset_path p where p.asset_id = s.asset_id
                           order by p.gone_at is not null, p.uri limit 1), '') as uri
             from review r join suggestion s on s.id = r.suggestion_id
             where r.id < $1 and r.id >= $2 and r.at >= $3 and r.reviewer = coalesce($4, r.reviewer)
               and s.kind = coalesce($5, s.kind)
             order by r.id desc limit $6",
        )
        .bind(before)
        .bind(last)
        .bind(since)
        .bind(reviewer.as_deref().map(text))
        .bind(kind.map(Kind::as_str))
        .bind(i64::from(limit) + 1)
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        let is_cut = found.len() > limit as usize;
        let rest = match found.get(limit as usize - 1) {
            Some(row) if is_cut => Some(get::<i64>(row, "id")?),
            _ => (looked_at == LOOKED_AT && newest >= since).then_some(last),
        };
        let rows = found.iter().take(limit as usize).map(logged).collect::<Result<_, _>>()?;
        Ok(Paged { rows, next: rest.map(|id| json_array([id.to_string()])) })
    }
}

fn review(row: &PgRow) -> Result<ReviewRow, StoreError> {
    let status = |column| get::<String>(row, column)?.parse::<Status>().map_err(corrupt("status"));
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
}

fn logged(row: &PgRow) -> Result<LoggedReview, StoreError> {
    Ok(LoggedReview {
        review: review(row)?,
        asset_id: parsed(row, "asset_id")?,
        uri: get(row, "uri")?,
        kind: get::<String>(row, "kind")?.parse::<Kind>().map_err(corrupt("kind"))?,
        value: get(row, "value")?,
    })
}

fn term(row: &PgRow) -> Result<Option<TermId>, StoreError> {
    let id = get::<Option<String>>(row, "term_id")?;
    id.map(TermId::try_from).transpose().map_err(corrupt("term_id"))
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
        implies: get::<Option<Json<Vec<String>>>>(row, "implies")?
            .map(|implies| implies.0)
            .unwrap_or_default(),
        term: term(row)?,
        status: get::<String>(row, "status")?.parse().map_err(corrupt("status"))?,
        model: parsed(row, "model")?,
        analyzer: analyzer(&get::<String>(row, "analyzer")?)?,
        created_at: rfc3339(get(row, "created_at")?),
    })
}
