use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;
use docent_pipelines::{Kind, Status};

use super::*;

/// An archive in memory: assets by their place, and which of them pass.
struct Memory {
    /// Newest first.
    assets: Vec<Spot>,
    passing: HashSet<String>,
    /// What a source has, if not everything.
    rare: Option<usize>,
    folder: Option<usize>,
    looked_at: usize,
    asked: BTreeMap<&'static str, usize>,
}

impl Memory {
    fn new(size: usize, passes: impl Fn(usize) -> bool) -> Self {
        let name = |n: usize| format!("{n:032x}");
        let assets = (0..size).map(|n| Spot { at: (size - n) as i64 / 10, asset: name(n) }).collect();
        let passing = (0..size).filter(|&n| passes(n)).map(name).collect();
        Self { assets, passing, rare: None, folder: None, looked_at: 0, asked: BTreeMap::new() }
    }
}

#[async_trait]
impl Archive for Memory {
    async fn candidates(
        &mut self,
        source: &Source,
        from: Option<&From>,
        limit: usize,
    ) -> Result<Vec<Spot>, StoreError> {
        let name = match source {
            Source::Sure(_) => "sure",
            Source::Folder(_) => "folder",
            Source::Newest => "newest",
            _ => "other",
        };
        *self.asked.entry(name).or_default() += 1;
        let begin = from.map_or(0, |from| {
            let place = self.assets.iter().position(|spot| spot.asset == from.spot.asset).expect("is known");
            place + usize::from(!from.inclusive)
        });
        // A rare source tells nothing but what passes.
        let told =
            self.assets[begin..].iter().filter(|spot| name != "sure" || self.passing.contains(&spot.asset));
        let told: Vec<Spot> = told.take(limit).cloned().collect();
        self.looked_at += told.len();
        Ok(told)
    }

    async fn size(&mut self, source: &Source, most: usize) -> Result<usize, StoreError> {
        let size = if matches!(source, Source::Sure(_)) { self.rare } else { self.folder };
        Ok(size.unwrap_or(self.assets.len()).min(most))
    }

    async fn passing(&mut self, _: &Asked, assets: &[String]) -> Result<HashSet<String>, StoreError> {
        Ok(assets.iter().filter(|asset| self.passing.contains(*asset)).cloned().collect())
    }

    async fn counted(&mut self, asked: &Asked, assets: &[String]) -> Result<Vec<Heap>, StoreError> {
        let passing = self.passing(asked, assets).await?;
        Ok(passing.into_iter().map(|asset| Heap { asset, kind: 0, count: 1 }).collect())
    }
}

fn faces(place: PlaceFilter) -> Asked {
    let filter = AssetFilter { kind: Some(Kind::Face), place, ..AssetFilter::default() };
    Asked::of_assets(&filter)
}

/// All that pass, page by page, and the longest look of a page.
async fn pages(archive: &mut Memory, asked: &Asked, limit: usize) -> (Vec<String>, usize) {
    let (mut found, mut from, mut longest) = (Vec::new(), None, 0);
    loop {
        archive.looked_at = 0;
        let page = find(archive, asked, from, limit).await.expect("finds");
        assert!(page.spots.len() <= limit);
        longest = longest.max(archive.looked_at);
        found.extend(page.spots.into_iter().map(|spot| spot.asset));
        match page.rest {
            Some(spot) => from = Some(From { spot, inclusive: false }),
            None => return (found, longest),
        }
    }
}

#[tokio::test]
async fn pages_join_to_the_whole_and_each_is_bounded() {
    let folder = PlaceFilter { uri_prefix: Some("file:///a".to_owned()), owner: None };
    type Passes = fn(usize) -> bool;
    let cases: [(&str, usize, Passes); 5] = [
        ("all", 30_000, |_| true),
        ("none", 30_000, |_| false),
        ("every seventh", 30_000, |n| n % 7 == 0),
        ("only the oldest", 60_000, |n| n > 59_900),
        ("nothing", 0, |_| true),
    ];
    for (name, size, passes) in cases {
        for place in [PlaceFilter::default(), folder.clone()] {
            let mut archive = Memory::new(size, passes);
            let asked = faces(place);
            let (found, longest) = pages(&mut archive, &asked, 100).await;
            let expected: Vec<String> =
                (0..size).filter(|&n| passes(n)).map(|n| format!("{n:032x}")).collect();
            assert_eq!(found, expected, "{name}");
            assert!(longest <= LOOKED_AT, "{name}: {longest} were looked at for one page");
        }
    }
}

#[tokio::test]
async fn what_is_rare_is_found_by_itself() {
    let mut archive = Memory::new(60_000, |n| n > 59_900);
    archive.rare = Some(99);
    let (found, longest) = pages(&mut archive, &faces(PlaceFilter::default()), 1000).await;
    assert_eq!((found.len(), longest), (99, 99));
    assert_eq!(archive.asked.keys().copied().collect::<Vec<_>>(), ["sure"]);
}

#[tokio::test]
async fn a_small_folder_is_looked_at_and_a_large_one_after_what_is_new() {
    let folder = PlaceFilter { uri_prefix: Some("file:///a".to_owned()), owner: None };
    for (size, sources) in [(500, vec!["folder"]), (40_000, vec!["folder", "newest"])] {
        let mut archive = Memory::new(60_000, |n| n > 59_900);
        archive.folder = Some(size);
        find(&mut archive, &faces(folder.clone()), None, 10).await.expect("finds");
        assert_eq!(archive.asked.keys().copied().collect::<Vec<_>>(), sources, "{size}");
    }
}

#[tokio::test]
async fn counts_end_when_enough_was_looked_at() {
    let value = |archive: Memory| async move {
        let filter = SuggestionFilter {
            status: Some(Status::Pending),
            value: Some("cat".to_owned()),
            // Without it, the index that finds them counts them.
            min_confidence: Some(0.5),
            ..SuggestionFilter::default()
        };
        let mut archive = archive;
        let counted = count(&mut archive, &Asked::of_suggestions(&filter, None)).await.expect("counts");
        assert!(archive.looked_at <= LOOKED_AT, "{} were looked at", archive.looked_at);
        (counted.count, counted.more)
    };
    assert_eq!(value(Memory::new(4000, |_| true)).await, (4000, false));
    assert_eq!(value(Memory::new(4000, |_| false)).await, (0, false));
    assert_eq!(value(Memory::new(30_000, |_| true)).await, (LOOKED_AT as u64, true));
    let few = LOOKED_AT.div_ceil(1000) as u64;
    assert_eq!(value(Memory::new(30_000, |n| n % 1000 == 0)).await, (few, true));
}

#[tokio::test]
async fn a_value_is_counted_by_its_index() {
    let filter = SuggestionFilter { value: Some("cat".to_owned()), ..SuggestionFilter::default() };
    for (assets, counted) in [(3000, (3000, false)), (30_000, (COUNTED, true))] {
        let mut archive = Memory::new(assets, |_| true);
        let found = count(&mut archive, &Asked::of_suggestions(&filter, None)).await.expect("counts");
        assert_eq!(((found.count, found.more), archive.looked_at), (counted, 0));
    }
}

#[tokio::test]
async fn nobody_is_judged_where_not_all_can_be() {
    let filter = AssetFilter { tag: Some("cat".to_owned()), ..AssetFilter::default() };
    let asked = Asked::of_assets(&filter);
    let mut archive = Memory::new(30_000, |n| n % 1000 == 0);
    archive.rare = Some(30_000);
    assert_eq!(all(&mut archive, &asked, 4096).await.expect("answers").map(|spots| spots.len()), None);
    let mut archive = Memory::new(3000, |n| n % 1000 == 0);
    assert_eq!(all(&mut archive, &asked, 4096).await.expect("answers").map(|spots| spots.len()), Some(3));
    let mut archive = Memory::new(3000, |_| true);
    assert_eq!(all(&mut archive, &asked, 100).await.expect("answers").map(|spots| spots.len()), None);
}
