//! Cases for what is known of places.

use docent::queue::Lane;
use docent::store::{AssetRow, FileStamp, FoundFile, PLACES, Store, SuggestionFilter};
use docent_pipelines::Kind;

use super::{analyze, claim, content, listed, wanted};

fn at(place: &str, number: u32) -> FoundFile {
    FoundFile {
        uri: format!("file:///archive/{place}"),
        stamp: FileStamp { bytes: 100, modified_ns: 7 },
        hash: content(number).into(),
        lane: Lane::Backfill,
        owner: None,
    }
}

/// An asset is shown where it still is; where it is no more is kept, comes last, and can come back.
pub async fn places_may_be_gone_and_come_back(store: &dyn Store) {
    let files = [at("a.jpg", 1), at("b.jpg", 1), at("b.jpg/c", 2), at("b c.jpg", 2), at("d/e.jpg", 3)];
    store.register(&files, &wanted()).await.expect("registers");
    analyze(store, 1, &[claim(Kind::Tag, "cat", 0.9, None)]).await;
    let uri = |place: &str| format!("file:///archive/{place}");
    let shown = async || {
        let row = store.asset(&content(1).asset_id()).await.expect("is there");
        let AssetRow { uris, gone, .. } = row;
        let rows = listed(store, SuggestionFilter::default()).await;
        assert_eq!(rows[0].uri, uris[0], "listings show the same place first");
        (uris, gone)
    };
    assert_eq!(shown().await, (vec![uri("a.jpg"), uri("b.jpg")], false));
    // Noting it twice is noting it once; what nobody knows is left out.
    for _ in 0..2 {
        store.note_places(&[uri("a.jpg"), uri("nowhere.jpg")], &[]).await.expect("notes");
        assert_eq!(shown().await, (vec![uri("b.jpg"), uri("a.jpg")], false));
    }
    let known = store.known_files(&[uri("a.jpg"), uri("b.jpg")]).await.expect("looks up");
    assert_eq!((known[&uri("a.jpg")].gone, known[&uri("b.jpg")].gone, known.len()), (true, false, 2));
    store.note_places(&[uri("b.jpg")], &[]).await.expect("notes");
    assert_eq!(shown().await, (vec![uri("a.jpg"), uri("b.jpg")], true));
    // Both ways back: somebody has seen it, or registers it.
    store.note_places(&[], &[uri("b.jpg")]).await.expect("notes");
    assert_eq!(shown().await, (vec![uri("b.jpg"), uri("a.jpg")], false));
    store.register(&files[..1], &wanted()).await.expect("registers");
    assert_eq!(shown().await, (vec![uri("a.jpg"), uri("b.jpg")], false));

    store.note_places(&[uri("b c.jpg")], &[]).await.expect("notes");
    for limit in [1, 2, 1000] {
        for (folder, expected) in [
            ("file:///archive", vec!["a.jpg", "b c.jpg", "b.jpg", "b.jpg/c", "d/e.jpg"]),
            ("file:///archive/b.jpg", vec!["b.jpg", "b.jpg/c"]),
            ("file:///archive/b", vec![]),
            ("file:///", vec!["a.jpg", "b c.jpg", "b.jpg", "b.jpg/c", "d/e.jpg"]),
        ] {
            let mut found = Vec::new();
            loop {
                let after = found.last().map(|place: &docent::store::KnownPlace| place.uri.clone());
                let page = store.places_below(folder, after.as_deref(), limit).await.expect("lists");
                assert!(page.len() <= limit as usize);
                if page.is_empty() {
                    break;
                }
                found.extend(page);
            }
            assert!(found.iter().all(|place| place.gone == (place.uri == uri("b c.jpg"))), "{found:?}");
            let uris: Vec<String> = found.into_iter().map(|place| place.uri).collect();
            assert_eq!(uris, expected.into_iter().map(uri).collect::<Vec<_>>(), "{folder}, pages of {limit}");
        }
    }

    let many: Vec<FoundFile> = (0..70).map(|number| at(&format!("many/{number}"), 9)).collect();
    store.register(&many, &wanted()).await.expect("registers");
    let asked = [1, 2, 9, 10].map(|number| content(number).asset_id());
    let assets = store.known_assets(&asked).await.expect("looks up");
    let places = |number: u32| -> Vec<(String, u64, bool)> {
        let places = &assets[&content(number).asset_id()];
        places.iter().map(|place| (place.uri.clone(), place.bytes, place.gone)).collect()
    };
    assert_eq!(assets.len(), 3);
    assert_eq!(places(1), [(uri("a.jpg"), 100, false), (uri("b.jpg"), 100, false)]);
    assert_eq!(places(2), [(uri("b.jpg/c"), 100, false), (uri("b c.jpg"), 100, true)]);
    assert_eq!(places(9).len(), PLACES as usize);
    let elsewhere: Vec<FoundFile> =
        many.iter().map(|file| FoundFile { hash: content(8).into(), ..file.clone() }).collect();
    store.register(&elsewhere, &wanted()).await.expect("registers");
    let lost = content(9).asset_id();
    let placeless = store.known_assets(std::slice::from_ref(&lost)).await.expect("looks up");
    assert_eq!((placeless.len(), placeless[&lost].len()), (1, 0), "known, and nowhere");
}
