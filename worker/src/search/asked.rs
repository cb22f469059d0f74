//! What people type, as what a text must hold. There is no syntax to get wrong: quotes keep words together, and everything else
//! is looked for as it stands.

use crate::store::{Part, folded};

/// More characters are more than words to look for in a text.
pub const MOST_CHARACTERS: usize = 500;
/// More words, and quotes, are as well.
pub const MOST_WORDS: usize = 32;

/// Words to look for in texts, all of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Asked {
    /// As they stand.
    pub exact: Vec<Part>,
    /// The same within longer words, but for what is in quotes; none if that is nothing else.
    pub loose: Option<Vec<Part>>,
}

/// Why words cannot be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unasked {
    /// There is no letter and no digit.
    #[error("there is no word to look for")]
    Nothing,
    /// There are too many.
    #[error("texts are searched for at most {MOST_WORDS} words and {MOST_CHARACTERS} characters")]
    TooMuch,
}

impl Asked {
    /// Reads what was typed. If it is `unfinished`, its last word may go on.
    pub fn of(typed: &str, unfinished: bool) -> Result<Self, Unasked> {
        if typed.chars().count() > MOST_CHARACTERS {
            return Err(Unasked::TooMuch);
        }
        let mut asked = Self { exact: Vec::new(), loose: Some(Vec::new()) };
        let mut pieces = pieces(typed);
        if pieces.len() > MOST_WORDS {
            return Err(Unasked::TooMuch);
        }
        let last = pieces.pop();
        let goes_on = unfinished && typed.chars().next_back().is_some_and(char::is_alphanumeric);
        let all = pieces.into_iter().map(|piece| (piece, false)).chain(last.map(|piece| (piece, goes_on)));
        for ((words, quoted), goes_on) in all {
            let part =
                if goes_on { words.beginning().unwrap_or_else(|| words.clone()) } else { words.clone() };
            let loose = if quoted { None } else { words.anywhere() };
            if let Some(all) = &mut asked.loose {
                all.push(loose.unwrap_or_else(|| part.clone()));
            }
            asked.exact.push(part);
        }
        if asked.loose.as_ref() == Some(&asked.exact) {
            asked.loose = None;
        }
        if asked.exact.is_empty() { Err(Unasked::Nothing) } else { Ok(asked) }
    }
}

/// Words, and what is in quotes, each with whether it was. A quote that nothing ends is none.
fn pieces(typed: &str) -> Vec<(Part, bool)> {
    let is_quote = |c: char| matches!(c, '"' | '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{ab}' | '\u{bb}');
    let mut pieces = Vec::new();
    let mut rest: Vec<&str> = typed.split(is_quote).collect();
    // Every other one is in quotes; the last is not, if their number is odd.
    let unended = rest.len().is_multiple_of(2).then(|| rest.pop()).flatten();
    for (at, text) in rest.into_iter().enumerate() {
        if at % 2 == 1 {
            pieces.extend(Part::words(&folded(text)).map(|part| (part, true)));
        } else {
            pieces.extend(single(text));
        }
    }
    pieces.extend(unended.into_iter().flat_map(single));
    pieces
}

/// What stands between spaces, by itself: `e-mail` is two words in a row.
fn single(text: &str) -> impl Iterator<Item = (Part, bool)> {
    text.split_whitespace().filter_map(|word| Some((Part::words(&folded(word))?, false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(typed: &str, unfinished: bool) -> (Vec<String>, Option<Vec<String>>) {
        let asked = Asked::of(typed, unfinished).expect("has words");
        let names = |parts: &[Part]| parts.iter().map(|part| part.as_str().to_owned()).collect::<Vec<_>>();
        (names(&asked.exact), asked.loose.as_deref().map(names))
    }

    #[test]
    fn whatever_is_typed_is_words() {
        for (typed, exact, loose) in [
            ("Hotel Minerva", &["_hotel_", "_minerva_"][..], Some(&["hotel", "minerva"][..])),
            (
                "\"hotel minerva\" Zürich",
                &["_hotel_minerva_", "_zurich_"],
                Some(&["_hotel_minerva_", "zurich"]),
            ),
            ("„Hotel Minerva“", &["_hotel_minerva_"], None),
            (
                "hotel AND NOT -bar* OR (x:y) NEAR/2",
                &["_hotel_", "_and_", "_not_", "_bar_", "_or_", "_x_y_", "_near_2_"],
                Some(&["hotel", "and", "not", "bar", "_or_", "x_y", "near_2"]),
            ),
            ("\"hotel minerva", &["_hotel_", "_minerva_"], Some(&["hotel", "minerva"])),
            ("a \" b", &["_a_", "_b_"], None),
            ("e-mail", &["_e_mail_"], Some(&["e_mail"])),
            ("東京", &["_東_京_"], Some(&["東_京"])),
            ("no 5", &["_no_", "_5_"], None),
        ] {
            let loose = loose.map(|parts| parts.iter().map(ToString::to_string).collect());
            assert_eq!(
                read(typed, false),
                (exact.iter().map(ToString::to_string).collect(), loose),
                "{typed}"
            );
        }
        for nothing in ["", " ", "\"\"", "***", "- \" _"] {
            assert_eq!(Asked::of(nothing, true), Err(Unasked::Nothing), "{nothing}");
        }
    }

    #[test]
    fn the_last_word_may_go_on_while_it_is_typed() {
        assert_eq!(read("grand hot", true).0, ["_grand_", "_hot"]);
        assert_eq!(read("grand hot ", true).0, ["_grand_", "_hot_"]);
        assert_eq!(read("grand h", true).0, ["_grand_", "_h_"]);
        assert_eq!(read("\"grand hot", true).0, ["_grand_", "_hot"]);
        assert_eq!(read("\"grand hot\"", true).0, ["_grand_hot_"]);
    }

    #[test]
    fn what_is_no_question_any_more_is_refused() {
        assert_eq!(Asked::of(&"a ".repeat(MOST_WORDS + 1), false), Err(Unasked::TooMuch));
        assert_eq!(Asked::of(&"ab".repeat(MOST_CHARACTERS), false), Err(Unasked::TooMuch));
        assert!(Asked::of(&"a ".repeat(MOST_WORDS), false).is_ok());
    }
}
