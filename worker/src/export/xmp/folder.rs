//! The names in a folder, and which of them is whose sidecar.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::sidecar::{is_part, remove_part};

/// What a sidecar is called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Naming {
    /// `a.jpg.xmp`: darktable, digiKam, Immich. No two pictures share one.
    #[default]
    Full,
    /// `a.xmp`: Lightroom, Capture One, Photo Mechanic.
    Adobe,
}

/// The names in a folder, as they were when it was entered.
#[derive(Debug, Default)]
pub(super) struct Folder {
    pub path: PathBuf,
    /// By the name in lower case.
    sidecars: HashMap<String, Vec<OsString>>,
    /// Everything else by what stands before its last dot, in lower case.
    stems: HashMap<String, Vec<OsString>>,
}

/// Where the sidecar of a picture is, or would be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub name: OsString,
    pub exists: bool,
    /// A sidecar of the other naming, which is left alone.
    pub beside: Option<OsString>,
}

impl Folder {
    /// Lists a folder, and removes what a process left unfinished there if `tidy`.
    pub(super) fn enter(path: &Path, tidy: bool) -> io::Result<Self> {
        let mut folder = Self { path: path.to_path_buf(), ..Self::default() };
        for entry in std::fs::read_dir(path)? {
            let name = entry?.file_name();
            if is_part(&name) {
                if tidy {
                    remove_part(path.join(name));
                }
                continue;
            }
            folder.add(name);
        }
        Ok(folder)
    }

    /// Notes a name.
    pub(super) fn add(&mut self, name: OsString) {
        let path = Path::new(&name);
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("xmp")) {
            self.sidecars.entry(lower(&name)).or_default().push(name);
        } else {
            self.stems.entry(lower(stem(&name))).or_default().push(name);
        }
    }

    /// The sidecar of a picture.
    pub(super) fn sidecar(&self, picture: &OsStr, naming: Naming) -> Found {
        let full = self.named(picture, picture);
        let adobe = self.named(picture, stem(picture));
        let (usual, wanted, beside) = match naming {
            Naming::Full => (with_xmp(picture), full, adobe),
            Naming::Adobe => (with_xmp(stem(picture)), adobe, full),
        };
        let beside = beside.filter(|beside| Some(beside) != wanted.as_ref());
        Found { exists: wanted.is_some(), name: wanted.unwrap_or(usual), beside }
    }

    /// Other files with the stem of a picture, for which `a.xmp` would stand, too.
    pub(super) fn sharing(&self, picture: &OsStr) -> Vec<OsString> {
        let all = self.stems.get(&lower(stem(picture)));
        all.into_iter().flatten().filter(|name| *name != picture).cloned().collect()
    }

    /// The sidecar whose name is `base` and `.xmp`, in upper or lower case; not that of another picture whose name differs in case only.
    fn named(&self, picture: &OsStr, base: &OsStr) -> Option<OsString> {
        let wanted = with_xmp(base);
        let all = self.sidecars.get(&lower(&wanted))?;
        let others = self.stems.get(&lower(stem(picture)));
        let is_of_another = |name: &OsString| {
            let mut others = others.into_iter().flatten().filter(|other| *other != picture);
            others.any(|other| {
                stem(name) == other.as_os_str() || (stem(name) != base && stem(name) == stem(other))
            })
        };
        let exact = all.iter().find(|name| **name == wanted);
        exact.or_else(|| all.iter().find(|name| !is_of_another(name))).cloned()
    }
}

fn stem(name: &OsStr) -> &OsStr {
    Path::new(name).file_stem().unwrap_or(name)
}

fn with_xmp(base: &OsStr) -> OsString {
    let mut name = base.to_owned();
    name.push(".xmp");
    name
}

/// A name in lower case; one that is no text stays apart from others.
fn lower(name: &OsStr) -> String {
    name.to_str().map_or_else(|| format!("{name:?}"), str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> Folder {
        let mut folder = Folder::default();
        names.iter().for_each(|name| folder.add(OsString::from(name)));
        folder
    }

    fn found(names: &[&str], picture: &str, naming: Naming) -> (String, bool, Option<String>) {
        let text = |name: OsString| name.into_string().expect("a text");
        let Found { name, exists, beside } = folder(names).sidecar(OsStr::new(picture), naming);
        (text(name), exists, beside.map(text))
    }

    #[test]
    fn sidecars_are_found_whatever_their_case() {
        use Naming::{Adobe, Full};
        let is =
            |name: &str, exists, beside: Option<&str>| (name.to_owned(), exists, beside.map(str::to_owned));
        assert_eq!(found(&["a.jpg"], "a.jpg", Full), is("a.jpg.xmp", false, None));
        assert_eq!(found(&["a.jpg"], "a.jpg", Adobe), is("a.xmp", false, None));
        assert_eq!(found(&["a.jpg", "A.JPG.XMP"], "a.jpg", Full), is("A.JPG.XMP", true, None));
        assert_eq!(found(&["a.JPG", "a.XMP"], "a.JPG", Full), is("a.JPG.xmp", false, Some("a.XMP")));
        let both = ["a.jpg", "a.xmp", "a.jpg.xmp"];
        assert_eq!(found(&both, "a.jpg", Full), is("a.jpg.xmp", true, Some("a.xmp")));
        assert_eq!(found(&both, "a.jpg", Adobe), is("a.xmp", true, Some("a.jpg.xmp")));
        // Two pictures whose names differ in case only.
        let two = ["a.jpg", "A.jpg", "A.jpg.xmp"];
        assert_eq!(found(&two, "A.jpg", Full), is("A.jpg.xmp", true, None));
        assert_eq!(found(&two, "a.jpg", Full), is("a.jpg.xmp", false, None));
        assert_eq!(found(&["a.jpg", "A.png", "A.xmp"], "a.jpg", Adobe), is("a.xmp", false, None));
        assert_eq!(found(&["a", "a.xmp"], "a", Full), is("a.xmp", true, None));
    }

    #[test]
    fn files_that_would_share_a_sidecar_are_told() {
        let folder = folder(&["a.jpg", "A.NEF", "a.xmp", "a.b.jpg", "b.jpg"]);
        assert_eq!(folder.sharing(OsStr::new("a.jpg")), ["A.NEF"]);
        assert!(folder.sharing(OsStr::new("b.jpg")).is_empty());
    }
}
