//! What makes a picture, and what is only written beside it: files that exiftool edits, damaged ones, and the whole way through the
//! program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use docent_pipelines::{DecodeLimits, Fingerprint, Image};
use docent_tests::corpus;
use docent_tests::fixtures::{good_files, oriented, oriented_png, oriented_tiff, oriented_webp};
use docent_tests::program::Docent;
use docent_tests::random::Random;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");

/// Runs exiftool over a file, which it replaces.
fn exiftool(file: &Path, arguments: &[&str]) {
    let ended = Command::new("exiftool")
        .args(["-q", "-m", "-overwrite_original"])
        .args(arguments)
        .arg(file)
        .output()
        .expect("exiftool is installed: .ci/setup test");
    assert!(
        ended.status.success(),
        "{arguments:?} {}: {}",
        file.display(),
        String::from_utf8_lossy(&ended.stderr)
    );
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
        ("orientation", all(&["-EXIF:Orientation#=6", "-XMP-tiff:Orientation#=6"])),
        ("comment", all(&["-Comment=taken in the harbor"])),
        ("thumbnail", vec![format!("-EXIF:ThumbnailImage<={thumbnail}")]),
        ("nothing", all(&["-XMP:all=", "-EXIF:all="])),
    ]
}

#[test]
fn what_other_programs_write_does_not_make_another_picture() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let thumbnail = folder.path().join("thumbnail");
    fs::write(&thumbnail, plain_jpeg()).expect("is written");
    for file in pictures(folder.path()) {
        let before = print(&file);
        assert_ne!(before.bytes, before.picture, "{} is told apart", file.display());
        let mut changed = 0;
        for (name, arguments) in edits(&thumbnail.to_string_lossy()) {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            // GIF has no EXIF: such an edit changes nothing there.
            exiftool(&file, &arguments);
            let after = print(&file);
            assert_eq!(after.picture, before.picture, "{name} in {}", file.display());
            changed += u32::from(after.bytes != before.bytes);
        }
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

/// The asset at each place.
fn assets(docent: &Docent) -> BTreeMap<String, String> {
    let word = |row: &Value, key: &str| row[key].as_str().expect("a word").to_owned();
    docent.suggestions().iter().map(|row| (word(row, "uri"), word(row, "asset_id"))).collect()
}

/// Keywords, ratings and positions are written while docent is in use: the assets are the same, decisions stand, no network runs.
#[test]
fn an_archive_that_is_edited_elsewhere_keeps_its_decisions() {
    let docent = Docent::new(PROGRAM);
    let folder = docent.folder().join("pictures");
    let files = corpus::copy_samples(&folder);
    docent.run(["ingest".as_ref(), folder.as_os_str(), "--only=tags,embedding".as_ref()]).expect(0);
    let before = assets(&docent);
    let tag = docent.listing(&["suggestions", "--kind", "tag"]).remove(0);
    docent.run(["accept", tag["id"].as_str().expect("an id")]).expect(0);
    let vectors = docent.status()["vectors"].clone();
    for file in &files {
        exiftool(file, &["-XMP-dc:Subject+=harbor", "-XMP-xmp:Rating=5", "-EXIF:GPSLatitude=53.5"]);
    }
    let ended =
        docent.run(["ingest".as_ref(), folder.as_os_str(), "--only=tags,embedding".as_ref()]).expect(0);
    let summary = ended.summary();
    assert_eq!(summary["seen"]["known"].as_u64(), Some(files.len() as u64), "{summary}");
    assert_eq!(summary["seen"]["changed"].as_u64(), Some(0), "{summary}");
    assert_eq!(assets(&docent), before);
    assert_eq!(docent.status()["vectors"], vectors, "no vector was written again");
    assert_eq!(docent.listing(&["suggestions", "--status", "accepted"]).len(), 1);
}
