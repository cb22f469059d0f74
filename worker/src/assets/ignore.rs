//! What scans leave out: litter of programs, and what the user names.

use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use serde::Deserialize;

/// The patterns that always come first.
const LITTER: &str = include_str!("litter.gitignore");
/// More patterns than anybody writes by hand.
const MOST_PATTERNS: usize = 1000;
/// No pattern is longer, in bytes.
const LONGEST: usize = 1000;

/// Patterns in gitignore syntax; the last one that matches decides. Upper and lower case are the same.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Ignored {
    litter: Gitignore,
    own: Gitignore,
}

/// Why a pattern is refused.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// It does not follow the syntax.
    #[error("gitignore patterns; '{pattern}' is none: {reason}")]
    Syntax {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        reason: String,
    },
    /// Too many, or too long.
    #[error("at most {MOST_PATTERNS} patterns of at most {LONGEST} bytes")]
    TooMuch,
}

impl Default for Ignored {
    fn default() -> Self {
        Self {
            litter: compiled(LITTER.lines()).unwrap_or_else(|_| Gitignore::empty()),
            own: Gitignore::empty(),
        }
    }
}

impl TryFrom<Vec<String>> for Ignored {
    type Error = PatternError;

    fn try_from(patterns: Vec<String>) -> Result<Self, PatternError> {
        if patterns.len() > MOST_PATTERNS || patterns.iter().any(|pattern| pattern.len() > LONGEST) {
            return Err(PatternError::TooMuch);
        }
        Ok(Self { own: compiled(patterns.iter().map(String::as_str))?, ..Self::default() })
    }
}

impl Ignored {
    /// The pattern by which an entry is left out. `inside` is its path below the folder that a person named, where
    /// patterns with a leading slash begin. Litter is recognized wherever one starts: also inside of a named photo library.
    pub fn rule(&self, path: &Path, inside: &Path, is_folder: bool) -> Option<&str> {
        match self.own.matched(inside, is_folder) {
            Match::Ignore(glob) => return Some(glob.original()),
            Match::Whitelist(_) => return None,
            Match::None => {}
        }
        match self.litter.matched(path, is_folder) {
            Match::Ignore(glob) => Some(glob.original()),
            Match::Whitelist(_) | Match::None => None,
        }
    }
}

fn compiled<'a>(patterns: impl Iterator<Item = &'a str>) -> Result<Gitignore, PatternError> {
    let refused = |pattern: &str, error: ignore::Error| {
        let reason = match &error {
            ignore::Error::Glob { err, .. } => err.clone(),
            other => other.to_string(),
        };
        PatternError::Syntax { pattern: pattern.escape_debug().to_string(), reason }
    };
    let mut builder = GitignoreBuilder::new("");
    builder.case_insensitive(true).map_err(|error| refused("", error))?;
    builder.allow_unclosed_class(false);
    for pattern in patterns {
        builder.add_line(None, pattern).map_err(|error| refused(pattern, error))?;
    }
    builder.build().map_err(|error| refused("", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(patterns: &[&str]) -> Result<Ignored, PatternError> {
        Ignored::try_from(patterns.iter().map(|&pattern| pattern.to_owned()).collect::<Vec<_>>())
    }

    /// The pattern that leaves out a path or a folder above it, the way a walk from `/archive` meets them.
    fn left_out<'a>(ignored: &'a Ignored, inside: &str) -> Option<&'a str> {
        let parts: Vec<&str> = inside.trim_end_matches('/').split('/').collect();
        (1..=parts.len()).find_map(|count| {
            let inside_so_far = parts[..count].join("/");
            let is_folder = count < parts.len() || inside.ends_with('/');
            ignored.rule(&Path::new("/archive").join(&inside_so_far), Path::new(&inside_so_far), is_folder)
        })
    }

    #[test]
    fn the_litter_of_each_program_is_left_out_and_nothing_beside_it() {
        compiled(LITTER.lines()).expect("the patterns are sound");
        let ignored = Ignored::default();
        for (path, rule) in [
            ("1998/@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "@eaDir/"),
            ("@EADIR/a.jpg", "@eaDir/"),
            ("#recycle/a.jpg", "\\#recycle/"),
            ("#snapshot/GMT-01/a.jpg", "\\#snapshot/"),
            ("@Recycle/a.jpg", "@Recycle/"),
            ("1998/.@__thumb/a.jpg", ".*"),
            ("$RECYCLE.BIN/S-1-5/a.jpg", "$RECYCLE.BIN/"),
            ("System Volume Information/a.jpg", "System Volume Information/"),
            ("lost+found/#123", "lost+found/"),
            (".Trash-1000/files/a.jpg", ".Trash*"),
            (".thumbnails/normal/a.png", ".thumbnails/"),
            ("1998/._a.jpg", "._*"),
            ("1998/.DS_Store", ".DS_Store"),
            ("__MACOSX/a/._b.jpg", "__MACOSX/"),
            ("1998/Thumbs.db", "Thumbs.db"),
            ("1998/thumbs.DB", "Thumbs.db"),
            ("1998/desktop.ini", "desktop.ini"),
            ("P.photoslibrary/resources/derivatives/0/a.jpeg", "**/*.photoslibrary/*"),
            ("x/P.photoslibrary/database/a.png", "**/*.photoslibrary/*"),
            ("iPhoto.photolibrary/Thumbnails/a.jpg", "**/*.photolibrary/*"),
            ("A.aplibrary/Previews/a.jpg", "**/*.aplibrary/*"),
            ("Catalog Previews.lrdata/0/a.lrprev", "*.lrdata/"),
            ("Catalog Smart Previews.lrdata/0/a.dng", "*.lrdata/"),
            ("1998/CaptureOne/Cache/Thumbnails/a.cot", "**/CaptureOne/Cache/"),
            ("C.cocatalog/Cache/Proxies/a.cop", "**/*.cocatalog/Cache/"),
            ("1998/.dtrash/files/a.jpg", ".*"),
            ("thumbnails-digikam.db", "thumbnails-digikam.db"),
            ("a.jpg.part", "*.part"),
            ("a.jpg.crdownload", "*.crdownload"),
            ("a.jpg.download/a.jpg", "*.download"),
            ("a.tmp", "*.tmp"),
            ("a.jpg~", "*~"),
            ("~$letter.jpg", "~$*"),
            (".a.jpg.Xb3d9F", ".*"),
        ] {
            assert_eq!(left_out(&ignored, path), Some(rule), "{path}");
        }
        for path in [
            "1998/a.jpg",
            "P.photoslibrary/originals/0/a.heic",
            "P.photoslibrary/Masters/2014/a.jpg",
            "iPhoto.photolibrary/Originals/2009/a.jpg",
            "A.aplibrary/Masters/a.jpg",
            "eaDir/a.jpg",
            "recycle/a.jpg",
            "lost+found.jpg",
            "CaptureOne/a.jpg",
            "Cache/a.jpg",
            "tmp/a.jpg",
            "part/a.jpg",
            "Thumbs.db.jpg",
            "a~b.jpg",
            "resources/derivatives/a.jpg",
            "partial",
        ] {
            assert_eq!(left_out(&ignored, path), None, "{path}");
        }
    }

    #[test]
    fn ones_own_patterns_come_last_and_begin_at_the_named_folder() {
        let ignored = own(&["/export/", "*.gif", "!Thumbs.db", "!.*", "!keep/@eaDir/", "[ab]*.png", ""])
            .expect("the patterns are sound");
        for (path, rule) in [
            ("export/a.jpg", Some("/export/")),
            ("1998/export/a.jpg", None),
            ("1998/a.GIF", Some("*.gif")),
            ("Thumbs.db", None),
            (".hidden/a.jpg", None),
            ("keep/@eaDir/a.jpg", None),
            ("other/@eaDir/a.jpg", Some("@eaDir/")),
            ("atlas.png", Some("[ab]*.png")),
            ("catlas.png", None),
        ] {
            assert_eq!(left_out(&ignored, path), rule, "{path}");
        }
        let nothing = own(&["!*"]).expect("the pattern is sound");
        assert_eq!(left_out(&nothing, ".a/@eaDir/Thumbs.db"), None, "nothing is left out");
    }

    #[test]
    fn what_is_no_pattern_is_named() {
        for pattern in ["[a", "a[b", "[z-a]"] {
            let error = own(&["*.gif", pattern]).expect_err("is refused").to_string();
            assert!(error.contains(&format!("'{pattern}'")), "{error}");
        }
        let many = vec!["*.gif".to_owned(); MOST_PATTERNS + 1];
        assert!(matches!(Ignored::try_from(many), Err(PatternError::TooMuch)));
        assert!(matches!(own(&[&"a".repeat(LONGEST + 1)]), Err(PatternError::TooMuch)));
    }
}
