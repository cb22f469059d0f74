//! What a person means who writes the name of a term, or the path to it.

use std::collections::HashMap;

use super::VocabularyError;
use super::draft::folded;

/// Steps of a whole file's references. Only one made of many terms of the same few names needs more.
const MAX_STEPS: usize = 10_000_000;

/// A term that can be referred to.
pub(super) struct Entry<'a> {
    /// Its id and its address, as far as it has them.
    pub addresses: Vec<&'a str>,
    /// Its preferred labels.
    pub names: Vec<&'a str>,
    /// What is broader.
    pub parents: Vec<Above<'a>>,
}

/// Something broader.
pub(super) enum Above<'a> {
    /// The entry at this place.
    Entry(usize),
    /// As the file says it: an id, an address, a name or a path.
    Text(&'a str),
}

/// What a reference finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// The entry at this place.
    One(usize),
    /// At least two: the first two.
    Several(usize, usize),
}

/// Terms by their addresses, names and paths.
pub(super) struct Directory<'a> {
    entries: Vec<Entry<'a>>,
    addresses: HashMap<&'a str, usize>,
    exact: HashMap<String, Vec<usize>>,
    folded: HashMap<String, Vec<usize>>,
    steps: usize,
}

impl<'a> Directory<'a> {
    pub(super) fn new(entries: Vec<Entry<'a>>) -> Self {
        let mut addresses = HashMap::new();
        let mut exact: HashMap<String, Vec<usize>> = HashMap::new();
        let mut fold: HashMap<String, Vec<usize>> = HashMap::new();
        let add = |map: &mut HashMap<String, Vec<usize>>, name: String, at: usize| {
            let places = map.entry(name).or_default();
            if places.last() != Some(&at) {
                places.push(at);
            }
        };
        for (at, entry) in entries.iter().enumerate() {
            for &address in &entry.addresses {
                addresses.insert(address, at);
            }
            for name in &entry.names {
                add(&mut exact, (*name).to_owned(), at);
                add(&mut fold, folded(name), at);
            }
        }
        Self { entries, addresses, exact, folded: fold, steps: 0 }
    }

    /// Finds what `text` names: an id, an address, a name, or the end of a path such as `Animals > Dogs`. If several fit,
    /// the one whose whole path it is. Without regard to case only if nothing has that very name.
    pub(super) fn find(&mut self, text: &str) -> Result<Found, VocabularyError> {
        let text = text.trim();
        if let Some(&at) = self.addresses.get(text) {
            return Ok(Found::One(at));
        }
        for fold in [false, true] {
            let text = if fold { folded(text) } else { text.to_owned() };
            for path in [vec![text.as_str()], segments(&text)] {
                let all = self.walk(&path, fold, false)?;
                let found = match all[..] {
                    [] => continue,
                    [at] => Found::One(at),
                    [first, second, ..] => match self.walk(&path, fold, true)?[..] {
                        [at] => Found::One(at),
                        _ => Found::Several(first, second),
                    },
                };
                return Ok(found);
            }
        }
        Ok(Found::Nothing)
    }

    /// The entries at the end of `path`, in their order. With `whole`, the path begins at the top.
    fn walk(&mut self, path: &[&str], fold: bool, whole: bool) -> Result<Vec<usize>, VocabularyError> {
        let mut steps = 0;
        let mut reached: Vec<usize> = Vec::new();
        for (depth, &name) in path.iter().enumerate() {
            let named = if fold { self.folded.get(name) } else { self.exact.get(name) };
            let named = named.map_or(&[][..], Vec::as_slice);
            steps += named.len();
            if self.steps + steps > MAX_STEPS {
                let reason = "too many terms have the same names to find the broader ones by name";
                return Err(VocabularyError::whole(reason, "name them by their ids or addresses"));
            }
            let fits = |&&at: &&usize| {
                let parents = &self.entries[at].parents;
                match depth {
                    0 => !whole || parents.is_empty(),
                    _ => parents.iter().any(|above| self.is_above(above, &path[..depth], &reached, fold)),
                }
            };
            reached = named.iter().filter(fits).copied().collect();
        }
        self.steps += steps;
        Ok(reached)
    }

    /// Whether `above` is what `path` leads to, which are the entries `reached`.
    fn is_above(&self, above: &Above<'_>, path: &[&str], reached: &[usize], fold: bool) -> bool {
        match above {
            Above::Entry(at) => reached.binary_search(at).is_ok(),
            Above::Text(text) => match self.addresses.get(text) {
                Some(at) => reached.binary_search(at).is_ok(),
                None => {
                    let text = if fold { folded(text) } else { (*text).to_owned() };
                    let other = segments(&text);
                    other.iter().rev().zip(path.iter().rev()).all(|(a, b)| a == b)
                }
            },
        }
    }
}

/// The names of a path.
fn segments(text: &str) -> Vec<&str> {
    text.split('>').map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry<'a>(name: &'a str, parents: &[&'a str]) -> Entry<'a> {
        let parents = parents.iter().map(|&parent| Above::Text(parent)).collect();
        Entry { addresses: Vec::new(), names: vec![name], parents }
    }

    #[test]
    fn names_and_paths_are_found() {
        let mut directory = Directory::new(vec![
            entry("Finance", &[]),
            entry("Bank", &["Finance"]),
            entry("Furniture", &[]),
            entry("Bank", &["Furniture"]),
            entry("Savings", &["Finance > Bank"]),
            entry("Savings", &["Furniture > Bank"]),
            entry("A > B", &[]),
            entry("Dog", &[]),
            entry("Dog", &["Finance"]),
        ]);
        let mut find = |text: &str| directory.find(text).expect("few steps");
        assert_eq!(find("Finance"), Found::One(0));
        assert_eq!(find("finance"), Found::One(0));
        assert_eq!(find("Bank"), Found::Several(1, 3));
        assert_eq!(find("Furniture > Bank"), Found::One(3));
        assert_eq!(find("furniture>BANK"), Found::One(3));
        assert_eq!(find("Finance > Bank > Savings"), Found::One(4));
        assert_eq!(find("Bank > Savings"), Found::Several(4, 5));
        assert_eq!(find("A > B"), Found::One(6));
        assert_eq!(find("Dog"), Found::One(7), "the whole path");
        assert_eq!(find("Finance > Cat"), Found::Nothing);
    }
}
