//! Cases for filters: every combination against what a loop over everything says.

use std::collections::HashSet;

use docent::queue::Lane;
use docent::store::{
    AssetFilter, AssetRow, Decision, FileStamp, Finished, FoundFile, Page, Paged, PlaceFilter, Store,
    StoreError, SuggestionFilter, SuggestionRow,
};
use docent_pipelines::{AssetId, Kind, Owner, Status};

use super::{LONG, analysis, analyze, claim, content, lease, listed, register, run, somebody, wanted};

const ASSETS: u32 = 40;

/// Every row of a listing, in pages of `limit`.
async fn all<T>(limit: u32, mut list: impl AsyncFnMut(&Page) -> Result<Paged<T>, StoreError>) -> Vec<T> {
    let (mut rows, mut page) = (Vec::new(), Page { limit, after: None });
    loop {
        let found = list(&page).await.expect("lists");
        rows.extend(found.rows);
        page.after = found.next;
        if page.after.is_none() {
            return rows;
        }
    }
}

fn owner(number: u32) -> Option<Owner> {
    let name = ["museum", "press"].get(number as usize % 3)?;
    Some(Owner::try_from((*name).to_owned()).expect("is a name"))
}

async fn fill(store: &dyn Store) {
    let folder = |n: u32| ["a", "a/inner", "b", "a b"][n as usize % 4];
    for portion in (0..ASSETS).collect::<Vec<_>>().chunks(8) {
        let mut files = Vec::new();
        for &n in portion {
            let place = |folder: &str, owner| FoundFile {
                uri: format!("file:///{folder}/{n:03}.jpg"),
                stamp: FileStamp { bytes: 1, modified_ns: 1 },
                hash: content(n).into(),
                lane: Lane::Backfill,
                owner,
            };
            files.push(place(folder(n), owner(n)));
            if n % 5 == 0 {
                files.push(place("copies", owner(n + 1)));
            }
        }
        store.register(&files, &wanted()).await.expect("registers");
    }
    let mut jobs = lease(store, "me", ASSETS, LONG).await;
    jobs.sort_by(|a, b| a.asset.cmp(&b.asset));
    let mut finished = Vec::new();
    for (n, job) in jobs.iter().enumerate() {
        store.begin_run(job, "me").await.expect("begins");
        let sure = [0.35, 0.5, 0.75, 0.9, 0.99][n % 5];
        let mut claims = vec![claim(Kind::Tag, "cat", sure, None), claim(Kind::Tag, "animal", 0.6, None)];
        if n % 2 == 0 {
            claims.push(claim(Kind::Object, "cat", 1.0 - sure, Some(0.1)));
        }
        if n % 7 == 3 {
            // Longer than an index takes, and alike at the beginning.
            claims.push(claim(Kind::Text, &format!("{}{n}", "long ".repeat(60)), 0.8, None));
        }
        claims.truncate(n % 4 + 1);
        let (analysis, outcomes) = analysis(&job.asset, &claims);
        finished.push(Finished { run: run(&job.asset), analysis, outcomes });
    }
    store.record(&finished).await.expect("records");
    let rows = all(1000, async |page| store.suggestions(&SuggestionFilter::default(), page).await).await;
    for (n, row) in rows.iter().enumerate() {
        let decision = match n % 6 {
            0 => Decision::Accept,
            1 => Decision::Reject,
            _ => continue,
        };
        store.decide(&row.id, decision, &somebody()).await.expect("decides");
    }
}

/// Listings, counts and matching of every combination say the same, and what a loop over everything says.
pub async fn every_filter_passes_what_it_says(store: &dyn Store) {
    fill(store).await;
    let suggestions =
        all(1000, async |page| store.suggestions(&SuggestionFilter::default(), page).await).await;
    let assets = all(1000, async |page| store.list_assets(&AssetFilter::default(), page).await).await;
    assert_eq!(assets.len(), ASSETS as usize);
    let order: Vec<&AssetId> = assets.iter().map(|row| &row.asset_id).collect();
    let mut listed: Vec<&AssetId> = suggestions.iter().map(|row| &row.asset_id).collect();
    listed.dedup();
    assert_eq!(listed, order, "suggestions and assets come in one order");

    let at = |asset: &AssetRow, place: &PlaceFilter| {
        asset.uris.iter().any(|uri| {
            let number: u32 = uri[uri.len() - 7..uri.len() - 4].parse().expect("is a number");
            let of = if uri.contains("/copies/") { owner(number + 1) } else { owner(number) };
            let below = place.uri_prefix.as_ref().is_none_or(|prefix| uri.starts_with(&format!("{prefix}/")));
            below && place.owner.as_ref().is_none_or(|owner| of.as_ref() == Some(owner))
        })
    };
    let long = suggestions.iter().find(|row| row.kind == Kind::Text).expect("there is one").value.clone();
    let values = [None, Some("cat".to_owned()), Some(long)];
    let mut places = Vec::new();
    for prefix in [None, Some("file:///a"), Some("file:///copies")] {
        for owner in [None, owner(0)] {
            places.push(PlaceFilter { uri_prefix: prefix.map(str::to_owned), owner });
        }
    }
    let statuses = [None, Some(Status::Pending), Some(Status::Rejected)];
    for place in &places {
        let here: HashSet<&AssetId> =
            assets.iter().filter(|asset| at(asset, place)).map(|asset| &asset.asset_id).collect();
        for status in statuses {
            for kind in [None, Some(Kind::Tag), Some(Kind::Text)] {
                for min_confidence in [None, Some(0.9)] {
                    let says = |row: &SuggestionRow| {
                        status.is_none_or(|status| row.status == status)
                            && kind.is_none_or(|kind| row.kind == kind)
                            && min_confidence.is_none_or(|least| row.confidence >= least)
                    };
                    for value in &values {
                        let place = place.clone();
                        let filter = SuggestionFilter {
                            status,
                            kind,
                            min_confidence,
                            value: value.clone(),
                            place,
                            asset: None,
                            ..SuggestionFilter::default()
                        };
                        let expected: Vec<&SuggestionRow> = suggestions
                            .iter()
                            .filter(|row| says(row) && here.contains(&row.asset_id))
                            .filter(|row| value.as_ref().is_none_or(|value| row.value == *value))
                            .collect();
                        let rows = all(7, async |page| store.suggestions(&filter, page).await).await;
                        assert_eq!(rows.iter().collect::<Vec<_>>(), expected, "{filter:?}");
                        let counted = store.count_suggestions(&filter).await.expect("counts");
                        assert_eq!(
                            (counted.count, counted.more),
                            (expected.len() as u64, false),
                            "{filter:?}"
                        );
                    }
                    for tag in [None, Some("cat".to_owned())] {
                        let living =
                            |row: &&SuggestionRow| matches!(row.status, Status::Pending | Status::Accepted);
                        let asks = kind.is_some() || status.is_some() || min_confidence.is_some();
                        let said: HashSet<&AssetId> = suggestions
                            .iter()
                            .filter(|row| says(row) && (status.is_some() || living(row)))
                            .map(|row| &row.asset_id)
                            .collect();
                        let tagged: HashSet<&AssetId> = suggestions
                            .iter()
                            .filter(living)
                            .filter(|row| row.kind == Kind::Tag && Some(&row.value) == tag.as_ref())
                            .map(|row| &row.asset_id)
                            .collect();
                        let passes = |id: &&AssetId| {
                            here.contains(*id)
                                && (!asks || said.contains(*id))
                                && (tag.is_none() || tagged.contains(*id))
                        };
                        let expected: Vec<&AssetId> = order.iter().copied().filter(passes).collect();
                        let place = place.clone();
                        let filter = AssetFilter {
                            tag,
                            kind,
                            status,
                            min_confidence,
                            place,
                            ..AssetFilter::default()
                        };
                        let rows = all(3, async |page| store.list_assets(&filter, page).await).await;
                        assert_eq!(
                            rows.iter().map(|row| &row.asset_id).collect::<Vec<_>>(),
                            expected,
                            "{filter:?}"
                        );
                        let few = store.matching(&filter, 1000).await.expect("filters").expect("are few");
                        assert_eq!(few.iter().collect::<HashSet<_>>(), expected.iter().copied().collect());
                        if let Some(fewer) = expected.len().checked_sub(1) {
                            assert!(store.matching(&filter, fewer).await.expect("filters").is_none());
                        }
                        let ids: Vec<AssetId> = order.iter().map(|id| (*id).clone()).collect();
                        assert_eq!(store.passing(&filter, &ids).await.expect("filters"), few, "{filter:?}");
                    }
                }
            }
        }
    }
    let one = order[7].to_string();
    assert_eq!(store.assets_beginning(&one[..8], 2).await.expect("looks up"), [order[7].clone()]);
    assert_eq!(store.assets_beginning("", 5).await.expect("looks up").len(), 5);
}

/// What is kept of counts is what counting says, whatever was written how often.
pub async fn counts_are_kept(store: &dyn Store) {
    fill(store).await;
    let counted = async || {
        let rows = all(1000, async |page| store.suggestions(&SuggestionFilter::default(), page).await).await;
        let mut statuses = std::collections::BTreeMap::<String, u64>::new();
        for row in rows {
            *statuses.entry(row.status.to_string()).or_default() += 1;
        }
        statuses
    };
    let kept = async || {
        let mut counts = store.counts(&wanted()).await.expect("counts");
        counts.suggestions.retain(|_, count| *count > 0);
        counts
    };
    let before = kept().await;
    assert_eq!(before.suggestions, counted().await);
    assert_eq!((before.assets, before.paths), (u64::from(ASSETS), u64::from(ASSETS + ASSETS / 5)));
    let pending = SuggestionFilter { status: Some(Status::Pending), ..SuggestionFilter::default() };
    assert_eq!(store.count_suggestions(&pending).await.expect("counts").count, before.suggestions["pending"]);
    assert_eq!(before.analyzers.values().map(|work| work.done).sum::<u64>(), u64::from(ASSETS) * 3);

    // Everything again, of which some is not said any more.
    store.requeue(docent::store::Requeue::All, &wanted(), None).await.expect("requeues");
    let requeued = kept().await;
    assert_eq!(requeued.analyzers.values().map(|work| work.pending).sum::<u64>(), u64::from(ASSETS) * 3);
    let jobs = lease(store, "me", ASSETS, LONG).await;
    for job in &jobs {
        store.begin_run(job, "me").await.expect("begins");
    }
    let finished: Vec<Finished> = jobs
        .iter()
        .map(|job| {
            let (analysis, outcomes) = analysis(&job.asset, &[claim(Kind::Tag, "cat", 0.5, None)]);
            Finished { run: run(&job.asset), analysis, outcomes }
        })
        .collect();
    store.record(&finished).await.expect("records");
    let after = kept().await;
    assert_eq!(after.suggestions, counted().await);
    assert!(after.suggestions["superseded"] > 0);
    assert_eq!(after.analyzers, before.analyzers);
}

/// Filters by tag, kind, status and folder.
pub async fn filters_select(store: &dyn Store) {
    register(store, 0..3).await;
    analyze(store, 0, &[claim(Kind::Tag, "cat", 0.9, None)]).await;
    analyze(store, 1, &[claim(Kind::Object, "cat", 0.6, Some(0.1))]).await;
    let matching = async |filter: AssetFilter| {
        store.matching(&filter, 100).await.expect("filters").expect("are few").len()
    };
    assert_eq!(matching(AssetFilter { tag: Some("cat".to_owned()), ..AssetFilter::default() }).await, 1);
    assert_eq!(matching(AssetFilter { kind: Some(Kind::Object), ..AssetFilter::default() }).await, 1);
    assert_eq!(matching(AssetFilter { status: Some(Status::Pending), ..AssetFilter::default() }).await, 2);
    let under = |prefix: &str| AssetFilter {
        place: PlaceFilter { uri_prefix: Some(prefix.to_owned()), owner: None },
        ..AssetFilter::default()
    };
    assert_eq!(matching(under("file:///photos/")).await, 3);
    assert_eq!(matching(under("file:///photos/000001.jpg")).await, 1);
    assert_eq!(matching(under("file:///photos/00000")).await, 0, "half a name is no folder");
    assert_eq!(matching(under("file:///%")).await, 0);
    let sure = SuggestionFilter { min_confidence: Some(0.8), ..SuggestionFilter::default() };
    assert_eq!(listed(store, sure).await.len(), 1);
}
