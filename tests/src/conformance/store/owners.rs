//! Cases for whose an asset is.

use std::collections::HashSet;

use docent::store::{AssetFilter, FoundFile, Page, PlaceFilter, Store, SuggestionFilter};
use docent_pipelines::{Kind, Owner, Status};

use super::{analyze, claim, content, file, listed, wanted};

/// An owner belongs to a place, stays until another is named, and can be asked for together with a folder.
pub async fn owners_belong_to_places(store: &dyn Store) {
    let owner = |name: &str| Some(Owner::try_from(name.to_owned()).expect("is a name"));
    let owned = |number, name| FoundFile { owner: owner(name), ..file(number) };
    let copy = FoundFile { uri: "file:///elsewhere/copy.jpg".to_owned(), ..owned(1, "press") };
    store
        .register(&[owned(1, "museum"), owned(2, "press"), file(3), copy.clone()], &wanted())
        .await
        .expect("registers");
    // Nothing is said of it this time.
    store.register(&[file(1)], &wanted()).await.expect("registers");
    let row = store.asset(&content(1).asset_id()).await.expect("is there");
    assert_eq!(row.owners, ["museum", "press"]);
    let known = store.known_files(&[file(1).uri, file(3).uri]).await.expect("looks up");
    assert_eq!((&known[&file(1).uri].owner, &known[&file(3).uri].owner), (&owner("museum"), &None));

    for number in 1..4 {
        analyze(store, number, &[claim(Kind::Tag, "cat", 0.9, None)]).await;
    }
    let of = async |name: &str, folder: Option<&str>| {
        let place = PlaceFilter { uri_prefix: folder.map(str::to_owned), owner: owner(name) };
        let assets = AssetFilter { place: place.clone(), ..AssetFilter::default() };
        let matching = store.matching(&assets, 100).await.expect("filters").expect("are few");
        let page = Page { limit: 10, after: None };
        let rows = store.list_assets(&assets, &page).await.expect("lists").rows;
        assert_eq!(rows.iter().map(|row| row.asset_id.clone()).collect::<HashSet<_>>(), matching);
        let filter = SuggestionFilter { place, status: Some(Status::Pending), ..SuggestionFilter::default() };
        let said: HashSet<_> =
            listed(store, filter.clone()).await.into_iter().map(|row| row.asset_id).collect();
        assert_eq!(said, matching);
        assert_eq!(store.count_suggestions(&filter).await.expect("counts").count, matching.len() as u64);
        matching
    };
    let assets = |numbers: &[u32]| numbers.iter().map(|n| content(*n).asset_id()).collect::<HashSet<_>>();
    assert_eq!(of("museum", None).await, assets(&[1]));
    assert_eq!(of("press", None).await, assets(&[1, 2]));
    assert_eq!(of("press", Some("file:///photos")).await, assets(&[2]), "its copy elsewhere is of the press");
    assert_eq!(of("nobody", None).await, assets(&[]));

    store.register(&[FoundFile { owner: owner("museum"), ..copy }], &wanted()).await.expect("registers");
    assert_eq!(of("press", None).await, assets(&[2]));
}
