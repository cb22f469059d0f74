//! What makes a picture, and what is only written beside it: files that exiftool edits, damaged ones, and the whole way through the
//! program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use docent::store::{Catalog, Ledger, SqliteStore, Wanted};
use docent_pipelines::{AssetId, DecodeLimits, Fingerprint, Image, VectorSpace};
use docent_tests::corpus;
use docent_tests::fixtures::{good_files, oriented, oriented_png, oriented_tiff, oriented_webp};
use docent_tests::program::{Docent, uri};
use docent_tests::random::Random;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");

/// Runs exiftool over files, which it replaces.
fn exiftool(files: &[PathBuf], arguments: &[&str]) {
    let ended = Command::new("exiftool")
        .args(["-q", "-m", "-overwrite_original"])
        .args(arguments)
        .args(files)
        .output()
        .expect("exiftool is installed: .ci/setup test");
    // A format that knows nothing of what is written is told of, and left alone.
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(!errors.contains("Error"), "{arguments:?}: {errors}");
}

fn print(file: &Path) -> Fingerprint {
    Fingerprint::of(&fs::read(file).expect("is there"))
}

/// A JPEG without metadata.
fn plain_jpeg() -> Vec<u8> {
    good_files().into_iter().find(|file| file.name == "plain.jpg").expect("is one of them").bytes
}

/// A picture in each format whose image data docent tells apart, with the name of its format.
fn pictures(folder: &Path) -> Vec<PathBuf> {
    let plain = plain_jpeg();
    let files = [
        ("photo.jpg", oriented(&plain, 1)),
        ("drawing.png", oriented_png(&plain, 1)),
        ("scan.tif", oriented_tiff(&plain, 1)),
        ("web.webp", oriented_webp(&plain, 1)),
        ("old.gif", good_files().into_iter().find(|file| file.name.ends_with(".gif")).expect("a GIF").bytes),
    ];
    let write = |(name, bytes): (&str, Vec<u8>)| {
        let path = folder.join(name);
        fs::write(&path, bytes).expect("is written");
        path
    };
    let mut written: Vec<PathBuf> = files.into_iter().map(write).collect();
    written.extend(corpus::copy_samples(&folder.join("samples")));
    written
}

/// What other programs write into files every day.
fn edits(thumbnail: &str) -> Vec<(&'static str, Vec<String>)> {
    let all = |edits: &[&str]| edits.iter().map(|edit| (*edit).to_owned()).collect();
    vec![
        ("keyword", all(&["-XMP-dc:Subject+=harbor", "-XMP-dc:Subject+=Müller", "-IPTC:Keywords+=harbor"])),
        ("rating", all(&["-XMP-xmp:Rating=4"])),
        (
            "position",
            all(&["-EXIF:GPSLatitude=53.5", "-EXIF:GPSLatitudeRef=N", "-XMP-exif:GPSLongitude=9.9"]),
        ),
        ("comment", all(&["-Comment=taken in the harbor"])),
        ("thumbnail", vec![format!("-EXIF:ThumbnailImage<={thumbnail}")]),
        ("orientation", all(&["-EXIF:Orientation#=6", "-XMP-tiff:Orientation#=6"])),
        ("nothing", all(&["-XMP:all=", "-EXIF:all=", "-IFD0:Orientation="])),
    ]
}

#[test]
fn what_other_programs_write_does_not_make_another_picture() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let thumbnail = folder.path().join("thumbnail");
    fs::write(&thumbnail, plain_jpeg()).expect("is written");
    let files = pictures(folder.path());
    let prints = || files.iter().map(|file| print(file)).collect::<Vec<_>>();
    let (before, mut last) = (prints(), prints());
    let mut changed = vec![0; files.len()];
    for (name, arguments) in edits(&thumbnail.to_string_lossy()) {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        exiftool(&files, &arguments);
        let now = prints();
        for (((file, before), last), (now, changed)) in
            files.iter().zip(&before).zip(&last).zip(now.iter().zip(&mut changed))
        {
            assert_ne!(before.bytes, before.picture, "{} is told apart", file.display());
            assert_eq!(now.picture, before.picture, "{name} in {}", file.display());
            *changed += u32::from(now.bytes != last.bytes);
        }
        last = now;
    }
    // GIF has no EXIF.
    for (file, changed) in files.iter().zip(changed) {
        assert!(changed >= 3, "{} was hardly edited", file.display());
    }
}

/// What does not come to its end is not taken for the picture that it was to be, nor for another one that stopped as early.
#[test]
fn a_file_that_was_cut_is_its_bytes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut random = Random::new(24);
    for file in pictures(folder.path()) {
        let bytes = fs::read(&file).expect("is there");
        let whole = Fingerprint::of(&bytes);
        for _ in 0..40 {
            let cut = &bytes[..random.within(1, bytes.len() as u32) as usize];
            let found = Fingerprint::of(cut);
            // The last bytes of a file may be nothing but an appendix.
            if found.picture != whole.picture {
                assert_eq!(found.picture, found.bytes, "{} of {} bytes", file.display(), cut.len());
            } else {
                let decode = |bytes| Image::decode(bytes, &DecodeLimits::default()).expect("is whole");
                assert_eq!(decode(cut).picture(), decode(&bytes).picture());
            }
        }
    }
}

/// Damage anywhere: where the picture is said to be the same, it looks the same.
#[test]
fn the_same_picture_looks_the_same() {
    let mut random = Random::new(24);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut same = 0;
    let files = good_files().into_iter().map(|file| (file.name.to_owned(), file.bytes));
    let samples = pictures(folder.path()).into_iter().take(5);
    let samples = samples.map(|path| (path.display().to_string(), fs::read(&path).expect("is there")));
    for (name, bytes) in files.chain(samples) {
        let whole = Fingerprint::of(&bytes);
        let Ok(shown) = Image::decode(&bytes, &DecodeLimits::default()) else { continue };
        for _ in 0..60 {
            let mut damaged = bytes.clone();
            let at = random.within(0, damaged.len() as u32) as usize;
            damaged[at] ^= 1 << random.within(0, 8);
            if whole.bytes == whole.picture || Fingerprint::of(&damaged).picture != whole.picture {
                continue;
            }
            same += 1;
            // Metadata may turn a picture, or be too damaged to show it at all.
            let Ok(damaged) = Image::decode(&damaged, &DecodeLimits::default()) else { continue };
            let sorted = |image: &Image| {
                let mut pixels: Vec<[u8; 3]> = image.picture().rgb().as_chunks().0.to_vec();
                pixels.sort_unstable();
                pixels
            };
            assert!(sorted(&damaged) == sorted(&shown), "{name}, byte {at}");
        }
    }
    assert!(same > 50, "{same} times something beside the picture was hit");
}

/// The asset of each of these files, and the numbers of all vectors: one that is written again gets another.
fn known(docent: &Docent, files: &[PathBuf]) -> (Vec<AssetId>, Vec<i64>) {
    let runtime = tokio::runtime::Runtime::new().expect("starts");
    runtime.block_on(async {
        let store = SqliteStore::open(&docent.data().join("ledger.sqlite")).await.expect("opens");
        let uris: Vec<String> = files.iter().map(|file| uri(file)).collect();
        let mut known = store.known_files(&uris).await.expect("looks up");
        let assets = uris.iter().map(|uri| known.remove(uri).expect("is known").asset).collect();
        let counts = store.counts(&Wanted::new()).await.expect("counts");
        let mut numbers = Vec::new();
        for space in counts.vectors.into_keys().map(VectorSpace::from_name) {
            let vectors = store.vectors_after(&space, 0, 1000).await.expect("reads");
            numbers.extend(vectors.into_iter().map(|(number, _)| number));
        }
        store.close().await;
        (assets, numbers)
    })
}

/// Other programs write into files of every format while docent is in use: the assets are the same, decisions stand, and no network
/// runs, unless a picture was turned.
#[test]
fn an_archive_that_is_edited_elsewhere_keeps_its_decisions() {
    let docent = Docent::new(PROGRAM);
    let folder = docent.folder().join("pictures");
    fs::create_dir(&folder).expect("a folder");
    let files = pictures(&folder);
    let thumbnail = docent.folder().join("thumbnail");
    fs::write(&thumbnail, plain_jpeg()).expect("is written");
    let ingest = || {
        let arguments = [
            "ingest".as_ref(),
            folder.as_os_str(),
            "--only=tags,embedding".as_ref(),
            "--format=json".as_ref(),
        ];
        docent.run(arguments).expect(0).summary()
    };
    ingest();
    let tag = docent.listing(&["suggestions", "--kind", "tag"]).remove(0);
    docent.run(["accept", tag["id"].as_str().expect("an id")]).expect(0);
    let (before, mut seen) = known(&docent, &files);
    assert_eq!(seen.len(), files.len());
    for (name, arguments) in edits(&thumbnail.to_string_lossy()) {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        exiftool(&files, &arguments);
        let summary = ingest();
        let number = |key: &str| summary[key].as_u64();
        assert_eq!((number("new"), number("changed")), (Some(0), Some(0)), "{name}: {summary}");
        let (after, numbers) = known(&docent, &files);
        assert_eq!(after, before, "{name}");
        let accepted = docent.listing(&["suggestions", "--status", "accepted"]);
        assert_eq!(accepted.len(), 1, "{name}");
        let looked_again = numbers.iter().filter(|number| !seen.contains(number)).count();
        seen = numbers;
        // GIF knows no orientation. The last edit takes all metadata away: what was turned is turned back.
        let turned = if matches!(name, "orientation" | "nothing") { files.len() - 1 } else { 0 };
        assert_eq!(looked_again, turned, "{name}");
    }
}

/// A crop that is saved over its picture is another asset, which is offered what was accepted before.
#[test]
fn a_crop_that_is_saved_over_its_picture_keeps_what_was_accepted() {
    let docent = Docent::new(PROGRAM);
    let folder = docent.folder().join("pictures");
    corpus::copy_samples(&folder);
    let ingest = ["ingest".as_ref(), folder.as_os_str(), "--only=tags,embedding".as_ref()];
    docent.run(ingest).expect(0);
    let file = folder.join("chelsea.jpg");
    let of_file = |rows: Vec<Value>| {
        let place = uri(&file);
        rows.into_iter().filter(|row| row["uri"] == place.as_str()).collect::<Vec<_>>()
    };
    let tags = of_file(docent.listing(&["suggestions", "--kind", "tag"]));
    docent.run(["accept", tags[0]["id"].as_str().expect("an id")]).expect(0);
    let picture = image::open(&file).expect("opens");
    let (width, height) = (picture.width(), picture.height());
    picture.crop_imm(width / 20, height / 20, width * 8 / 10, height * 9 / 10).save(&file).expect("is saved");
    docent.run(ingest).expect(0);
    let now = of_file(docent.suggestions());
    assert!(now.iter().all(|row| row["asset_id"] != tags[0]["asset_id"]), "is another asset");
    let carried: Vec<&Value> = now.iter().filter(|row| row["analyzer"] == "predecessor").collect();
    assert_eq!(carried.len(), 1, "{now:#?}");
    assert_eq!((&carried[0]["value"], &carried[0]["status"]), (&tags[0]["value"], &Value::from("pending")));
}
