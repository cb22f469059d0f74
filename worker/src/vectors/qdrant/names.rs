//! Names of collections: `docent_picture_2fjoint_401` is the space `picture/joint@1` under the prefix `docent`.
//!
//! Everything but lower-case letters, digits, `-` and `.` is written as `_` and the byte's two hexadecimal digits, so
//! that no two spaces share a collection (not even on a disk that ignores case) and a name tells its space again.

use docent_pipelines::VectorSpace;

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
}

/// Whether `prefix` can be told from the rest of a name.
pub(super) fn is_prefix(prefix: &str) -> bool {
    !prefix.is_empty() && prefix.bytes().all(is_plain)
}

/// The collection of `space`.
pub(super) fn collection(prefix: &str, space: &VectorSpace) -> String {
    let mut name = format!("{prefix}_");
    for byte in space.as_str().bytes() {
        match is_plain(byte) {
            true => name.push(byte.into()),
            false => name.push_str(&format!("_{byte:02x}")),
        }
    }
    name
}

/// The space in the collection `name`, unless it is somebody else's collection.
pub(super) fn space(prefix: &str, name: &str) -> Option<VectorSpace> {
    let mut rest = name.strip_prefix(prefix)?.strip_prefix('_')?.bytes();
    let mut bytes = Vec::new();
    while let Some(byte) = rest.next() {
        if byte != b'_' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push((high * 16 + low) as u8);
    }
    let space = VectorSpace::from_name(String::from_utf8(bytes).ok()?);
    // What would be written otherwise was not written by `collection`.
    (collection(prefix, &space) == name).then_some(space)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_space() {
        let name = |text: &str| collection("docent", &VectorSpace::from_name(text));
        assert_eq!(name("picture/joint@1"), "docent_picture_2fjoint_401");
        let spaces = ["", "a", "A", "a/b", "a_b", "a_2fb", "a-b", "bilder/größe@2", "x y"];
        for text in spaces {
            let name = name(text);
            assert_eq!(space("docent", &name), Some(VectorSpace::from_name(text)), "{name}");
            assert!(name.bytes().all(|byte| is_plain(byte) || byte == b'_'), "{name}");
        }
        let names: std::collections::HashSet<_> = spaces.map(name).into();
        assert_eq!(names.len(), spaces.len());
    }

    #[test]
    fn other_collections_are_not_ours() {
        for name in [
            "photos",
            "docent",
            "docent-two_a",
            "docent_A",
            "docent_a_2",
            "docent_a_2F",
            "docent__61",
            "docent__ff",
        ] {
            assert_eq!(space("docent", name), None, "{name}");
        }
        assert!(is_prefix("docent-test.1"));
        assert!(!is_prefix("") && !is_prefix("docent_test") && !is_prefix("Docent"));
    }
}
