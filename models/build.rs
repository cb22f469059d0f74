//! Links Leptonica, which Tesseract brings along and `ocr/linked.rs` calls.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if let Err(error) = pkg_config::probe_library("lept") {
        panic!("{error}\n\nhint: install libleptonica-dev (Debian) or leptonica");
    }
}
