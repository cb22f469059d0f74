//! Cases for what is listed of a folder.

use docent::queue::Lane;
use docent::store::{FileStamp, Finished, FoundFile, Page, PlaceFilter, Store, SuggestionFilter};
use docent_pipelines::{AssetId, Kind, Status};

use super::{LONG, analysis, claim, content, lease, listed, run, wanted};

/// Folders whose names begin alike: what is under `a` sorts between these.
const FOLDERS: [&str; 4] = ["a", "a b", "a/inner", "b"];
/// Enough for several portions of a folder's assets.
const ASSETS: u32 = 600;

fn place(folder: &str, number: u32) -> FoundFile {
    FoundFile {
        uri: format!("file:///archive/{folder}/{number:06}.jpg"),
        stamp: FileStamp { bytes: 100, modified_ns: 7 },
        hash: content(number).into(),
        lane: Lane::Backfill,
        owner: None,
    }
}

/// A folder's pages are those of the whole listing without what lies elsewhere.
pub async fn folders_are_listed_in_the_same_order(store: &dyn Store) {
    let mut files: Vec<FoundFile> = (0..ASSETS).map(|n| place(FOLDERS[n as usize % 4], n)).collect();
    // Some lie in two folders, and some twice in one.
    files.extend((0..ASSETS).step_by(7).map(|n| place("b/copies", n)));
    files.extend((0..ASSETS).step_by(12).map(|n| place("a", n + ASSETS)).map(|file| FoundFile {
        hash: content(file.uri[18..24].parse::<u32>().expect("a number") - ASSETS).into(),
        ..file
    }));
    for files in files.chunks(100) {
        // Each portion at another time.
        store.register(files, &wanted()).await.expect("registers");
    }
    let mut jobs = lease(store, "me", ASSETS, LONG).await;
    assert_eq!(jobs.len(), ASSETS as usize);
    jobs.sort_by(|a, b| a.asset.cmp(&b.asset));
    for (portion, jobs) in jobs.chunks(60).enumerate() {
        let mut finished = Vec::new();
        for job in jobs {
            store.begin_run(job, "me").await.expect("begins");
            let claims = [claim(Kind::Tag, "cat", 0.9, None), claim(Kind::Object, "cat", 0.6, Some(0.1))];
            // Assets without a suggestion in between.
            let count = if portion % 3 == 1 { 0 } else { 2 };
            let (analysis, outcomes) = analysis(&job.asset, &claims[..count]);
            finished.push(Finished { run: run(&job.asset), analysis, outcomes });
        }
        store.record(&finished).await.expect("records");
    }
    let everything = listed_in_pages(store, SuggestionFilter::default(), 1000).await;
    assert!(everything.len() > 600, "{} rows", everything.len());

    let inside = |folder: &str| {
        let folder = format!("file:///archive/{folder}/");
        let assets: std::collections::BTreeSet<_> = files
            .iter()
            .filter(|file| file.uri.starts_with(&folder))
            .map(|file| file.hash.asset_id())
            .collect();
        assets
    };
    for folder in ["a", "a b", "a/inner", "b", "b/copies", "nowhere"] {
        let assets = inside(folder);
        let place = PlaceFilter { uri_prefix: Some(format!("file:///archive/{folder}")), owner: None };
        let filter = SuggestionFilter { place, ..SuggestionFilter::default() };
        let expected: Vec<_> =
            everything.iter().filter(|(_, asset)| assets.contains(asset)).cloned().collect();
        for limit in [7, 1000] {
            let rows = listed_in_pages(store, filter.clone(), limit).await;
            assert_eq!(rows, expected, "{folder}, pages of {limit}");
        }
        let count = store.count_suggestions(&filter).await.expect("counts");
        assert_eq!((count.count, count.more), (expected.len() as u64, false), "{folder}");
        let objects = SuggestionFilter { kind: Some(Kind::Object), ..filter.clone() };
        assert_eq!(listed(store, objects).await.len(), expected.len() / 2, "{folder}");
        let nothing_left = SuggestionFilter { status: Some(Status::Accepted), ..filter };
        assert_eq!(listed(store, nothing_left).await.len(), 0, "{folder}");
    }
}

async fn listed_in_pages(store: &dyn Store, filter: SuggestionFilter, limit: u32) -> Vec<(String, AssetId)> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = store.suggestions(&filter, &Page { limit, after }).await.expect("lists");
        rows.extend(page.rows.into_iter().map(|row| (row.id.to_string(), row.asset_id)));
        after = page.next;
        if after.is_none() {
            return rows;
        }
    }
}
