//! Cases for the vectors that a store keeps.

use std::collections::BTreeMap;

use docent::store::{Finished, Store};
use docent_models::ModelRef;
use docent_pipelines::{AnalyzerId, Region, VectorRecord, VectorSpace};

use super::{LONG, analysis, content, file, lease, register, run, wanted};

/// Vectors are overwritten, get a new sequence number, and go when the analyzer no longer finds them.
pub async fn vectors_are_kept_with_their_run(store: &dyn Store) {
    let mut wanted = wanted();
    wanted.insert(AnalyzerId::Faces, ModelRef::new("faces", "1"));
    store.register(&[file(1)], &wanted).await.expect("registers");
    let asset = content(1).asset_id();
    let (picture, face) = (VectorSpace::from_name("picture/p@1"), VectorSpace::from_name("face/f@1"));
    let region = Region::from_corners(0.1, 0.1, 0.3, 0.3);
    let record = async |vectors: Vec<VectorRecord>| {
        let (mut analysis, outcomes) = analysis(&asset, &[]);
        analysis.completed.insert(AnalyzerId::Faces, ModelRef::new("faces", "1"));
        analysis.completed.insert(AnalyzerId::Embedding, ModelRef::new("p", "1"));
        analysis.spaces = [picture.clone(), face.clone()].into();
        analysis.vectors = vectors;
        store
            .record(&[Finished { run: run(&asset), analysis: analysis.clone(), outcomes: outcomes.clone() }])
            .await
            .expect("records");
    };
    let whole = VectorRecord::new(asset.clone(), picture.clone(), None, vec![0.5, -1.25]);
    record(vec![whole.clone(), VectorRecord::new(asset.clone(), face.clone(), region, vec![1.0])]).await;
    let (first, read) = store.vectors_after(&picture, 0, 10).await.expect("reads").remove(0);
    assert_eq!(read, whole);
    let (second, part) = store.vectors_after(&face, 0, 10).await.expect("reads").remove(0);
    assert_eq!(part.region, region);
    let at = async |space, numbers: &[i64]| store.vectors_at(space, numbers).await.expect("reads");
    assert_eq!(at(&picture, &[second, i64::MAX, first, -1, first]).await, [(first, read)]);
    assert_eq!(at(&face, &[first, second]).await, [(second, part)]);
    assert_eq!(at(&picture, &[]).await, []);
    record(vec![whole]).await;
    assert!(store.vectors_after(&face, 0, 10).await.expect("reads").is_empty());
    let again = store.vectors_after(&picture, first, 10).await.expect("reads");
    assert_eq!(again.len(), 1);
    assert_eq!(at(&picture, &[first, second]).await, [], "was written again");
    assert_eq!(at(&picture, &[first, again[0].0]).await, again);
    assert_eq!(at(&face, &[second]).await, [], "was removed");
    assert_eq!(store.vector(&asset, &picture).await.expect("reads"), Some(vec![0.5, -1.25]));
}

/// The vectors of another model stay beside the new ones until their space is dropped.
pub async fn spaces_stay_until_they_are_dropped(store: &dyn Store) {
    register(store, 0..2).await;
    let spaces = ["picture/p@1", "picture/p@2"].map(VectorSpace::from_name);
    for number in 0..2 {
        let asset = content(number).asset_id();
        for space in &spaces {
            let (mut analysis, outcomes) = analysis(&asset, &[]);
            analysis.spaces.insert(space.clone());
            analysis.vectors = vec![VectorRecord::new(asset.clone(), space.clone(), None, vec![0.5])];
            store
                .record(&[Finished {
                    run: run(&asset),
                    analysis: analysis.clone(),
                    outcomes: outcomes.clone(),
                }])
                .await
                .expect("records");
        }
    }
    let counts = async || store.counts(&wanted()).await.expect("counts").vectors;
    assert_eq!(counts().await, BTreeMap::from(spaces.clone().map(|space| (space.to_string(), 2))));
    assert_eq!(store.drop_space(&spaces[0]).await.expect("drops"), 2);
    assert_eq!(store.drop_space(&spaces[0]).await.expect("is gone already"), 0);
    assert_eq!(counts().await, BTreeMap::from([(spaces[1].to_string(), 2)]));
    assert!(store.vectors_after(&spaces[0], 0, 10).await.expect("reads").is_empty());
    store.upkeep().await.expect("tidies");
    assert_eq!(counts().await, BTreeMap::from([(spaces[1].to_string(), 2)]));
}

/// Whose vectors an index may hold: those that have some, and those whose run was lost after it may have written some.
pub async fn holders_of_vectors_are_known(store: &dyn Store) {
    register(store, 0..4).await;
    let assets: Vec<_> = (0..5).map(|number| content(number).asset_id()).collect();
    let (face, other) = (VectorSpace::from_name("face/f@1"), VectorSpace::from_name("face/g@1"));
    assert_eq!(store.holders(&face, &assets).await.expect("looks"), []);
    let (mut analysis, outcomes) = analysis(&assets[0], &[]);
    analysis.spaces.insert(face.clone());
    analysis.vectors = vec![VectorRecord::new(assets[0].clone(), face.clone(), None, vec![0.5])];
    store.record(&[Finished { run: run(&assets[0]), analysis, outcomes }]).await.expect("records");
    assert_eq!(store.holders(&face, &assets).await.expect("looks"), assets[..1]);
    assert_eq!(store.holders(&face, &assets[1..]).await.expect("looks"), []);
    assert_eq!(store.holders(&other, &assets).await.expect("looks"), []);
    let jobs = lease(store, "a", 1, LONG).await;
    store.begin_run(&jobs[0], "a").await.expect("begins");
    store.recover(9).await.expect("recovers");
    assert_eq!(store.holders(&other, &assets).await.expect("looks"), [jobs[0].asset.clone()]);
}
