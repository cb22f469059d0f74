//! How the bytes of a packet are to be read as text: UTF-8 or UTF-16, as XML knows both by their first bytes.

/// An encoding, and the mark that a file begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// UTF-8.
    Utf8 { marked: bool },
    /// UTF-16, low byte first.
    Utf16Le,
    /// UTF-16, high byte first.
    Utf16Be,
}

const MARK: char = '\u{feff}';

impl Encoding {
    /// The text of `bytes`, without a mark.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, String), &'static str> {
        if let Some(rest) = bytes.strip_prefix(b"\xff\xfe") {
            return Ok((Self::Utf16Le, wide(rest, u16::from_le_bytes)?));
        }
        if let Some(rest) = bytes.strip_prefix(b"\xfe\xff") {
            return Ok((Self::Utf16Be, wide(rest, u16::from_be_bytes)?));
        }
        let rest = bytes.strip_prefix(b"\xef\xbb\xbf");
        let text = std::str::from_utf8(rest.unwrap_or(bytes));
        let text = text.map_err(|_| "it is neither UTF-8 nor UTF-16 with a byte order mark")?;
        Ok((Self::Utf8 { marked: rest.is_some() }, text.to_owned()))
    }

    /// `text` as bytes.
    pub(super) fn write(self, text: &str) -> Vec<u8> {
        let units = || std::iter::once(MARK).chain(text.chars()).collect::<String>();
        match self {
            Self::Utf8 { marked: false } => text.as_bytes().to_vec(),
            Self::Utf8 { marked: true } => units().into_bytes(),
            Self::Utf16Le => units().encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Self::Utf16Be => units().encode_utf16().flat_map(u16::to_be_bytes).collect(),
        }
    }
}

fn wide(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, &'static str> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().copied().map(unit).collect();
    match String::from_utf16(&units) {
        Ok(text) if rest.is_empty() => Ok(text),
        _ => Err("it begins like UTF-16 and is not"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_they_were_read() {
        for bytes in [
            &b"<a/>"[..],
            "<a>é𝄞</a>".as_bytes(),
            b"\xef\xbb\xbf<a/>",
            b"\xff\xfe<\0a\0/\0>\0",
            b"\xfe\xff\0<\0a\0/\0>",
        ] {
            let (encoding, text) = Encoding::read(bytes).expect("is text");
            assert!(text.starts_with("<a"), "{text}");
            assert_eq!(encoding.write(&text), bytes);
        }
        for bytes in [&b"caf\xe9"[..], b"\xff\xfe<", b"\xff\xfe\0\xd8", b"\0<\0a"] {
            assert!(Encoding::read(bytes).is_err() || bytes == b"\0<\0a", "{bytes:?}");
        }
    }
}
