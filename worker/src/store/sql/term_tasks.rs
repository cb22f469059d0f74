//! What follows from a change of the vocabulary, in portions. Both ledgers compile this file.

use serde_json::Value;

use super::dialect::{INDEXED_VALUE, INDEXED_WORD, Tx, each, each_text};
use super::fault;
use crate::store::StoreError;
use crate::store::codec::{json_array, kind_order, text};
use crate::store::terms::CHANGED_AT_ONCE;

const ADVANCE: &str = "apply a change of the vocabulary";

/// Does a portion of a task. Answers where it goes on; `None` if it is done.
pub(super) async fn act(
    tx: &mut Tx<'_>,
    action: &str,
    term: &str,
    detail: &Value,
) -> Result<Portion, StoreError> {
    match action {
        "rename" => rename(tx, term, detail).await,
        "withdraw" => withdraw(tx, term, detail).await,
        "adopt" => adopt(tx, detail).await,
        _ => sort(tx).await,
    }
}

/// The next rows of a term, after the place where the last portion ended.
async fn portion(tx: &mut Tx<'_>, term: &str, detail: &Value) -> Result<Vec<String>, StoreError> {
    sqlx::query_scalar("select id from suggestion where term_id = $1 and id > $2 order by id limit $3")
        .bind(term)
        .bind(detail.get("after").and_then(Value::as_str).unwrap_or(""))
        .bind(CHANGED_AT_ONCE)
        .fetch_all(&mut **tx)
        .await
        .map_err(fault(ADVANCE))
}

/// What a portion of a task did.
pub(super) struct Portion {
    /// Rows that it looked at or changed.
    pub rows: u64,
    /// Where the task goes on; `None` if it is done.
    pub after: Option<String>,
}

fn rest(mut portion: Vec<String>) -> Portion {
    let rows = portion.len() as u64;
    Portion { rows, after: if (rows as i64) < CHANGED_AT_ONCE { None } else { portion.pop() } }
}

/// A task whose rows leave the index that it reads.
fn until_none(rows: u64) -> Portion {
    Portion { rows, after: (rows > 0).then(String::new) }
}

async fn rename(tx: &mut Tx<'_>, term: &str, detail: &Value) -> Result<Portion, StoreError> {
    let ids = portion(tx, term, detail).await?;
    let said = |name: &str| detail.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "update suggestion set term_id = $2, value = $3 where id in (select value from {}) and kind = 'tag'",
        each_text(1)
    )))
    .bind(json_array(&ids))
    .bind(said("to"))
    .bind(text(&said("tag")))
    .execute(&mut **tx)
    .await
    .map_err(fault(ADVANCE))?;
    Ok(rest(ids))
}

async fn withdraw(tx: &mut Tx<'_>, term: &str, detail: &Value) -> Result<Portion, StoreError> {
    let ids = portion(tx, term, detail).await?;
    let gone = detail.get("gone").and_then(Value::as_bool).unwrap_or(false);
    // The words of a term that is gone are proposals again, where a network said them.
    let others = if gone {
        format!(
            "update suggestion set kind = 'proposal', kind_order = {}",
            kind_order(docent_pipelines::Kind::Proposal)
        )
    } else {
        "update suggestion set status = 'superseded'".to_owned()
    };
    let of = format!("where id in (select value from {})", each_text(1));
    let mut statements = vec![
        format!(
            "update suggestion set status = 'superseded' {of} and status = 'pending' and analyzer = 'terms'"
        ),
        format!("{others} {of} and status = 'pending' and analyzer <> 'terms'"),
    ];
    if gone {
        statements.push(format!("update suggestion set term_id = null {of}"));
    }
    for sql in statements {
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(json_array(&ids))
            .execute(&mut **tx)
            .await
            .map_err(fault(ADVANCE))?;
    }
    Ok(rest(ids))
}

/// Words that are in no vocabulary become terms.
async fn adopt(tx: &mut Tx<'_>, detail: &Value) -> Result<Portion, StoreError> {
    let mut changed = 0;
    for kind in ["tag", "proposal"] {
        changed += sqlx::query(sqlx::AssertSqlSafe(format!(
            "update suggestion set kind = 'tag', kind_order = 0, term_id = n.term, value = n.tag from (
                 select s.id, w.value ->> 'term' as term, w.value ->> 'tag' as tag
                 from {} w cross join suggestion s
                 where s.kind = '{kind}' and s.term_id is null and s.status in ('pending', 'accepted', 'rejected')
                   and {INDEXED_VALUE} = {INDEXED_WORD} and s.value = w.value ->> 'word'
                 limit $2) n
             where suggestion.id = n.id",
            each(1)
        )))
        .bind(detail.get("words").unwrap_or(&Value::Null).to_string())
        .bind(CHANGED_AT_ONCE)
        .execute(&mut **tx)
        .await
        .map_err(fault(ADVANCE))?
        .rows_affected();
    }
    Ok(until_none(changed))
}

/// Tags from before there was a vocabulary that no term adopted become proposals.
async fn sort(tx: &mut Tx<'_>) -> Result<Portion, StoreError> {
    let changed = sqlx::query(sqlx::AssertSqlSafe(format!(
        "update suggestion set kind = 'proposal', kind_order = {} where id in (
             select id from suggestion where kind = 'tag' and term_id is null and status = 'pending' limit $1)",
        kind_order(docent_pipelines::Kind::Proposal)
    )))
    .bind(CHANGED_AT_ONCE)
    .execute(&mut **tx)
    .await
    .map_err(fault(ADVANCE))?
    .rows_affected();
    Ok(until_none(changed))
}
