//! Killed amid an export again and again, docent leaves whole sidecars and nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use docent::export::xmp::Packet;
use docent_pipelines::Kind;
use docent_tests::random::Random;

use super::shelf::{Shelf, picture, says};

const PICTURES: usize = 120;
const KILLS: usize = 50;
/// No export takes longer.
const LIMIT: Duration = Duration::from_secs(60);
/// Change it to look at other moments; a failure prints the one in use.
const SEED: u64 = 20_261;

#[test]
fn fifty_kills_leave_whole_sidecars() {
    let shelf = Shelf::new();
    let theirs = String::from_utf8(Packet::empty().expect("is a packet").to_bytes()).expect("is text");
    let theirs = theirs.replace(
        "<rdf:Description rdf:about=\"\"/>",
        "<rdf:Description rdf:about=\"\" xmlns:crs=\"http://ns.adobe.com/camera-raw-settings/1.0/\" crs:Exposure2012=\"+0.50\"/>",
    );
    for number in 0..PICTURES {
        let name = format!("{:02}/{number:03}.png", number / 40);
        let words = (0..20).map(|word| says(Kind::Tag, &format!("word {word} of {number}"), None));
        shelf.add(
            &name,
            &picture(number as u8),
            words.chain([says(Kind::Caption, "a caption", None)]).collect(),
        );
        // Every other one has a sidecar of somebody else.
        if number % 2 == 0 {
            shelf.write(format!("{name}.xmp"), &theirs);
        }
    }
    accept_all(&shelf);
    let sidecars = || -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for folder in 0..3 {
            for entry in std::fs::read_dir(shelf.path(format!("{folder:02}"))).expect("a folder") {
                let path = entry.expect("an entry").path();
                let name = path.display().to_string();
                if !name.ends_with(".png") {
                    found.insert(name, std::fs::read(&path).expect("is there"));
                }
            }
        }
        found
    };
    let before = sidecars();
    shelf.export(&[]).expect(0);
    let expected = sidecars();
    assert_eq!(expected.len(), PICTURES);
    let restore = || {
        for name in expected.keys() {
            match before.get(name) {
                Some(bytes) => std::fs::write(name, bytes).expect("is written"),
                None => std::fs::remove_file(name).unwrap_or(()),
            }
        }
    };
    let created =
        || expected.keys().filter(|name| !before.contains_key(*name) && Path::new(name).exists()).count();
    restore();
    let mut random = Random::new(SEED);
    let (mut amid, mut tries, mut left_over) = (0, 0, 0);
    while amid < KILLS {
        assert!(tries < 6 * KILLS, "seed {SEED}: only {amid} of {tries} kills came amid the writing");
        tries += 1;
        // Every second one goes on where the one before was killed.
        if tries % 2 == 0 || created() > PICTURES / 4 {
            restore();
        }
        let start = created();
        let goal = start + random.within(1, (PICTURES / 2 - start) as u32) as usize;
        let mut run = shelf.docent.start(["export", "xmp", "--format", "json"]);
        run.watch(LIMIT, |_| created() >= goal);
        let alive = run.kill().code.is_none();
        let there = sidecars();
        let mut done = 0;
        for (name, bytes) in &there {
            if name.contains("/.docent-xmp-") && name.ends_with(".part") {
                left_over += 1;
                continue;
            }
            let is_old = before.get(name) == Some(bytes);
            let is_new = expected.get(name) == Some(bytes);
            assert!(is_old || is_new, "seed {SEED}: {name} is neither as before nor as it is to be");
            done += usize::from(is_new);
        }
        amid += usize::from(alive && done > 0 && done < PICTURES);
    }
    eprintln!("seed {SEED}: {amid} of {tries} kills came amid the writing, {left_over} left a file behind");
    restore();
    shelf.export(&[]).expect(0);
    assert!(sidecars() == expected, "seed {SEED}: the end is not that of a calm run");
}

/// Words in no vocabulary are proposals, which are accepted one kind at a time.
fn accept_all(shelf: &Shelf) {
    shelf.accept();
    let args = ["accept", "--all", "--min-confidence", "0", "--kind", "proposal", "--as", "ada"];
    let ended = shelf.docent.run(args);
    assert!(matches!(ended.code, Some(0 | 1)), "{ended:?}");
}
