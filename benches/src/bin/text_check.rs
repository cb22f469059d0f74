//! What the cheap look for text saves, and what it misses.
//!
//!     cargo run --release -p docent-benches --bin text_check -- FOLDER
//!
//! Reads every picture with Tesseract all the same and takes that for the truth: a picture has text if Tesseract is
//! at least 80 % sure of three words of three letters or more. Then does what the analyzer does: looks, reads the places
//! that resemble text where they are few, and the whole picture if that looks like words.

#![allow(clippy::print_stdout, reason = "a measurement prints what it measured")]

use cpu_time::ThreadTime;
use docent_models::ocr::{OcrInput, OcrOptions, is_promising, load, text_check};

fn main() -> anyhow::Result<()> {
    let folder = docent_benches::folder_argument("pictures")?;
    let mut reader = load(&OcrOptions { languages: vec!["eng".to_owned()], tessdata: None, time: None })?;
    let (mut check_ms, mut read_ms, mut parts_ms, mut spared_ms) = (0.0, 0.0, 0.0, 0.0);
    let (mut all, mut likely, mut whole, mut with_text, mut missed) = (0, 0, 0, 0, 0);
    let (mut lines_all, mut lines_lost) = (0, 0);
    for (name, image) in docent_benches::pictures(&folder)? {
        let start = ThreadTime::now();
        let check = text_check(image.picture());
        check_ms += start.elapsed().as_secs_f64() * 1e3;
        let input = OcrInput::from_picture(image.picture());
        let mut seen = check.likely;
        if check.likely
            && let Some(parts) = input.only(&check.places)
        {
            let start = ThreadTime::now();
            seen = is_promising(&reader.run(&[parts])?.remove(0));
            parts_ms += start.elapsed().as_secs_f64() * 1e3;
        }
        let start = ThreadTime::now();
        let lines = reader.run(&[input])?.remove(0);
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
        likely += u32::from(check.likely);
        whole += u32::from(seen);
        lines_all += lines.len();
        if !seen {
            spared_ms += ms;
            lines_lost += lines.len();
        }
        let verdict = match (check.likely, seen) {
            (false, _) => "passed over",
            (true, false) => "parts only",
            (true, true) => "read",
        };
        if words.len() >= 3 {
            with_text += 1;
            missed += u32::from(!seen);
        }
        if words.len() >= 3 || (check.likely && !seen && !lines.is_empty()) {
            let text = lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join(" | ");
            println!("{name:<40} cells {:>4} {verdict:<11} {ms:>5.0} ms  {text}", check.cells);
        }
    }
    let n = f64::from(all.max(1));
    println!(
        "{all} pictures, {with_text} with text; looked closer at {likely}, read {whole} whole, missed {missed}; \
         {lines_lost} of {lines_all} lines of anything not read"
    );
    println!(
        "cpu ms per picture: check {:.2}, parts {:.1}, reading all {:.1}, of which spared {:.1}",
        check_ms / n,
        parts_ms / n,
        read_ms / n,
        spared_ms / n
    );
    Ok(())
}
