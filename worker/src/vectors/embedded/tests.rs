//! The index over a ledger that may change at any moment.

use std::collections::BTreeMap;

use docent_pipelines::asset::ContentHash;

use super::*;

/// Stands for the ledger: records by number.
#[derive(Default)]
struct Rows {
    rows: Mutex<BTreeMap<i64, VectorRecord>>,
    /// What is done to the ledger before candidates are read the next time.
    meanwhile: Mutex<Vec<Change>>,
}

enum Change {
    Write(VectorRecord),
    Remove(String),
}

impl Rows {
    fn write(&self, record: VectorRecord) {
        let mut rows = self.rows.lock().expect("not poisoned");
        let next = rows.last_key_value().map_or(1, |(last, _)| last + 1);
        rows.retain(|_, row| row.id != record.id);
        rows.insert(next, record);
    }

    fn remove(&self, id: &str) {
        self.rows.lock().expect("not poisoned").retain(|_, row| row.id != id);
    }

    fn all(&self) -> Vec<VectorRecord> {
        self.rows.lock().expect("not poisoned").values().cloned().collect()
    }
}

#[async_trait]
impl VectorSource for Rows {
    async fn vectors_after(
        &self,
        _: &VectorSpace,
        sequence: i64,
        limit: u32,
    ) -> anyhow::Result<Vec<(i64, VectorRecord)>> {
        let rows = self.rows.lock().expect("not poisoned");
        let newer = rows.range(sequence + 1..).take(limit as usize);
        Ok(newer.map(|(number, record)| (*number, record.clone())).collect())
    }

    async fn vectors_at(
        &self,
        _: &VectorSpace,
        sequences: &[i64],
    ) -> anyhow::Result<Vec<(i64, VectorRecord)>> {
        for change in self.meanwhile.lock().expect("not poisoned").drain(..) {
            match change {
                Change::Write(record) => self.write(record),
                Change::Remove(id) => self.remove(&id),
            }
        }
        let rows = self.rows.lock().expect("not poisoned");
        Ok(sequences.iter().filter_map(|number| Some((*number, rows.get(number)?.clone()))).collect())
    }
}

fn name() -> VectorSpace {
    VectorSpace::from_name("picture/test@1")
}

fn asset(number: usize) -> AssetId {
    ContentHash::of(&number.to_le_bytes()).asset_id()
}

fn record(number: usize, values: Vec<f32>) -> VectorRecord {
    VectorRecord::new(asset(number), name(), None, values)
}

fn unit(mut values: Vec<f32>) -> Vec<f32> {
    let length = dot(&values, &values).sqrt();
    values.iter_mut().for_each(|value| *value /= length);
    values
}

fn random(random: &mut fastrand::Rng, length: usize) -> Vec<f32> {
    unit((0..length).map(|_| (0..4).map(|_| random.f32() - 0.5).sum()).collect())
}

/// `near`, and something of a direction of its own.
fn beside(generator: &mut fastrand::Rng, near: &[f32], share: f32) -> Vec<f32> {
    let own = random(generator, near.len());
    unit(near.iter().zip(own).map(|(near, own)| near + share * own).collect())
}

fn index(records: impl IntoIterator<Item = VectorRecord>) -> (Arc<Rows>, EmbeddedIndex) {
    let rows = Arc::new(Rows::default());
    for (number, record) in (1..).zip(records) {
        rows.rows.lock().expect("not poisoned").insert(number, record);
    }
    (Arc::clone(&rows), EmbeddedIndex::new(rows))
}

/// The answer of comparing with every vector.
fn compared(
    records: &[VectorRecord],
    query: &[f32],
    k: usize,
    only: Option<&HashSet<AssetId>>,
) -> Vec<Neighbor> {
    let mut all: Vec<Neighbor> = records
        .iter()
        .filter(|record| only.is_none_or(|only| only.contains(&record.asset)))
        .map(|record| Neighbor {
            record: record.id.clone(),
            asset: record.asset.clone(),
            region: record.region,
            score: dot(&record.values, query),
        })
        .collect();
    all.sort_by(|a, b| (Reverse(Score(a.score)), &a.record).cmp(&(Reverse(Score(b.score)), &b.record)));
    all.truncate(k);
    all
}

#[tokio::test]
async fn answers_are_those_of_comparing_with_every_vector() {
    let mut generator = fastrand::Rng::with_seed(5);
    // Groups from almost alike to hardly related.
    let centers: Vec<Vec<f32>> = (0..40).map(|_| random(&mut generator, 48)).collect();
    let mut near = |number: usize| {
        let share = [0.002, 0.05, 0.3, 1.0][number % 4];
        beside(&mut generator, &centers[number % centers.len()], share)
    };
    let (rows, index) = index((0..5000).map(|number| record(number, near(number))));
    let thousand: HashSet<AssetId> = (0..5000).step_by(5).map(asset).collect();
    let hundred: HashSet<AssetId> = (0..5000).step_by(50).map(asset).collect();
    for round in 0..12 {
        let query = near(round * 7);
        let all = rows.all();
        for only in [None, Some(&thousand), Some(&hundred)] {
            for k in [1, 10, 200] {
                let found = index.search(&name(), &query, k, only).await.expect("searches");
                let wanted = compared(&all, &query, k, only);
                assert_eq!(found, wanted, "{round}, {k}, of {:?}", only.map(HashSet::len));
            }
        }
        // Some are written again, elsewhere, and some go.
        for number in (round * 100..).step_by(3).take(30) {
            rows.write(record(number, near(number + 1)));
            let gone = asset(number + 1);
            index.prune(&name(), std::slice::from_ref(&gone), &[]).await.expect("prunes");
            rows.remove(&VectorRecord::new(gone, name(), None, Vec::new()).id);
        }
    }
    assert_eq!(index.count(&name()).await.expect("counts"), rows.all().len() as u64);
}

#[tokio::test]
async fn a_vector_written_again_during_a_search_is_found_where_it_is_now() {
    let at = |angle: f32| vec![angle.cos(), angle.sin()];
    let (rows, index) = index((0..20).map(|number| record(number, at(number as f32 * 0.1))));
    *rows.meanwhile.lock().expect("not poisoned") =
        vec![Change::Write(record(15, at(0.01))), Change::Write(record(0, at(1.5)))];
    let found = index.search(&name(), &at(0.0), 3, None).await.expect("searches");
    let found: Vec<_> = found.into_iter().map(|neighbor| neighbor.asset).collect();
    assert_eq!(found, [15, 1, 2].map(asset));
    assert_eq!(index.count(&name()).await.expect("counts"), 20);
}

#[tokio::test]
async fn vectors_that_left_the_ledger_do_not_take_the_place_of_others() {
    let at = |angle: f32| vec![angle.cos(), angle.sin()];
    let records: Vec<_> = (0..20).map(|number| record(number, at(number as f32 * 0.1))).collect();
    let (rows, index) = index(records.clone());
    assert_eq!(index.count(&name()).await.expect("counts"), 20);
    // By another process, which does not tell this one.
    rows.remove(&records[0].id);
    rows.meanwhile.lock().expect("not poisoned").push(Change::Remove(records[1].id.clone()));
    for k in [3, 18, usize::MAX] {
        let found = index.search(&name(), &at(0.0), k, None).await.expect("searches");
        assert_eq!(found, compared(&rows.all(), &at(0.0), k, None));
    }
    assert_eq!(index.count(&name()).await.expect("counts"), 18);
    for record in rows.all() {
        rows.remove(&record.id);
    }
    assert!(index.search(&name(), &at(0.0), 3, None).await.expect("searches").is_empty());
}

#[tokio::test]
async fn an_id_that_is_none_is_refused_once() {
    let wrong = VectorRecord { id: "x".to_owned(), ..record(1, vec![1.0]) };
    let (_, index) = index([record(0, vec![0.5]), wrong, record(2, vec![0.7])]);
    let error = index.search(&name(), &[1.0], 3, None).await.expect_err("is refused");
    assert!(matches!(error, IndexError::Unavailable { operation: "read vectors", .. }), "{error}");
    assert_eq!(index.search(&name(), &[1.0], 3, None).await.expect("searches").len(), 2);
}

#[test]
fn whoever_searches_sees_the_space_as_it_was() {
    let mut space = Space::default();
    // More than one piece of memory.
    for number in 0..4100 {
        space.insert(number, &record(number as usize, vec![number as f32, 1.0])).expect("fits");
    }
    let query = Query::new(&[1.0, 0.0]);
    let ranked = |vectors: &Vectors| {
        let mut sequences: Vec<i64> =
            vectors.candidates(&query, 4, None).iter().map(|candidate| candidate.sequence).collect();
        sequences.sort_unstable();
        sequences
    };
    let before = space.vectors();
    let seen = ranked(&before);
    assert!([4096, 4097, 4098, 4099].iter().all(|sequence| seen.contains(sequence)), "{seen:?}");
    space.insert(5000, &record(4099, vec![0.0, 1.0])).expect("fits");
    let gone = [4098, 4097, 17].map(|number| super::number(asset(number).as_str()));
    space.remove(|row| gone.contains(&Some(row.asset)));
    assert_eq!((before.len(), space.vectors().len()), (4100, 4097));
    assert_eq!(ranked(&before), seen);
    let after = ranked(&space.vectors());
    assert!([4097, 4098, 4099, 5000].iter().all(|sequence| !after.contains(sequence)), "{after:?}");
    assert!(after.contains(&4096));
    space.clear();
    assert_eq!((space.vectors().len(), before.len()), (0, 4100));
    // Any length fits an empty space.
    space.insert(5001, &record(1, vec![1.0])).expect("fits");
}

#[test]
fn removing_leaves_the_others_where_they_can_be_found() {
    let mut generator = fastrand::Rng::with_seed(11);
    let mut space = Space::default();
    let mut expected: BTreeMap<usize, i64> = BTreeMap::new();
    let mut most = 0;
    for sequence in 0..30_000 {
        let number = generator.usize(..20_000);
        most = most.max(expected.len());
        // Grows, and shrinks again.
        if generator.u32(..40_000) > sequence {
            space.insert(i64::from(sequence), &record(number, vec![1.0])).expect("fits");
            expected.insert(number, i64::from(sequence));
        } else if let Some((&number, &sequence)) = expected.range(number..).next() {
            let candidate = |sequence| Candidate { score: 0.0, scale: 0.0, record: id_of(number), sequence };
            space.remove_outdated(&[candidate(sequence + 1)]);
            space.remove_outdated(&[candidate(sequence)]);
            expected.remove(&number);
        }
    }
    assert!(most > 5000 && expected.len() < 4000 && expected.len() > 100, "{most}, {}", expected.len());
    let all = space.vectors().candidates(&Query::new(&[1.0]), usize::MAX, None);
    let mut found: Vec<(u128, i64)> = all.iter().map(|one| (one.record, one.sequence)).collect();
    let mut wanted: Vec<_> = expected.iter().map(|(number, sequence)| (id_of(*number), *sequence)).collect();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
}

fn id_of(number: usize) -> u128 {
    number_of(&record(number, Vec::new()).id)
}

fn number_of(id: &str) -> u128 {
    number(id).expect("has an id's form")
}
