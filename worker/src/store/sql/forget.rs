//! Forgetting, a portion at a time. Both ledgers compile this file.

use async_trait::async_trait;
use docent_pipelines::AssetId;

use super::dialect::{Backend, Query, Row, SKIP_LOCKED, Tx, among, each_text, lock_assets, steady, wipe};
use super::erase::{Order, erase};
use super::meant::{lost_places, meet, sorted, stored};
use super::{fault, get, parsed};
use crate::store::codec::{MOST_ROWS, corrupt, json_array, number, rfc3339};
use crate::store::fault::again;
use crate::store::forget::Cursor;
use crate::store::{
    Forget, ForgetRow, Forgetting, Leftover, Mark, MarkRow, Named, NewForget, Page, Paged, StoreError,
    StoredFile, Toll,
};

const FORGET: &str = "forget";
const LIST: &str = "list what was forgotten";

const ORDER: &str = "select id, state, what, after, uploads, assets, places, suggestions, decisions, files, kept, reviewer, client,
    created_at, finished_at from forgetting";

#[async_trait]
impl Forgetting for Backend {
    async fn start_forgetting(&self, order: &NewForget) -> Result<ForgetRow, StoreError> {
        let failed = fault(FORGET);
        let what = serde_json::to_string(&order.what).map_err(|error| corrupt("order")(error.to_string()))?;
        let (mut tx, now) = self.begin_at(FORGET).await?;
        let id: i64 = sqlx::query_scalar(
            "insert into forgetting (state, what, uploads, reviewer, client, created_at)
             values ('open', $1, $2, $3, $4, $5) returning id",
        )
        .bind(what)
        .bind(&order.uploads)
        .bind(crate::store::codec::text(&order.by.name))
        .bind(crate::store::codec::text(&order.by.client))
        .bind(now)
        .fetch_one(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        self.forgetting(id).await
    }

    async fn forget_portion(
        &self,
        id: Option<i64>,
        uploads: Option<&str>,
    ) -> Result<Option<ForgetRow>, StoreError> {
        again(|| portion(self, id, uploads)).await
    }

    async fn leftovers(&self, uploads: Option<&str>, limit: u32) -> Result<Vec<Leftover>, StoreError> {
        let (mut tx, now) = self.begin_to_read(FORGET).await?;
        let rows = sqlx::query(
            "select r.id, r.asset_id, r.file, r.content_hash, r.picture from forgetting_rest r join forgetting f on f.id = r.forgetting_id
             where r.not_before <= $1 and (r.file is null or f.uploads = $2) order by r.not_before, r.id limit $3",
        )
        .bind(now)
        .bind(uploads)
        .bind(i64::from(limit.min(MOST_ROWS)))
        .fetch_all(&mut *tx)
        .await
        .map_err(fault(FORGET))?;
        rows.iter()
            .map(|row| {
                let (id, asset) = (get(row, "id")?, parsed(row, "asset_id")?);
                let file: Option<String> = get(row, "file")?;
                let (content_hash, picture) = (get(row, "content_hash")?, get(row, "picture")?);
                Ok(Leftover { id, asset, file: file.map(|uri| StoredFile { uri, content_hash, picture }) })
            })
            .collect()
    }

    async fn cleared(&self, leftovers: &[Leftover]) -> Result<(), StoreError> {
        let ids = json_array(leftovers.iter().map(|leftover| leftover.id.to_string()));
        let (mut tx, _) = self.begin_at(FORGET).await?;
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "delete from forgetting_rest where id in (select cast(value as bigint) from {})",
            each_text(1)
        )))
        .bind(ids)
        .execute(&mut *tx)
        .await
        .map_err(fault(FORGET))?;
        tx.commit().await.map_err(fault(FORGET))
    }

    async fn finish_forgetting(&self, id: i64) -> Result<ForgetRow, StoreError> {
        const UNDONE: &str = "state = 'clearing'
            and not exists (select 1 from forgetting_rest r where r.forgetting_id = forgetting.id and r.not_before <= $2)";
        let failed = fault(FORGET);
        let (mut tx, now) = self.begin_to_read(FORGET).await?;
        let is_ready: bool = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select exists (select 1 from forgetting where id = $1 and {UNDONE})"
        )))
        .bind(id)
        .bind(now)
        .fetch_one(&mut *tx)
        .await
        .map_err(failed)?;
        drop(tx);
        if is_ready {
            wipe(self).await?;
            let (mut tx, now) = self.begin_at(FORGET).await?;
            sqlx::query(sqlx::AssertSqlSafe(format!(
                "update forgetting set state = 'done', finished_at = $2 where id = $1 and {UNDONE}"
            )))
            .bind(id)
            .bind(now)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
            tx.commit().await.map_err(failed)?;
        }
        self.forgetting(id).await
    }

    async fn named(&self, what: &Forget, after: Option<&str>) -> Result<Named, StoreError> {
        let (mut tx, _) = self.begin_to_read(FORGET).await?;
        steady(&mut tx).await?;
        let (assets, next) = meet(&mut tx, what, Cursor::read(after)?).await?;
        let assets = assets.into_iter().map(AssetId::try_from).collect::<Result<_, _>>();
        Ok(Named { assets: assets.map_err(corrupt("asset_id"))?, next: next.map(|next| next.write()) })
    }

    async fn toll(
        &self,
        what: &Forget,
        assets: &[AssetId],
        uploads: Option<&str>,
    ) -> Result<Toll, StoreError> {
        let (mut tx, _) = self.begin_to_read(FORGET).await?;
        steady(&mut tx).await?;
        let ids: Vec<String> = assets.iter().map(ToString::to_string).collect();
        let (wholes, parts) = sorted(&mut tx, what, &ids).await?;
        let mut toll = weighed(&mut tx, &wholes).await?;
        toll.places += lost_places(&mut tx, what, &parts).await?.len() as u64;
        toll.kept = parts.len() as u64;
        toll.files = stored(&mut tx, what, &wholes, &parts, uploads).await?.len() as u64;
        Ok(toll)
    }

    async fn forgetting(&self, id: i64) -> Result<ForgetRow, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{ORDER} where id = $1")))
            .bind(id)
            .fetch_optional(self.reader())
            .await
            .map_err(fault(LIST))?;
        let missing = || StoreError::NotFound { what: "forgetting", id: id.to_string() };
        told(&row.ok_or_else(missing)?)
    }

    async fn forgettings(&self, page: &Page) -> Result<Paged<ForgetRow>, StoreError> {
        let before = page.after.as_deref().map_or(Ok(i64::MAX), |after| number(after, after))?;
        let limit = page.limit.clamp(1, MOST_ROWS) as usize;
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{ORDER} where id < $1 order by id desc limit {}",
            limit + 1
        )))
        .bind(before)
        .fetch_all(self.reader())
        .await
        .map_err(fault(LIST))?;
        let is_cut = rows.len() > limit;
        let rows = rows.iter().take(limit).map(told).collect::<Result<Vec<_>, _>>()?;
        Ok(Paged { next: rows.last().filter(|_| is_cut).map(|last| last.id.to_string()), rows })
    }

    async fn marks(&self, page: &Page) -> Result<Paged<MarkRow>, StoreError> {
        let before = page.after.as_deref().map_or(Ok(i64::MAX), |after| number(after, after))?;
        let limit = page.limit.clamp(1, MOST_ROWS) as usize;
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select sequence, mark, forgetting_id, at from forgotten where sequence < $1 and mark = asset_mark order by sequence desc limit {}",
            limit + 1
        )))
        .bind(before)
        .fetch_all(self.reader())
        .await
        .map_err(fault(LIST))?;
        let next = match rows.get(limit - 1) {
            Some(last) if rows.len() > limit => Some(get::<i64>(last, "sequence")?.to_string()),
            _ => None,
        };
        let mark = |row: &Row| {
            Ok(MarkRow {
                mark: parsed(row, "mark")?,
                forgetting: get(row, "forgetting_id")?,
                at: rfc3339(get(row, "at")?),
            })
        };
        Ok(Paged { rows: rows.iter().take(limit).map(mark).collect::<Result<_, StoreError>>()?, next })
    }

    async fn marks_after(&self, sequence: i64, limit: u32) -> Result<Vec<(i64, Mark)>, StoreError> {
        let rows = sqlx::query(
            "select sequence, mark from forgotten where sequence > $1 order by sequence limit $2",
        )
        .bind(sequence)
        .bind(i64::from(limit))
        .fetch_all(self.reader())
        .await
        .map_err(fault(LIST))?;
        rows.iter().map(|row| Ok((get(row, "sequence")?, parsed(row, "mark")?))).collect()
    }

    async fn newest_mark(&self) -> Result<i64, StoreError> {
        let newest: Option<i64> = sqlx::query_scalar("select max(sequence) from forgotten")
            .fetch_one(self.reader())
            .await
            .map_err(fault(LIST))?;
        Ok(newest.unwrap_or(0))
    }

    async fn readmit(&self, mark: &Mark) -> Result<bool, StoreError> {
        let (mut tx, _) = self.begin_at(FORGET).await?;
        let gone = sqlx::query(
            "delete from forgotten where asset_mark = (select asset_mark from forgotten where mark = $1)",
        )
        .bind(mark.as_str())
        .execute(&mut *tx)
        .await
        .map_err(fault(FORGET))?
        .rows_affected();
        tx.commit().await.map_err(fault(FORGET))?;
        Ok(gone > 0)
    }
}

/// Makes a portion of an order.
async fn portion(
    store: &Backend,
    id: Option<i64>,
    uploads: Option<&str>,
) -> Result<Option<ForgetRow>, StoreError> {
    let failed = fault(FORGET);
    // Most of the time nothing is to be forgotten, and nobody who writes has to wait.
    let any = "select exists (select 1 from forgetting where state <> 'done')";
    if !sqlx::query_scalar::<_, bool>(any).fetch_one(store.reader()).await.map_err(failed)? {
        return Ok(None);
    }
    let (mut tx, now) = store.begin_at(FORGET).await?;
    steady(&mut tx).await?;
    let mut query = Query::new(ORDER);
    query
        .push(" where state <> 'done' and (uploads is null or uploads = ")
        .push_bind(uploads.map(str::to_owned));
    query.push(")");
    if let Some(id) = id {
        query.push(" and id = ").push_bind(id);
    }
    query.push(" order by case state when 'open' then 0 else 1 end, id limit 1").push(SKIP_LOCKED);
    let Some(row) = query.build().fetch_optional(&mut *tx).await.map_err(failed)? else { return Ok(None) };
    let mut order = told(&row)?;
    let Some(what) = get::<Option<String>>(&row, "what")? else { return Ok(Some(order)) };
    let what: Forget = serde_json::from_str(&what).map_err(|error| corrupt("order")(error.to_string()))?;
    super::dialect::take_turn(&mut tx).await?;
    let cursor = Cursor::read(get::<Option<String>>(&row, "after")?.as_deref())?;
    let (met, next) = meet(&mut tx, &what, cursor).await?;
    let mut ids = Vec::with_capacity(met.len());
    for id in met {
        ids.push(AssetId::try_from(id).map_err(corrupt("asset_id"))?);
    }
    lock_assets(&mut tx, &ids).await?;
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let (wholes, parts) = sorted(&mut tx, &what, &ids).await?;
    let mut toll = weighed(&mut tx, &wholes).await?;
    let files = stored(&mut tx, &what, &wholes, &parts, uploads).await?;
    toll.files = files.len() as u64;
    toll.kept = parts.len() as u64;
    leave_files(&mut tx, order.id, &files, now).await?;
    let lost = lost_places(&mut tx, &what, &parts).await?;
    toll.places += lost.len() as u64;
    sqlx::query(sqlx::AssertSqlSafe(format!("delete from asset_path where uri {}", among(1))))
        .bind(json_array(&lost))
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
    erase(&mut tx, &Order { id: order.id, now }, &wholes).await?;
    let is_last = next.is_none();
    sqlx::query(
        "update forgetting set state = $2, what = $3, after = $4, assets = assets + $5, places = places + $6,
             suggestions = suggestions + $7, decisions = decisions + $8, files = files + $9, kept = kept + $10
         where id = $1",
    )
    .bind(order.id)
    .bind(if is_last { "clearing" } else { "open" })
    .bind(if is_last { None } else { get::<Option<String>>(&row, "what")? })
    .bind(next.map(|next| next.write()))
    .bind(toll.assets as i64)
    .bind(toll.places as i64)
    .bind(toll.suggestions as i64)
    .bind(toll.decisions as i64)
    .bind(toll.files as i64)
    .bind(toll.kept as i64)
    .execute(&mut *tx)
    .await
    .map_err(failed)?;
    tx.commit().await.map_err(failed)?;
    order.toll += toll;
    if is_last {
        order.state = crate::store::ForgetState::Clearing;
    }
    Ok(Some(order))
}

/// What these assets cost, without files.
async fn weighed(tx: &mut Tx<'_>, wholes: &[String]) -> Result<Toll, StoreError> {
    let ids = among(1);
    let row = sqlx::query(sqlx::AssertSqlSafe(format!(
        "select (select count(*) from asset_path where asset_id {ids}) as places,
             (select count(*) from suggestion where asset_id {ids}) as suggestions,
             (select count(*) from suggestion where asset_id {ids}
              and status in ('accepted', 'rejected')) as decisions"
    )))
    .bind(json_array(wholes))
    .fetch_one(&mut **tx)
    .await
    .map_err(fault(FORGET))?;
    let count = |column: &'static str| get::<i64>(&row, column).map(i64::unsigned_abs);
    Ok(Toll {
        assets: wholes.len() as u64,
        places: count("places")?,
        suggestions: count("suggestions")?,
        decisions: count("decisions")?,
        ..Toll::default()
    })
}

/// Notes files that are to be removed.
async fn leave_files(
    tx: &mut Tx<'_>,
    order: i64,
    files: &[(String, StoredFile)],
    now: i64,
) -> Result<(), StoreError> {
    for (asset, StoredFile { uri, content_hash, picture }) in files {
        sqlx::query(
            "insert into forgetting_rest (forgetting_id, asset_id, file, content_hash, picture, not_before)
             values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(order)
        .bind(asset)
        .bind(uri)
        .bind(content_hash)
        .bind(picture)
        .bind(now)
        .execute(&mut **tx)
        .await
        .map_err(fault(FORGET))?;
    }
    Ok(())
}

fn told(row: &Row) -> Result<ForgetRow, StoreError> {
    let count = |column: &'static str| get::<i64>(row, column).map(i64::unsigned_abs);
    Ok(ForgetRow {
        id: get(row, "id")?,
        state: get::<String>(row, "state")?.parse().map_err(corrupt("state"))?,
        toll: Toll {
            assets: count("assets")?,
            places: count("places")?,
            suggestions: count("suggestions")?,
            decisions: count("decisions")?,
            files: count("files")?,
            kept: count("kept")?,
        },
        reviewer: get(row, "reviewer")?,
        client: get(row, "client")?,
        created_at: rfc3339(get(row, "created_at")?),
        finished_at: get::<Option<i64>>(row, "finished_at")?.map(rfc3339),
    })
}
