//! The vocabulary's tables. Both ledgers compile this file: their SQL differs only in what `super::dialect` names.

use std::sync::Arc;

use async_trait::async_trait;
use docent_pipelines::vocabulary::{Language, Term, TermId, TermState, Vocabulary};
use docent_pipelines::{AssetId, VectorSpace};
use serde_json::{Value, json};

use super::dialect::{Backend, Row, Tx, each, lock_assets, the_vocabulary};
use super::term_tasks::{Portion, act};
use super::{fault, get, lessons, matches, parsed, rules};
use crate::store::codec::{MOST_ROWS, corrupt, json_array, number, rfc3339, vector_values};
use crate::store::terms::{CHANGED_AT_ONCE, TASKS_AT_ONCE, TERMS_AT_ONCE, Task, Writes, renames, writes};
use crate::store::{
    Changed, Example, MatchedPortion, Page, Paged, Reviewer, Standing, StoreError, StoredHead, StoredRule,
    TermChange, TermEntry, Terms,
};

const CHANGE: &str = "change the vocabulary";
const READ: &str = "read the vocabulary";
const ADVANCE: &str = "apply a change of the vocabulary";
const MATCH: &str = "record matches";

#[async_trait]
impl Terms for Backend {
    async fn vocabulary(&self) -> Result<Arc<Vocabulary>, StoreError> {
        let revision: i64 = sqlx::query_scalar("select revision from vocabulary")
            .fetch_one(self.reader())
            .await
            .map_err(fault(READ))?;
        if let Some(known) = self.known.at(revision) {
            return Ok(known);
        }
        let (mut tx, _) = self.begin_at(READ).await?;
        vocabulary_in(self, &mut tx).await
    }

    async fn change_terms(
        &self,
        changes: &[TermChange],
        seen: i64,
        by: &Reviewer,
    ) -> Result<Changed, StoreError> {
        let failed = fault(CHANGE);
        let (mut tx, now) = self.begin_at(CHANGE).await?;
        let revision = lock(&mut tx).await?;
        let known = vocabulary_in(self, &mut tx).await?;
        if revision != seen {
            return Err(StoreError::Outdated { seen, revision });
        }
        let Writes { mut rows, tasks, mut changed, .. } = writes(&known, changes)?;
        // An address may go from a term that is taken out to another.
        rows.sort_by_key(|row| row.state == "present");
        changed.revision = revision;
        if rows.is_empty() {
            return Ok(changed);
        }
        changed.revision += 1;
        for rows in rows.chunks(TERMS_AT_ONCE) {
            let written = rows.iter().map(|row| {
                json!({
                    "id": row.term, "state": row.state, "uri": row.kept.uri, "data": data(&row.kept),
                    "into": row.merged_into, "action": row.action,
                    "before": row.before.as_ref().map(data), "after": row.after.as_ref().map(data),
                })
            });
            let written = Value::from_iter(written).to_string();
            sqlx::query(sqlx::AssertSqlSafe(format!(
                "insert into term (id, state, uri, data, merged_into, revision)
                 select value ->> 'id', value ->> 'state', value ->> 'uri', value ->> 'data', value ->> 'into', $2
                 from {} where true
                 on conflict (id) do update set state = excluded.state, uri = excluded.uri, data = excluded.data,
                     merged_into = excluded.merged_into, revision = excluded.revision",
                each(1)
            )))
            .bind(&written)
            .bind(changed.revision)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
            sqlx::query(sqlx::AssertSqlSafe(format!(
                "insert into term_log (revision, at, reviewer, client, action, term_id, before, after)
                 select $2, $3, $4, $5, value ->> 'action', value ->> 'id', value ->> 'before', value ->> 'after' from {}",
                each(1)
            )))
            .bind(&written)
            .bind(changed.revision)
            .bind(now)
            .bind(&by.name)
            .bind(&by.client)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        }
        let gone: Vec<&TermId> =
            rows.iter().filter(|row| row.state != "present").map(|row| &row.term).collect();
        forget_rules(&mut tx, &gone).await?;
        add_tasks(&mut tx, &tasks).await?;
        begun(&mut tx, changed.revision).await?;
        tx.commit().await.map_err(failed)?;
        Ok(changed)
    }

    async fn speak(&self, language: &Language) -> Result<i64, StoreError> {
        let failed = fault(CHANGE);
        let (mut tx, _) = self.begin_at(CHANGE).await?;
        let revision = lock(&mut tx).await?;
        let known = vocabulary_in(self, &mut tx).await?;
        if known.language == *language {
            return Ok(revision);
        }
        add_tasks(&mut tx, &renames(&known, language)).await?;
        sqlx::query("update vocabulary set revision = $1, language = $2")
            .bind(revision + 1)
            .bind(language.as_str())
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(revision + 1)
    }

    async fn vocabulary_has_begun(&self) -> Result<bool, StoreError> {
        sqlx::query_scalar("select begun <> 0 from vocabulary")
            .fetch_one(self.reader())
            .await
            .map_err(fault(READ))
    }

    async fn begin_vocabulary(&self) -> Result<(), StoreError> {
        let (mut tx, _) = self.begin_at(CHANGE).await?;
        let revision = lock(&mut tx).await?;
        begun(&mut tx, revision).await?;
        tx.commit().await.map_err(fault(CHANGE))
    }

    async fn term_log(&self, term: Option<&TermId>, page: &Page) -> Result<Paged<TermEntry>, StoreError> {
        let before = match &page.after {
            Some(after) => number::<i64>(after, after)?,
            None => i64::MAX,
        };
        let limit = page.limit.clamp(1, MOST_ROWS) as usize;
        let sql = if term.is_some() {
            "select * from term_log where id < $1 and term_id = $2 order by id desc limit $3"
        } else {
            "select * from term_log where id < $1 and $2 = '' order by id desc limit $3"
        };
        let rows = sqlx::query(sql)
            .bind(before)
            .bind(term.map_or("", TermId::as_str))
            .bind(limit as i64 + 1)
            .fetch_all(self.reader())
            .await
            .map_err(fault("list the log of the vocabulary"))?;
        let more = rows.len() > limit;
        let rows: Vec<TermEntry> = rows.iter().take(limit).map(entry).collect::<Result<_, StoreError>>()?;
        Ok(Paged { next: rows.last().filter(|_| more).map(|last| last.id.to_string()), rows })
    }

    async fn advance_terms(&self) -> Result<bool, StoreError> {
        let failed = fault(ADVANCE);
        // Most of the time nothing is to be done, and nobody who writes has to wait.
        let any: i64 = sqlx::query_scalar("select count(*) from (select 1 from term_task limit 1) t")
            .fetch_one(self.reader())
            .await
            .map_err(failed)?;
        if any == 0 {
            return Ok(false);
        }
        let (mut tx, _) = self.begin_at(ADVANCE).await?;
        // Whoever changes the vocabulary, and whoever else is at a task, waits.
        lock(&mut tx).await?;
        let (mut done, mut changed) = (0, 0);
        while done < TASKS_AT_ONCE && changed < CHANGED_AT_ONCE as u64 {
            let next = "select id, action, term_id, detail from term_task order by id limit 1";
            let Some(row) = sqlx::query(next).fetch_optional(&mut *tx).await.map_err(failed)? else { break };
            let (id, action, term): (i64, String, String) =
                (get(&row, "id")?, get(&row, "action")?, get(&row, "term_id")?);
            let mut detail = json_of(&get::<String>(&row, "detail")?)?;
            let Portion { rows, after } = act(&mut tx, &action, &term, &detail).await?;
            (done, changed) = (done + 1, changed + rows);
            match after {
                None => sqlx::query("delete from term_task where id = $1").bind(id),
                Some(after) => {
                    if let Some(detail) = detail.as_object_mut() {
                        detail.insert("after".to_owned(), Value::from(after));
                    }
                    let keep = sqlx::query("update term_task set detail = $2 where id = $1").bind(id);
                    keep.bind(detail.to_string())
                }
            }
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        }
        if done == 0 {
            return Ok(false);
        }
        tx.commit().await.map_err(failed)?;
        Ok(true)
    }

    async fn rules(&self, space: &VectorSpace, at: Option<i64>) -> Result<Vec<StoredRule>, StoreError> {
        rules::all(self, space, at).await
    }

    async fn standing(&self, space: &VectorSpace, newest: i64) -> Result<Standing, StoreError> {
        rules::standing(self, space, newest).await
    }

    async fn set_rules(
        &self,
        space: &VectorSpace,
        put: &[StoredRule],
        gone: &[TermId],
    ) -> Result<(), StoreError> {
        rules::set(self, space, put, gone).await
    }

    async fn rule_sources(
        &self,
        space: &VectorSpace,
        terms: &[TermId],
    ) -> Result<Vec<(TermId, String)>, StoreError> {
        matches::sources(self, space, terms).await
    }

    async fn prints(&self, space: &VectorSpace) -> Result<Vec<(TermId, String)>, StoreError> {
        let rows = sqlx::query("select term_id, print from term_match where space = $1 order by term_id")
            .bind(space.as_str())
            .fetch_all(self.reader())
            .await
            .map_err(fault("read the rules of terms"))?;
        rows.iter().map(|row| Ok((parsed(row, "term_id")?, get(row, "print")?))).collect()
    }

    async fn sample(&self, space: &VectorSpace, limit: u32) -> Result<Vec<Vec<f32>>, StoreError> {
        let rows = sqlx::query(
            "select v.data from (select id from asset order by id limit $2) a
             join vector v on v.asset_id = a.id and v.space = $1",
        )
        .bind(space.as_str())
        .bind(i64::from(limit))
        .fetch_all(self.reader())
        .await
        .map_err(fault("read vectors"))?;
        rows.iter().map(|row| vector_values(&get::<Vec<u8>>(row, "data")?)).collect()
    }

    async fn record_matches(&self, portion: MatchedPortion<'_>) -> Result<bool, StoreError> {
        let failed = fault(MATCH);
        let (mut tx, now) = self.begin_at(MATCH).await?;
        let prints = portion.terms.iter().map(|(term, print)| format!("{term} {print}"));
        let said: Vec<super::dialect::Flag> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "update term_match set applied = $3 where space = $2 and applied = $4
             and term_id || ' ' || print in (select value from {}) returning said",
            super::dialect::each_text(1)
        )))
        .bind(json_array(prints))
        .bind(portion.space.as_str())
        .bind(portion.to)
        .bind(portion.from)
        .fetch_all(&mut *tx)
        .await
        .map_err(failed)?;
        if said.len() != portion.terms.len() {
            return Ok(false);
        }
        // A term that was never offered has nothing to take back.
        if said.iter().any(|&said| said != 0) {
            let assets = matches::to_withdraw_from(&mut tx, &portion).await?;
            if !assets.is_empty() {
                lock_assets(&mut tx, &assets).await?;
                matches::withdraw(&mut tx, &portion, &assets).await?;
            }
        }
        if !portion.found.is_empty() {
            let mut assets: Vec<AssetId> = portion.found.iter().map(|found| found.asset.clone()).collect();
            assets.sort();
            assets.dedup();
            lock_assets(&mut tx, &assets).await?;
            matches::raise(&mut tx, &portion, now).await?;
        }
        tx.commit().await.map_err(failed)?;
        Ok(true)
    }

    async fn pending_matches(&self, terms: &[TermId], most: u32) -> Result<u64, StoreError> {
        matches::pending(self, terms, most).await
    }

    async fn newest_vector(&self, space: &VectorSpace) -> Result<i64, StoreError> {
        let newest: Option<i64> = sqlx::query_scalar("select max(sequence) from vector where space = $1")
            .bind(space.as_str())
            .fetch_one(self.reader())
            .await
            .map_err(fault("read the newest vector"))?;
        Ok(newest.unwrap_or(0))
    }

    async fn decided_terms(&self) -> Result<Vec<(TermId, u64, u64)>, StoreError> {
        lessons::decided(self).await
    }

    async fn examples(
        &self,
        term: &TermId,
        space: &VectorSpace,
        limit: u32,
    ) -> Result<Vec<Example>, StoreError> {
        lessons::examples(self, term, space, limit).await
    }

    async fn heads(&self, space: &VectorSpace) -> Result<Vec<StoredHead>, StoreError> {
        lessons::heads(self, space).await
    }

    async fn head_count(&self, space: &VectorSpace) -> Result<i64, StoreError> {
        sqlx::query_scalar(
            "select cast(coalesce(sum(version * 2 + used), 0) as bigint) from term_head where space = $1",
        )
        .bind(space.as_str())
        .fetch_one(self.reader())
        .await
        .map_err(fault("read heads"))
    }

    async fn keep_head(&self, space: &VectorSpace, head: &StoredHead) -> Result<(), StoreError> {
        lessons::keep(self, space, head).await
    }

    async fn accepted_as(&self, terms: &[TermId], limit: u32) -> Result<Vec<AssetId>, StoreError> {
        lessons::accepted_as(self, terms, limit).await
    }
}

/// The vocabulary as a transaction sees it. On PostgreSQL nobody changes it until the transaction ends.
pub(super) async fn vocabulary_in(store: &Backend, tx: &mut Tx<'_>) -> Result<Arc<Vocabulary>, StoreError> {
    let failed = fault(READ);
    let row = sqlx::query(the_vocabulary()).fetch_one(&mut **tx).await.map_err(failed)?;
    let (revision, language): (i64, String) = (get(&row, "revision")?, get(&row, "language")?);
    if let Some(known) = store.known.at(revision) {
        return Ok(known);
    }
    // What was read before is kept, and only what changed since is read.
    let before = store.known.before(revision).unwrap_or_default();
    let rows = sqlx::query("select id, state, data, merged_into from term where revision > $1 order by id")
        .bind(before.revision)
        .fetch_all(&mut **tx)
        .await
        .map_err(failed)?;
    let changes = rows.iter().map(|row| {
        let change = match get::<String>(row, "state")?.as_str() {
            "present" => TermState::Present(Box::new(term_of(&get::<String>(row, "data")?)?)),
            "merged" => {
                let into: String = get(row, "merged_into")?;
                TermState::Merged(TermId::try_from(into).map_err(corrupt("merged_into"))?)
            }
            _ => TermState::Removed,
        };
        Ok((parsed(row, "id")?, change))
    });
    let changes = changes.collect::<Result<_, StoreError>>()?;
    let language = Language::try_from(language).map_err(corrupt("language"))?;
    let known = Arc::new(before.later(revision, language, changes));
    store.known.keep(&known);
    Ok(known)
}

/// Takes the vocabulary for this transaction and answers its revision.
pub(super) async fn lock(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    sqlx::query_scalar(super::dialect::TAKE_VOCABULARY).fetch_one(&mut **tx).await.map_err(fault(CHANGE))
}

async fn begun(tx: &mut Tx<'_>, revision: i64) -> Result<(), StoreError> {
    let update = sqlx::query("update vocabulary set revision = $1, begun = 1").bind(revision);
    update.execute(&mut **tx).await.map(drop).map_err(fault(CHANGE))
}

async fn forget_rules(tx: &mut Tx<'_>, gone: &[&TermId]) -> Result<(), StoreError> {
    for table in ["term_match", "term_head"] {
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "delete from {table} where term_id in (select value from {})",
            super::dialect::each_text(1)
        )))
        .bind(json_array(gone))
        .execute(&mut **tx)
        .await
        .map_err(fault(CHANGE))?;
    }
    Ok(())
}

async fn add_tasks(tx: &mut Tx<'_>, tasks: &[Task]) -> Result<(), StoreError> {
    for tasks in tasks.chunks(TERMS_AT_ONCE) {
        let rows = tasks.iter().map(
            |task| json!({ "action": task.action, "term": task.term, "detail": task.detail.to_string() }),
        );
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "insert into term_task (action, term_id, detail)
             select value ->> 'action', value ->> 'term', value ->> 'detail' from {}",
            each(1)
        )))
        .bind(Value::from_iter(rows).to_string())
        .execute(&mut **tx)
        .await
        .map_err(fault(CHANGE))?;
    }
    Ok(())
}

fn entry(row: &Row) -> Result<TermEntry, StoreError> {
    let term = |column| get::<Option<String>>(row, column)?.map(|data| term_of(&data)).transpose();
    Ok(TermEntry {
        id: get(row, "id")?,
        revision: get(row, "revision")?,
        at: rfc3339(get(row, "at")?),
        reviewer: get(row, "reviewer")?,
        client: get(row, "client")?,
        action: get(row, "action")?,
        term: parsed(row, "term_id")?,
        before: term("before")?,
        after: term("after")?,
    })
}

fn data(term: &Term) -> String {
    serde_json::to_string(term).unwrap_or_default()
}

fn term_of(data: &str) -> Result<Term, StoreError> {
    serde_json::from_str(data).map_err(|error| corrupt("term")(error.to_string()))
}

fn json_of(text: &str) -> Result<Value, StoreError> {
    serde_json::from_str(text).map_err(|error| corrupt("detail")(error.to_string()))
}
