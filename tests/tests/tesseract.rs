//! The reader's library: what it is given, and the one that `.ci/tesseract` builds.

use std::ffi::OsStr;
use std::path::PathBuf;

use docent_tests::corpus::samples;
use docent_tests::program::Docent;

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");

/// What doctor says of Tesseract.
fn detail(docent: &Docent) -> String {
    let findings = docent.listing(&["doctor"]);
    let found = findings.iter().find(|finding| finding["check"] == "Tesseract").expect("is looked for");
    found["detail"].as_str().expect("a text").to_owned()
}

/// Linkers differ in what of a program they show to its libraries.
#[test]
fn tesseract_finds_what_the_program_has_for_it() {
    let detail = detail(&Docent::new(PROGRAM));
    assert!(detail.contains("libtesseract.so") && !detail.contains("slow"), "{detail}");
}

#[test]
fn built_anew_it_reads_the_same() {
    // `make test` builds it.
    let Some(folder) = std::env::var_os("DOCENT_TEST_TESSERACT").filter(|folder| !folder.is_empty()) else {
        eprintln!("skipped: DOCENT_TEST_TESSERACT does not name the folder that .ci/tesseract prints");
        return;
    };
    #[cfg(target_arch = "x86_64")]
    if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
        eprintln!("skipped: it is not made for this processor");
        return;
    }
    let folder = PathBuf::from(folder);
    let packaged = Docent::new(PROGRAM);
    let built = Docent::new(PROGRAM).with_libraries(&folder);
    for (docent, is_built) in [(&packaged, false), (&built, true)] {
        let detail = detail(docent);
        assert_eq!(detail.contains(folder.to_str().expect("UTF-8")), is_built, "{detail}");
    }
    let mut lines = 0;
    for name in ["page.png", "text.png", "coffee.jpg"] {
        let picture = samples().join(name);
        let [from_packaged, from_built] = [&packaged, &built].map(|docent| {
            docent.configure("[text]\nalways = true\n");
            let arguments = [OsStr::new("analyze"), OsStr::new("--only=text"), picture.as_os_str()];
            docent.json(arguments)[0]["suggestions"].clone()
        });
        // Words, places and confidences.
        assert_eq!(from_packaged, from_built, "{name}");
        lines += from_built.as_array().map_or(0, Vec::len);
    }
    assert!(lines > 0, "the page has text");
}
