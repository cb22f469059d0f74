//! Cases for what makes an asset.

use std::collections::BTreeSet;

use docent::store::{Decision, FileStamp, Finished, FoundFile, PictureFacts, Run, Store, SuggestionFilter};
use docent_pipelines::asset::ContentHash;
use docent_pipelines::suggestion::Claim;
use docent_pipelines::{AnalyzerId, AssetId, Fingerprint, Kind, Status, VectorRecord, VectorSpace};

use super::{LONG, analysis, analyze, claim, content, file, lease, listed, run, somebody, wanted};

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

/// Registering twice is registering once; the same content at another place is the same asset.
pub async fn registering_is_idempotent(store: &dyn Store) {
    let first = store.register(&[file(1), file(2)], &wanted()).await.expect("registers");
    assert_eq!((first.new_assets, first.new_paths), (2, 2));
    let again = store.register(&[file(1), file(2)], &wanted()).await.expect("registers");
    assert_eq!((again.new_assets, again.new_paths), (0, 0));
    let copy = FoundFile { uri: "file:///elsewhere/copy.jpg".to_owned(), ..file(1) };
    let copied = store.register(std::slice::from_ref(&copy), &wanted()).await.expect("registers");
    assert_eq!((copied.new_assets, copied.new_paths), (0, 1));
    let row = store.asset(&content(1).asset_id()).await.expect("is there");
    assert_eq!(row.uris, [copy.uri.clone(), file(1).uri]);
    let known = store.known_files(&[file(1).uri, "file:///unknown".to_owned()]).await.expect("looks up");
    assert_eq!(known.len(), 1);
    assert_eq!(known[&file(1).uri].stamp, file(1).stamp);
    // Other content at a known place moves the place, and leaves the former asset its other one.
    let changed = FoundFile { uri: copy.uri.clone(), ..file(3) };
    store.register(&[changed], &wanted()).await.expect("registers");
    assert_eq!(store.asset_at(&copy.uri).await.expect("looks up"), Some(content(3).asset_id()));
    assert_eq!(store.asset(&content(1).asset_id()).await.expect("is there").uris, [file(1).uri]);
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
    store.decide(&tag.id, Decision::Accept, &somebody()).await.expect("decides");
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

/// Registers a picture at a place and records what is said about it, with its vector.
async fn look(store: &dyn Store, place: &str, picture: u32, claims: &[Claim], vector: &[f32]) -> AssetId {
    let asset = content(picture).asset_id();
    store.register(&[at(place, content(picture).into())], &wanted()).await.expect("registers");
    let (mut analysis, outcomes) = analysis(&asset, claims);
    let space = VectorSpace::from_name("picture/p@1");
    analysis.vectors = vec![VectorRecord::new(asset.clone(), space.clone(), None, vector.to_vec())];
    analysis.spaces.insert(space);
    store.record(&[Finished { run: run(&asset), analysis, outcomes }]).await.expect("records");
    asset
}

/// What is said about an asset and waits, by value, with its analyzer.
async fn waits(store: &dyn Store, asset: &AssetId) -> Vec<(String, AnalyzerId)> {
    let filter = SuggestionFilter {
        asset: Some(asset.clone()),
        status: Some(Status::Pending),
        ..SuggestionFilter::default()
    };
    let mut rows: Vec<_> =
        listed(store, filter).await.into_iter().map(|row| (row.value, row.analyzer)).collect();
    rows.sort();
    rows
}

/// Who saves an edit over a picture is offered what was accepted of it, unless something else lies there now.
pub async fn an_edit_is_offered_what_was_accepted_before(store: &dyn Store) {
    let tag = |value: &str| claim(Kind::Tag, value, 0.9, None);
    let thing = claim(Kind::Object, "boat", 0.9, Some(0.1));
    for n in 0..20_u32 {
        let angle = n as f32;
        look(store, &format!("other {n}"), 100 + n, &[], &[0.0, angle.cos(), angle.sin()]).await;
    }
    for place in ["edited.jpg", "replaced.jpg"] {
        let number = if place == "edited.jpg" { 1 } else { 3 };
        let before =
            look(store, place, number, &[tag("harbor"), tag("boat"), thing.clone()], &[1.0, 0.0, 0.0]).await;
        let filter = SuggestionFilter { asset: Some(before), ..SuggestionFilter::default() };
        for row in listed(store, filter).await {
            let decision = if row.value == "boat" && row.kind == Kind::Tag {
                Decision::Reject
            } else {
                Decision::Accept
            };
            store.decide(&row.id, decision, &somebody()).await.expect("decides");
        }
    }
    let said = [tag("harbor"), tag("evening"), thing];
    let edited = look(store, "edited.jpg", 2, &said, &[0.9, 0.3, 0.3]).await;
    let carried = ("harbor".to_owned(), AnalyzerId::Predecessor);
    let rest = [("boat".to_owned(), AnalyzerId::Objects), ("evening".to_owned(), AnalyzerId::Tags)];
    // What the network says as well is said once; what lies somewhere in the picture may have been cut off.
    assert_eq!(waits(store, &edited).await, [rest[0].clone(), rest[1].clone(), carried.clone()]);
    // A further run withdraws nothing of it.
    let again = look(store, "edited.jpg", 2, &said[1..], &[0.9, 0.3, 0.3]).await;
    assert_eq!(waits(store, &again).await, [rest[0].clone(), rest[1].clone(), carried]);
    let replaced = look(store, "replaced.jpg", 4, &[tag("evening")], &[0.0, 0.6, 0.8]).await;
    assert_eq!(waits(store, &replaced).await, [rest[1].clone()]);
    // A new picture at a new place follows nothing.
    let new = look(store, "new.jpg", 5, &[], &[1.0, 0.0, 0.0]).await;
    assert_eq!(waits(store, &new).await, []);
}

/// Another orientation turns what was decided, and the networks look again; the same one changes nothing.
pub async fn another_orientation_turns_what_was_decided(store: &dyn Store) {
    let asset = content(1).asset_id();
    store.register(&[at("a.jpg", content(1).into())], &wanted()).await.expect("registers");
    let decoded = async |orientation: u8, claims: &[Claim], of: &[AnalyzerId]| {
        let (mut analysis, mut outcomes) = analysis(&asset, claims);
        analysis.completed.retain(|analyzer, _| of.contains(analyzer));
        outcomes.retain(|outcome| of.contains(&outcome.analyzer));
        let picture = Some(PictureFacts { orientation, ..PictureFacts::new(30, 20, "jpeg") });
        let run = Run { picture, ..run(&asset) };
        store.record(&[Finished { run, analysis, outcomes }]).await.expect("records");
    };
    let all = [AnalyzerId::Decode, AnalyzerId::Tags, AnalyzerId::Objects];
    let cat = claim(Kind::Object, "cat", 0.9, Some(0.1));
    decoded(1, std::slice::from_ref(&cat), &all).await;
    let row = listed(store, SuggestionFilter::default()).await.remove(0);
    store.decide(&row.id, Decision::Accept, &somebody()).await.expect("decides");
    let place = async || {
        let region = listed(store, SuggestionFilter::default()).await.remove(0).region.expect("has a region");
        [region.x, region.y, region.width, region.height].map(|value| (value * 1000.0).round() / 1000.0)
    };
    assert_eq!(place().await, [0.1, 0.2, 0.3, 0.4]);
    decoded(1, &[], &all[..1]).await;
    assert_eq!(store.outstanding(&wanted()).await.expect("counts"), 0);
    // A quarter to the right: what was at the left is at the top, what was at the bottom is at the left.
    decoded(6, &[], &all[..1]).await;
    assert_eq!(place().await, [0.4, 0.1, 0.4, 0.3]);
    let jobs = lease(store, "test", 10, LONG).await;
    assert_eq!(jobs[0].analyzers.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([all[1], all[2]]));
    store.hand_back(&asset).await.expect("hands back");
    decoded(8, &[], &all[..1]).await;
    assert_eq!(place().await, [0.2, 0.6, 0.4, 0.3]);
    // A network that says the same again is answered by the decision.
    decoded(1, std::slice::from_ref(&cat), &all).await;
    assert_eq!(place().await, [0.1, 0.2, 0.3, 0.4]);
    assert_eq!(listed(store, SuggestionFilter::default()).await.len(), 1);
}
