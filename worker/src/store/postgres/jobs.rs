//! Decisions on many suggestions, in portions. The process that locks a job's row decides its next portion.

use async_trait::async_trait;
use docent_pipelines::Status;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder, Row, Transaction};

use super::find::{in_order, says};
use super::outbox::{Told, tell_decided};
use super::{PostgresStore, fault, get, text};
use crate::store::codec::{MOST_ROWS, corrupt, number, rfc3339};
use crate::store::fault::again;
use crate::store::find::{Archive, Asked, From, Spot, portion};
use crate::store::jobs::{DECIDED_AT_ONCE, NEWEST_RUN, check};
use crate::store::{
    JobAction, JobRow, JobState, Jobs, NewJob, Page, Paged, Reviewer, StoreError, SuggestionFilter,
};

const JOB: &str =
    "select j.*, (select r.id from job r where r.reverts = j.id) as reverted_by from job j where true";
const ADVANCE: &str = "go on with a job";
/// `newest_run` waits so long for runs that are being recorded.
const PATIENCE: &str = "set local lock_timeout = '1s'";

type Tx<'t> = Transaction<'t, Postgres>;

/// A job, and how far it is.
struct Open {
    row: JobRow,
    newest_run: i64,
    after_at: Option<i64>,
    after_id: String,
    after_review: i64,
}

#[async_trait]
impl Jobs for PostgresStore {
    async fn newest_run(&self) -> Result<i64, StoreError> {
        let failed = fault("read the newest run");
        let mut tx = self.pool.begin().await.map_err(failed)?;
        sqlx::query(PATIENCE).execute(&mut *tx).await.map_err(failed)?;
        sqlx::query("select pg_advisory_xact_lock(hashtext('docent run'))")
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        let newest: Option<i64> = sqlx::query_scalar(NEWEST_RUN).fetch_one(&mut *tx).await.map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(newest.unwrap_or(0))
    }

    async fn start_job(&self, job: &NewJob) -> Result<JobRow, StoreError> {
        check(job)?;
        let newest = match job.newest_run {
            Some(newest) => newest,
            None => self.newest_run().await?,
        };
        let filter = SuggestionFilter { status: Some(Status::Pending), ..job.filter.clone() };
        let action = if job.reject { JobAction::Reject } else { JobAction::Accept };
        let id: i64 = sqlx::query_scalar(
            "insert into job (action, state, filter, newest_run, reviewer, client, created_at)
             values ($1, 'collecting', $2, $3, $4, $5, docent_now()) returning id",
        )
        .bind(action.as_str())
        .bind(Json(plain(filter)))
        .bind(newest)
        .bind(text(&job.by.name))
        .bind(text(&job.by.client))
        .fetch_one(&self.pool)
        .await
        .map_err(fault("begin a job"))?;
        self.job(id).await
    }

    async fn revert_job(&self, id: i64, by: &Reviewer) -> Result<JobRow, StoreError> {
        const OPERATION: &str = "take a job back";
        let failed = fault(OPERATION);
        let (mut tx, now) = self.begin(OPERATION).await?;
        // First, so that what is read then is what the one before has left.
        sqlx::query("select 1 from job where id = $1 for update")
            .bind(id)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        let mut query = QueryBuilder::<Postgres>::new(JOB);
        query.push(" and j.id = ").push_bind(id);
        let found = query.build().fetch_optional(&mut *tx).await.map_err(failed)?;
        let reverted = open(&found.ok_or_else(|| missing(id))?)?;
        if reverted.row.action == JobAction::Revert {
            return Err(StoreError::NotRevertible { id, reason: "it takes another job back itself" });
        }
        if let Some(by) = reverted.row.reverted_by {
            return self.job(by).await;
        }
        sqlx::query(
            "update job set state = 'stopped', finished_at = $2 where id = $1 and state in ('collecting', 'deciding')",
        )
        .bind(id)
        .bind(now)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        let id: i64 = sqlx::query_scalar(
            "insert into job (action, state, filter, newest_run, reverts, total, reviewer, client, created_at)
             select 'revert', 'deciding', filter, newest_run, id, done, $2, $3, $4 from job where id = $1 returning id",
        )
        .bind(id)
        .bind(text(&by.name))
        .bind(text(&by.client))
        .bind(now)
        .fetch_one(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        self.job(id).await
    }

    async fn job(&self, id: i64) -> Result<JobRow, StoreError> {
        let mut query = QueryBuilder::<Postgres>::new(JOB);
        query.push(" and j.id = ").push_bind(id);
        let row = query.build().fetch_optional(&self.pool).await.map_err(fault("look up a job"))?;
        Ok(open(&row.ok_or_else(|| missing(id))?)?.row)
    }

    async fn jobs(&self, page: &Page) -> Result<Paged<JobRow>, StoreError> {
        let mut query = QueryBuilder::<Postgres>::new(JOB);
        if let Some(after) = &page.after {
            query.push(" and j.id < ").push_bind(number::<i64>(after, after)?);
        }
        let limit = page.limit.clamp(1, MOST_ROWS) as usize;
        query.push(" order by j.id desc limit ").push(limit + 1);
        let rows = query.build().fetch_all(&self.pool).await.map_err(fault("list jobs"))?;
        let more = rows.len() > limit;
        let rows: Vec<JobRow> =
            rows.iter().take(limit).map(|row| Ok(open(row)?.row)).collect::<Result<_, StoreError>>()?;
        Ok(Paged { next: rows.last().filter(|_| more).map(|last| last.id.to_string()), rows })
    }

    async fn advance_job(&self, id: Option<i64>) -> Result<Option<JobRow>, StoreError> {
        again(|| self.advance(id)).await
    }
}

impl PostgresStore {
    async fn advance(&self, id: Option<i64>) -> Result<Option<JobRow>, StoreError> {
        let failed = fault(ADVANCE);
        // Most of the time nothing is to be done.
        let any = "select exists (select 1 from job where state in ('collecting', 'deciding'))";
        if !sqlx::query_scalar::<_, bool>(any).fetch_one(&self.pool).await.map_err(failed)? {
            return Ok(None);
        }
        let (mut tx, now) = self.begin(ADVANCE).await?;
        // Tables of jobs are empty for long and large at once: nobody knows that in time.
        in_order(&mut tx).await?;
        let mut query = QueryBuilder::<Postgres>::new(JOB);
        query.push(" and j.state in ('collecting', 'deciding')");
        if let Some(id) = id {
            query.push(" and j.id = ").push_bind(id);
        }
        query.push(" order by j.id limit 1 for update of j skip locked");
        let Some(row) = query.build().fetch_optional(&mut *tx).await.map_err(failed)? else {
            return Ok(None);
        };
        let job = open(&row)?;
        match (job.row.state, job.row.reverts) {
            (JobState::Collecting, _) => collect(&mut tx, &job).await?,
            (_, Some(reverted)) => self.revert(&mut tx, &job, reverted, now).await?,
            _ => self.decide_items(&mut tx, &job, now).await?,
        }
        tx.commit().await.map_err(failed)?;
        self.job(job.row.id).await.map(Some)
    }

    async fn decide_items(&self, tx: &mut Tx<'_>, job: &Open, now: i64) -> Result<(), StoreError> {
        let failed = fault(ADVANCE);
        let mut items: Vec<String> = sqlx::query_scalar(
            "delete from job_item where job_id = $1 and suggestion_id = any(array(
                 select suggestion_id from job_item where job_id = $1 and suggestion_id > $2
                 order by suggestion_id limit $3)) returning suggestion_id",
        )
        .bind(job.row.id)
        .bind(&job.after_id)
        .bind(DECIDED_AT_ONCE)
        .fetch_all(&mut **tx)
        .await
        .map_err(failed)?;
        items.sort_unstable();
        let undecided: Vec<String> = sqlx::query_scalar(
            "select id from suggestion where id = any($1::text[]) and status = 'pending' and run_id <= $2
             order by id for update",
        )
        .bind(&items)
        .bind(job.newest_run)
        .fetch_all(&mut **tx)
        .await
        .map_err(failed)?;
        let to = if job.row.action == JobAction::Reject { Status::Rejected } else { Status::Accepted };
        let change = Change { from: Status::Pending, to, action: job.row.action.as_str() };
        self.settle(tx, job, &change, &undecided, now).await?;
        let last = (items.len() as i64) < DECIDED_AT_ONCE;
        let place = Place { after_id: items.last(), after_review: 0, last };
        progress(tx, job, undecided.len(), items.len(), place, now).await
    }

    async fn revert(&self, tx: &mut Tx<'_>, job: &Open, reverted: i64, now: i64) -> Result<(), StoreError> {
        let failed = fault(ADVANCE);
        // What it would have decided is forgotten first.
        let left = sqlx::query(
            "delete from job_item where job_id = $1 and suggestion_id = any(array(
                 select suggestion_id from job_item where job_id = $1 limit $2))",
        )
        .bind(reverted)
        .bind(DECIDED_AT_ONCE)
        .execute(&mut **tx)
        .await
        .map_err(failed)?;
        if left.rows_affected() > 0 {
            return Ok(());
        }
        let entries: Vec<(i64, String, String)> = sqlx::query_as(
            "select id, suggestion_id, after from review where job_id = $1 and id > $2 order by id limit $3",
        )
        .bind(reverted)
        .bind(job.after_review)
        .bind(DECIDED_AT_ONCE)
        .fetch_all(&mut **tx)
        .await
        .map_err(failed)?;
        let numbers: Vec<i64> = entries.iter().map(|entry| entry.0).collect();
        let mut undone = 0;
        if let Some((.., after)) = entries.first() {
            let from: Status = after.parse().map_err(corrupt("status"))?;
            // As the job left it: its entry is the last one.
            let as_left: Vec<String> = sqlx::query_scalar(
                "select s.id from suggestion s where s.id = any($1::text[]) and s.status = $2
                 and (select max(r.id) from review r where r.suggestion_id = s.id) = any($3::bigint[])
                 order by s.id for update of s",
            )
            .bind(entries.iter().map(|entry| entry.1.as_str()).collect::<Vec<_>>())
            .bind(from.as_str())
            .bind(&numbers)
            .fetch_all(&mut **tx)
            .await
            .map_err(failed)?;
            undone = as_left.len();
            let change = Change { from, to: Status::Pending, action: "undo" };
            self.settle(tx, job, &change, &as_left, now).await?;
        }
        let last = (entries.len() as i64) < DECIDED_AT_ONCE;
        let after_review = numbers.last().copied().unwrap_or(job.after_review);
        progress(tx, job, undone, entries.len(), Place { after_id: None, after_review, last }, now).await
    }

    /// Changes the status of suggestions that are locked and have another one, and logs it.
    async fn settle(
        &self,
        tx: &mut Tx<'_>,
        job: &Open,
        change: &Change,
        ids: &[String],
        now: i64,
    ) -> Result<(), StoreError> {
        let failed = fault(ADVANCE);
        if ids.is_empty() {
            return Ok(());
        }
        sqlx::query("update suggestion set status = $2 where id = any($1::text[])")
            .bind(ids)
            .bind(change.to.as_str())
            .execute(&mut **tx)
            .await
            .map_err(failed)?;
        sqlx::query(
            "insert into review (suggestion_id, at, reviewer, client, action, before, after, job_id)
             select id, $2, $3, $4, $5, $6, $7, $8 from unnest($1::text[]) id",
        )
        .bind(ids)
        .bind(now)
        .bind(&job.row.reviewer)
        .bind(&job.row.client)
        .bind(change.action)
        .bind(change.from.as_str())
        .bind(change.to.as_str())
        .bind(job.row.id)
        .execute(&mut **tx)
        .await
        .map_err(failed)?;
        let JobRow { id, reviewer, client, .. } = &job.row;
        let by = Reviewer { name: reviewer.clone(), client: client.clone() };
        let told =
            Told { action: change.action, before: change.from, after: change.to, by: &by, job: Some(*id) };
        tell_decided(tx, ids, &told, now).await
    }
}

/// What becomes of a status.
struct Change {
    from: Status,
    to: Status,
    action: &'static str,
}

/// How far a portion went.
struct Place<'a> {
    after_id: Option<&'a String>,
    after_review: i64,
    last: bool,
}

/// Writes down suggestions of the next assets that the job is about.
async fn collect(tx: &mut Tx<'static>, job: &Open) -> Result<(), StoreError> {
    let failed = fault(ADVANCE);
    let asked = Asked::of_suggestions(&job.row.filter, Some(job.newest_run));
    let from =
        job.after_at.map(|at| From { spot: Spot { at, asset: job.after_id.clone() }, inclusive: false });
    let (spots, last) = portion(&mut &mut **tx, &asked, from.as_ref()).await?;
    let ids: Vec<String> = spots.iter().map(|spot| spot.asset.clone()).collect();
    let passing: Vec<String> = (&mut **tx).passing(&asked, &ids).await?.into_iter().collect();
    let mut query = QueryBuilder::<Postgres>::new("insert into job_item (job_id, suggestion_id) select ");
    query.push_bind(job.row.id).push(", s.id from suggestion s where s.asset_id = any(");
    query.push_bind(&passing).push(")");
    asked.said.iter().for_each(|said| says(&mut query, said));
    let mut items = query.build().persistent(false).execute(&mut **tx).await.map_err(failed)?.rows_affected();
    if job.row.action == JobAction::Accept {
        let mut query =
            QueryBuilder::<Postgres>::new("insert into job_item (job_id, suggestion_id) select distinct ");
        query.push_bind(job.row.id).push(
            "::bigint, b.id from suggestion s cross join lateral (
                 select b.* from suggestion b where b.asset_id = s.asset_id and b.status = 'pending' offset 0) b
             where s.kind = 'tag' and b.kind = 'tag' and b.value in (select jsonb_array_elements_text(s.implies))
               and b.run_id <= ",
        );
        query.push_bind(job.newest_run).push(" and s.asset_id = any(").push_bind(&passing).push(")");
        asked.said.iter().for_each(|said| says(&mut query, said));
        query.push(" on conflict do nothing");
        items += query.build().persistent(false).execute(&mut **tx).await.map_err(failed)?.rows_affected();
    }
    sqlx::query(
        "update job set total = total + $2, after_at = coalesce($3, after_at),
             after_id = case when $5 then '' else coalesce($4, after_id) end,
             state = case when $5 then 'deciding' else state end
         where id = $1",
    )
    .bind(job.row.id)
    .bind(items as i64)
    .bind(spots.last().map(|spot| spot.at))
    .bind(spots.last().map(|spot| spot.asset.as_str()))
    .bind(last)
    .execute(&mut **tx)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Notes what a portion did.
async fn progress(
    tx: &mut Tx<'_>,
    job: &Open,
    done: usize,
    of: usize,
    place: Place<'_>,
    now: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "update job set done = done + $2, skipped = skipped + $3, after_id = coalesce($4, after_id), after_review = $5,
             state = case when $6 then 'done' else state end, finished_at = case when $6 then $7 end
         where id = $1",
    )
    .bind(job.row.id)
    .bind(done as i64)
    .bind((of - done) as i64)
    .bind(place.after_id)
    .bind(place.after_review)
    .bind(place.last)
    .bind(now)
    .execute(&mut **tx)
    .await
    .map_err(fault(ADVANCE))?;
    Ok(())
}

fn missing(id: i64) -> StoreError {
    StoreError::NotFound { what: "job", id: id.to_string() }
}

/// A filter as JSON.
fn plain(filter: SuggestionFilter) -> serde_json::Value {
    serde_json::to_value(filter).unwrap_or_default()
}

fn open(row: &PgRow) -> Result<Open, StoreError> {
    let number = |column| get::<i64>(row, column).map(i64::unsigned_abs);
    let filter: Json<SuggestionFilter> = row
        .try_get("filter")
        .map_err(|error| StoreError::Corrupt { what: "filter", reason: error.to_string() })?;
    let job = JobRow {
        id: get(row, "id")?,
        action: get::<String>(row, "action")?.parse().map_err(corrupt("action"))?,
        state: get::<String>(row, "state")?.parse().map_err(corrupt("state"))?,
        filter: filter.0,
        reverts: get(row, "reverts")?,
        reverted_by: get(row, "reverted_by")?,
        total: number("total")?,
        done: number("done")?,
        skipped: number("skipped")?,
        reviewer: get(row, "reviewer")?,
        client: get(row, "client")?,
        created_at: rfc3339(get(row, "created_at")?),
        finished_at: get::<Option<i64>>(row, "finished_at")?.map(rfc3339),
    };
    Ok(Open {
        row: job,
        newest_run: get(row, "newest_run")?,
        after_at: get(row, "after_at")?,
        after_id: get::<Option<String>>(row, "after_id")?.unwrap_or_default(),
        after_review: get(row, "after_review")?,
    })
}
