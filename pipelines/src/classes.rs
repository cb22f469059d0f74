//! Turns class probabilities into an archivist's tags.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The tagger's classes as tags with broader tags.
#[derive(Debug, Clone)]
pub struct ClassTags {
    classes: Vec<Class>,
    /// Every tag with the classes that carry it or list it as a parent.
    tags: BTreeMap<String, TagSources>,
}

#[derive(Debug, Clone, Deserialize)]
struct Class {
    index: usize,
    tag: String,
    /// Nearest first.
    parents: Vec<String>,
}

#[derive(Debug, Clone, Default)]
struct TagSources {
    /// Classes that carry this very tag.
    leaves: Vec<usize>,
    /// Classes that carry it or have it as a parent.
    all: Vec<usize>,
    /// Every one of them is something to wear.
    apparel: bool,
    /// Broader tags, nearest first: what is broader wherever the tag stands.
    implies: Vec<String>,
}

/// When a tag is offered. The defaults were measured on 1,000 labeled pictures: leaf tags at 0.5 have a precision of
/// 0.955, summed parent tags at 0.5 one of 0.973 (models/starter/MODELS.md).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TagRule {
    /// Least probability of a class.
    pub leaf: f64,
    /// Least sum over the classes below a parent tag.
    pub parent: f64,
    /// Least probability of clothing. The tagger has no class for people and often sees clothes instead.
    pub apparel: f64,
}

impl Default for TagRule {
    fn default() -> Self {
        Self { leaf: 0.5, parent: 0.5, apparel: 0.8 }
    }
}

/// What is wrong with a vocabulary file.
#[derive(Debug, thiserror::Error)]
pub enum ClassesError {
    /// Not the expected JSON.
    #[error("read the tag vocabulary")]
    Json(#[from] serde_json::Error),
    /// The classes are not numbered 0, 1, 2, ….
    #[error("read the tag vocabulary: class {found} stands where class {expected} should")]
    Order {
        /// The expected index.
        expected: usize,
        /// The index in the file.
        found: usize,
    },
}

/// Parents that mark a class as something to wear.
const APPAREL: [&str; 3] = ["clothing", "swimwear", "underwear"];

impl ClassTags {
    /// Reads `{"classes": [{"index", "tag", "parents": […]}, …]}`.
    pub fn parse(json: &str) -> Result<Self, ClassesError> {
        #[derive(Deserialize)]
        struct File {
            classes: Vec<Class>,
        }
        let File { classes } = serde_json::from_str(json)?;
        let mut tags: BTreeMap<String, TagSources> = BTreeMap::new();
        for (expected, class) in classes.iter().enumerate() {
            if class.index != expected {
                return Err(ClassesError::Order { expected, found: class.index });
            }
            tags.entry(class.tag.clone()).or_default().leaves.push(expected);
            for tag in std::iter::once(&class.tag).chain(&class.parents) {
                let sources = tags.entry(tag.clone()).or_default();
                if sources.all.last() != Some(&expected) {
                    sources.all.push(expected);
                }
            }
        }
        for (tag, sources) in &mut tags {
            sources.implies = broader(tag, sources.all.iter().map(|&index| &classes[index]));
        }
        for sources in tags.values_mut() {
            sources.apparel = sources.all.iter().all(|&index| classes[index].is_apparel());
        }
        Ok(Self { classes, tags })
    }

    /// Every tag, those of classes and broader ones.
    pub fn tag_names(&self) -> impl Iterator<Item = &str> {
        self.tags.keys().map(String::as_str)
    }

    /// Number of classes, which the tagger's probabilities must have.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there are no classes.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The sum over the classes that carry a tag or have it as a broader one; 0 for a tag that is not known.
    pub fn mass(&self, probabilities: &[f32], tag: &str) -> f64 {
        let classes = self.tags.get(tag).map_or(&[][..], |sources| &sources.all);
        classes.iter().filter_map(|&i| probabilities.get(i)).map(|&p| f64::from(p)).sum()
    }

    /// The broader tags of a tag, nearest first: who says the tag says these, too.
    pub fn implied(&self, tag: &str) -> &[String] {
        self.tags.get(tag).map_or(&[], |sources| &sources.implies)
    }

    /// The tags that `rule` offers for `probabilities` (one per class), surest first.
    /// With `people` in the picture, nothing to wear is offered at all.
    pub fn tags(&self, probabilities: &[f32], rule: &TagRule, people: bool) -> Vec<(&str, f64)> {
        let sum = |classes: &[usize]| -> f64 {
            classes.iter().filter_map(|&i| probabilities.get(i)).map(|&p| f64::from(p)).sum()
        };
        let mut offered: Vec<(&str, f64)> = self
            .tags
            .iter()
            .filter_map(|(tag, sources)| {
                if sources.apparel && people {
                    return None;
                }
                let raise =
                    |threshold: f64| if sources.apparel { threshold.max(rule.apparel) } else { threshold };
                let (leaf, all) = (sum(&sources.leaves), sum(&sources.all));
                (leaf >= raise(rule.leaf) || all >= raise(rule.parent)).then_some((tag.as_str(), all))
            })
            .collect();
        offered.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        offered
    }
}

/// What is broader than `tag` in each of the classes that have it.
fn broader<'a>(tag: &str, classes: impl Iterator<Item = &'a Class>) -> Vec<String> {
    let of = |class: &'a Class| -> &'a [String] {
        let place = class.parents.iter().position(|parent| parent == tag);
        place.map_or(&class.parents, |place| &class.parents[place + 1..])
    };
    let mut lists = classes.map(of);
    let mut common = lists.next().map(<[String]>::to_vec).unwrap_or_default();
    lists.for_each(|list| common.retain(|broad| list.contains(broad)));
    common.retain(|broad| broad != tag);
    common
}

impl Class {
    fn is_apparel(&self) -> bool {
        self.parents.iter().any(|parent| APPAREL.contains(&parent.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"version": 1, "classes": [
        {"index": 0, "tag": "beagle", "parents": ["dog", "animal"]},
        {"index": 1, "tag": "poodle", "parents": ["dog", "animal"]},
        {"index": 2, "tag": "tabby", "parents": ["cat", "animal"]},
        {"index": 3, "tag": "bikini", "parents": ["swimwear", "clothing"]},
        {"index": 4, "tag": "jeans", "parents": ["trousers", "clothing"]}]}"#;

    fn tags(probabilities: [f32; 5], people: bool) -> Vec<(String, f64)> {
        let vocabulary = ClassTags::parse(FILE).expect("is valid");
        let tags = vocabulary.tags(&probabilities, &TagRule::default(), people);
        tags.into_iter().map(|(tag, p)| (tag.to_owned(), (p * 100.0).round() / 100.0)).collect()
    }

    #[test]
    fn parents_sum_their_children_where_no_child_is_sure() {
        assert_eq!(
            tags([0.3, 0.3, 0.25, 0.0, 0.0], false),
            [("animal".to_owned(), 0.85), ("dog".to_owned(), 0.6)]
        );
    }

    #[test]
    fn a_tag_implies_what_is_broader_wherever_it_stands() {
        let vocabulary = ClassTags::parse(FILE).expect("is valid");
        assert_eq!(vocabulary.implied("beagle"), ["dog", "animal"]);
        assert_eq!(vocabulary.implied("dog"), ["animal"]);
        assert_eq!(vocabulary.implied("animal"), [""; 0]);
        assert_eq!(vocabulary.implied("unknown"), [""; 0]);
        // Once a piece of furniture, once clothing: neither is always so.
        let file = r#"{"classes": [{"index": 0, "tag": "throw", "parents": ["cover", "furniture", "thing"]},
            {"index": 1, "tag": "cape", "parents": ["cover", "clothing", "thing"]},
            {"index": 2, "tag": "cover", "parents": ["thing"]}]}"#;
        let vocabulary = ClassTags::parse(file).expect("is valid");
        assert_eq!(vocabulary.implied("cover"), ["thing"]);
    }

    #[test]
    fn things_to_wear_need_more_and_are_not_offered_on_people() {
        assert_eq!(tags([0.0, 0.0, 0.0, 0.7, 0.05], false), []);
        let sure = [0.0, 0.0, 0.0, 0.9, 0.0];
        assert_eq!(tags(sure, false).len(), 3);
        assert_eq!(tags(sure, true), []);
    }

    #[test]
    fn nothing_is_offered_when_nothing_is_sure() {
        assert_eq!(tags([0.2; 5], false), [("animal".to_owned(), 0.6)]);
        assert_eq!(tags([f32::NAN; 5], false), []);
    }

    #[test]
    fn classes_out_of_order_are_refused() {
        let file = r#"{"classes": [{"index": 1, "tag": "x", "parents": []}]}"#;
        assert!(matches!(ClassTags::parse(file), Err(ClassesError::Order { expected: 0, found: 1 })));
    }
}
