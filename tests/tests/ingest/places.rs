//! Where files are: one file has one place, a moved one its new place, and one that is overwritten is another picture.

use std::fs::{File, FileTimes};
use std::os::unix::net::UnixListener;
use std::path::Path;

use docent::assets::{file_uri, normalized, path_of_uri};
use proptest::prelude::*;

use super::*;

fn ingest(docent: &Docent, path: &Path) -> Value {
    let args = [OsStr::new("ingest"), path.as_os_str(), OsStr::new(CHEAP), OsStr::new("--format=json")];
    docent.run(args).expect(0).summary()
}

/// The places of all pictures that have suggestions.
fn listed(docent: &Docent) -> BTreeSet<String> {
    docent.suggestions().iter().map(|row| row["uri"].as_str().expect("a place").to_owned()).collect()
}

#[test]
fn a_moved_picture_is_listed_where_it_is_and_a_deleted_one_leads_no_search() {
    let docent = docent();
    let pictures = docent.folder().join("pictures");
    corpus::copy_samples(&pictures);
    let count = ingest(&docent, &pictures)["analyzed"].as_u64().expect("a number");
    let cat = || docent.json(["search", "a cat looking at the camera", "-k", "3", "--format=json"]);
    let (old, new) = (pictures.join("chelsea.jpg"), pictures.join("z moved.jpg"));
    assert_eq!(cat()[0]["uri"], uri(&old).as_str());

    fs::rename(&old, &new).expect("is moved");
    let moved = ingest(&docent, &pictures);
    assert_eq!((number(&moved, &["moved"]), number(&moved, &["gone"])), (1, 0), "{moved}");
    assert_eq!(cat()[0]["uri"], uri(&new).as_str());
    assert!(listed(&docent).contains(&uri(&new)) && !listed(&docent).contains(&uri(&old)));
    let again = ingest(&docent, &pictures);
    assert_eq!((number(&again, &["moved"]), number(&again, &["gone"])), (0, 0), "that is known now");

    // Gone altogether: behind all others, and to be found where nothing else is asked for.
    let aside = docent.folder().join("aside.jpg");
    fs::rename(&new, &aside).expect("is moved");
    assert_eq!(number(&ingest(&docent, &pictures), &["gone"]), 1);
    let hits = cat();
    assert_eq!(hits.len(), 3);
    assert!(hits.iter().all(|hit| hit["uri"] != uri(&new).as_str() && hit["uri"] != uri(&old).as_str()));
    let every = docent.json(["search", "a cat looking at the camera", "-k", "100", "--format=json"]);
    assert_eq!(every.len() as u64, count);
    assert!(every.last().expect("a hit")["uri"].as_str().expect("a place").contains("chelsea"));

    // It is back, as it was: nothing is read or analyzed again.
    fs::rename(&aside, &old).expect("is moved");
    let back = ingest(&docent, &pictures);
    assert_eq!((number(&back, &["unchanged"]), number(&back, &["analyzed"])), (count, 0), "{back}");
    assert_eq!(cat()[0]["uri"], uri(&old).as_str());

    // A folder without any file may be a drive that is not there: nothing is concluded from it.
    fs::rename(&pictures, docent.folder().join("unmounted")).expect("is moved");
    fs::create_dir(&pictures).expect("a folder");
    docent.run([OsStr::new("ingest"), pictures.as_os_str(), OsStr::new(CHEAP)]).expect(1);
    assert_eq!(cat()[0]["uri"], uri(&old).as_str());
}

/// Size and time of change say that nothing has changed; only who reads the file again can know.
#[test]
fn a_picture_that_was_overwritten_unnoticed_becomes_another_one() {
    let docent = docent();
    let pictures = docent.folder().join("pictures");
    fs::create_dir(&pictures).expect("a folder");
    // The same size: what follows a picture's end is no part of it.
    let [coffee, cat] = ["coffee.jpg", "chelsea.jpg"].map(|name| {
        let mut bytes = fs::read(corpus::samples().join(name)).expect("a sample");
        assert!(bytes.len() < 1 << 20);
        bytes.resize(1 << 20, 0);
        bytes
    });
    let path = pictures.join("a.jpg");
    fs::write(&path, &coffee).expect("is written");
    assert_eq!(number(&ingest(&docent, &pictures), &["analyzed"]), 1);

    let changed = path.metadata().expect("is there").modified().expect("a time");
    let overwrite = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("is overwritten");
        let file = File::options().write(true).open(&path).expect("opens");
        file.set_times(FileTimes::new().set_modified(changed)).expect("takes the time");
    };
    overwrite(&cat);
    assert_eq!(number(&ingest(&docent, &pictures), &["unchanged"]), 1, "nobody can know");

    let again = docent.run(["retry", "--all", CHEAP, "--format=json"]).expect(0).summary();
    assert_eq!(number(&again, &["analyzed"]), 1, "the new one: {again}");
    let failures = docent.failures();
    assert_eq!(failures.len(), 1, "{failures:?}");
    let rows: Vec<Value> =
        docent.suggestions().into_iter().filter(|row| row["uri"] == uri(&path).as_str()).collect();
    assert!(rows.iter().any(|row| row["value"] == "cat"), "{rows:?}");
    assert!(rows.iter().all(|row| row["asset_id"] != failures[0]["asset_id"]), "{rows:?}");
    let reason = failures[0]["reason"].as_str().expect("a text");
    assert!(reason.contains("there is another picture now, which is looked at by itself"), "{reason}");
    let status = docent.status();
    assert_eq!((number(&status, &["assets"]), number(&status, &["paths"])), (2, 1));
    assert_eq!(number(&status, &["analyzers", "tags", "done"]), 1, "{status}");
    // The next scan reads it once, because its time was unknown, and knows it then.
    assert_eq!(number(&ingest(&docent, &pictures), &["new_paths"]), 0);
    assert_eq!(number(&ingest(&docent, &pictures), &["unchanged"]), 1);

    // The other way out: every file is read again. What failed because it was nowhere is tried again.
    overwrite(&coffee);
    assert_eq!(number(&ingest(&docent, &pictures), &["unchanged"]), 1, "nobody can know");
    let reread = docent.run(["ingest", "pictures", "--reread", CHEAP, "--format=json"]).expect(0).summary();
    assert_eq!((number(&reread, &["changed"]), number(&reread, &["analyzed"])), (1, 1), "{reread}");
    assert_eq!(docent.failures(), Vec::<Value>::new());
    let reread = docent.run(["ingest", "pictures", "--reread", CHEAP, "--format=json"]).expect(0).summary();
    assert_eq!((number(&reread, &["unchanged"]), number(&reread, &["analyzed"])), (1, 0), "{reread}");
}

/// Work of a picture that is nowhere ends; it does not wait for ever, and goes on where the picture is found again.
#[test]
fn work_of_deleted_and_renamed_pictures_comes_to_an_end() {
    let docent = docent();
    let pictures = docent.folder().join("pictures");
    let files = corpus::write(&pictures, 4, 16);
    docent.run(["ingest", "pictures", "--only=tags"]).expect(0);
    docent.run(["retry", "--missing", "--only=embedding", "--queue-only"]).expect(0);
    let aside = docent.folder().join("aside.jpg");
    fs::rename(&files[0], &aside).expect("is moved");
    fs::remove_file(&files[1]).expect("is removed");
    fs::rename(&files[2], pictures.join("renamed.jpg")).expect("is moved");
    let summary = ingest(&docent, &pictures);
    let of = |name: &str| number(&summary, &[name]);
    assert_eq!((of("analyzed"), of("failed"), of("remaining")), (2, 2, 0), "{summary}");
    assert_eq!((of("moved"), of("gone"), of("unchanged")), (1, 2, 1), "{summary}");
    assert_eq!(number(&docent.status(), &["analyzers", "embedding", "pending"]), 0);

    fs::rename(&aside, &files[0]).expect("is moved");
    let summary = ingest(&docent, &pictures);
    assert_eq!((number(&summary, &["unchanged"]), number(&summary, &["analyzed"])), (3, 1), "{summary}");
    assert_eq!(number(&docent.status(), &["analyzers", "embedding", "done"]), 3);
    assert_eq!(docent.failures().len(), 1);
}

#[test]
fn every_way_in_leads_to_the_same_place() {
    let docent = docent();
    let pictures = docent.folder().join("été 98");
    let file = pictures.join("0000.jpg");
    fs::create_dir(&pictures).expect("a folder");
    fs::copy(corpus::samples().join("chelsea.jpg"), &file).expect("is copied");
    assert_eq!(number(&ingest(&docent, &pictures), &["analyzed"]), 1);
    let escaped = uri(&file).replace("été", "%c3%a9t%C3%A9").replace("file://", "file:");
    for other in [
        pictures.join("../été 98/./0000.jpg").into_os_string(),
        escaped.clone().into(),
        escaped.replace("file:/", "file://localhost//").into(),
        "été 98//0000.jpg".into(),
    ] {
        let summary = ingest(&docent, Path::new(&other));
        assert_eq!(number(&summary, &["unchanged"]), 1, "{other:?}: {summary}");
        let args: [&OsStr; 4] = ["suggestions".as_ref(), "--path".as_ref(), &other, "--format=json".as_ref()];
        assert!(!docent.json(args).is_empty(), "{other:?}");
    }
    assert_eq!(number(&docent.status(), &["paths"]), 1);
}

/// What a person names is not waited for, either, and what lies outside of the roots is not read.
#[test]
fn pipes_are_refused_and_links_do_not_lead_out_of_the_roots() {
    let docent = docent();
    let (pictures, elsewhere) = (docent.folder().join("pictures"), docent.folder().join("elsewhere"));
    corpus::write(&pictures, 2, 14);
    let outside = corpus::write(&elsewhere, 1, 15).remove(0);
    symlink(&outside, pictures.join("out.jpg")).expect("a link");
    let named = |name: &str| docent.folder().join(name);
    let (pipe, socket, link, folder) =
        (named("pipe.jpg"), named("socket.jpg"), named("link.jpg"), named("f.jpg"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let _listener = UnixListener::bind(&socket).expect("a socket");
    symlink(&pipe, &link).expect("a link");
    fs::create_dir(&folder).expect("a folder");
    for (place, kind) in [
        (pipe.as_path(), "a named pipe, not a file"),
        (&socket, "a socket, not a file"),
        (&link, "a named pipe, not a file"),
        (&docent.folder().join("x/../pipe.jpg"), "a named pipe, not a file"),
        (Path::new("/dev/zero"), "a device, not a file"),
    ] {
        docent.run([OsStr::new("similar"), place.as_os_str()]).expect(2);
        let args = [OsStr::new("analyze"), place.as_os_str(), OsStr::new("--only=tags")];
        let analyzed = docent.run(args).expect(1);
        let reason = analyzed.json()[0]["failures"][0]["reason"].as_str().expect("a text").to_owned();
        assert!(reason.ends_with(kind), "{}: {reason}", place.display());
        let refused = docent.run([OsStr::new("ingest"), place.as_os_str(), OsStr::new(CHEAP)]).expect(2);
        assert!(refused.stderr.contains(kind) && refused.stderr.contains("hint: "), "{}", refused.stderr);
    }

    // A folder is walked, but is like no picture.
    docent.run([OsStr::new("similar"), folder.as_os_str()]).expect(2);

    docent.configure(&format!("[assets]\nroots = ['{}']\n", pictures.display()));
    let summary = ingest(&docent, &pictures);
    assert_eq!(
        (number(&summary, &["analyzed"]), number(&summary, &["unreadable_count"])),
        (2, 1),
        "{summary}"
    );
    assert!(summary["unreadable"].to_string().contains("assets.roots"), "{summary}");
    assert_eq!(number(&ingest(&docent, &elsewhere), &["unreadable_count"]), 1);
    // A person may look for what resembles any file.
    let args = [OsStr::new("similar"), outside.as_os_str(), OsStr::new("--format=json")];
    assert_eq!(docent.json(args).len(), 2);
}

/// A path, and the same path as other programs may write it.
fn spelled() -> impl Strategy<Value = (Vec<u8>, String)> {
    let name = prop_oneof![
        "[a-zA-Z0-9 %#?éß猫.\\\\]{1,12}".prop_map(String::into_bytes),
        prop::collection::vec(1_u8.., 1..8),
    ];
    let name = name.prop_filter("a name", |name| !name.contains(&b'/') && name != b"." && name != b"..");
    // For each name: how it is escaped, and what is redundant before it.
    prop::collection::vec((name, any::<u64>(), 0..5_usize), 1..6).prop_map(|parts| {
        let (mut path, mut uri) = (Vec::new(), String::new());
        for (name, choices, redundant) in parts {
            path.push(b'/');
            path.extend(&name);
            uri.push_str(
                ["", "/.", "/", "/x/..", "/%2e/%2E%2E%2f."]
                    [redundant.min(if uri.is_empty() { 1 } else { 4 })],
            );
            uri.push('/');
            for (place, byte) in name.into_iter().enumerate() {
                let plain = byte.is_ascii_alphanumeric() && choices >> (place % 64) & 1 == 0;
                match plain {
                    true => uri.push(char::from(byte)),
                    false if choices & 1 == 0 => uri.push_str(&format!("%{byte:02x}")),
                    false => uri.push_str(&format!("%{byte:02X}")),
                }
            }
        }
        (path, uri)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_spellings_of_a_path_are_one((path, spelled) in spelled()) {
        // "/%2e/%2E%2E%2f." takes away the name before it.
        let path = Path::new(OsStr::from_bytes(&path)).to_path_buf();
        for uri in [format!("file://{spelled}"), format!("FILE:{spelled}"), format!("file://LOCALHOST{spelled}/")] {
            let one = normalized(&uri).expect("is a place");
            prop_assert_eq!(normalized(&one), Ok(one.clone()), "once is enough");
            prop_assert_eq!(path_of_uri(&uri), path_of_uri(&one));
            if !spelled.contains("%2E%2E") {
                prop_assert_eq!(&one, &file_uri(&path));
            }
        }
    }

    #[test]
    fn whatever_comes_in_is_refused_or_becomes_one_place(uri in "(file:/{0,4})?[a-c./%é2eF]{0,24}") {
        if let Ok(one) = normalized(&uri) {
            prop_assert_eq!(normalized(&one), Ok(one.clone()));
            prop_assert!(one.starts_with("file:///"));
            let path = path_of_uri(&one).expect("a path");
            prop_assert!(path.is_absolute() && !path.as_os_str().to_string_lossy().contains("/../"));
            prop_assert_eq!(file_uri(&path), one);
        }
    }
}
