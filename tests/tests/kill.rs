//! Killed without warning again and again, docent ends with the rows of a run that nobody disturbed.

use std::path::Path;
use std::time::Duration;

use docent_tests::corpus;
use docent_tests::program::Docent;
use docent_tests::random::Random;
use docent_tests::rows::{Rows, differences};

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");
const PICTURES: usize = 300;
const KILLS: usize = 50;
/// Change it to look at other moments; a failure prints the one in use.
const SEED: u64 = 20_261;

/// Moments at which to kill, as working time since the run before: sorted random moments of one long run, taken apart.
fn moments(total: Duration, random: &mut Random) -> Vec<Duration> {
    let mut points: Vec<f64> = (0..KILLS).map(|_| random.share()).collect();
    points.sort_by(f64::total_cmp);
    let before = std::iter::once(0.0).chain(points.clone());
    points.iter().zip(before).map(|(point, before)| total.mul_f64(point - before)).collect()
}

#[test]
fn fifty_kills_change_nothing() {
    eprintln!("seed {SEED}");
    let calm = Docent::new(PROGRAM);
    let pictures = calm.folder().join("pictures");
    corpus::write(&pictures, PICTURES, SEED);
    // A file that cannot be decoded must not be lost either.
    std::fs::write(pictures.join("broken.jpg"), b"\xff\xd8\xff\xe0 and no more").expect("is written");
    let args = ["ingest".as_ref(), pictures.as_os_str(), "--format=json".as_ref()];
    let undisturbed = calm.run(args).expect(0);
    let expected = Rows::of(&calm);
    assert_eq!(undisturbed.summary()["analyzed"], PICTURES, "{:?}", undisturbed.summary());
    assert_eq!(expected.failures.len(), 1);
    eprintln!("undisturbed: {:?}, {} suggestions", undisturbed.elapsed, expected.suggestions.len());

    let torn = Docent::new(PROGRAM);
    let start = start_up(&pictures);
    let mut running = 0;
    let mut random = Random::new(SEED);
    let work = undisturbed.elapsed.saturating_sub(start);
    let moments = moments(work, &mut random);
    let mut tries = 0;
    while running < KILLS {
        assert!(tries < 4 * KILLS, "only {running} of {tries} kills met a running docent");
        let moment = moments[tries % moments.len()];
        // One in five dies while it still reads the folder or loads the networks.
        let moment = if tries % 5 == 4 { start.mul_f64(random.share()) } else { start + moment };
        let mut run = torn.start(args);
        run.watch(moment, |_| false);
        let alive = run.kill().code.is_none();
        eprintln!("kill {tries} after {moment:?}{}", if alive { "" } else { ": it had ended" });
        running += usize::from(alive);
        tries += 1;
        if !alive {
            // Everything is done: from the beginning, over what is there.
            torn.run(["retry", "--all", "--queue-only"]).expect(0);
        }
    }
    let last = torn.run(args).expect(0);
    eprintln!("{running} of {tries} kills met it alive; the last run took {:?}", last.elapsed);
    assert_eq!(last.summary()["remaining"], 0, "{:?}", last.summary());
    let found = Rows::of(&torn);
    let suggestions = differences(&expected.suggestions, &found.suggestions);
    assert_eq!(expected.suggestions.len(), found.suggestions.len(), "seed {SEED}\n{suggestions}");
    assert!(expected.suggestions == found.suggestions, "seed {SEED}\n{suggestions}");
    let failures = differences(&expected.failures, &found.failures);
    assert!(expected.failures == found.failures, "seed {SEED}\n{failures}");
    assert_eq!(expected.counts, found.counts, "seed {SEED}");
}

/// How long docent takes until it works: the time for a single picture, where it has measured before how large batches should be.
fn start_up(pictures: &Path) -> Duration {
    let docent = Docent::new(PROGRAM);
    let ingest =
        |name: &str| docent.run(["ingest".as_ref(), pictures.join(name).as_os_str()]).expect(0).elapsed;
    ingest("0000.jpg");
    ingest("0001.jpg")
}

#[test]
fn what_a_killed_ingest_held_is_listed_and_released() {
    let docent = Docent::new(PROGRAM);
    let pictures = docent.folder().join("pictures");
    corpus::write(&pictures, 40, SEED);
    docent.run(["leases", "list"]).expect(1);
    let run = docent.start(["ingest".as_ref(), pictures.as_os_str(), "--only=tags".as_ref()]);
    let rows = loop {
        // Until it has begun some.
        let listed = docent.run(["leases", "list", "--format=json"]);
        let rows = if listed.code == Some(0) { listed.json() } else { Vec::new() };
        if rows.iter().any(|row| row["begun"] == true) {
            break rows;
        }
    };
    assert_eq!(run.kill().code, None, "it was at work");
    let owner = rows[0]["owner"].as_str().expect("a name").split('/').next().expect("not empty").to_owned();
    assert!(rows.iter().all(|row| row["uri"].as_str().is_some_and(|uri| uri.contains("/pictures/"))));
    // What the dead process held is there until the next start, or until somebody releases it.
    let listed = docent.json(["leases", "list", "--owner", &owner, "--format=json"]);
    let waiting = listed.iter().filter(|row| row["begun"] == false).count();
    let table = docent.run(["leases", "list"]).expect(0);
    assert!(table.stdout.contains("OWNER") && table.stdout.contains(&owner), "{}", table.stdout);
    let refused = docent.run(["leases", "release"]).expect(2);
    assert!(refused.stderr.contains("hint: give ASSET, --owner or --all-not-begun"), "{}", refused.stderr);
    docent.run(["leases", "release", "--owner", "nobody"]).expect(1);
    docent.run(["leases", "release", "--all-not-begun"]).expect(if waiting > 0 { 0 } else { 1 });
    docent.run(["leases", "list", "--not-begun"]).expect(1);
    let first = listed.iter().find(|row| row["begun"] == true);
    if let Some(asset) = first.and_then(|row| row["asset_id"].as_str()) {
        docent.run(["leases", "release", asset]).expect(0);
    }
    docent.run(["leases", "release", "--owner", &owner]);
    docent.run(["leases", "list"]).expect(1);
    docent.ingest(&pictures);
}
