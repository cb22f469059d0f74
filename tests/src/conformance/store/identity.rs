//! Cases for what makes an asset.

use docent::store::{FileStamp, FoundFile, Store};
use docent_pipelines::asset::ContentHash;
use docent_pipelines::{AnalyzerId, AssetId, Fingerprint, Kind, Status};

use super::{LONG, analyze, claim, content, file, lease, listed, somebody, wanted};

/// A file with this picture and these bytes.
fn print(picture: u32, bytes: &str) -> Fingerprint {
    Fingerprint { bytes: ContentHash::of(bytes.as_bytes()), picture: content(picture) }
}

fn at(name: &str, hash: Fingerprint) -> FoundFile {
    FoundFile { uri: format!("file:///photos/{name}"), hash, ..file(0) }
}

async fn identified(store: &dyn Store, prints: &[Fingerprint]) -> Vec<AssetId> {
    store.identify(prints).await.expect("identifies")
}

/// An asset is its picture, whatever else its files hold; of a file that was read again because of its metadata only the decoding
/// is done again.
pub async fn a_picture_is_one_asset_whatever_is_written_beside_it(store: &dyn Store) {
    let (plain, tagged, other) = (print(1, "plain"), print(1, "with a keyword"), print(2, "another"));
    // What nobody knows would be a new asset, with its id from its picture.
    assert_eq!(
        identified(store, &[other, plain, tagged]).await,
        [content(2), content(1), content(1)].map(|hash| hash.asset_id())
    );
    let first = store.register(&[at("a.jpg", plain)], &wanted()).await.expect("registers");
    assert_eq!((first.new_assets, first.new_paths), (1, 1));
    analyze(store, 1, &[claim(Kind::Tag, "cat", 0.9, None)]).await;
    let tag = listed(store, Default::default()).await.remove(0);
    store.decide(&tag.id, docent::store::Decision::Accept, &somebody()).await.expect("decides");
    assert_eq!(store.outstanding(&wanted()).await.expect("counts"), 0);

    // The same bytes again change nothing.
    store.register(&[at("a.jpg", plain)], &wanted()).await.expect("registers");
    assert_eq!(store.outstanding(&wanted()).await.expect("counts"), 0);
    // A keyword does not make another asset, and runs no network.
    let written = FoundFile { stamp: FileStamp { bytes: 140, modified_ns: 9 }, ..at("a.jpg", tagged) };
    let again = store.register(std::slice::from_ref(&written), &wanted()).await.expect("registers");
    assert_eq!((again.new_assets, again.new_paths), (0, 0));
    let jobs = lease(store, "test", 10, LONG).await;
    assert_eq!(jobs.len(), 1);
    assert_eq!((&jobs[0].asset, &jobs[0].analyzers[..]), (&content(1).asset_id(), &[AnalyzerId::Decode][..]));
    store.hand_back(&jobs[0].asset).await.expect("hands back");
    let kept = listed(store, Default::default()).await;
    assert_eq!(kept.iter().map(|row| row.status).collect::<Vec<_>>(), [Status::Accepted]);
    let known = store.known_files(std::slice::from_ref(&written.uri)).await.expect("looks up");
    let known = &known[&written.uri];
    assert_eq!(known.content_hash, Some(tagged.bytes.to_hex()));
    assert!(known.identified);

    // A copy with other metadata is a copy; another picture at a known place is another asset.
    let copied = store.register(&[at("b.jpg", print(1, "a copy"))], &wanted()).await.expect("registers");
    assert_eq!((copied.new_assets, copied.new_paths), (0, 1));
    let changed = store.register(&[at("b.jpg", other)], &wanted()).await.expect("registers");
    assert_eq!((changed.new_assets, changed.new_paths), (1, 1));
    let row = store.asset(&content(1).asset_id()).await.expect("is there");
    assert_eq!((row.uris, row.picture), (vec![written.uri], Some(content(1).to_hex())));
    // Two files of one new picture in one portion are one asset.
    let both = [at("c.jpg", print(3, "one")), at("d.jpg", print(3, "two"))];
    let registered = store.register(&both, &wanted()).await.expect("registers");
    assert_eq!((registered.new_assets, registered.new_paths), (1, 2));
}
