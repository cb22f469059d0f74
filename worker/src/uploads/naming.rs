//! Where uploads lie.

use std::path::PathBuf;

use docent_pipelines::asset::ContentHash;

use super::UploadError;

/// File systems have no longer names, in bytes.
const LONGEST: usize = 255;
/// What a file is called whose client gives no name that can be used.
const NAMELESS: &str = "upload";

/// `ab/abcdef…/name`: by content, so that the same content comes to the same place.
pub(super) fn by_content(content: &ContentHash, name: &str) -> PathBuf {
    let hash = content.to_hex();
    let id = hash.get(..32).unwrap_or_default();
    PathBuf::from(id.get(..2).unwrap_or_default()).join(id).join(tame(name))
}

/// A name that a client chose on purpose, as it is.
pub(super) fn by_name(name: &str) -> Result<&str, UploadError> {
    let wrong = |reason| Err(UploadError::Name { name: name.to_owned(), reason });
    if name.trim().is_empty() {
        return wrong("it is empty");
    }
    if name.len() > LONGEST {
        return wrong("it is longer than 255 bytes");
    }
    if name.starts_with('.') {
        return wrong("it begins with a dot");
    }
    if name.contains(['/', '\\']) {
        return wrong("it has a slash in it");
    }
    if name.contains(char::is_control) {
        return wrong("it has a control character in it");
    }
    Ok(name)
}

/// The last part of what a client calls a file, without what means something to a file system. Names of clients on Windows
/// hold whole paths.
fn tame(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = last.chars().filter(|c| !c.is_control()).collect();
    let plain = plain.trim().trim_start_matches('.');
    if plain.is_empty() {
        return NAMELESS.to_owned();
    }
    // The end tells the format.
    let over = plain.len().saturating_sub(LONGEST);
    let start = plain.char_indices().map(|(at, _)| at).find(|at| *at >= over).unwrap_or(0);
    plain.get(start..).unwrap_or(NAMELESS).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_calls_a_file_leads_nowhere_else() {
        for (name, plain) in [
            ("a.jpg", "a.jpg"),
            ("../../etc/passwd", "passwd"),
            (r"C:\Users\Ada\Été 1.JPG", "Été 1.JPG"),
            ("..", "upload"),
            ("", "upload"),
            (".hidden.png", "hidden.png"),
            ("a\0\n.png", "a.png"),
            ("/", "upload"),
        ] {
            assert_eq!(tame(name), plain, "{name:?}");
        }
        let long = format!("{}.jpeg", "é".repeat(400));
        assert!(tame(&long).len() <= LONGEST && tame(&long).ends_with("é.jpeg"));
        let place = by_content(&ContentHash::of(b"a"), "x/../y.png");
        assert_eq!(place.components().count(), 3);
        assert!(place.ends_with("y.png"));
    }

    #[test]
    fn names_that_are_chosen_are_kept_or_refused() {
        assert_eq!(by_name("IMG 1 (é).jpg").ok(), Some("IMG 1 (é).jpg"));
        for wrong in ["", " ", ".", "..", ".x.jpg", "a/b.jpg", r"a\b.jpg", "a\u{7}.jpg", &"x".repeat(256)] {
            assert!(by_name(wrong).is_err(), "{wrong:?}");
        }
    }
}
