//! Cases for the words in pictures, and for searches by them.

use std::collections::BTreeSet;

use docent::search::{By, ByWords, Hit, Hits, Match, Matches, SearchError, by_words};
use docent::store::{
    AssetFilter, Decision, Finished, JobState, NewJob, Part, PlaceFilter, Requeue, Store, SuggestionFilter,
    folded,
};
use docent_pipelines::suggestion::Claim;
use docent_pipelines::{AssetId, Kind, Status};

use super::{LONG, analysis, analyze, claim, content, file, lease, listed, register, run, somebody, wanted};

/// Texts are looked at, so many at most.
const LOOKED_AT: usize = 4096;

fn says(text: &str) -> Claim {
    claim(Kind::Text, text, 0.9, Some(0.1))
}

/// One asset for each text, numbered as they come.
async fn read(store: &dyn Store, texts: &[&str]) {
    register(store, 0..texts.len() as u32).await;
    for (number, text) in (0..).zip(texts) {
        analyze(store, number, &[says(text)]).await;
    }
}

fn part(words: &str) -> Part {
    Part::words(&folded(words)).expect("has words")
}

fn number(asset: &AssetId) -> u32 {
    (0..30_000).find(|number| content(*number).asset_id() == *asset).expect("is one of these")
}

/// The numbers of the assets with a text that holds all parts.
async fn holding(store: &dyn Store, parts: &[Part]) -> BTreeSet<u32> {
    let holding = store.holding(parts, None).await.expect("searches");
    assert!(holding.complete);
    holding.texts.iter().map(|held| number(&held.asset)).collect()
}

/// By texts alone, as people type it.
async fn typed(store: &dyn Store, words: &str, unfinished: bool) -> Vec<u32> {
    let filter = AssetFilter::default();
    let question = ByWords { words, unfinished, by: Some(By::Text), k: 100, filter: &filter };
    let found = by_words(store, question, nobody).await.expect("searches");
    assert!(found.complete && found.hits.iter().all(|hit| hit.matched == [By::Text] && hit.score.is_none()));
    found.hits.iter().map(|hit| number(&hit.asset_id)).collect()
}

async fn nobody(_: String, _: usize) -> Result<Hits, SearchError> {
    panic!("meaning was not asked for")
}

/// Words, phrases, beginnings and pieces are found, whatever their case, accents, script and punctuation.
pub async fn words_are_found_in_texts(store: &dyn Store) {
    let texts = [
        "GRAND HÔTEL\nMinerva",
        "Straße der Müller & Söhne, e-mail: info@mueller.de",
        "東京都庁 Tokyo Metropolitan Government",
        "ガラスの庭",
        "대한민국의 학교에서",
        "Das Grandhotel am Hafen, Zimmer 12",
        "Йод — ёлка, КИЇВ",
        "it's a quote: \"hotel grand\", 100 % * cotton",
        "***",
    ];
    read(store, &texts).await;
    for (words, expected) in [
        ("hotel", &[0, 7][..]),
        ("Hôtel", &[0, 7]),
        ("minerva", &[0]),
        ("STRASSE", &[1]),
        ("muller sohne", &[1]),
        ("info mueller", &[1]),
        ("東京", &[2]),
        ("京都", &[2]),
        ("東都", &[]),
        ("庁", &[2]),
        ("ガラス", &[3]),
        ("학교", &[4]),
        ("елка", &[6]),
        ("київ", &[6]),
        ("12", &[5]),
        ("1", &[]),
        ("100 cotton", &[7]),
        ("it's", &[7]),
        ("hot", &[]),
        ("nowhere", &[]),
    ] {
        let parts: Vec<Part> = words.split(' ').map(part).collect();
        assert_eq!(holding(store, &parts).await, expected.iter().copied().collect(), "{words}");
    }
    // In a row, over lines and signs.
    for (words, expected) in
        [("grand hotel", &[0][..]), ("hotel minerva", &[0]), ("hotel grand", &[7]), ("mail info", &[1])]
    {
        assert_eq!(holding(store, &[part(words)]).await, expected.iter().copied().collect(), "{words}");
    }
    let beginning = |words: &str| part(words).beginning().expect("is long enough");
    assert_eq!(holding(store, &[beginning("hot")]).await, BTreeSet::from([0, 7]));
    assert_eq!(holding(store, &[beginning("grand hot")]).await, BTreeSet::from([0]));
    let piece = |words: &str| part(words).anywhere().expect("is long enough");
    assert_eq!(holding(store, &[piece("hotel")]).await, BTreeSet::from([0, 5, 7]));
    assert_eq!(holding(store, &[piece("otel mine")]).await, BTreeSet::from([0]));
    assert_eq!(holding(store, &[piece("hotel"), part("hafen")]).await, BTreeSet::from([5]));
    assert_eq!(store.holding(&[], None).await.expect("searches").texts, []);
    // Of some assets alone, which need no index.
    let some = [0, 5, 8].map(|number| content(number).asset_id());
    let held = store.holding(&[piece("hotel")], Some(&some)).await.expect("searches");
    assert_eq!(
        held.texts.iter().map(|held| number(&held.asset)).collect::<BTreeSet<_>>(),
        BTreeSet::from([0, 5])
    );

    // As people type it: whole words come before pieces, in quotes there are no pieces, signs are nothing.
    assert_eq!(typed(store, "hotel", false).await.last(), Some(&5));
    assert_eq!(typed(store, "\"hotel\"", false).await.len(), 2);
    assert_eq!(typed(store, "\"grand hotel\"", false).await, [0]);
    assert_eq!(
        typed(store, "\"grand hot", true).await.iter().collect::<BTreeSet<_>>(),
        BTreeSet::from([&0, &5, &7])
    );
    assert_eq!(typed(store, "e-mail", false).await, [1]);
    for words in ["hotel*", "-hotel", "(hotel)", "hotel:", "'hotel'", "hotel\\", "hotel & |", "NEAR(hotel)^2"]
    {
        let found = typed(store, words, false).await;
        assert!(found.is_empty() || found.len() == 3, "{words}: {found:?}");
    }
    assert_eq!(typed(store, "hotel OR minerva", false).await, [0; 0], "OR is a word");
    let texts = store.holding(&[part("hafen")], None).await.expect("searches").texts;
    let read = store.texts(&[texts[0].suggestion.clone()]).await.expect("looks up");
    assert_eq!(read[0].1, "Das Grandhotel am Hafen, Zimmer 12");
}

/// What is rejected or not said any more is not found; what comes back is.
pub async fn texts_follow_runs_and_decisions(store: &dyn Store) {
    read(store, &["Harbor", "Harbor Bridge"]).await;
    let harbor = async || holding(store, &[part("harbor")]).await;
    let all = BTreeSet::from([0, 1]);
    assert_eq!(harbor().await, all);
    let filter = SuggestionFilter { asset: Some(content(0).asset_id()), ..SuggestionFilter::default() };
    let id = listed(store, filter).await[0].id.clone();
    for (decision, expected) in [
        (Decision::Accept, all.clone()),
        (Decision::Undo, all.clone()),
        (Decision::Reject, BTreeSet::from([1])),
        (Decision::Undo, all.clone()),
    ] {
        store.decide(&id, decision, &somebody()).await.expect("decides");
        assert_eq!(harbor().await, expected, "{decision:?}");
    }
    // Another text, and the first again.
    let again = async |number: u32, text: &str| {
        store.requeue(Requeue::All, &wanted(), Some(&[content(number).asset_id()])).await.expect("requeues");
        analyze(store, number, &[says(text)]).await;
    };
    again(1, "Old Town").await;
    assert_eq!(
        (harbor().await, holding(store, &[part("old town")]).await),
        (BTreeSet::from([0]), BTreeSet::from([1]))
    );
    again(1, "Harbor Bridge").await;
    assert_eq!((harbor().await, holding(store, &[part("town")]).await), (all.clone(), BTreeSet::new()));
    // A run that is recorded twice, and a decision on many.
    let (analysis, outcomes) = analysis(&content(1).asset_id(), &[says("Harbor Bridge")]);
    let finished = Finished { run: run(&content(1).asset_id()), analysis, outcomes };
    store.record(&[finished]).await.expect("records");
    assert_eq!(harbor().await, all);
    let filter = SuggestionFilter {
        kind: Some(Kind::Text),
        status: Some(Status::Pending),
        min_confidence: Some(0.1),
        ..SuggestionFilter::default()
    };
    let new = NewJob { reject: true, filter, newest_run: None, by: somebody() };
    let mut job = store.start_job(&new).await.expect("begins");
    while job.state.is_open() {
        job = store.advance_job(Some(job.id)).await.expect("goes on").expect("is open");
    }
    assert_eq!((job.state, harbor().await), (JobState::Done, BTreeSet::new()));
    let mut back = store.revert_job(job.id, &somebody()).await.expect("begins");
    while back.state.is_open() {
        back = store.advance_job(Some(back.id)).await.expect("goes on").expect("is open");
    }
    assert_eq!(harbor().await, all);
}

/// Of 20,000 texts no more are looked at than there is time for, and what is rare or filtered for is found all the same.
pub async fn many_texts_take_no_longer(store: &dyn Store) {
    const TEXTS: u32 = 20_000;
    const PORTION: u32 = 1000;
    for first in (0..TEXTS).step_by(PORTION as usize) {
        register(store, first..first + PORTION).await;
        let jobs = lease(store, "me", PORTION, LONG).await;
        let mut finished = Vec::new();
        for job in &jobs {
            let number = number_of(job.asset.clone(), first..first + PORTION);
            let text = format!("common harbor {number}{}", if number == 7 { " lighthouse" } else { "" });
            let (analysis, outcomes) = analysis(&job.asset, &[says(&text)]);
            finished.push(Finished { run: run(&job.asset), analysis, outcomes });
        }
        assert_eq!(finished.len(), PORTION as usize);
        store.record(&finished).await.expect("records");
    }
    let common = store.holding(&[part("common"), part("harbor")], None).await.expect("searches");
    assert_eq!((common.texts.len(), common.complete), (LOOKED_AT, false));
    for words in ["lighthouse", "common harbor 7", "harbor 7 lighthouse"] {
        assert_eq!(holding(store, &[part(words)]).await, BTreeSet::from([7]), "{words}");
    }
    let few = [3, 7].map(|number| content(number).asset_id());
    let held = store.holding(&[part("common")], Some(&few)).await.expect("searches");
    assert_eq!((held.texts.len(), held.complete), (2, true));
    // A filter that few pass is exact however common the words are; one that says nothing of them is not complete.
    for (path, expected) in [("file:///photos/000003.jpg", 1), ("file:///nowhere", 0), ("file:///photos", 20)]
    {
        let place = PlaceFilter { uri_prefix: Some(path.to_owned()), owner: None };
        let filter = AssetFilter { place, ..AssetFilter::default() };
        let question =
            ByWords { words: "common", unfinished: false, by: Some(By::Text), k: 20, filter: &filter };
        let found = by_words(store, question, nobody).await.expect("searches");
        assert_eq!((found.hits.len(), found.complete), (expected, true), "{path}");
    }
}

fn number_of(asset: AssetId, numbers: std::ops::Range<u32>) -> u32 {
    numbers.into_iter().find(|number| content(*number).asset_id() == asset).expect("is one of these")
}

/// Meaning and texts are joined: what both find comes first, filters hold for both, and what is gone comes last.
pub async fn meaning_and_texts_are_joined(store: &dyn Store) {
    read(store, &["nothing", "Harbor", "a harbor at night, far away from here", "harbor", "old harbor"])
        .await;
    let asset = |number: u32| content(number).asset_id();
    let nearest = async |order: &[u32]| -> Result<Hits, SearchError> {
        let hit = |number: &u32| Hit { asset_id: asset(*number), uri: file(*number).uri, score: 0.5 };
        Ok(order.iter().map(hit).collect::<Vec<_>>().into())
    };
    let any = AssetFilter::default();
    let question = |k, filter| ByWords { words: "Harbor", unfinished: false, by: None, k, filter };
    let numbers = |found: &Matches| found.hits.iter().map(|hit| number(&hit.asset_id)).collect::<Vec<_>>();
    let of = |found: &Matches, wanted: u32| -> Match {
        found.hits.iter().find(|hit| number(&hit.asset_id) == wanted).expect("is found").clone()
    };

    let found = by_words(store, question(10, &any), |_, _| nearest(&[0, 2, 4])).await.expect("searches");
    // Texts: 3 and 1 (the newer of equals), then 4, then 2, which is long.
    let by_text = typed(store, "harbor", false).await;
    assert_eq!(by_text, [3, 1, 4, 2]);
    assert_eq!(numbers(&found), [2, 4, 3, 0, 1], "what both find, then the first of each");
    assert_eq!(of(&found, 4).matched, [By::Meaning, By::Text]);
    let (text, shown) = (of(&found, 3), of(&found, 0));
    assert_eq!((text.matched, text.score), (vec![By::Text], None));
    assert_eq!((shown.matched, shown.score, shown.text), (vec![By::Meaning], Some(0.5), None));
    let excerpt = of(&found, 2).text.expect("has one");
    assert_eq!(
        (excerpt.text.as_str(), excerpt.places),
        ("a harbor at night, far away from here", vec![(2, 8)])
    );
    assert!(found.complete && found.without_meaning.is_none());
    let best = by_words(store, question(2, &any), |_, _| nearest(&[0, 2, 4])).await.expect("searches");
    assert_eq!(numbers(&best), [2, 4]);

    // A piece of a word is no reason to show a picture among those that show something.
    let piece = ByWords { words: "arbo", ..question(10, &any) };
    let found = by_words(store, piece, |_, _| nearest(&[0])).await.expect("searches");
    assert_eq!(numbers(&found), [0]);
    assert_eq!(typed(store, "arbo", false).await.len(), 4);

    let place = PlaceFilter { uri_prefix: Some(file(1).uri), owner: None };
    let filter = AssetFilter { place, ..AssetFilter::default() };
    let found = by_words(store, question(10, &filter), |_, _| nearest(&[])).await.expect("searches");
    assert_eq!(numbers(&found), [1]);
    let rejected = AssetFilter { status: Some(Status::Rejected), ..AssetFilter::default() };
    let found = by_words(store, question(10, &rejected), |_, _| nearest(&[])).await.expect("searches");
    assert_eq!(numbers(&found), [0; 0]);

    store.note_places(&[file(3).uri, file(4).uri], &[]).await.expect("notes");
    assert_eq!(typed(store, "harbor", false).await, [1, 2, 3, 4], "what is gone comes last");
    let found = by_words(store, question(10, &any), |_, _| nearest(&[0, 2, 4])).await.expect("searches");
    assert_eq!(numbers(&found), [2, 1, 0, 4, 3]);

    // Without a model texts are searched, and it is said.
    let missing = async |_, _| Err(SearchError::NoModel("no encoder".to_owned()));
    let found = by_words(store, question(10, &any), missing).await.expect("searches");
    assert_eq!((numbers(&found), found.without_meaning.as_deref()), (vec![1, 2, 3, 4], Some("no encoder")));
    let meaning = ByWords { by: Some(By::Meaning), ..question(10, &any) };
    assert!(matches!(by_words(store, meaning, missing).await, Err(SearchError::NoModel(_))));
    // What no text can be searched for has a meaning, and is an error where texts alone are asked for.
    for words in ["***", &"word ".repeat(40)] {
        let strange = ByWords { words, ..question(10, &any) };
        let found = by_words(store, strange, |_, _| nearest(&[0])).await.expect("searches");
        assert_eq!(numbers(&found), [0]);
        let strange = ByWords { by: Some(By::Text), ..strange };
        assert!(matches!(by_words(store, strange, nobody).await, Err(SearchError::Unasked(_))));
    }
}
