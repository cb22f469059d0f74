//! A sidecar as a file: read, changed, and put in its place whole or not at all.
//!
//! The new content goes into a file of its own in the same folder, is read back and compared, and takes the place of the old one in one
//! step. A change that somebody else makes meanwhile is noticed. A process that dies leaves its own file at most, which the next run
//! removes: it is locked as long as its process lives.

use std::ffi::OsStr;
use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::merge::Merged;
use super::names::DOCENT;
use super::packet::{MAX_BYTES, Packet, PacketError};
use crate::assets::{OpenError, open_file};

/// Begins the names of unfinished files. They are hidden, so scans leave them out.
const PREFIX: &str = ".docent-xmp-";
/// Ends them.
const SUFFIX: &str = ".part";
/// Who changes a sidecar while docent does is waited for so often: after that something writes it all the time.
const TRIES: u32 = 2;

/// Why a sidecar was not written.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// It cannot be read or written.
    #[error("{what}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// The system's own words.
        #[source]
        source: io::Error,
    },
    /// There is something else in its place.
    #[error("{0}, not a file of its own")]
    NotAFile(&'static str),
    /// What it holds cannot be read or changed.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// Somebody else changed it, and changed it again.
    #[error("another program changed it meanwhile")]
    Changed,
    /// What was written was not what was meant. The old file is still there.
    #[error("what was written was read back as something else")]
    ReadBack,
}

/// What became of a sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There is none, and nothing to say in one.
    None,
    /// It says what it is to say.
    Unchanged(Merged),
    /// It was written, or would have been.
    Written {
        /// It was not there before.
        created: bool,
        /// What changed.
        merged: Merged,
    },
}

/// What was there.
struct Existing {
    bytes: Vec<u8>,
    metadata: Metadata,
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> SidecarError {
    move |source| SidecarError::Io { what, source }
}

/// Reads a sidecar and puts what `change` makes of it in its place. Without one, `change` gets an empty packet, and a sidecar comes into
/// being if `create`. With `dry`, nothing is written.
///
/// # Errors
///
/// The sidecar is as it was then.
pub fn update(
    path: &Path,
    create: bool,
    dry: bool,
    mut change: impl FnMut(&mut Packet) -> Result<Merged, PacketError>,
) -> Result<Outcome, SidecarError> {
    for _ in 0..TRIES {
        let existing = read(path)?;
        let mut packet = match &existing {
            Some(existing) => Packet::parse(&existing.bytes)?,
            None if create => Packet::empty()?,
            None => return Ok(Outcome::None),
        };
        let merged = change(&mut packet)?;
        let bytes = packet.to_bytes();
        if existing.as_ref().is_some_and(|existing| existing.bytes == bytes) {
            return Ok(Outcome::Unchanged(merged));
        }
        if dry || replace(path, existing.as_ref(), &packet, &bytes)? {
            return Ok(Outcome::Written { created: existing.is_none(), merged });
        }
    }
    Err(SidecarError::Changed)
}

/// Whether docent wrote into what is at `path`, also where it cannot be read as a packet any more.
pub(super) fn is_docents(path: &Path) -> bool {
    let Ok((file, _)) = open_file(path) else { return false };
    let mut bytes = Vec::new();
    if file.take(MAX_BYTES).read_to_end(&mut bytes).is_err() {
        return false;
    }
    // In UTF-16 every other byte is zero.
    bytes.retain(|byte| *byte != 0);
    memchr::memmem::find(&bytes, DOCENT.as_bytes()).is_some()
}

/// What is at `path` now.
fn read(path: &Path) -> Result<Option<Existing>, SidecarError> {
    let failed = failed("read the sidecar");
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // A new file in its place would cut the link.
    if metadata.is_symlink() {
        return Err(SidecarError::NotAFile("a link"));
    }
    let (file, metadata) = open_file(path).map_err(|error| match error {
        OpenError::Io(error) => failed(error),
        OpenError::NotAFile(what) => SidecarError::NotAFile(what),
        OpenError::Outside => SidecarError::NotAFile("outside of assets.roots"),
    })?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(&failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(PacketError::TooLarge(metadata.len().max(MAX_BYTES + 1)).into());
    }
    Ok(Some(Existing { bytes, metadata }))
}

/// Puts `bytes` in the place of what was there. Answers whether that was still there.
fn replace(
    path: &Path,
    existing: Option<&Existing>,
    packet: &Packet,
    bytes: &[u8],
) -> Result<bool, SidecarError> {
    let failed = failed("write the sidecar");
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut part = part(folder).map_err(&failed)?;
    part.write_all(bytes).map_err(&failed)?;
    if let Some(Existing { metadata, .. }) = existing {
        let file = part.as_file();
        // Only root may give files away; for others it stays as if they had saved it.
        drop(fchown(file, Some(metadata.uid()), Some(metadata.gid())));
        file.set_permissions(Permissions::from_mode(metadata.mode() & 0o7777)).map_err(&failed)?;
    }
    part.as_file().sync_all().map_err(&failed)?;
    let written = std::fs::read(part.path()).map_err(&failed)?;
    let is_meant = written == bytes && Packet::parse(&written).is_ok_and(|read| read.is_like(packet));
    if !is_meant {
        return Err(SidecarError::ReadBack);
    }
    let now = read(path)?;
    if now.as_ref().map(|now| &now.bytes) != existing.map(|existing| &existing.bytes) {
        return Ok(false);
    }
    let persisted = match existing {
        Some(_) => part.persist(path),
        None => part.persist_noclobber(path),
    };
    match persisted {
        Ok(_) => {}
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(failed(error.error)),
    }
    // The entry of the folder has to survive a power cut as the file does.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(&failed)?;
    Ok(true)
}

/// A file for what is unfinished, locked.
fn part(folder: &Path) -> io::Result<NamedTempFile> {
    loop {
        let part = tempfile::Builder::new()
            .prefix(PREFIX)
            .suffix(SUFFIX)
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        // Another run may have taken it for left over before it was locked.
        if part.as_file().try_lock().is_ok() && part.as_file().metadata()?.nlink() > 0 {
            return Ok(part);
        }
    }
}

/// Whether a file has the name of an unfinished one.
pub(super) fn is_part(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX))
}

/// Removes an unfinished file whose process is dead.
pub(super) fn remove_part(path: PathBuf) {
    let removed = open_file(&path)
        .ok()
        .filter(|(file, _)| file.try_lock().is_ok())
        .map(|_| std::fs::remove_file(&path));
    if let Some(Err(error)) = removed {
        tracing::debug!(error = &error as &dyn std::error::Error, path = %path.display(), "cannot remove what a dead process left");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::names::SUBJECT;
    use super::super::packet::List;
    use super::super::tree::New;
    use super::*;
    use crate::export::xmp::names::RDF_LI;

    fn add(packet: &mut Packet, word: &str) -> Result<Merged, PacketError> {
        let there = packet.get(SUBJECT).map(|value| value.texts()).unwrap_or_default();
        if !there.iter().any(|there| there == word) {
            packet.change_list(SUBJECT, List::Bag, &[], vec![New::text(RDF_LI, word)])?;
        }
        Ok(Merged::default())
    }

    fn words(path: &Path) -> Vec<String> {
        let packet = Packet::parse(&std::fs::read(path).expect("is there")).expect("is a packet");
        packet.get(SUBJECT).map(|value| value.texts()).unwrap_or_default()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_change_made_meanwhile_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.jpg.xmp");
        let mut other = Packet::empty().expect("is a packet");
        add(&mut other, "theirs").expect("is added");
        // Before there was a sidecar, and then while there is one.
        for word in ["ours", "more"] {
            let times = Cell::new(0);
            let outcome = update(&path, true, false, |packet| {
                times.set(times.get() + 1);
                if times.get() == 1 {
                    add(&mut other, &format!("theirs beside {word}")).expect("is added");
                    std::fs::write(&path, other.to_bytes()).expect("is written");
                }
                add(packet, word)
            });
            assert!(matches!(outcome, Ok(Outcome::Written { created: false, .. })), "{outcome:?}");
            assert_eq!(times.get(), 2);
            let there = words(&path);
            assert!(
                there.contains(&word.to_owned()) && there.contains(&format!("theirs beside {word}")),
                "{there:?}"
            );
        }
        // Somebody who never stops.
        let outcome = update(&path, true, false, |packet| {
            add(&mut other, &format!("again {}", fastrand::u64(..))).expect("is added");
            std::fs::write(&path, other.to_bytes()).expect("is written");
            add(packet, "never")
        });
        assert!(matches!(outcome, Err(SidecarError::Changed)), "{outcome:?}");
        assert!(!words(&path).contains(&"never".to_owned()));
        assert_eq!(names(folder.path()), ["a.jpg.xmp"]);
    }

    #[test]
    fn a_sidecar_keeps_its_mode_and_a_second_run_writes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.jpg.xmp");
        let run = || update(&path, true, false, |packet| add(packet, "cat"));
        assert!(matches!(run(), Ok(Outcome::Written { created: true, .. })));
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("is set");
        let before = std::fs::metadata(&path).expect("is there");
        assert!(matches!(run(), Ok(Outcome::Unchanged(_))));
        let after = std::fs::metadata(&path).expect("is there");
        assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
        let dry = update(&path, true, true, |packet| add(packet, "dog"));
        assert!(matches!(dry, Ok(Outcome::Written { created: false, .. })));
        assert_eq!(words(&path), ["cat"]);
        update(&path, false, false, |packet| add(packet, "dog")).expect("is written");
        assert_eq!(words(&path), ["cat", "dog"]);
        assert_eq!(std::fs::metadata(&path).expect("is there").mode() & 0o7777, 0o640);
        let nowhere = update(&folder.path().join("b.jpg.xmp"), false, false, |packet| add(packet, "cat"));
        assert_eq!(nowhere.expect("is nothing"), Outcome::None);
    }

    #[test]
    fn what_is_no_sidecar_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("real.xmp"), Packet::empty().expect("is a packet").to_bytes())
            .expect("is written");
        std::os::unix::fs::symlink(path("real.xmp"), path("link.xmp")).expect("a link");
        std::fs::create_dir(path("folder.xmp")).expect("a folder");
        std::fs::write(path("broken.xmp"), "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF")
            .expect("is written");
        std::fs::write(path("empty.xmp"), "").expect("is written");
        std::fs::write(path("page.xmp"), "<html/>").expect("is written");
        std::fs::write(path("dtd.xmp"), "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>").expect("is written");
        let large = File::create(path("large.xmp")).expect("is created");
        large.set_len(MAX_BYTES + 1).expect("is made large");
        for (name, reason) in [
            ("link.xmp", "a link, not a file of its own"),
            ("folder.xmp", "a folder, not a file of its own"),
            ("broken.xmp", "it is not read as XML: "),
            ("empty.xmp", "it is not read as XML: "),
            ("page.xmp", "it is XML and no XMP"),
            ("dtd.xmp", "it is not read as XML: XML with DTD detected"),
            ("large.xmp", "it has 16777217 bytes"),
        ] {
            let before = std::fs::read(path(name)).ok();
            let error = update(&path(name), true, false, |packet| add(packet, "cat")).expect_err(name);
            assert!(error.to_string().starts_with(reason), "{name}: {error}");
            assert_eq!(std::fs::read(path(name)).ok(), before, "{name}");
        }
    }

    #[test]
    fn only_files_of_dead_processes_are_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let alive = part(folder.path()).expect("is made");
        let dead = part(folder.path()).expect("is made").keep().expect("is kept").1;
        for name in names(folder.path()) {
            assert!(is_part(OsStr::new(&name)), "{name}");
            remove_part(folder.path().join(name));
        }
        assert!(alive.path().exists() && !dead.exists());
        assert!(!is_part(OsStr::new("a.part")) && !is_part(OsStr::new(".docent-xmp-notes.txt")));
    }
}
