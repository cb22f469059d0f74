//! The text of a file: its encoding and its line ends.

use super::VocabularyError;

/// What the bytes 0x80 to 0x9f are in Windows-1252. Five are nothing; they stay control characters, which no label takes.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// A file as text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    /// Its characters, without a byte order mark. Lines end with `\n`.
    pub text: String,
    /// The first line that is not UTF-8, if the file was taken for Windows-1252.
    pub windows_1252: Option<u64>,
}

/// Reads UTF-8, UTF-16 with a byte order mark, and Windows-1252 if `lenient`.
pub(super) fn decode(bytes: &[u8], lenient: bool) -> Result<Text, VocabularyError> {
    if let Some(rest) = bytes.strip_prefix(&[0xff, 0xfe]) {
        return utf16(rest, u16::from_le_bytes);
    }
    if let Some(rest) = bytes.strip_prefix(&[0xfe, 0xff]) {
        return utf16(rest, u16::from_be_bytes);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Text { text: unix(text), windows_1252: None }),
        Err(error) => {
            let line = line_of(bytes, error.valid_up_to());
            if lenient {
                let text: String = bytes.iter().map(|&byte| windows_1252(byte)).collect();
                Ok(Text { text: unix(&text), windows_1252: Some(line) })
            } else {
                Err(VocabularyError::at(line, "the file is not UTF-8", "save it as UTF-8"))
            }
        }
    }
}

/// One byte of Windows-1252.
pub(super) fn windows_1252(byte: u8) -> char {
    match byte {
        0x80..=0x9f => WINDOWS_1252[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Text, VocabularyError> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(bytes.len() / 2);
    let next = "save it again, best as UTF-8";
    for decoded in char::decode_utf16(pairs.iter().map(|&pair| unit(pair))) {
        let Ok(decoded) = decoded else {
            let line = line_of(text.as_bytes(), text.len());
            return Err(VocabularyError::at(line, "the file says that it is UTF-16, and is not", next));
        };
        text.push(decoded);
    }
    if rest.is_empty() {
        Ok(Text { text: unix(&text), windows_1252: None })
    } else {
        Err(VocabularyError::whole("the file ends within a character of UTF-16", next))
    }
}

/// Gives every line the end `\n`.
pub(super) fn unix(text: &str) -> String {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.to_owned() }
}

/// The line of the byte at `offset`, from 1, whatever the lines end with.
pub(super) fn line_of(bytes: &[u8], offset: usize) -> u64 {
    let before = &bytes[..offset.min(bytes.len())];
    let ends = before.iter().enumerate().filter(|&(at, &byte)| {
        byte == b'\n' || (byte == b'\r' && before.get(at + 1).is_some_and(|&next| next != b'\n'))
    });
    ends.count() as u64 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        decode(bytes, false).expect("a text").text
    }

    #[test]
    fn encodings_and_line_ends_are_told_apart() {
        assert_eq!(text("Bär\r\nKuh\rHund\n".as_bytes()), "Bär\nKuh\nHund\n");
        assert_eq!(text(b"\xef\xbb\xbfB\xc3\xa4r"), "Bär");
        assert_eq!(text(b"\xff\xfeB\0\xe4\0r\0"), "Bär");
        assert_eq!(text(b"\xfe\xff\0B\0\xe4\0r"), "Bär");
        let old = decode(b"Kuh\r\nB\xe4r \x80", true).expect("Windows-1252");
        assert_eq!(old, Text { text: "Kuh\nBär €".to_owned(), windows_1252: Some(2) });
    }

    #[test]
    fn damage_has_its_line() {
        let line = |bytes: &[u8]| decode(bytes, false).expect_err("damaged").line;
        assert_eq!(line(b"a\rb\r\nc\n\xe4"), Some(4));
        assert_eq!(line(b"\xff\xfea\0\n\0\0\xd8a\0"), Some(2));
        assert_eq!(line(b"\xff\xfea\0b"), None);
    }
}
