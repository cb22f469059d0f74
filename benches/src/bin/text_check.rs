//! What the cheap look for text saves, and what it misses.
//!
//!     cargo run --release -p docent-benches --bin text_check -- FOLDER
//!
//! Reads every picture with Tesseract all the same and takes that for the truth: a picture has text if Tesseract is
//! at least 80 % sure of three words of three letters or more.

#![allow(clippy::print_stdout, reason = "a measurement prints what it measured")]

use cpu_time::ThreadTime;
use docent_models::ocr::{OcrInput, OcrOptions, load, text_check};

fn main() -> anyhow::Result<()> {
    let folder = docent_benches::folder_argument("pictures")?;
    let mut reader = load(&OcrOptions { languages: vec!["eng".to_owned()], tessdata: None })?;
    let (mut check_ms, mut read_ms, mut saved_ms) = (0.0, 0.0, 0.0);
    let (mut all, mut likely, mut with_text, mut missed) = (0, 0, 0, 0);
    for (name, image) in docent_benches::pictures(&folder)? {
        let start = ThreadTime::now();
        let check = text_check(image.picture());
        check_ms += start.elapsed().as_secs_f64() * 1e3;
        let start = ThreadTime::now();
        let lines = reader.run(&[OcrInput::from_picture(image.picture())])?.remove(0);
        let ms = start.elapsed().as_secs_f64() * 1e3;
        read_ms += ms;
        let words: Vec<&str> = lines
            .iter()
            .flat_map(|line| &line.words)
            .filter(|word| {
                word.confidence >= 0.8 && word.text.chars().filter(|c| c.is_alphabetic()).count() >= 3
            })
            .map(|word| word.text.as_str())
            .collect();
        all += 1;
        println!("{name} {} {}", check.cells, words.len());
        likely += u32::from(check.likely);
        if !check.likely {
            saved_ms += ms;
        }
        if words.len() >= 3 {
            with_text += 1;
            missed += u32::from(!check.likely);
            println!(
                "{:<40} cells {:>4} {} {}",
                name,
                check.cells,
                if check.likely { "read  " } else { "MISSED" },
                words.join(" ")
            );
        }
    }
    let n = f64::from(all.max(1));
    println!("{all} pictures, {with_text} with text; looked closer at {likely}, missed {missed}");
    println!(
        "cpu ms per picture: check {:.2}, reading all {:.1}, saved {:.1}",
        check_ms / n,
        read_ms / n,
        saved_ms / n
    );
    Ok(())
}
