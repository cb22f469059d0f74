//! Assets in the order of their places, for people who go through an archive folder by folder.
//!
//! Places are read in the order of an index and judged in groups, as every other source is: what is asked and rarely said is
//! sorted by itself, and a page ends after [`LOOKED_AT`] places.

use async_trait::async_trait;

use super::{Archive, Asked, FIRST, GROWTH, JUDGED, LOOKED_AT, Said, passing_ids, rare};
use crate::store::codec::{cursor, json_array, number};
use crate::store::{Arrangement, StoreError};

/// What cursors begin with: one of another order is refused.
const PLACE: &str = "place";
const DATE: &str = "date";

/// A place, and whether its asset stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Standing {
    /// The place as it is stored.
    pub uri: String,
    /// When its file was changed, in nanoseconds since 1970.
    pub modified: i64,
    pub asset: String,
    pub stands: bool,
}

/// Which places.
pub(in crate::store) struct Shelf<'a> {
    pub by: Arrangement,
    pub after: Option<&'a Standing>,
    /// Of assets of which that is said: so few that they are sorted.
    pub few: Option<&'a Said>,
    /// Assets stand at places in this folder only.
    pub folder: Option<&'a str>,
}

/// The archive, read by places.
#[async_trait]
pub(in crate::store) trait Arranged: Archive {
    /// The next `limit` places of a shelf.
    async fn standing(&mut self, shelf: &Shelf<'_>, limit: usize) -> Result<Vec<Standing>, StoreError>;
}

impl Standing {
    /// Where a page ended.
    pub fn read(by: Arrangement, after: &str) -> Result<Self, StoreError> {
        let (modified, uri) = match by {
            Arrangement::Place => {
                let [name, uri] = cursor::<2>(after)?;
                is_named(&name, PLACE, after)?;
                (0, uri)
            }
            Arrangement::Date => {
                let [name, modified, uri] = cursor::<3>(after)?;
                is_named(&name, DATE, after)?;
                (number(&modified, after)?, uri)
            }
        };
        Ok(Self { uri, modified, asset: String::new(), stands: false })
    }

    /// As [`Standing::read`] reads it.
    pub fn write(&self, by: Arrangement) -> String {
        match by {
            Arrangement::Place => json_array([PLACE, &self.uri]),
            Arrangement::Date => json_array([DATE, &self.modified.to_string(), &self.uri]),
        }
    }
}

fn is_named(name: &str, expected: &str, after: &str) -> Result<(), StoreError> {
    if name == expected { Ok(()) } else { Err(StoreError::InvalidCursor(after.to_owned())) }
}

/// The assets that pass, at most `limit`, and where to go on: `None` if nothing is left.
pub(in crate::store) async fn arrange(
    archive: &mut impl Arranged,
    asked: &Asked,
    by: Arrangement,
    mut after: Option<Standing>,
    limit: usize,
) -> Result<(Vec<Standing>, Option<Standing>), StoreError> {
    let few = rare(archive, asked).await?;
    let mut left = if few.is_some() { usize::MAX } else { LOOKED_AT };
    let mut portion = FIRST.max(limit);
    let mut found: Vec<Standing> = Vec::new();
    loop {
        let folder = asked.place.uri_prefix.as_deref();
        let shelf = Shelf { by, after: after.as_ref(), few: few.as_ref(), folder };
        let wanted = portion.min(left);
        let told = archive.standing(&shelf, wanted).await?;
        let ended = told.len() < wanted;
        left -= wanted;
        portion = portion.saturating_mul(GROWTH).min(LOOKED_AT);
        after = told.last().cloned().or(after);
        for group in told.chunks(JUDGED) {
            let standing: Vec<&Standing> = group.iter().filter(|place| place.stands).collect();
            let ids: Vec<String> = standing.iter().map(|place| place.asset.clone()).collect();
            let passing = passing_ids(archive, asked, ids).await?;
            for place in standing.into_iter().filter(|place| passing.contains(&place.asset)) {
                found.push(place.clone());
                if found.len() == limit {
                    let last = found.last().cloned();
                    return Ok((found, last));
                }
            }
        }
        if ended || left == 0 {
            return Ok((found, after.filter(|_| !ended)));
        }
    }
}
