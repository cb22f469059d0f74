//! What a scan says of the files it saw: each is counted once.

use std::collections::{HashMap, HashSet};

use docent_pipelines::AssetId;

use crate::assets::path_of_uri;
use crate::store::{FoundFile, KnownFile, KnownPlace};

/// Files by what they are, compared with what was known. Each file is in exactly one of these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Seen {
    /// Pictures of which nothing was known.
    pub new: u64,
    /// Copies of known pictures, at places where nothing was known.
    pub copies: u64,
    /// Known pictures that were at another place, where they are no longer.
    pub moved: u64,
    /// Known places with another picture than before.
    pub changed: u64,
    /// Known places with the same picture as before.
    pub known: u64,
    /// Pictures that were forgotten, and are not taken in again.
    pub forgotten: u64,
    /// Files that are no pictures, by content and name.
    pub other: u64,
    /// Files that a pattern leaves out.
    pub left_out: u64,
    /// Files that cannot be read, and what is neither file nor folder.
    pub unreadable: u64,
}

impl Seen {
    /// All files.
    pub fn files(&self) -> u64 {
        let Self { new, copies, moved, changed, known, forgotten, other, left_out, unreadable } = *self;
        new + copies + moved + changed + known + forgotten + other + left_out + unreadable
    }

    pub(super) fn count(&mut self, news: News) {
        *match news {
            News::New => &mut self.new,
            News::Copy => &mut self.copies,
            News::Moved => &mut self.moved,
            News::Changed => &mut self.changed,
            News::Known => &mut self.known,
        } += 1;
    }
}

/// What a picture's file is, compared with what was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    New,
    Copy,
    Moved,
    Changed,
    Known,
}

/// Sorts the files of a portion, and names the known places that moved pictures have left. `ids` are the files' assets, and `assets`
/// those of them that are known, with their places. Looks at these places, so it may wait for a disk.
pub(super) fn sorted(
    files: &[FoundFile],
    ids: &[AssetId],
    known: &HashMap<String, KnownFile>,
    assets: &HashMap<AssetId, Vec<KnownPlace>>,
) -> (Vec<News>, Vec<String>) {
    // Where these files lie now, nothing else lies any more.
    let now: HashMap<&str, &AssetId> = files.iter().map(|file| file.uri.as_str()).zip(ids).collect();
    let mut left = HashMap::new();
    for (asset, places) in assets {
        let is_there = |place: &&KnownPlace| match now.get(place.uri.as_str()) {
            Some(other) => *other == asset,
            None => !place.gone && is_there(place),
        };
        let is_anywhere = places.iter().any(|place| is_there(&place));
        let lost: Vec<&KnownPlace> = places.iter().filter(|place| !place.gone && !is_there(place)).collect();
        left.insert(asset.clone(), (is_anywhere, lost));
    }
    let mut sorted = Vec::with_capacity(files.len());
    let mut abandoned = Vec::new();
    let mut met = HashSet::new();
    for (file, asset) in files.iter().zip(ids) {
        let news = match (known.get(&file.uri), left.get_mut(asset)) {
            (Some(known), _) if known.asset == *asset => News::Known,
            (Some(_), _) => News::Changed,
            (None, Some((is_anywhere, lost))) => match lost.pop() {
                Some(place) => {
                    abandoned.push(place.uri.clone());
                    News::Moved
                }
                None if !*is_anywhere && !met.contains(asset) => News::Moved,
                None => News::Copy,
            },
            (None, None) if met.contains(asset) => News::Copy,
            (None, None) => News::New,
        };
        met.insert(asset);
        sorted.push(news);
    }
    (sorted, abandoned)
}

/// Whether a known place holds what it held, as far as that can be told without reading it.
fn is_there(place: &KnownPlace) -> bool {
    let path = path_of_uri(&place.uri);
    path.and_then(|path| std::fs::metadata(path).ok()).is_some_and(|found| found.len() == place.bytes)
}
