//! How texts are compared: the same for every backend, and for what people look for.
//!
//! Folded, a text is its words in lower case without accents, each between two [`EDGE`]s, as in `_hotel_munchen_`. So what is
//! looked for is a part of it: `_hotel_` is the word, `_hot` its beginning, `hote` a piece, `_hotel_munchen_` two in a row. In
//! scripts without spaces between words every character is a word of its own.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{compose, decompose_compatible, is_combining_mark};

/// Between words, at the beginning and at the end.
pub(super) const EDGE: char = '_';
/// What follows in a longer text is not found. An index entry has its limits, and no page has so much.
const LONGEST_TEXT: usize = 65_536;
/// What is longer is cut into several words.
const LONGEST_WORD: usize = 64;

/// A text, folded, and where each of its characters comes from.
struct Folding {
    folded: Vec<(char, usize)>,
    /// Characters of the word that is being written; none between words.
    word: usize,
    /// The word is complete with its first character.
    alone: bool,
}

impl Folding {
    fn of(text: &[char]) -> Self {
        let mut folding = Self { folded: Vec::with_capacity(text.len() + 2), word: 0, alone: false };
        let mut at = 0;
        while let Some(&c) = text.get(at) {
            if let Some(joined) = hyphenated(&text[at..]) {
                at += joined;
                continue;
            }
            folding.add(c, at);
            at += 1;
        }
        folding.end(text.len());
        folding
    }

    fn add(&mut self, c: char, from: usize) {
        if c.is_ascii() {
            return self.push(c.to_ascii_lowercase(), from);
        }
        for c in c.to_lowercase() {
            match c {
                'ß' => ['s', 's'].into_iter().for_each(|c| self.push(c, from)),
                'æ' => ['a', 'e'].into_iter().for_each(|c| self.push(c, from)),
                'œ' => ['o', 'e'].into_iter().for_each(|c| self.push(c, from)),
                'ø' => self.push('o', from),
                'đ' => self.push('d', from),
                'ł' => self.push('l', from),
                'ı' => self.push('i', from),
                'ς' => self.push('σ', from),
                _ => {
                    // Composed again without its accents: what is left belongs to the character.
                    let mut last = None;
                    decompose_compatible(c, |part| {
                        if is_accent(part) {
                            return;
                        }
                        last = match last.map(|last| (last, compose(last, part))) {
                            Some((_, Some(composed))) => Some(composed),
                            Some((last, None)) => {
                                self.push(last, from);
                                Some(part)
                            }
                            None => Some(part),
                        };
                    });
                    if let Some(last) = last {
                        self.push(last, from);
                    }
                }
            }
        }
    }

    fn push(&mut self, c: char, from: usize) {
        if is_accent(c) {
            return;
        }
        if is_combining_mark(c) && self.word > 0 {
            self.folded.push((c, from));
        } else if c.is_alphanumeric() {
            let alone = stands_alone(c);
            if self.word == 0 || alone || self.alone || self.word >= LONGEST_WORD {
                self.end(from);
                self.word = 0;
                self.alone = alone;
                if self.folded.is_empty() {
                    self.folded.push((EDGE, from));
                }
            }
            self.folded.push((c, from));
            self.word += 1;
        } else {
            self.end(from);
        }
    }

    /// Ends the word, if there is one.
    fn end(&mut self, from: usize) {
        if self.word > 0 {
            self.folded.push((EDGE, from));
        }
        self.word = 0;
        self.alone = false;
    }
}

/// The characters that texts are counted in.
pub fn characters(text: &str) -> Vec<char> {
    text.nfc().take(LONGEST_TEXT).collect()
}

/// `text` as it is compared; empty if there is no word in it.
pub fn folded(text: &str) -> String {
    Folding::of(&characters(text)).folded.into_iter().map(|(c, _)| c).collect()
}

/// Where in `text`, as [`characters`] gives it, parts of the folded text lie, in their order, at most `most`.
pub fn places(text: &[char], parts: &[&str], most: usize) -> Vec<Range<usize>> {
    let folded = Folding::of(text).folded;
    let mut places: Vec<Range<usize>> = Vec::new();
    for part in parts {
        let part: Vec<char> = part.chars().collect();
        let inner = part.iter().position(|c| *c != EDGE).unwrap_or(0);
        let Some(last) = part.iter().rposition(|c| *c != EDGE) else { continue };
        let found = folded.windows(part.len()).filter(|window| window.iter().map(|(c, _)| c).eq(&part));
        places.extend(found.map(|window| window[inner].1..window[last].1 + 1).take(most));
    }
    places.sort_by_key(|place| (place.start, place.end));
    // What overlaps is one place.
    let mut apart: Vec<Range<usize>> = Vec::new();
    for place in places {
        match apart.last_mut() {
            Some(last) if place.start < last.end => last.end = last.end.max(place.end),
            _ => apart.push(place),
        }
    }
    apart.truncate(most);
    apart
}

/// How long the hyphen and the end of a line are that part a word, if that is what `text` begins with.
fn hyphenated(text: &[char]) -> Option<usize> {
    match text {
        ['\u{ad}', ..] => Some(1),
        ['-' | '\u{2010}', '\n', next, ..] if next.is_lowercase() => Some(2),
        _ => None,
    }
}

/// Accents of the scripts that are also written, and read, without them; and what only stretches a word. Other marks are letters:
/// vowels in the scripts of India, voiced sounds in Japanese.
fn is_accent(c: char) -> bool {
    matches!(u32::from(c), 0x300..=0x36f | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20ff | 0xfe20..=0xfe2f
        | 0x591..=0x5bd | 0x5bf | 0x5c1..=0x5c2 | 0x5c4..=0x5c5 | 0x5c7 | 0x610..=0x61a | 0x640 | 0x64b..=0x65f | 0x670)
}

/// Scripts that are written without spaces between words, and Korean, whose words have endings: Thai, Lao, Burmese, Khmer, kana,
/// Han, Hangul.
fn stands_alone(c: char) -> bool {
    matches!(u32::from(c), 0xe00..=0xeff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff | 0x31f0..=0x31ff
        | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xac00..=0xd7af | 0xf900..=0xfaff | 0x20000..=0x3ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_without_case_accents_and_punctuation() {
        for (text, expected) in [
            ("HOTEL Minerva", "_hotel_minerva_"),
            ("  «Straße» & Ärger, naïve!\n", "_strasse_arger_naive_"),
            ("Ærø Łódź ﬁne ＷＩＤＥ Nº5", "_aero_lodz_fine_wide_no5_"),
            ("e-mail: a_b@c.de", "_e_mail_a_b_c_de_"),
            ("Σίσυφος ΣΊΣΥΦΟΣ", "_σισυφοσ_σισυφοσ_"),
            ("Йод ёж", "_иод_еж_"),
            ("東京都 Tokyo", "_東_京_都_tokyo_"),
            ("ガラス か\u{3099}", "_ガ_ラ_ス_が_"),
            ("한국어", "_한_국_어_"),
            ("हिन्दी", "_हिन्दी_"),
            ("كِتَابٌ", "_كتاب_"),
            ("Bahn-\nhof Bahn-\nHof co\u{ad}op", "_bahnhof_bahn_hof_coop_"),
            ("e\u{301}t\u{e9}", "_ete_"),
            ("100 % ½", "_100_1_2_"),
            ("", ""),
            ("*** \" - '", ""),
        ] {
            assert_eq!(folded(text), expected, "{text}");
            assert_eq!(folded(&folded(text)), expected, "folding {text} twice");
        }
    }

    #[test]
    fn texts_of_any_kind_have_words_of_a_length_that_can_be_indexed() {
        let long = folded(&"x".repeat(200_000));
        assert!(long.split(EDGE).all(|word| word.len() <= LONGEST_WORD), "{}", &long[..100]);
        assert_eq!(long.matches('x').count(), LONGEST_TEXT);
        let every: String = ('\u{1}'..=char::MAX).step_by(7).collect();
        let folded = folded(&every);
        assert!(!folded.contains("__") && !folded.contains('\0') && !folded.contains('\''));
    }

    #[test]
    fn places_are_those_of_the_text_as_it_is() {
        let shown = |text: &str, parts: &[&str]| -> Vec<String> {
            let text = characters(text);
            places(&text, parts, 9).into_iter().map(|place| text[place].iter().collect()).collect()
        };
        assert_eq!(shown("Die Straße; STRASSE", &["_strasse_"]), ["Straße", "STRASSE"]);
        assert_eq!(shown("Bahn-\nhof, Hof", &["_hof_", "_bahnhof_"]), ["Bahn-\nhof", "Hof"]);
        assert_eq!(shown("東京都", &["_東_京_"]), ["東京"]);
        assert_eq!(shown("Grandhotel", &["hotel", "grandh"]), ["Grandhotel"]);
        assert_eq!(shown("a_b c", &["_b_c_"]), ["b c"]);
        assert_eq!(shown("nothing", &["_not_"]), [""; 0]);
        assert_eq!(places(&characters(&"a ".repeat(100)), &["_a_"], 9).len(), 9);
    }
}
