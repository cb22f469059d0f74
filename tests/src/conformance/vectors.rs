//! Cases for [`VectorIndex`]. The fixture writes records the way the walk does.

use std::collections::HashSet;

use async_trait::async_trait;
use docent::vectors::{IndexError, VectorIndex};
use docent_pipelines::asset::ContentHash;
use docent_pipelines::{AssetId, Region, VectorRecord, VectorSpace};

/// An index, and the way vectors get into it.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The index under test.
    fn index(&self) -> &dyn VectorIndex;
    /// Upserts as the walk does, the ledger's part included.
    async fn write(&self, records: &[VectorRecord]);
}

/// The `number`th asset.
pub fn asset(number: u32) -> AssetId {
    ContentHash::of(&number.to_le_bytes()).asset_id()
}

fn space() -> VectorSpace {
    VectorSpace::from_name("picture/test@1")
}

/// A unit vector in the plane of the first two of 20 dimensions.
fn direction(angle: f32) -> Vec<f32> {
    let mut values = vec![0.0; 20];
    (values[0], values[1]) = (angle.cos(), angle.sin());
    values
}

fn record(number: u32, angle: f32) -> VectorRecord {
    VectorRecord::new(asset(number), space(), None, direction(angle))
}

async fn nearest(fixture: &dyn Fixture, angle: f32, k: usize) -> Vec<AssetId> {
    let found = fixture.index().search(&space(), &direction(angle), k, None).await.expect("searches");
    assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score), "by falling score: {found:?}");
    found.into_iter().map(|neighbor| neighbor.asset).collect()
}

/// The nearest come first, at most `k`, with their cosine.
pub async fn finds_the_nearest(fixture: &dyn Fixture) {
    assert!(nearest(fixture, 0.0, 3).await.is_empty());
    let records: Vec<_> = (0..50).map(|n| record(n, n as f32 * 0.05)).collect();
    fixture.write(&records).await;
    assert_eq!(nearest(fixture, 0.501, 3).await, [asset(10), asset(11), asset(9)]);
    let found = fixture.index().search(&space(), &direction(0.5), 1, None).await.expect("searches");
    assert!((found[0].score - 1.0).abs() < 1e-4);
    assert_eq!(nearest(fixture, 0.0, 1000).await.len(), 50);
    assert_eq!(fixture.index().count(&space()).await.expect("counts"), 50);
}

/// Twice is once, and the later vector counts.
pub async fn upsert_twice_is_upsert_once(fixture: &dyn Fixture) {
    fixture.write(&[record(1, 0.0), record(2, 1.0)]).await;
    fixture.write(&[record(1, 0.0)]).await;
    assert_eq!(fixture.index().count(&space()).await.expect("counts"), 2);
    fixture.write(&[record(1, 2.0)]).await;
    assert_eq!(nearest(fixture, 0.0, 2).await, [asset(2), asset(1)]);
}

/// A filter that keeps few still gives `k`.
pub async fn filters_are_exact(fixture: &dyn Fixture) {
    let records: Vec<_> = (0..200).map(|n| record(n, n as f32 * 0.01)).collect();
    fixture.write(&records).await;
    let only: HashSet<AssetId> = [150, 160, 170].map(asset).into();
    let found = fixture.index().search(&space(), &direction(0.0), 3, Some(&only)).await.expect("searches");
    let found: Vec<_> = found.into_iter().map(|neighbor| neighbor.asset).collect();
    assert_eq!(found, [asset(150), asset(160), asset(170)]);
}

/// Sets of thousands of assets are as exact as small ones, whether hardly anything of the neighborhood passes or
/// hardly anything does not.
pub async fn large_filters_are_exact(fixture: &dyn Fixture) {
    let records: Vec<_> = (0..5300).map(|n| record(n, n as f32 * 0.0005)).collect();
    fixture.write(&records).await;
    let found = async |only: HashSet<AssetId>| -> Vec<AssetId> {
        let found =
            fixture.index().search(&space(), &direction(0.0), 3, Some(&only)).await.expect("searches");
        found.into_iter().map(|neighbor| neighbor.asset).collect()
    };
    assert_eq!(found((300..5300).map(asset).collect()).await, [300, 301, 302].map(asset));
    let all_but_one: HashSet<AssetId> = (0..5300).filter(|n| *n != 1).map(asset).collect();
    assert_eq!(found(all_but_one).await, [0, 2, 3].map(asset));
    // Most of the set has no vector at all.
    assert_eq!(found((5298..10_300).map(asset).collect()).await, [5298, 5299].map(asset));
}

/// Equal scores are ordered by record id, at the end of the list as well.
pub async fn equals_go_by_record_id(fixture: &dyn Fixture) {
    let equal: Vec<_> = (0..120).map(|n| record(n, 0.5)).collect();
    let near: Vec<_> = (200..203).map(|n| record(n, 0.1)).collect();
    let far: Vec<_> = (300..310).map(|n| record(n, 1.5)).collect();
    fixture.write(&[&equal[..], &near[..], &far[..]].concat()).await;
    let ids = |records: &[VectorRecord]| {
        let mut ids: Vec<String> = records.iter().map(|record| record.id.clone()).collect();
        ids.sort();
        ids
    };
    let expected = [ids(&near), ids(&equal), ids(&far)].concat();
    let only: HashSet<AssetId> = (0..400).map(asset).collect();
    for k in [1, 3, 4, 10, 122, 123, 124, 133, 200] {
        for only in [None, Some(&only)] {
            let found = fixture.index().search(&space(), &direction(0.0), k, only).await.expect("searches");
            let found: Vec<_> = found.into_iter().map(|neighbor| neighbor.record).collect();
            assert_eq!(found, expected[..k.min(133)], "{k}, {}", only.is_some());
        }
    }
}

/// Neighbors that differ by less than a thousandth are told apart, among all and among few.
pub async fn near_ones_are_told_apart(fixture: &dyn Fixture) {
    let angle = |n: u32| 1.0 + n as f32 * 1e-5;
    let records: Vec<_> = (0..300).rev().map(|n| record(n, angle(n))).collect();
    fixture.write(&records).await;
    assert_eq!(nearest(fixture, 0.0, 300).await, (0..300).map(asset).collect::<Vec<_>>());
    for k in [1, 3, 10] {
        let first = (0..300).map(asset).take(k).collect::<Vec<_>>();
        assert_eq!(nearest(fixture, 0.0, k).await, first);
        let only: HashSet<AssetId> = (0..300).filter(|n| n % 7 == 3).map(asset).collect();
        let found =
            fixture.index().search(&space(), &direction(0.0), k, Some(&only)).await.expect("searches");
        let found: Vec<_> = found.into_iter().map(|neighbor| neighbor.asset).collect();
        assert_eq!(found, (0..300).filter(|n| n % 7 == 3).map(asset).take(k).collect::<Vec<_>>());
    }
}

/// Whatever was written, written again, pruned and deleted: the scores are those of comparing with every vector, and
/// the neighbors have them.
pub async fn answers_are_those_of_comparing_with_every_vector(fixture: &dyn Fixture) {
    let mut random = fastrand::Rng::with_seed(3);
    let mut unit = move || {
        let values: Vec<f32> = (0..20).map(|_| random.f32() - 0.5).collect();
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        values.into_iter().map(|value| value / length).collect::<Vec<f32>>()
    };
    let centers: Vec<Vec<f32>> = (0..8).map(|_| unit()).collect();
    let mut vector = |n: u32| {
        let mixed = centers[n as usize % 8].iter().zip(unit()).map(|(center, own)| center + 0.3 * own);
        let mixed: Vec<f32> = mixed.collect();
        let length = mixed.iter().map(|value| value * value).sum::<f32>().sqrt();
        mixed.into_iter().map(|value| value / length).collect::<Vec<f32>>()
    };
    let mut there: Vec<VectorRecord> =
        (0..1200).map(|n| VectorRecord::new(asset(n), space(), None, vector(n))).collect();
    fixture.write(&there).await;
    let tenth: HashSet<AssetId> = (0..1200).step_by(10).map(asset).collect();
    for round in 0..4 {
        for only in [None, Some(&tenth)] {
            let query = vector(round);
            let dot = |record: &VectorRecord| -> f32 {
                record.values.iter().zip(&query).map(|(value, other)| value * other).sum()
            };
            let passing = there.iter().filter(|record| only.is_none_or(|only| only.contains(&record.asset)));
            let mut wanted: Vec<f32> = passing.map(dot).collect();
            wanted.sort_by(|a, b| b.total_cmp(a));
            let found = fixture.index().search(&space(), &query, 25, only).await.expect("searches");
            assert_eq!(found.len(), 25);
            for (neighbor, score) in found.iter().zip(wanted) {
                let record = there.iter().find(|record| record.id == neighbor.record);
                let own = record.map(dot).expect("is there");
                assert!((neighbor.score - score).abs() < 1e-5, "{round}: {neighbor:?}, not {score}");
                assert!((neighbor.score - own).abs() < 1e-5, "{round}: {neighbor:?} has {own}");
            }
        }
        // The first ten are written again, and the next pruned, some of them one by one.
        for record in &mut there[..10] {
            record.values = vector(round + 3);
        }
        fixture.write(&there[..10]).await;
        for record in there.drain(10..30).collect::<Vec<_>>() {
            fixture.index().prune(&space(), &[record.asset], &[]).await.expect("prunes");
        }
        let pruned: Vec<AssetId> = there.drain(10..20).map(|record| record.asset).collect();
        fixture.index().prune(&space(), &pruned, &[]).await.expect("prunes");
        assert_eq!(fixture.index().count(&space()).await.expect("counts"), there.len() as u64);
    }
}

/// A neighbor is the record that was written.
pub async fn neighbors_are_what_was_written(fixture: &dyn Fixture) {
    let region = Region::from_corners(0.1, 0.2, 0.4, 1.0);
    let whole = record(1, 0.0);
    let part = VectorRecord::new(asset(1), space(), region, direction(0.3));
    fixture.write(&[whole.clone(), part.clone()]).await;
    let found = fixture.index().search(&space(), &direction(0.0), 2, None).await.expect("searches");
    let found: Vec<_> = found.into_iter().map(|n| (n.record, n.asset, n.region)).collect();
    assert_eq!(found, [(whole.id, asset(1), None), (part.id, asset(1), region)]);
}

/// Nothing wanted, nothing that may be found, and more than there is.
pub async fn odd_wishes_are_granted(fixture: &dyn Fixture) {
    fixture.index().ping().await.expect("is there");
    fixture.write(&[]).await;
    fixture.index().prune(&space(), &[asset(1)], &[]).await.expect("prunes what is not there");
    assert_eq!(fixture.index().count(&space()).await.expect("counts"), 0);
    fixture.write(&[record(1, 0.0), record(2, 0.1)]).await;
    let found = async |k, only: Option<&HashSet<AssetId>>| {
        fixture.index().search(&space(), &direction(0.0), k, only).await.expect("searches").len()
    };
    assert_eq!(found(0, None).await, 0);
    assert_eq!(found(5, Some(&HashSet::new())).await, 0);
    assert_eq!(found(5, Some(&[asset(7)].into())).await, 0);
    assert_eq!(found(usize::MAX, None).await, 2);
    assert_eq!(found(usize::MAX, Some(&[asset(2)].into())).await, 1);
}

/// Pruning removes an asset's records that are not named, in that space.
pub async fn pruning_keeps_what_is_named(fixture: &dyn Fixture) {
    let other = VectorSpace::from_name("face/test@1");
    let part = |left: f64, space: VectorSpace| {
        let region = Region::from_corners(left, 0.1, left + 0.1, 0.4);
        VectorRecord::new(asset(1), space, region, direction(left as f32))
    };
    let (kept, gone) = (part(0.1, space()), part(0.3, space()));
    fixture.write(&[kept.clone(), gone, part(0.5, other.clone()), record(2, 0.6)]).await;
    let left = async |space: &VectorSpace| {
        let found = fixture.index().search(space, &direction(0.0), 9, None).await.expect("searches");
        found.into_iter().map(|neighbor| neighbor.record).collect::<Vec<_>>()
    };
    assert_eq!((left(&space()).await.len(), left(&other).await.len()), (3, 1));
    let id = kept.id.as_str();
    let assets = [asset(1), asset(7)];
    fixture.index().prune(&space(), &[], &[]).await.expect("prunes nothing");
    fixture.index().prune(&space(), &assets, &[id]).await.expect("prunes");
    assert_eq!(left(&space()).await, [id, record(2, 0.6).id.as_str()]);
    fixture.index().prune(&space(), &assets, &[]).await.expect("prunes");
    fixture.index().prune(&space(), &assets, &[]).await.expect("prunes what is not there");
    assert_eq!(left(&space()).await, [record(2, 0.6).id]);
    assert_eq!(left(&other).await.len(), 1);
    let nowhere = VectorSpace::from_name("face/none@1");
    fixture.index().prune(&nowhere, &assets, &[]).await.expect("there is nothing to prune");
}

/// A space that is dropped is empty, the others are not, and it can be filled again.
pub async fn a_dropped_space_is_empty(fixture: &dyn Fixture) {
    let other = VectorSpace::from_name("picture/test@2");
    fixture.write(&[record(1, 0.0), VectorRecord::new(asset(1), other.clone(), None, vec![1.0, 0.0])]).await;
    assert_eq!(nearest(fixture, 0.0, 9).await.len(), 1);
    fixture.index().drop_space(&space()).await.expect("drops");
    fixture.index().drop_space(&space()).await.expect("is gone already");
    assert_eq!(nearest(fixture, 0.0, 9).await.len(), 0);
    assert_eq!(fixture.index().count(&other).await.expect("counts"), 1);
    fixture.write(&[record(3, 0.0)]).await;
    assert_eq!(nearest(fixture, 0.0, 9).await, [asset(3)]);
}

/// Spaces do not mix, and a vector that does not fit is refused.
pub async fn spaces_are_apart(fixture: &dyn Fixture) {
    fixture.write(&[record(1, 0.0)]).await;
    let other = VectorSpace::from_name("face/test@1");
    assert!(fixture.index().search(&other, &direction(0.0), 3, None).await.expect("searches").is_empty());
    let error = fixture.index().search(&space(), &[1.0, 0.0], 3, None).await.expect_err("is refused");
    assert!(matches!(error, IndexError::Dimensions { expected: 20, got: 2, .. }), "{error}");
}

/// A space's name may be anything, and names that look alike are different spaces.
pub async fn similar_names_are_apart(fixture: &dyn Fixture) {
    let spaces = ["a/b@1", "a-b@1", "a_b@1", "A/b@1", "a_2fb@1", "a/b", "größe", "a b"];
    let spaces = spaces.map(VectorSpace::from_name);
    for (n, space) in (1..).zip(&spaces) {
        let records: Vec<_> =
            (0..n).map(|n| VectorRecord::new(asset(n), space.clone(), None, direction(0.0))).collect();
        fixture.write(&records).await;
    }
    for (n, space) in (1..).zip(&spaces) {
        assert_eq!(fixture.index().count(space).await.expect("counts"), n, "{space}");
    }
    for space in &spaces {
        fixture.index().prune(space, &[asset(0)], &[]).await.expect("prunes");
    }
    for (n, space) in (0..).zip(&spaces) {
        assert_eq!(fixture.index().count(space).await.expect("counts"), n, "{space}");
    }
}
