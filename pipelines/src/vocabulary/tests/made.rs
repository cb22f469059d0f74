//! Vocabularies of all kinds.

use std::collections::HashSet;

use proptest::prelude::*;

use crate::vocabulary::draft::rounded;
use crate::vocabulary::{Label, Language, Note, Role, Term, TermId};

/// Letters that formats trip over.
const LETTERS: &str = "aAbBÄß椅😀 ,;|\\\"'<>&{}[]@#=:.?%-_()0~^`$\u{301}\u{200d}\u{fffd}";

fn word() -> impl Strategy<Value = String> {
    let letters: Vec<char> = LETTERS.chars().collect();
    prop::collection::vec(prop::sample::select(letters), 1..8)
        .prop_map(|chars| chars.into_iter().collect::<String>().trim().to_owned())
        .prop_filter("not empty", |word| !word.is_empty())
}

/// Few of them, so that terms have the same names.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(vec!["dog", "Dog", "bank", "A > B", "[x]", "http://x.example/1", "\\|"]).prop_map(str::to_owned),
        2 => word(),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(word(), 1..4).prop_map(|lines| lines.join("\n\t"))
}

fn language() -> impl Strategy<Value = Language> {
    prop::sample::select(vec!["", "en", "de", "pt-br", "zh-hant"])
        .prop_map(|language| Language::try_from(language.to_owned()).expect("a language"))
}

fn label() -> impl Strategy<Value = Label> {
    let role = prop::sample::select(vec![Role::Preferred, Role::Alternative, Role::Hidden]);
    (language(), role, name()).prop_map(|(language, role, text)| Label { language, role, text })
}

fn note() -> impl Strategy<Value = Note> {
    (language(), text()).prop_map(|(language, text)| Note { language, text })
}

/// A term without what is broader, and the places before it that may be.
fn term() -> impl Strategy<Value = (Term, Vec<prop::sample::Index>)> {
    let labels = (language(), name(), prop::collection::vec(label(), 0..4));
    let uri = prop::option::weighted(
        0.4,
        prop::sample::select(vec!["http://x.example/", "urn:isbn:", "https://é.example/a?b=c&d#"]),
    );
    let threshold = prop::option::of(prop_oneof![Just(0.0), Just(1.0), Just(0.35), 0.0..1.0_f64, Just(1e-7)]);
    let rest =
        (prop::option::of(word()), prop::collection::vec(note(), 0..3), prop::collection::vec(word(), 0..3));
    let flags = (threshold, any::<bool>(), any::<bool>());
    let above = prop::collection::vec(any::<prop::sample::Index>(), 0..3);
    (any::<u32>(), labels, uri, rest, flags, above).prop_map(
        |(
            seed,
            (language, name, labels),
            uri,
            (notation, notes, prompts),
            (threshold, enabled, heading),
            above,
        )| {
            let mut term = Term::named(TermId::derived(&[&seed.to_string()]), language, &name);
            for label in labels {
                let second = label.role == Role::Preferred
                    && term
                        .labels
                        .iter()
                        .any(|other| other.role == label.role && other.language == label.language);
                if !second && !term.labels.contains(&label) {
                    term.labels.push(label);
                }
            }
            term.uri = uri.map(|uri| format!("{uri}{seed}"));
            term.notation = notation;
            term.notes = distinct(notes);
            term.prompts = distinct(prompts);
            (term.threshold, term.enabled, term.heading) = (threshold.map(rounded), enabled, heading);
            (term, above)
        },
    )
}

fn distinct<T: PartialEq>(list: Vec<T>) -> Vec<T> {
    let mut kept = Vec::new();
    for one in list {
        if !kept.contains(&one) {
            kept.push(one);
        }
    }
    kept
}

/// Up to a dozen terms, each below some of those before it.
pub(super) fn vocabulary() -> impl Strategy<Value = Vec<Term>> {
    prop::collection::vec(term(), 0..12).prop_map(|made| {
        let mut seen = HashSet::new();
        let mut terms: Vec<Term> = Vec::new();
        for (mut term, above) in made {
            if !seen.insert(term.id.clone()) {
                continue;
            }
            if !terms.is_empty() {
                term.parents = distinct(above.iter().map(|above| above.get(&terms).id.clone()).collect());
            }
            terms.push(term);
        }
        terms
    })
}
