//! The vocabulary that a new archive begins with.

use super::{Draft, Format, VocabularyError, read};

/// 580 terms that photo archives use, in English and German; `models/starter/MODELS.md` says what was measured.
const STARTER: &str = include_str!("../../../models/vocabulary/starter.csv");

/// The starter vocabulary, as its file says it.
///
/// # Errors
///
/// If the file that was built in is damaged.
pub fn starter() -> Result<Draft, VocabularyError> {
    read(Format::Csv, STARTER.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::classes::ClassTags;
    use crate::terms::Heads;
    use crate::vocabulary::{Change, How, Language, Term, Vocabulary, plan};

    fn terms() -> Vec<Term> {
        let draft = starter().expect("is readable");
        assert_eq!(draft.noted, []);
        let changes = plan(&[], &draft, How::Merge).expect("is sound");
        let added = changes.into_iter().map(|change| match change {
            Change::Add(term) => term,
            other => panic!("{other:?}"),
        });
        added.collect()
    }

    #[test]
    fn it_is_bilingual_and_knows_what_networks_say() {
        let language = |tag: &str| Language::try_from(tag.to_owned()).expect("is one");
        let terms = terms();
        let offered = terms.iter().filter(|term| !term.heading).count();
        assert!((300..=600).contains(&offered), "{offered}");
        for term in &terms {
            for tag in ["en", "de"] {
                let own = term.labels.iter().any(|label| label.language == language(tag));
                assert!(own, "{} has no label in {tag}", term.name(&language("en")));
            }
        }
        let vocabulary = Vocabulary::new(1, language("en"), terms, HashMap::new());
        let classes =
            ClassTags::parse(include_str!("../../../models/labels/tag_vocabulary.json")).expect("is valid");
        let (known, all) = classes.tag_names().fold((0, 0), |(known, all), tag| {
            (known + usize::from(vocabulary.meaning(tag).is_some()), all + 1)
        });
        assert!(known > 600, "{known} of {all}");
        let heads = include_str!("../../../models/starter/terms/joint_heads.json");
        let heads = Heads::parse(heads, "picture/joint-vision@1").expect("is valid");
        let uris: Vec<&str> = vocabulary.terms().iter().filter_map(|term| term.uri.as_deref()).collect();
        assert!(heads.uris().all(|uri| uris.contains(&uri)), "every head has its term");
    }
}
