//! What of that which the networks read is text.

use super::ReadLine;

/// Least confidence of a line with two letters or digits or more …
const LEAST: f32 = 0.7;
/// … and of one with a single digit or ideograph: foam on a coffee is an 8 at 0.97. A single Latin letter is more often a lamp post
/// or a dog's leg.
const LEAST_OF_ONE: f32 = 0.99;
/// Radicals, kana, ideographs and Hangul are all that Unicode has from here on; they are as wide as high.
const IDEOGRAPHS: char = '\u{2e80}';
/// Lines longer than so many heights have enough letters to count.
const LONG: f32 = 4.0;
/// Letters and digits of a known script for each height of a line's box: 2.1 in the middle, 1.0 to 1.5 in the sparsest of a
/// hundred lines. Of Russian lines there are 0, of Greek ones 0.5 to 1.1, as letters without a class are left out.
const LEAST_DENSE: f32 = 1.2;
/// From this many lines on their median says enough; of fewer the sparsest has to be told from a wide sign.
const MANY: usize = 3;
const LEAST_DENSE_OF_FEW: f32 = 0.8;

/// Whether a line is likely text, and not foliage, a fence or a lamp post.
pub fn is_likely(line: &ReadLine) -> bool {
    let mut letters = line.text.chars().filter(|c| c.is_alphanumeric());
    match (letters.next(), letters.next()) {
        (None, _) => false,
        (Some(one), None) => (one.is_numeric() || one >= IDEOGRAPHS) && line.confidence >= LEAST_OF_ONE,
        _ => line.confidence >= LEAST,
    }
}

/// Whether the picture's script is one that the network has no letters for: its lines have too few.
pub fn are_letters_unknown(lines: &[ReadLine]) -> bool {
    let is_narrow = |line: &&ReadLine| line.text.chars().all(|c| c < IDEOGRAPHS);
    let mut density: Vec<f32> = lines
        .iter()
        .filter(|line| line.aspect > LONG)
        .filter(is_narrow)
        .map(|line| line.text.chars().filter(|c| c.is_alphanumeric()).count() as f32 / line.aspect)
        .collect();
    density.sort_by(f32::total_cmp);
    let least = if density.len() < MANY { LEAST_DENSE_OF_FEW } else { LEAST_DENSE };
    density.get(density.len() / 2).is_some_and(|median| *median < least)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, confidence: f32, aspect: f32) -> ReadLine {
        ReadLine { text: text.to_owned(), confidence, aspect }
    }

    #[test]
    fn a_lone_letter_has_to_be_surer_than_a_word() {
        assert!(is_likely(&line("EXIT", 0.7, 3.0)) && !is_likely(&line("EXIT", 0.69, 3.0)));
        assert!(
            is_likely(&line("7", 0.99, 1.0))
                && !is_likely(&line("7", 0.9, 1.0))
                && !is_likely(&line("l.", 1.0, 1.0))
        );
        assert!(is_likely(&line("東京", 0.8, 2.0)) && !is_likely(&line("—.", 1.0, 2.0)));
    }

    #[test]
    fn lines_with_few_letters_for_their_length_are_of_an_unknown_script() {
        let english = line("The harbour office closed at half past", 0.9, 16.0);
        let russian = line(". , .", 0.9, 20.0);
        assert!(!are_letters_unknown(&[]));
        assert!(!are_letters_unknown(&[english.clone(), english.clone(), russian.clone()]));
        assert!(are_letters_unknown(&[russian.clone(), russian.clone(), line("1952", 0.9, 18.0)]));
        assert!(are_letters_unknown(&[russian]));
        // A sign with wide letters, and a short word, say nothing.
        assert!(!are_letters_unknown(&[line("HOTEL", 0.9, 5.5)]));
        assert!(!are_letters_unknown(&[line("", 0.0, 3.0)]));
        assert!(!are_letters_unknown(&[line("東京駅前", 0.9, 8.0)]));
    }
}
