//! The words in pictures are read, found, and found no more.

use serde_json::json;

use super::*;

#[test]
fn words_in_pictures_are_found_until_they_are_rejected() {
    let docent = docent();
    let pictures = docent.folder().join("pictures");
    corpus::copy_samples(&pictures);
    let args = [OsStr::new("ingest"), pictures.as_os_str(), OsStr::new("--only=text,embedding")];
    docent.run(args).expect(0);
    let by_text = |words: &str| docent.json(["search", "--text", words, "--format=json"]);

    let page = by_text("SEGMENTATION");
    assert_eq!(page.len(), 1, "{page:?}");
    assert_eq!(page[0]["uri"], uri(&pictures.join("page.png")).as_str());
    assert_eq!(keys(&page[0]), BTreeSet::from(["asset_id", "uri", "matched", "text"]));
    let excerpt = &page[0]["text"];
    let place = |end: usize| excerpt["places"][0][end].as_u64().expect("a number") as usize;
    let text = excerpt["text"].as_str().expect("a text");
    let shown: String = text.chars().take(place(1)).skip(place(0)).collect();
    assert_eq!(shown.to_lowercase(), "segmentation");
    // A piece of a word, and words in a row, as far as they are there.
    assert_eq!(by_text("egmentatio")[0]["asset_id"], page[0]["asset_id"]);
    docent.run(["search", "--text", "\"egmentatio\""]).expect(1);

    let both = docent.json(["search", "segmentation", "--format=json"]);
    let found = both.iter().find(|hit| hit["asset_id"] == page[0]["asset_id"]).expect("is found");
    assert_eq!(found["matched"], json!(["meaning", "text"]));
    let table = docent.run(["search", "--text", "segmentation"]).expect(0);
    assert!(table.stdout.to_lowercase().contains("segmentation"), "{}", table.stdout);
    docent.run(["search", "--text", "no such words anywhere"]).expect(1);
    docent.run(["search", "--text", "segmentation", "--path", "/nowhere"]).expect(1);
    let nothing = docent.run(["search", "--text", "***"]).expect(2);
    assert!(nothing.stderr.contains("docent search --text"), "{}", nothing.stderr);
    let much = docent.run(["search", "--text", &"word ".repeat(40)]).expect(2);
    assert!(much.stderr.contains("32 words") && much.stderr.contains("fewer words"), "{}", much.stderr);

    // Its lines are suggestions, and so is the whole.
    let mut rejected = Vec::new();
    loop {
        let found = docent.run(["search", "--text", "segmentation", "--format=json"]);
        if found.code == Some(1) {
            break;
        }
        let id = found.json()[0]["text"]["suggestion_id"].as_str().expect("an id").to_owned();
        assert!(!rejected.contains(&id), "{id} was rejected, and is found");
        docent.run(["reject", &id]).expect(0);
        rejected.push(id);
    }
    assert!(!rejected.is_empty());
    docent.run(["undo", &rejected[0]]).expect(0);
    assert_eq!(by_text("segmentation"), page);
}

/// What is read in a fixture, and the models that say so.
fn read(docent: &Docent, name: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let path = corpus::samples().join("../text").join(name);
    let lines = docent.json([OsStr::new("analyze"), path.as_os_str(), OsStr::new("--only=text")]);
    let said = lines[0]["suggestions"].as_array().expect("a list");
    let of = |field: &str| said.iter().map(|s| s[field].as_str().expect("a text").to_owned()).collect();
    (of("value"), of("model"))
}

#[test]
fn signs_are_read_at_any_angle_unless_tesseract_alone_is_asked_for() {
    let signs = ["Launch Pad 39", "KEEP CLEAR", "Exit 7"];
    for engine in ["auto", "network"] {
        let docent = docent().with_variable("DOCENT_TEXT_ENGINE", engine);
        let (values, models) = read(&docent, "signs.jpg");
        assert!(signs.iter().all(|sign| values.contains(*sign)), "{engine}: {values:?}");
        assert!(models.iter().all(|model| model.starts_with("pp-ocr-")), "{engine}: {models:?}");
    }
    let tesseract = docent().with_variable("DOCENT_TEXT_ENGINE", "tesseract");
    let (values, models) = read(&tesseract, "signs.jpg");
    assert!(!values.contains("KEEP CLEAR"), "{values:?}");
    assert!(models.iter().all(|model| model.starts_with("tesseract-")), "{models:?}");
    let unknown = docent().with_variable("DOCENT_TEXT_ENGINE", "psychic").run(["doctor"]).expect(2);
    assert!(
        unknown.stderr.contains("text.engine") || unknown.stderr.contains("TEXT_ENGINE"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn columns_are_one_text_in_the_order_in_which_they_are_read() {
    let (values, _) = read(&docent(), "columns.png");
    let text = values.iter().find(|text| text.contains('\n')).expect("the whole text");
    let places: Vec<usize> =
        ["Notes on the Ferry", "In winter", "office lists", "Its last captain", "boathouse"]
            .iter()
            .map(|words| text.find(words).unwrap_or_else(|| panic!("{words} in {text}")))
            .collect();
    assert!(places.is_sorted(), "{text}");
}

/// What is read in a picture, as words.
fn words_in(docent: &Docent, picture: &image::DynamicImage) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("picture.png");
    picture.save(&path).expect("is written");
    let lines = docent.json([OsStr::new("analyze"), path.as_os_str(), OsStr::new("--only=text")]);
    let said = lines[0]["suggestions"].as_array().expect("a list");
    let texts = said.iter().map(|s| s["value"].as_str().expect("a text"));
    // The whole text is the longest; a picture of few lines has them one by one, too.
    let whole = texts.max_by_key(|text| text.len()).unwrap_or_default();
    whole.split_whitespace().map(str::to_lowercase).collect()
}

fn fixture(name: &str) -> image::DynamicImage {
    image::open(corpus::samples().join("../text").join(name)).expect("a picture")
}

/// The share of `words` that `found` has.
fn share(words: &[String], found: &[String]) -> f64 {
    words.iter().filter(|word| found.contains(word)).count() as f64 / words.len() as f64
}

#[test]
fn pages_on_their_head_or_side_are_read_the_right_way_up() {
    let docent = docent();
    for name in ["columns.png", "window.png"] {
        let upright = fixture(name);
        let words = words_in(&docent, &upright);
        assert!(words.len() > 20, "{name}: {words:?}");
        for (turned, how) in
            [(upright.rotate90(), "90"), (upright.rotate180(), "180"), (upright.rotate270(), "270")]
        {
            let found = words_in(&docent, &turned);
            assert!(share(&words, &found) > 0.9, "{name} by {how}: {found:?}\ninstead of {words:?}");
        }
    }
}

#[test]
fn long_pictures_are_read_in_pieces() {
    let docent = docent();
    let window = fixture("window.png").to_rgb8();
    let words = words_in(&docent, &window.clone().into());
    // Four windows below each other: as a whole, their letters would have a few pixels.
    let (width, height) = window.dimensions();
    let mut long = image::RgbImage::from_pixel(width, 4 * height, image::Rgb([240, 240, 240]));
    for row in 0..4 {
        image::imageops::replace(&mut long, &window, 0, i64::from(row * height));
    }
    let found = words_in(&docent, &long.into());
    assert!(share(&words, &found) > 0.9, "{found:?}\ninstead of {words:?}");
    assert!(found.len() > words.len() * 3, "{} of 4 x {} words", found.len(), words.len());
    assert!(found.len() < words.len() * 5, "{} of 4 x {} words", found.len(), words.len());
}

#[test]
fn white_writing_on_nothing_is_read() {
    let docent = docent();
    let page = fixture("columns.png");
    let words = words_in(&docent, &page);
    // Ink becomes opacity.
    let ink = page.to_luma8();
    let white = image::RgbaImage::from_fn(page.width(), page.height(), |x, y| {
        image::Rgba([255, 255, 255, 255 - ink.get_pixel(x, y)[0]])
    });
    let found = words_in(&docent, &white.into());
    assert!(share(&words, &found) > 0.9, "{found:?}\ninstead of {words:?}");
}
