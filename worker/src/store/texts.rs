//! The words in pictures: what can be asked of them, and what every backend makes of it.
//!
//! The ledger keeps every text folded ([`super::fold`]), beside its suggestion and in the same transaction, with an index of
//! the living ones: those that are pending or accepted.

use async_trait::async_trait;
use docent_pipelines::{AssetId, SuggestionId};
use sqlx::{Database, QueryBuilder};

use super::StoreError;
use super::codec::corrupt;
use super::fold::EDGE;

/// So many texts are ranked; about a fiftieth of a second's worth.
pub(super) const LOOKED_AT: usize = 4096;
/// The length of a part that an index finds, in characters.
pub(super) const TRIGRAM: usize = 3;

/// The constants of Okapi BM25 as they are usually set (Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009).
const K1: f64 = 1.2;
const B: f64 = 0.75;
/// A text of usual length, in characters: a sign has less, a page has more.
const USUAL: f64 = 150.0;

/// What a text must hold, folded; three characters at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    folded: String,
    reach: Reach,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Words,
    Beginning,
    Anything,
}

impl Part {
    /// These words one after the other, given folded; none if there is no word.
    pub fn words(folded: &str) -> Option<Self> {
        (folded.len() > 2).then(|| Self { folded: folded.to_owned(), reach: Reach::Words })
    }

    /// The same, but the last word may go on; none if one character of it is all there is.
    pub fn beginning(&self) -> Option<Self> {
        let folded = self.folded.trim_end_matches(EDGE).to_owned();
        (folded.chars().count() >= TRIGRAM).then_some(Self { folded, reach: Reach::Beginning })
    }

    /// The same within longer words, too; none if it is too short for that.
    pub fn anywhere(&self) -> Option<Self> {
        let folded = self.folded.trim_matches(EDGE).to_owned();
        (folded.chars().count() >= TRIGRAM).then_some(Self { folded, reach: Reach::Anything })
    }

    /// What a folded text has in it.
    pub fn as_str(&self) -> &str {
        &self.folded
    }

    /// The words that are known from edge to edge, and the beginning of one.
    pub(super) fn known(&self) -> (Vec<&str>, Option<&str>) {
        let mut words: Vec<&str> = self.folded.split(EDGE).filter(|word| !word.is_empty()).collect();
        match self.reach {
            Reach::Words => (words, None),
            Reach::Beginning => {
                let last = words.pop();
                (words, last)
            }
            // Both ends are pieces.
            Reach::Anything => (words.drain(..).skip(1).rev().skip(1).collect(), None),
        }
    }

    /// Three characters in a row, that do not follow from the words: all of a piece, and what goes over an edge.
    pub(super) fn trigrams(&self) -> Vec<String> {
        let characters: Vec<char> = self.folded.chars().collect();
        let all = characters.windows(TRIGRAM);
        all.filter(|window| self.reach == Reach::Anything || window[1] == EDGE)
            .map(String::from_iter)
            .collect()
    }
}

/// A text that holds what was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Its suggestion.
    pub suggestion: SuggestionId,
    /// The picture.
    pub asset: AssetId,
    /// More is better: how often it holds what was asked for, for its length.
    pub score: f64,
}

/// The texts that hold something.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Holding {
    /// Best first; the newer of equals.
    pub texts: Vec<Held>,
    /// Whether these are all. Else they are those that were found first.
    pub complete: bool,
}

/// The reader's side of the store: texts in pictures.
#[async_trait]
pub trait Texts: Send + Sync {
    /// Pending and accepted texts, of all assets or of these, that hold every one of `parts`: 4096 at most.
    async fn holding(&self, parts: &[Part], of: Option<&[AssetId]>) -> Result<Holding, StoreError>;

    /// These texts as they were read, in any order; without those that nobody knows.
    async fn texts(&self, ids: &[SuggestionId]) -> Result<Vec<(SuggestionId, String)>, StoreError>;
}

/// A row of a text: suggestion, asset, score, place in the order of writing.
pub(super) type Row = (String, String, f64, i64);

/// The answer that `rows` give, of which there is one more than [`LOOKED_AT`] if there are more.
pub(super) fn ranked(mut rows: Vec<Row>, complete: bool) -> Result<Holding, StoreError> {
    let complete = complete && rows.len() <= LOOKED_AT;
    rows.truncate(LOOKED_AT);
    rows.sort_by(|a, b| b.2.total_cmp(&a.2).then(b.3.cmp(&a.3)));
    let held = |(suggestion, asset, score, _): Row| {
        Ok(Held {
            suggestion: SuggestionId::try_from(suggestion).map_err(corrupt("suggestion_id"))?,
            asset: AssetId::try_from(asset).map_err(corrupt("asset_id"))?,
            score,
        })
    };
    Ok(Holding { texts: rows.into_iter().map(held).collect::<Result<_, StoreError>>()?, complete })
}

/// Adds the score of `r.folded`. Every text holds all parts, so none of them is worth more for being rare.
pub(super) fn score<D>(query: &mut QueryBuilder<D>, parts: &[Part])
where
    D: Database,
    for<'q> String: sqlx::Encode<'q, D> + sqlx::Type<D>,
{
    query.push("(0.0e0");
    for part in parts {
        let times = |query: &mut QueryBuilder<D>| {
            query.push("(cast(length(r.folded) - length(replace(r.folded, ").push_bind(part.folded.clone());
            query.push(", '')) as double precision) / ").push(part.folded.chars().count()).push(")");
        };
        query.push(" + ");
        times(query);
        query.push(format!(" * {:e} / (", K1 + 1.0));
        times(query);
        query.push(format!(" + {:e} + {:e} * length(r.folded))", K1 * (1.0 - B), K1 * B / USUAL));
    }
    query.push(")");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_asked_for_what_is_known_of_a_part() {
        let part = |folded| Part::words(folded).expect("has words");
        assert_eq!(Part::words(""), None);
        let hotel = part("_hotel_");
        assert_eq!((hotel.known(), hotel.trigrams()), ((vec!["hotel"], None), vec![]));
        let beginning = hotel.beginning().expect("is long enough");
        assert_eq!((beginning.as_str(), beginning.known()), ("_hotel", (vec![], Some("hotel"))));
        assert!(beginning.trigrams().is_empty());
        let piece = hotel.anywhere().expect("is long enough");
        assert_eq!((piece.as_str(), piece.known()), ("hotel", (vec![], None)));
        assert_eq!(piece.trigrams(), ["hot", "ote", "tel"]);
        let row = part("_a_big_hotel_");
        assert_eq!(
            (row.known(), row.trigrams()),
            ((vec!["a", "big", "hotel"], None), vec!["a_b".into(), "g_h".into()])
        );
        assert_eq!(row.beginning().expect("is long enough").known(), (vec!["a", "big"], Some("hotel")));
        assert_eq!(row.anywhere().expect("is long enough").known(), (vec!["big"], None));
        assert_eq!(part("_東_京_").trigrams(), ["東_京"]);
        assert_eq!((part("_a_").beginning(), part("_ab_").anywhere()), (None, None));
        assert!(part("_ab_").beginning().is_some());
    }
}
