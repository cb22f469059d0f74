//! Captions of a backfill are made together, after their pictures are gone.

use super::*;
use docent_pipelines::asset::ContentHash;
use docent_pipelines::{Analysis, Image, Suggestion};

/// They are the ones that each picture gets by itself, and they take fewer calls than there are pictures.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn captions_made_together_are_those_made_singly() {
    let setting = Setting::new();
    let data = tempfile::tempdir().expect("a temporary folder");
    let captioner = || {
        let usage = setting.pipeline.usage();
        let found = usage.into_iter().find(|(model, _)| model.id().contains("caption"));
        found.expect("there is a captioner").1
    };
    let rows = setting.ingest(data.path(), &Trigger::new(&[])).await;
    let usage = captioner();
    assert_eq!(usage.inputs, PICTURES as u64);
    assert!(usage.batches < usage.inputs, "{usage:?}");

    let mut expected = BTreeMap::new();
    for entry in std::fs::read_dir(setting.folder.path().join("pictures")).expect("the folder") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("is read");
        let Ok(image) = Image::decode(&bytes, &setting.config.decode_limits()) else { continue };
        let asset = ContentHash::of(&bytes).asset_id();
        let Analysis { suggestions, completed, .. } =
            setting.pipeline.analyze(&asset, &image, &[AnalyzerId::Caption]).await;
        assert!(completed.contains_key(&AnalyzerId::Caption));
        expected.extend(suggestions.into_iter().map(|said: Suggestion| (said.id.to_string(), said)));
    }
    assert_eq!(captioner().batches, usage.batches + PICTURES as u64, "each of these was asked for by itself");
    let found: Vec<_> = rows.suggestions.iter().filter(|(_, row)| row["kind"] == "caption").collect();
    assert_eq!((found.len(), expected.len()), (PICTURES, PICTURES));
    for (id, row) in found {
        let singly = &expected[id];
        assert_eq!(row["value"], singly.value.as_str());
        let confidence = row["confidence"].as_f64().expect("a number");
        assert!((confidence - singly.confidence.value()).abs() < 2e-3, "{row}");
    }
}

/// A picture that may end the process waits until everything before it is recorded, captions included.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_suspect_waits_for_the_captions_before_it() {
    let setting = Setting::new();
    let data = tempfile::tempdir().expect("a temporary folder");
    let death = Plan { arrow: "fetch", call: 1, side: Side::Before, fault: Fault::Death };
    let trigger = Trigger::new(&[death]);
    let open = async || {
        let path = data.path().join("ledger.sqlite");
        let store = Arc::new(SqliteStore::open(&path).await.expect("the ledger opens"));
        store.recover(4).await.expect("the ledger recovers");
        store
    };
    let store = open().await;
    let dead = trigger.birth();
    tokio::select! {
        () = dead.cancelled() => {}
        _ = setting.live(&store, &trigger) => panic!("it did not die"),
    }
    drop(store);
    let begun = |call: &&(&str, Side)| **call == ("begin_run", Side::After);
    let suspects = trigger.order().iter().filter(begun).count();
    let store = open().await;
    trigger.birth();
    assert!(tokio::time::timeout(PATIENCE, setting.live(&store, &trigger)).await.expect("docent hangs"));

    let order = trigger.order();
    let fetches: Vec<usize> =
        (0..order.len()).filter(|&place| order[place] == ("fetch", Side::Before)).collect();
    assert_eq!(fetches.len(), PICTURES + 1);
    assert!((1..=2).contains(&suspects), "{suspects} of them were begun in its first life");
    for before in fetches.len() - suspects..fetches.len() {
        let recorded =
            order[..fetches[before]].iter().filter(|call| **call == ("record", Side::After)).count();
        assert_eq!(recorded, before, "{order:?}");
    }
}
