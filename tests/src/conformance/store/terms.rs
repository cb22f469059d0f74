//! Cases for the vocabulary: changes and their log, what follows from them, and how far terms were applied.

use docent::search::{By, ByWords, Hit, Hits, by_words};
use docent::store::{
    AssetFilter, Decision, Finished, MatchedPortion, Page, Standing, Store, StoreError, StoredHead,
    StoredRule, SuggestionFilter, SuggestionRow, TermChange,
};
use docent_models::ModelRef;
use docent_pipelines::vocabulary::{Label, Language, Role, Term, TermId};
use docent_pipelines::{AnalyzerId, AssetId, Kind, Status, Suggestion, VectorRecord, VectorSpace};

use super::{LONG, analysis, analyze, claim, content, file, lease, listed, register, run, somebody, wanted};

fn english() -> Language {
    Language::try_from("en".to_owned()).expect("is a language")
}

fn id(key: &str) -> TermId {
    TermId::derived(&[key])
}

/// A term with an English name, and other words.
fn term(name: &str, parents: &[&str], words: &[(Role, &str, &str)]) -> Term {
    let mut term = Term::named(id(name), english(), name);
    term.parents = parents.iter().map(|parent| id(parent)).collect();
    let label = |&(role, language, text): &(Role, &str, &str)| Label {
        language: Language::try_from(language.to_owned()).expect("is a language"),
        role,
        text: text.to_owned(),
    };
    term.labels.extend(words.iter().map(label));
    term
}

async fn change(store: &dyn Store, changes: Vec<TermChange>) -> docent::store::Changed {
    let seen = store.vocabulary().await.expect("reads").revision;
    store.change_terms(&changes, seen, &somebody()).await.expect("changes")
}

async fn put(store: &dyn Store, terms: Vec<Term>) -> docent::store::Changed {
    change(store, terms.into_iter().map(|term| TermChange::Put(Box::new(term))).collect()).await
}

async fn settle(store: &dyn Store) {
    while store.advance_terms().await.expect("goes on") {}
}

/// Kind, value, status and whether it is a term's, of all that is said, by value.
async fn said(store: &dyn Store) -> Vec<(Kind, String, Status, bool)> {
    let rows = listed(store, SuggestionFilter::default()).await;
    let mut said: Vec<_> = rows
        .into_iter()
        .map(|SuggestionRow { kind, value, status, term, .. }| (kind, value, status, term.is_some()))
        .collect();
    said.sort_by(|a, b| (&a.1, a.0, a.2.as_str()).cmp(&(&b.1, b.0, b.2.as_str())));
    said
}

fn rows(rows: &[(Kind, &str, Status, bool)]) -> Vec<(Kind, String, Status, bool)> {
    rows.iter().map(|&(kind, value, status, term)| (kind, value.to_owned(), status, term)).collect()
}

/// What is put is there, each change has an entry with before and after, and a stale change is refused.
pub async fn changes_of_terms_are_logged(store: &dyn Store) {
    assert!(!store.vocabulary_has_begun().await.expect("reads"));
    let changed = put(store, vec![term("animal", &[], &[]), term("cat", &["animal"], &[])]).await;
    assert_eq!((changed.revision, changed.added, changed.changed, changed.removed), (1, 2, 0, 0));
    assert!(store.vocabulary_has_begun().await.expect("reads"));
    // As it is: nothing.
    assert_eq!(put(store, vec![term("animal", &[], &[])]).await.revision, 1);
    let renamed = Term { labels: term("feline", &[], &[]).labels, ..term("cat", &["animal"], &[]) };
    let changed = put(store, vec![renamed.clone()]).await;
    assert_eq!((changed.revision, changed.added, changed.changed), (2, 0, 1));
    let known = store.vocabulary().await.expect("reads");
    assert_eq!(known.terms().len(), 2);
    assert_eq!(known.term(&id("cat")), Some(&renamed));
    let stale = store.change_terms(&[TermChange::Remove(id("cat"))], 1, &somebody()).await;
    assert!(matches!(stale, Err(StoreError::Outdated { seen: 1, revision: 2 })), "{stale:?}");
    let unknown = store.change_terms(&[TermChange::Remove(id("dog"))], 2, &somebody()).await;
    assert!(matches!(unknown, Err(StoreError::NotFound { what: "term", .. })), "{unknown:?}");
    change(store, vec![TermChange::Remove(id("cat"))]).await;
    let log = store.term_log(Some(&id("cat")), &Page { limit: 2, after: None }).await.expect("lists");
    let told: Vec<_> = log.rows.iter().map(|entry| (entry.action.as_str(), entry.revision)).collect();
    assert_eq!(told, [("remove", 3), ("change", 2)]);
    assert_eq!(
        (log.rows[1].before.as_ref(), log.rows[1].after.as_ref()),
        (Some(&term("cat", &["animal"], &[])), Some(&renamed))
    );
    assert_eq!((log.rows[0].reviewer.as_str(), log.rows[0].after.as_ref()), ("Ada", None));
    let rest = store.term_log(Some(&id("cat")), &Page { limit: 2, after: log.next }).await.expect("lists");
    assert_eq!(rest.rows.iter().map(|entry| entry.action.as_str()).collect::<Vec<_>>(), ["add"]);
    assert_eq!(store.term_log(None, &Page { limit: 10, after: None }).await.expect("lists").rows.len(), 4);
}

/// Runs speak the vocabulary that there is when they are recorded; without one, every word is a tag.
pub async fn runs_speak_the_vocabulary(store: &dyn Store) {
    register(store, 0..4).await;
    let words = [claim(Kind::Tag, "tabby", 0.9, None), claim(Kind::Tag, "lynx", 0.8, None)];
    analyze(store, 0, &words).await;
    let before =
        rows(&[(Kind::Tag, "lynx", Status::Pending, false), (Kind::Tag, "tabby", Status::Pending, false)]);
    assert_eq!(said(store).await, before);
    let cat = term("cat", &[], &[(Role::Hidden, "en", "tabby"), (Role::Preferred, "de", "Katze")]);
    put(store, vec![cat]).await;
    analyze(store, 1, &words).await;
    // What was said before follows.
    settle(store).await;
    let both = rows(&[
        (Kind::Tag, "cat", Status::Pending, true),
        (Kind::Tag, "cat", Status::Pending, true),
        (Kind::Proposal, "lynx", Status::Pending, false),
        (Kind::Proposal, "lynx", Status::Pending, false),
    ]);
    assert_eq!(said(store).await, both);
    // What is counted follows, and proposals can be left out.
    for (kind, no_proposals, expected) in [
        (Some(Kind::Proposal), false, 2),
        (Some(Kind::Tag), false, 2),
        (None, true, 2),
        (Some(Kind::Proposal), true, 2),
    ] {
        let filter = SuggestionFilter { kind, no_proposals, ..SuggestionFilter::default() };
        let counted = store.count_suggestions(&filter).await.expect("counts").count;
        assert_eq!((counted, listed(store, filter).await.len()), (expected, 2), "{kind:?} {no_proposals}");
    }
    assert_eq!(store.counts(&wanted()).await.expect("counts").proposals, 2);
    analyze(store, 2, &words[1..]).await;
    for (kind, no_proposals, expected) in [(None, false, 3), (None, true, 2), (Some(Kind::Proposal), true, 3)]
    {
        let status = Some(Status::Pending);
        let filter = AssetFilter { status, kind, no_proposals, ..AssetFilter::default() };
        let page = Page { limit: 10, after: None };
        let mut pending: Vec<u64> = Vec::new();
        for row in store.list_assets(&filter, &page).await.expect("lists").rows {
            pending.push(row.pending);
        }
        assert_eq!(pending.len(), expected, "{kind:?} {no_proposals}");
        assert_eq!(pending.iter().sum::<u64>(), 2, "proposals are nothing that is to be reviewed");
    }
    // A new term adopts proposals, also decided ones.
    let proposals =
        listed(store, SuggestionFilter { kind: Some(Kind::Proposal), ..SuggestionFilter::default() }).await;
    store.decide(&proposals[0].id, Decision::Accept, &somebody()).await.expect("decides");
    put(store, vec![term("wild cat", &[], &[(Role::Alternative, "en", "Lynx")])]).await;
    settle(store).await;
    let adopted = rows(&[
        (Kind::Tag, "cat", Status::Pending, true),
        (Kind::Tag, "cat", Status::Pending, true),
        (Kind::Tag, "wild cat", Status::Accepted, true),
        (Kind::Tag, "wild cat", Status::Pending, true),
        (Kind::Tag, "wild cat", Status::Pending, true),
    ]);
    assert_eq!(said(store).await, adopted);
    // Another language renames everything, what was decided as well.
    store.speak(&Language::try_from("de".to_owned()).expect("is one")).await.expect("speaks");
    settle(store).await;
    assert_eq!(said(store).await.iter().filter(|row| row.1 == "Katze").count(), 2);
}

/// Renamed, merged, switched off, removed: decisions stay with their term, and what a decision answers is not said again.
pub async fn decisions_follow_their_terms(store: &dyn Store) {
    register(store, 0..3).await;
    put(store, vec![term("cat", &[], &[]), term("dog", &[], &[]), term("hound", &[], &[])]).await;
    for number in 0..3 {
        let words = ["cat", "dog", "hound"].map(|word| claim(Kind::Tag, word, 0.9, None));
        analyze(store, number, &words).await;
    }
    let of = async |value: &str, status: Status| {
        let filter = SuggestionFilter {
            value: Some(value.to_owned()),
            status: Some(status),
            ..SuggestionFilter::default()
        };
        listed(store, filter).await
    };
    let cat = of("cat", Status::Pending).await.remove(0);
    store.decide(&cat.id, Decision::Accept, &somebody()).await.expect("decides");
    let hound = of("hound", Status::Pending).await.remove(0);
    store.decide(&hound.id, Decision::Reject, &somebody()).await.expect("decides");
    // Renamed.
    put(
        store,
        vec![Term {
            labels: term("feline", &[], &[(Role::Alternative, "en", "cat")]).labels,
            ..term("cat", &[], &[])
        }],
    )
    .await;
    settle(store).await;
    let accepted = of("feline", Status::Accepted).await;
    assert_eq!((accepted.len(), &accepted[0].id), (1, &cat.id));
    assert_eq!((of("feline", Status::Pending).await.len(), of("cat", Status::Pending).await.len()), (2, 0));
    // Merged.
    change(store, vec![TermChange::Merge { from: id("hound"), into: id("dog") }]).await;
    settle(store).await;
    let rejected = of("dog", Status::Rejected).await;
    assert_eq!(
        (rejected.len(), &rejected[0].id, rejected[0].term.as_ref()),
        (1, &hound.id, Some(&id("dog")))
    );
    assert_eq!(of("hound", Status::Pending).await.len(), 0);
    let known = store.vocabulary().await.expect("reads");
    assert_eq!(known.term(&id("hound")).map(|term| term.id.clone()), Some(id("dog")));
    assert_eq!(known.meaning("hound").map(|term| term.id.clone()), Some(id("dog")));
    let log = store
        .term_log(Some(&id("hound")), &Page { limit: 1, after: None })
        .await
        .expect("lists")
        .rows
        .remove(0);
    assert_eq!((log.action.as_str(), log.after.map(|after| after.id)), ("merge", Some(id("dog"))));
    assert_eq!(log.before.map(|before| before.id), Some(id("hound")));
    // Switched off: nothing of it is pending, what was decided stands.
    put(store, vec![Term { enabled: false, ..known.term(&id("cat")).expect("is there").clone() }]).await;
    settle(store).await;
    assert_eq!(
        (of("feline", Status::Pending).await.len(), of("feline", Status::Accepted).await.len()),
        (0, 1)
    );
    // Removed: its words are proposals again, what was decided stands.
    change(store, vec![TermChange::Remove(id("dog"))]).await;
    settle(store).await;
    let dogs = of("dog", Status::Pending).await;
    assert!(!dogs.is_empty() && dogs.iter().all(|row| row.kind == Kind::Proposal && row.term.is_none()));
    assert_eq!(of("dog", Status::Rejected).await.len(), 1);
}

const SPACE: &str = "picture/joint@1";

fn space() -> VectorSpace {
    VectorSpace::from_name(SPACE)
}

/// Records an asset with a vector, and answers the vector's number.
async fn embed(store: &dyn Store, number: u32, values: [f32; 2]) -> i64 {
    let asset = content(number).asset_id();
    let jobs = lease(store, "test", 1000, LONG).await;
    for job in jobs.iter().filter(|job| job.asset != asset) {
        store.hand_back(&job.asset).await.expect("hands back");
    }
    let job = jobs.into_iter().find(|job| job.asset == asset).expect("is pending");
    store.begin_run(&job, "test").await.expect("begins");
    let (mut analysis, outcomes) = analysis(&asset, &[]);
    analysis.spaces.insert(space());
    analysis.vectors.push(VectorRecord::new(asset.clone(), space(), None, values.to_vec()));
    store.record(&[Finished { run: run(&asset), analysis, outcomes }]).await.expect("records");
    store.newest_vector(&space()).await.expect("reads")
}

fn rule(name: &str, print: &str) -> StoredRule {
    StoredRule {
        term: id(name),
        print: print.to_owned(),
        source: "prompts".to_owned(),
        weights: vec![1.5, -2.25],
        bias: -0.125,
        least: 0.5,
        applied: 0,
    }
}

fn found(asset: &AssetId, name: &str, confidence: f64) -> Suggestion {
    let model = ModelRef::new("joint+prompts", "1");
    let mut found =
        Suggestion::new(asset.clone(), AnalyzerId::Terms, claim(Kind::Tag, name, confidence, None), model);
    found.term = Some(id(name));
    found
}

/// A portion is recorded once, for rules that are as they were; it withdraws what is no longer said, and neither what is decided
/// nor what another analyzer says is said again.
pub async fn matches_are_recorded_once(store: &dyn Store) {
    register(store, 0..2).await;
    put(store, vec![term("cat", &[], &[]), term("dog", &[], &[])]).await;
    analyze(store, 0, &[claim(Kind::Tag, "dog", 0.7, None)]).await;
    let newest = embed(store, 1, [0.5, 0.25]).await;
    assert!(newest > 0);
    store.set_rules(&space(), &[rule("cat", "a"), rule("dog", "b")], &[]).await.expect("enters");
    let rules = store.rules(&space(), None).await.expect("reads");
    assert!(rules.contains(&rule("cat", "a")) && rules.len() == 2);
    let behind = Standing { terms: 2, behind: 2, from: Some(0), until: None };
    assert_eq!(store.standing(&space(), newest).await.expect("reads"), behind);
    assert_eq!(store.sample(&space(), 10).await.expect("reads"), [[0.5, 0.25]]);
    let assets = [content(0).asset_id(), content(1).asset_id()];
    let terms = [(id("cat"), "a".to_owned()), (id("dog"), "b".to_owned())];
    let all = [found(&assets[0], "cat", 0.9), found(&assets[0], "dog", 0.8), found(&assets[1], "dog", 0.6)];
    let portion = |terms, from, to, found| MatchedPortion {
        space: VECTORS.get_or_init(space),
        terms,
        from,
        to,
        assets: Some(&assets),
        found,
        owner: "me",
    };
    assert!(store.record_matches(portion(&terms, 0, newest, &all)).await.expect("records"));
    // The tagger says "dog" of the first as well.
    let expected = rows(&[
        (Kind::Tag, "cat", Status::Pending, true),
        (Kind::Tag, "dog", Status::Pending, true),
        (Kind::Tag, "dog", Status::Pending, true),
    ]);
    assert_eq!(said(store).await, expected);
    let nothing = Standing { terms: 2, behind: 0, from: None, until: None };
    assert_eq!(store.standing(&space(), newest).await.expect("reads"), nothing);
    // Not twice, and not with a rule that changed.
    assert!(!store.record_matches(portion(&terms, 0, newest, &all)).await.expect("records"));
    let (changed, other) = ([(id("cat"), "z".to_owned())], rule("cat", "c"));
    store.set_rules(&space(), &[other], &[]).await.expect("enters");
    assert!(!store.record_matches(portion(&changed, 0, newest, &[])).await.expect("records"));
    assert!(!store.record_matches(portion(&terms[..1], 0, newest, &[])).await.expect("records"));
    // No longer said: withdrawn, and only that.
    let now = [(id("cat"), "c".to_owned())];
    assert!(store.record_matches(portion(&now, 0, newest, &[])).await.expect("records"));
    assert_eq!(said(store).await.iter().filter(|row| row.2 == Status::Superseded).count(), 1);
    // Said again it is the same row; decided, it is not said again.
    store.set_rules(&space(), &[rule("cat", "d")], &[]).await.expect("enters");
    let again = [(id("cat"), "d".to_owned())];
    assert!(store.record_matches(portion(&again, 0, newest, &all[..1])).await.expect("records"));
    assert_eq!(said(store).await, expected);
    let filter = SuggestionFilter { value: Some("cat".to_owned()), ..SuggestionFilter::default() };
    let cat = listed(store, filter.clone()).await.remove(0);
    assert_eq!((cat.analyzer, cat.confidence), (AnalyzerId::Terms, 0.9));
    store.decide(&cat.id, Decision::Reject, &somebody()).await.expect("decides");
    store.set_rules(&space(), &[rule("cat", "e")], &[id("dog")]).await.expect("enters");
    let last = [(id("cat"), "e".to_owned())];
    assert!(store.record_matches(portion(&last, 0, newest, &all[..1])).await.expect("records"));
    assert_eq!(
        listed(store, filter).await.iter().map(|row| row.status).collect::<Vec<_>>(),
        [Status::Rejected]
    );
    assert_eq!(store.rules(&space(), None).await.expect("reads").len(), 1);
}

/// A tag of the vocabulary gives way to the same tag from a network, whether a classifier says it or a detector finds the thing.
pub async fn the_vocabulary_gives_way_to_networks(store: &dyn Store) {
    register(store, 0..2).await;
    put(store, vec![term("cat", &[], &[]), term("dog", &[], &[])]).await;
    let assets = [content(0).asset_id(), content(1).asset_id()];
    embed(store, 0, [0.5, 0.25]).await;
    let newest = embed(store, 1, [0.5, 0.25]).await;
    store.set_rules(&space(), &[rule("cat", "a"), rule("dog", "b")], &[]).await.expect("enters");
    let terms = [(id("cat"), "a".to_owned()), (id("dog"), "b".to_owned())];
    let all = [found(&assets[0], "cat", 0.9), found(&assets[0], "dog", 0.8), found(&assets[1], "dog", 0.6)];
    let portion = MatchedPortion {
        space: &space(),
        terms: &terms,
        from: 0,
        to: newest,
        assets: Some(&assets),
        found: &all,
        owner: "me",
    };
    assert!(store.record_matches(portion).await.expect("records"));

    let record = async |claims: &[docent_pipelines::suggestion::Claim], analyzers: &[AnalyzerId]| {
        let (mut analysis, outcomes) = analysis(&assets[0], claims);
        analysis.completed.retain(|analyzer, _| analyzers.contains(analyzer));
        store.record(&[Finished { run: run(&assets[0]), analysis, outcomes }]).await.expect("records");
    };
    let both = [AnalyzerId::Tags, AnalyzerId::Objects];
    record(&[claim(Kind::Tag, "cat", 0.7, None), claim(Kind::Object, "dog", 0.7, Some(0.1))], &both).await;
    let pending = SuggestionFilter { status: Some(Status::Pending), ..SuggestionFilter::default() };
    let mut told: Vec<(bool, String, AnalyzerId)> = listed(store, pending.clone())
        .await
        .into_iter()
        .filter(|row| row.kind == Kind::Tag)
        .map(|row| (row.asset_id == assets[0], row.value, row.analyzer))
        .collect();
    told.sort_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)));
    let expected = [
        (true, "cat", AnalyzerId::Tags),
        (true, "dog", AnalyzerId::Objects),
        (false, "dog", AnalyzerId::Terms),
    ];
    assert_eq!(told, expected.map(|(first, value, analyzer)| (first, value.to_owned(), analyzer)));
    // The detector alone finds a cat, too: the classifier's tag stays as it is.
    let tag = SuggestionFilter { value: Some("cat".to_owned()), kind: Some(Kind::Tag), ..pending.clone() };
    let before = listed(store, tag.clone()).await;
    record(&[claim(Kind::Object, "cat", 0.9, Some(0.5))], &[AnalyzerId::Objects]).await;
    assert_eq!(listed(store, tag.clone()).await, before);
    // The classifier alone does not see it any more, and the detector does with the next run.
    record(&[], &[AnalyzerId::Tags]).await;
    record(&[claim(Kind::Object, "cat", 0.9, Some(0.5))], &[AnalyzerId::Objects]).await;
    let after = listed(store, tag).await;
    assert_eq!(after.iter().map(|row| row.analyzer).collect::<Vec<_>>(), [AnalyzerId::Objects]);
}

static VECTORS: std::sync::OnceLock<VectorSpace> = std::sync::OnceLock::new();

/// A term that is typed, in any of its languages, first finds what was accepted as it or as something narrower; what looks like it
/// is looked for by its English name.
pub async fn a_term_finds_what_was_accepted_as_it(store: &dyn Store) {
    register(store, 0..4).await;
    let animal = term("animal", &[], &[(Role::Preferred, "de", "Tier")]);
    put(store, vec![animal, term("cat", &["animal"], &[]), term("car", &[], &[])]).await;
    for (number, word) in [(0, "cat"), (1, "animal"), (2, "cat"), (3, "car")] {
        analyze(store, number, &[claim(Kind::Tag, word, 0.9, None)]).await;
    }
    for number in [0, 1] {
        let filter =
            SuggestionFilter { asset: Some(content(number).asset_id()), ..SuggestionFilter::default() };
        let row = listed(store, filter).await.remove(0);
        store.decide(&row.id, Decision::Accept, &somebody()).await.expect("decides");
    }
    let everything = AssetFilter::default();
    let question = |words, by| ByWords { words, unfinished: false, by, k: 10, filter: &everything };
    let asked = std::sync::Mutex::new(Vec::new());
    let meaning = async |words: String, _: usize| {
        asked.lock().expect("is free").push(words);
        let hit =
            |number: u32| Hit { asset_id: content(number).asset_id(), uri: file(number).uri, score: 0.5 };
        Ok(Hits::from(vec![hit(3), hit(0)]))
    };
    let found = by_words(store, question("TIER", None), meaning).await.expect("searches");
    assert_eq!(found.term.as_deref(), Some("animal"));
    let told: Vec<(AssetId, Vec<By>)> =
        found.hits.into_iter().map(|hit| (hit.asset_id, hit.matched)).collect();
    let id = |number: u32| content(number).asset_id();
    let mut first = told[..2].to_vec();
    first.sort_by_key(|(asset, _)| *asset != id(0));
    assert_eq!(first, [(id(0), vec![By::Term, By::Meaning]), (id(1), vec![By::Term])]);
    assert_eq!(told[2..], [(id(3), vec![By::Meaning])]);
    let found = by_words(store, question("cat", Some(By::Term)), meaning).await.expect("searches");
    assert_eq!(found.hits.into_iter().map(|hit| hit.asset_id).collect::<Vec<_>>(), [id(0)]);
    let found = by_words(store, question("a cat that sits", None), meaning).await.expect("searches");
    assert_eq!(found.term, None);
    assert_eq!(*asked.lock().expect("is free"), ["animal", "a cat that sits"]);
}

/// Decided pictures are examples with their vectors, and heads are kept with their figures.
pub async fn decisions_are_examples(store: &dyn Store) {
    register(store, 0..3).await;
    put(store, vec![term("cat", &[], &[])]).await;
    for number in 0..3 {
        embed(store, number, [number as f32, 1.0]).await;
    }
    let newest = store.newest_vector(&space()).await.expect("reads");
    store.set_rules(&space(), &[rule("cat", "a")], &[]).await.expect("enters");
    let assets: Vec<AssetId> = (0..3).map(|number| content(number).asset_id()).collect();
    let all: Vec<Suggestion> = assets.iter().map(|asset| found(asset, "cat", 0.9)).collect();
    let terms = [(id("cat"), "a".to_owned())];
    let portion = MatchedPortion {
        space: &space(),
        terms: &terms,
        from: 0,
        to: newest,
        assets: Some(&assets),
        found: &all,
        owner: "me",
    };
    assert!(store.record_matches(portion).await.expect("records"));
    for (number, decision) in [(0, Decision::Accept), (1, Decision::Reject)] {
        store.decide(&all[number].id, decision, &somebody()).await.expect("decides");
    }
    assert_eq!(store.decided_terms().await.expect("counts"), [(id("cat"), 1, 1)]);
    let mut examples = store.examples(&id("cat"), &space(), 10).await.expect("reads");
    examples.sort_by_key(|example| !example.shows);
    let told: Vec<(bool, Vec<f32>)> =
        examples.into_iter().map(|example| (example.shows, example.vector)).collect();
    assert_eq!(told, [(true, vec![0.0, 1.0]), (false, vec![1.0, 1.0])]);
    assert_eq!(store.accepted_as(&[id("cat"), id("dog")], 10).await.expect("lists"), assets[..1]);
    let head = |version, used| StoredHead {
        term: id("cat"),
        version,
        used,
        figures: r#"{"accepted": 1}"#.to_owned(),
        weights: vec![0.5, 1.0],
        bias: -1.0,
        least: 0.25,
    };
    let none = store.head_count(&space()).await.expect("counts");
    for kept in [head(1, true), head(2, false)] {
        store.keep_head(&space(), &kept).await.expect("keeps");
        assert_eq!(store.heads(&space()).await.expect("reads"), [kept]);
    }
    assert_ne!(store.head_count(&space()).await.expect("counts"), none);
    let tagged =
        store.list_assets(&AssetFilter::default(), &Page { limit: 10, after: None }).await.expect("lists");
    assert_eq!(tagged.rows.iter().filter(|row| row.accepted_tags == ["cat"]).count(), 1);
}
