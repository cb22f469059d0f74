//! Which assets pass a filter, in the order of every listing, without looking at more of the archive than there is time
//! for. The same for every backend, which tells candidates and judges them.
//!
//! A filter is answered by one source of candidates, all of which are looked at in the listing's order: the one that is
//! known to be small, else the one that is likely to be. A walk that has looked at [`LOOKED_AT`] assets ends where it is,
//! with what it has found, and with the place from which it can be gone on.

mod places;

use std::collections::{HashSet, VecDeque};

use async_trait::async_trait;
use docent_pipelines::{AssetId, Kind, Owner, Status, SuggestionId};

pub(super) use places::{Arranged, Shelf, Standing, arrange};

use super::{AssetFilter, Counted, PlaceFilter, StoreError, SuggestionFilter, Summary};

/// A walk looks at so many assets at most, about a tenth of a second's worth.
const LOOKED_AT: usize = 4096;
/// Assets that are new are looked at first, so many: a folder that holds most of the archive, or what came last, fills its
/// page from these.
const NEWEST: usize = 1024;
/// Suggestions that are looked at all together, because they are so few.
const RARE: usize = 8192;
/// Candidates that are asked for first; most pages need no more.
const FIRST: usize = 256;
/// Each time they do not suffice, so many times as many are asked for.
const GROWTH: usize = 8;
/// Candidates that are judged together.
const JUDGED: usize = 512;
/// Nothing is counted further.
pub(super) const COUNTED: u64 = 10_000;
/// Candidates of a portion of a job.
pub(super) const COLLECTED: usize = 2048;

/// An asset's place in every listing: newest first, then by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    pub at: i64,
    pub asset: String,
}

/// Where a walk begins.
#[derive(Debug, Clone)]
pub(super) struct From {
    pub spot: Spot,
    /// Whether with this asset, or after it.
    pub inclusive: bool,
}

/// Something that is said about an asset by one suggestion.
#[derive(Debug, Clone)]
pub(super) struct Said {
    /// One of these.
    pub statuses: Vec<Status>,
    pub kind: Option<Kind>,
    /// Whether proposals do not count where no kind is asked for.
    pub no_proposals: bool,
    pub least: Option<f64>,
    pub value: Option<String>,
    /// By no later run.
    pub newest_run: Option<i64>,
    /// One of these, where there are any here.
    pub ids: Vec<SuggestionId>,
}

/// What a filter asks of an asset.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Each by one suggestion.
    pub said: Vec<Said>,
    pub place: PlaceFilter,
    /// One of these, where there are any here.
    pub among: Vec<AssetId>,
    /// That can be looked at.
    pub viewable: bool,
}

/// Where candidates come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Among(Vec<AssetId>),
    /// Assets with such a suggestion, whatever its value is.
    Sure(Said),
    /// Assets with a suggestion of this value in one of these statuses.
    Value(String, Vec<Status>),
    /// Assets with a suggestion in one of these statuses and of this kind; a backend may leave the kind out.
    Status(Vec<Status>, Option<Kind>),
    Owner(Owner),
    /// This address and everything under it.
    Folder(String),
    Newest,
}

/// The archive, as a backend reads it over one connection.
#[async_trait]
pub(super) trait Archive: Send {
    /// At most `limit` candidates from `from` on, in the listing's order; one that is there several times may come
    /// several times, one after the other.
    async fn candidates(
        &mut self,
        source: &Source,
        from: Option<&From>,
        limit: usize,
    ) -> Result<Vec<Spot>, StoreError>;

    /// How many rows a source has, counted to `most`: suggestions, or places.
    async fn size(&mut self, source: &Source, most: usize) -> Result<usize, StoreError>;

    /// Those of `assets` that pass.
    async fn passing(&mut self, asked: &Asked, assets: &[String]) -> Result<HashSet<String>, StoreError>;

    /// How many suggestions of `assets` are as the first of `asked.said` says: a row for each asset and kind that has some.
    async fn counted(&mut self, asked: &Asked, assets: &[String]) -> Result<Vec<Heap>, StoreError>;
}

/// Suggestions of one kind about one asset.
#[derive(Debug, Clone)]
pub(super) struct Heap {
    pub asset: String,
    pub kind: i64,
    pub count: u64,
}

impl Said {
    /// Whether any suggestion is.
    fn is_anything(&self) -> bool {
        let Self { statuses, kind, no_proposals, least, value, newest_run, ids } = self;
        statuses.len() == Status::ALL.len()
            && kind.is_none()
            && !no_proposals
            && least.is_none()
            && value.is_none()
            && newest_run.is_none()
            && ids.is_empty()
    }

    /// All kinds that count.
    pub fn kinds(&self) -> Vec<Kind> {
        match self.kind {
            Some(kind) => vec![kind],
            None => Kind::ALL.into_iter().filter(|kind| !self.leaves_out(*kind)).collect(),
        }
    }

    /// The kind that does not count, where no kind is asked for.
    pub fn left_out(&self) -> Option<Kind> {
        Some(Kind::Proposal).filter(|kind| self.leaves_out(*kind))
    }

    fn leaves_out(&self, kind: Kind) -> bool {
        self.no_proposals && self.kind.is_none() && kind == Kind::Proposal
    }

    /// Whether status, kind and confidence are all that is asked.
    pub fn is_plain(&self) -> bool {
        self.value.is_none() && self.newest_run.is_none() && self.ids.is_empty()
    }
}

impl Asked {
    /// Assets that are as `filter` asks.
    pub fn of_assets(filter: &AssetFilter) -> Self {
        let living = || vec![Status::Pending, Status::Accepted];
        let mut said = Vec::new();
        if filter.kind.is_some() || filter.status.is_some() || filter.min_confidence.is_some() {
            said.push(Said {
                statuses: filter.status.map_or_else(living, |status| vec![status]),
                kind: filter.kind,
                no_proposals: filter.no_proposals,
                least: filter.min_confidence,
                value: None,
                newest_run: None,
                ids: Vec::new(),
            });
        }
        if let Some(tag) = &filter.tag {
            said.push(Said {
                statuses: living(),
                kind: Some(Kind::Tag),
                no_proposals: false,
                least: None,
                value: Some(tag.clone()),
                newest_run: None,
                ids: Vec::new(),
            });
        }
        Self { said, place: filter.place.clone(), among: Vec::new(), viewable: filter.viewable }
    }

    /// Assets with a suggestion that is as `filter` asks, and that no run after `newest_run` raised.
    pub fn of_suggestions(filter: &SuggestionFilter, newest_run: Option<i64>) -> Self {
        let said = Said {
            statuses: filter.status.map_or_else(|| Status::ALL.to_vec(), |status| vec![status]),
            kind: filter.kind,
            no_proposals: filter.no_proposals,
            least: filter.min_confidence,
            value: filter.value.clone(),
            newest_run,
            ids: filter.suggestions.clone(),
        };
        let among = filter.asset.as_ref().map_or_else(|| filter.assets.clone(), |asset| vec![asset.clone()]);
        Self { said: vec![said], place: filter.place.clone(), among, viewable: filter.viewable }
    }

    fn is_anything(&self) -> bool {
        self.said.is_empty() && self.is_anywhere()
    }

    /// Whether nothing is asked but what is said.
    fn is_anywhere(&self) -> bool {
        self.place.is_empty() && self.among.is_empty() && !self.viewable
    }
}

/// One source, and how many of its candidates are looked at.
struct Stage {
    source: Source,
    left: usize,
}

/// Candidates in portions, until there are no more or enough were looked at.
struct Walk {
    stages: VecDeque<Stage>,
    from: Option<From>,
    portion: usize,
    /// Told, and not yet looked at.
    told: VecDeque<Spot>,
    /// The source has no more than what was told.
    ended: bool,
}

impl Walk {
    async fn new(
        archive: &mut impl Archive,
        asked: &Asked,
        from: Option<From>,
        wanted: usize,
    ) -> Result<Self, StoreError> {
        let stages = stages(archive, asked).await?;
        Ok(Self { stages, from, portion: FIRST.max(wanted), told: VecDeque::new(), ended: false })
    }

    /// The next candidates; none if there are none, or enough were looked at.
    async fn group(&mut self, archive: &mut impl Archive) -> Result<Vec<Spot>, StoreError> {
        while self.told.is_empty() && !self.ended {
            let Some(stage) = self.stages.front_mut() else { break };
            let portion = self.portion.min(stage.left);
            let mut told = archive.candidates(&stage.source, self.from.as_ref(), portion).await?;
            self.ended = told.len() < portion;
            stage.left -= portion;
            if stage.left == 0 {
                self.stages.pop_front();
            }
            self.portion = self.portion.saturating_mul(GROWTH).min(LOOKED_AT);
            told.dedup();
            if let Some(last) = told.last() {
                self.from = Some(From { spot: last.clone(), inclusive: false });
            }
            self.told = told.into();
        }
        let size = self.told.len().min(JUDGED);
        Ok(self.told.drain(..size).collect())
    }

    /// Whether everything was looked at.
    fn is_over(&self) -> bool {
        self.ended && self.told.is_empty()
    }
}

/// Where the candidates for a filter come from, one source after the other: each goes on where the one before ended.
async fn stages(archive: &mut impl Archive, asked: &Asked) -> Result<VecDeque<Stage>, StoreError> {
    let one = |source, left| Ok(VecDeque::from([Stage { source, left }]));
    if !asked.among.is_empty() {
        return one(Source::Among(asked.among.clone()), usize::MAX);
    }
    if let Some(said) = rare(archive, asked).await? {
        return one(Source::Sure(said), usize::MAX);
    }
    let folder = asked.place.uri_prefix.clone().map(Source::Folder);
    if let Some(folder) = &folder
        && archive.size(folder, LOOKED_AT).await? < LOOKED_AT
    {
        return one(folder.clone(), LOOKED_AT);
    }
    if let Some((value, said)) = asked.said.iter().find_map(|said| Some((said.value.clone()?, said))) {
        return one(Source::Value(value, said.statuses.clone()), LOOKED_AT);
    }
    if let Some(owner) = &asked.place.owner {
        return one(Source::Owner(owner.clone()), LOOKED_AT);
    }
    if let Some(folder) = folder {
        return Ok(VecDeque::from([
            Stage { source: Source::Newest, left: NEWEST },
            Stage { source: folder, left: LOOKED_AT - NEWEST },
        ]));
    }
    match asked.said.iter().find(|said| !said.is_anything()) {
        Some(said) => one(Source::Status(said.statuses.clone(), said.kind), LOOKED_AT),
        None => one(Source::Newest, LOOKED_AT),
    }
}

/// What is asked and rarely said.
async fn rare(archive: &mut impl Archive, asked: &Asked) -> Result<Option<Said>, StoreError> {
    for said in asked.said.iter().filter(|said| !said.is_anything()) {
        let plain = Said { value: None, newest_run: None, ids: Vec::new(), ..said.clone() };
        if plain.is_anything() {
            continue;
        }
        if archive.size(&Source::Sure(plain.clone()), RARE + 1).await? <= RARE {
            return Ok(Some(plain));
        }
    }
    Ok(None)
}

/// What a walk found.
pub(super) struct Found {
    pub spots: Vec<Spot>,
    /// From where to go on: `None` if nothing is left.
    pub rest: Option<Spot>,
}

/// At most `limit` assets that pass, from `from` on. There may be fewer although something is left: then enough was
/// looked at for once.
pub(super) async fn find(
    archive: &mut impl Archive,
    asked: &Asked,
    from: Option<From>,
    limit: usize,
) -> Result<Found, StoreError> {
    let mut walk = Walk::new(archive, asked, from, limit).await?;
    let mut spots: Vec<Spot> = Vec::new();
    loop {
        let group = walk.group(archive).await?;
        if group.is_empty() {
            let rest = walk.from.filter(|_| !walk.ended).map(|from| from.spot);
            return Ok(Found { spots, rest });
        }
        let passing = passing(archive, asked, &group).await?;
        for spot in group.into_iter().filter(|spot| passing.contains(&spot.asset)) {
            spots.push(spot);
            if spots.len() == limit {
                return Ok(Found { rest: spots.last().cloned(), spots });
            }
        }
    }
}

/// All assets that pass. `None` if there are more than `most`, or more candidates than a walk looks at: then nobody is judged, as it
/// would be for nothing.
pub(super) async fn all(
    archive: &mut impl Archive,
    asked: &Asked,
    most: usize,
) -> Result<Option<Vec<Spot>>, StoreError> {
    let mut walk = Walk::new(archive, asked, None, LOOKED_AT).await?;
    let mut spots = Vec::new();
    loop {
        let group = walk.group(archive).await?;
        if !walk.ended && walk.stages.is_empty() {
            return Ok(None);
        }
        if group.is_empty() {
            return Ok(Some(spots));
        }
        let passing = passing(archive, asked, &group).await?;
        spots.extend(group.into_iter().filter(|spot| passing.contains(&spot.asset)));
        if spots.len() > most {
            return Ok(None);
        }
    }
}

async fn passing(
    archive: &mut impl Archive,
    asked: &Asked,
    group: &[Spot],
) -> Result<HashSet<String>, StoreError> {
    passing_ids(archive, asked, group.iter().map(|spot| spot.asset.clone()).collect()).await
}

async fn passing_ids(
    archive: &mut impl Archive,
    asked: &Asked,
    ids: Vec<String>,
) -> Result<HashSet<String>, StoreError> {
    if asked.is_anything() || ids.is_empty() {
        return Ok(ids.into_iter().collect());
    }
    archive.passing(asked, &ids).await
}

/// How many suggestions are as `asked` says, counted to [`COUNTED`], and no further than a walk goes.
pub(super) async fn count(archive: &mut impl Archive, asked: &Asked) -> Result<Counted, StoreError> {
    if let [said] = asked.said.as_slice()
        && said.is_plain()
        && asked.is_anywhere()
    {
        let size = archive.size(&Source::Sure(said.clone()), COUNTED as usize + 1).await? as u64;
        return Ok(Counted { count: size.min(COUNTED), more: size > COUNTED });
    }
    // An index has a value's suggestions and their status, too.
    if let [said @ Said { statuses, kind: None, least: None, value: Some(value), newest_run: None, ids, .. }] =
        asked.said.as_slice()
        && said.left_out().is_none()
        && ids.is_empty()
        && asked.is_anywhere()
    {
        let source = Source::Value(value.clone(), statuses.clone());
        let size = archive.size(&source, COUNTED as usize + 1).await? as u64;
        return Ok(Counted { count: size.min(COUNTED), more: size > COUNTED });
    }
    let Summary { count, more, .. } = sum_up(archive, asked).await?;
    Ok(Counted { count: count.min(COUNTED), more })
}

/// What is as `asked` says, by kind, and how many assets it is about; counted as far as [`count`] counts.
pub(super) async fn sum_up(archive: &mut impl Archive, asked: &Asked) -> Result<Summary, StoreError> {
    let mut walk = Walk::new(archive, asked, None, JUDGED).await?;
    let mut sum = Summary::default();
    loop {
        let group = walk.group(archive).await?;
        if group.is_empty() {
            sum.more = !walk.is_over();
            return Ok(sum);
        }
        let ids: Vec<String> = group.into_iter().map(|spot| spot.asset).collect();
        let heaps = archive.counted(asked, &ids).await?;
        sum.assets += heaps.iter().map(|heap| heap.asset.as_str()).collect::<HashSet<_>>().len() as u64;
        for heap in heaps {
            sum.count += heap.count;
            if let Some(kind) = usize::try_from(heap.kind).ok().and_then(|place| Kind::ALL.get(place)) {
                *sum.kinds.entry(*kind).or_default() += heap.count;
            }
        }
        if sum.count > COUNTED {
            sum.more = true;
            return Ok(sum);
        }
    }
}

/// The next candidates of a job that goes through all of them, and whether these are the last. What they are asked must
/// still be asked of each.
pub(super) async fn portion(
    archive: &mut impl Archive,
    asked: &Asked,
    from: Option<&From>,
) -> Result<(Vec<Spot>, bool), StoreError> {
    let mut stages = stages(archive, asked).await?;
    let source = stages.pop_back().map_or(Source::Newest, |stage| stage.source);
    let mut spots = archive.candidates(&source, from, COLLECTED).await?;
    let last = spots.len() < COLLECTED;
    spots.dedup();
    Ok((spots, last))
}

#[cfg(test)]
mod tests;
