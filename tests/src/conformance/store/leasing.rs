//! What may run is found at once, whatever else is pending.

use super::*;

fn only(analyzer: AnalyzerId) -> Wanted {
    [(analyzer, wanted()[&analyzer].clone())].into()
}

async fn lease_of(store: &dyn Store, wanted: Wanted, lane: Option<Lane>, limit: u32) -> Vec<AnalyzeAsset> {
    let request = LeaseRequest { owner: "test".to_owned(), limit, duration: LONG, lane, wanted };
    store.lease(&request).await.expect("leases")
}

fn ids(jobs: &[AnalyzeAsset]) -> Vec<AssetId> {
    jobs.iter().map(|job| job.asset.clone()).collect()
}

/// Settles an analyzer of a leased asset and ends the lease; nothing else of it is touched.
async fn settle(store: &dyn Store, asset: &AssetId, analyzer: AnalyzerId, state: OutcomeState) {
    let model = wanted()[&analyzer].clone();
    let outcomes = vec![Outcome { analyzer, model, state }];
    let analysis = Analysis::default();
    store.record(&[Finished { run: run(asset), analysis, outcomes }]).await.expect("records");
}

fn retry(analyzer: AnalyzerId, after: Duration) -> OutcomeState {
    let failure = Failure { analyzer, kind: FailureKind::Transient, reason: "away".to_owned() };
    OutcomeState::Retry { after, failure }
}

/// Assets of which other analyzers are pending are neither leased nor waited for, and stand in nobody's way.
pub async fn what_nobody_wants_is_left_alone(store: &dyn Store) {
    let [tags, objects] = [AnalyzerId::Tags, AnalyzerId::Objects].map(only);
    let files: Vec<_> = (0..30).map(file).collect();
    store.register(&files, &tags).await.expect("registers");
    assert_eq!(store.waiting(&objects).await.expect("looks"), Default::default());
    assert_eq!(store.outstanding(&objects).await.expect("counts"), 0);
    assert_eq!(store.outstanding(&tags).await.expect("counts"), 30);
    assert!(lease_of(store, objects.clone(), None, 99).await.is_empty());

    // Behind all of them is one that has both.
    store.register(&[file(30)], &wanted()).await.expect("registers");
    let waiting = store.waiting(&objects).await.expect("looks");
    assert!(waiting.left && waiting.ready);
    let jobs = lease_of(store, objects.clone(), None, 99).await;
    assert_eq!(ids(&jobs), [content(30).asset_id()]);
    assert_eq!(jobs[0].analyzers, [AnalyzerId::Objects]);
    // Leased, it is still left to do, and nobody else can have it.
    let waiting = store.waiting(&objects).await.expect("looks");
    assert!(waiting.left && !waiting.ready);
    assert_eq!(store.outstanding(&wanted()).await.expect("counts"), 31);
    assert_eq!(lease_of(store, wanted(), None, 99).await.len(), 30);
}

/// Of assets that lack different analyzers the first ones are leased, not those of one kind.
pub async fn all_kinds_of_work_keep_one_order(store: &dyn Store) {
    for number in 0..12_u32 {
        let wanted = match number % 3 {
            0 => only(AnalyzerId::Tags),
            1 => only(AnalyzerId::Objects),
            _ => wanted(),
        };
        let lane = if number == 9 { Lane::Interactive } else { Lane::Backfill };
        store.register(&[FoundFile { lane, ..file(number) }], &wanted).await.expect("registers");
        // Each at a later time than the one before: the ledger counts milliseconds.
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(2) {
            tokio::task::yield_now().await;
        }
    }
    let jobs = lease_of(store, wanted(), None, 5).await;
    let expected: Vec<AssetId> = [9, 0, 1, 2, 3].map(|number| content(number).asset_id()).to_vec();
    assert_eq!(ids(&jobs), expected);
    assert!(lease_of(store, wanted(), Some(Lane::Interactive), 5).await.is_empty());
    let jobs = lease_of(store, wanted(), Some(Lane::Backfill), 99).await;
    let expected: Vec<AssetId> = [4, 5, 6, 7, 8, 10, 11].map(|number| content(number).asset_id()).to_vec();
    assert_eq!(ids(&jobs), expected);
}

/// What waits for a retry runs when its time has come, and the other analyzers of its asset run meanwhile.
pub async fn retries_become_due(store: &dyn Store) {
    // Not before the others have been leased.
    const SOON: Duration = Duration::from_millis(500);
    register(store, 0..2).await;
    let jobs = lease(store, "test", 9, LONG).await;
    let (soon, late) = (&jobs[0].asset, &jobs[1].asset);
    settle(store, soon, AnalyzerId::Tags, retry(AnalyzerId::Tags, SOON)).await;
    settle(store, late, AnalyzerId::Tags, retry(AnalyzerId::Tags, LONG)).await;
    let others = lease(store, "test", 9, LONG).await;
    assert_eq!(others.len(), 2);
    assert!(others.iter().all(|job| !job.analyzers.contains(&AnalyzerId::Tags) && job.analyzers.len() == 2));
    for job in &others {
        store.hand_back(&job.asset).await.expect("hands back");
    }
    let tags = only(AnalyzerId::Tags);
    let leased = loop {
        let waiting = store.waiting(&tags).await.expect("looks");
        assert!(waiting.left);
        let leased = lease_of(store, tags.clone(), None, 9).await;
        if !leased.is_empty() {
            break leased;
        }
        assert!(waiting.next_ready_in.is_none_or(|wait| wait <= SOON), "{waiting:?}");
        tokio::time::sleep(waiting.next_ready_in.unwrap_or_default()).await;
    };
    assert_eq!(ids(&leased), std::slice::from_ref(soon));
    assert_eq!(leased[0].analyzers, [AnalyzerId::Tags]);
    let waiting = store.waiting(&tags).await.expect("looks");
    assert!(waiting.next_ready_in.is_some_and(|wait| wait > LONG / 2), "{waiting:?}");
}

/// A portion is made pending again as a whole, however many there are, and each asset once.
pub async fn large_requeues_leave_nothing_behind(store: &dyn Store) {
    // More than two portions.
    const ASSETS: u32 = 4100;
    for start in (0..ASSETS).step_by(1000) {
        register(store, start..ASSETS.min(start + 1000)).await;
    }
    let fail = |analyzer| OutcomeState::Failed {
        failure: Failure { analyzer, kind: FailureKind::Permanent, reason: "no".to_owned() },
    };
    loop {
        let jobs = lease(store, "test", 1000, LONG).await;
        if jobs.is_empty() {
            break;
        }
        let finished = jobs.iter().map(|job| {
            let outcomes = wanted().into_iter().map(|(analyzer, model)| {
                let state = if analyzer == AnalyzerId::Tags { fail(analyzer) } else { OutcomeState::Done };
                Outcome { analyzer, model, state }
            });
            let run = run(&job.asset);
            Finished { run, analysis: Analysis::default(), outcomes: outcomes.collect() }
        });
        store.record(&finished.collect::<Vec<_>>()).await.expect("records");
    }
    assert_eq!(store.outstanding(&wanted()).await.expect("counts"), 0);
    let failed = store.requeue(Requeue::Failed, &wanted(), None).await.expect("requeues");
    assert_eq!(failed, u64::from(ASSETS));
    assert_eq!(store.outstanding(&wanted()).await.expect("counts"), u64::from(ASSETS));
    assert_eq!(store.requeue(Requeue::Failed, &wanted(), None).await.expect("requeues"), 0);
    let newer: Wanted =
        wanted().into_keys().map(|analyzer| (analyzer, ModelRef::new("newer", "2"))).collect();
    let stale = store.requeue(Requeue::Stale, &newer, None).await.expect("requeues");
    assert_eq!(stale, u64::from(ASSETS));
    let counts = store.counts(&wanted()).await.expect("counts");
    assert!(counts.analyzers.values().all(|work| work.pending == u64::from(ASSETS)), "{counts:?}");
    let all = store.requeue(Requeue::All, &wanted(), None).await.expect("requeues");
    assert_eq!(all, 0, "everything is pending already");
}

/// Names of files may be as long as the system lets them be.
pub async fn places_may_be_long(store: &dyn Store) {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut noise = |length: usize| -> String {
        let mut text = String::new();
        while text.len() < length {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            text.push_str(&format!("%{:02X}", random & 0xff));
            if text.len() % 200 < 3 {
                text.push('/');
            }
        }
        text
    };
    let folder = format!("file:///{}", noise(2400));
    let long = format!("{folder}/{}.jpg", noise(9000));
    let twin = format!("{long}.png");
    let files = [(1, &long), (2, &twin)].map(|(number, uri)| FoundFile { uri: uri.clone(), ..file(number) });
    let registered = store.register(&files, &wanted()).await.expect("registers");
    assert_eq!((registered.new_assets, registered.new_paths), (2, 2));
    let again = store.register(&files, &wanted()).await.expect("registers");
    assert_eq!((again.new_assets, again.new_paths), (0, 0));
    register(store, 3..4).await;

    let known = store.known_files(&[long.clone(), twin.clone()]).await.expect("looks up");
    assert_eq!(known[&long].asset, content(1).asset_id());
    assert_eq!(known[&twin].asset, content(2).asset_id());
    assert_eq!(store.asset_at(&long).await.expect("looks up"), Some(content(1).asset_id()));
    assert_eq!(store.asset_at(&folder).await.expect("looks up"), None);
    assert_eq!(
        store.asset(&content(1).asset_id()).await.expect("is there").uris,
        std::slice::from_ref(&long)
    );
    for (prefix, expected) in
        [(folder.as_str(), 2), (long.as_str(), 1), ("file:///", 3), (&folder[..1000], 0)]
    {
        let place = PlaceFilter { uri_prefix: Some(prefix.to_owned()), owner: None };
        let filter = AssetFilter { place, ..AssetFilter::default() };
        let listed = store.list_assets(&filter, &Page { limit: 9, after: None }).await.expect("lists");
        assert_eq!(listed.rows.len(), expected, "{prefix}");
    }
    let jobs = lease(store, "test", 9, LONG).await;
    let job = jobs.iter().find(|job| job.asset == content(1).asset_id()).expect("is pending");
    assert_eq!(job.uris, std::slice::from_ref(&long));
    let (analysis, outcomes) = analysis(&job.asset, &[claim(Kind::Tag, "cat", 0.9, None)]);
    store.begin_run(job, "test").await.expect("begins");
    store.record(&[Finished { run: run(&job.asset), analysis, outcomes }]).await.expect("records");
    assert_eq!(listed(store, SuggestionFilter::default()).await[0].uri, long);
}
