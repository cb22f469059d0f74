//! Removes a file that docent stored, and no other.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use docent_pipelines::{AssetId, Fingerprint};

use super::ForgetError;
use crate::assets::path_of_uri;
use crate::store::StoredFile;

/// The folder of files on their way, in or out.
const ON_THE_WAY: &str = ".incoming";

/// Removes a file of `asset`, below `root`, if it holds what is forgotten. A process that dies amid this leaves the file in its place
/// or where the next call with the same `number` finds it.
pub(super) fn remove(
    root: &Path,
    file: &StoredFile,
    asset: &AssetId,
    number: i64,
) -> Result<(), ForgetError> {
    let Some(path) = path_of_uri(&file.uri) else { return Ok(()) };
    let failed = |source| ForgetError::File { path: path.clone(), source };
    // A folder that is away for now may hold it.
    let real = root.canonicalize().map_err(failed)?;
    let on_the_way = real.join(ON_THE_WAY);
    fs::create_dir_all(&on_the_way).map_err(failed)?;
    let aside = on_the_way.join(format!("forgotten-{number}"));
    if aside.exists() {
        settle(&aside, &path, file, asset).map_err(failed)?;
    }
    let folder = path.parent().map(Path::canonicalize);
    let is_ours = match folder {
        Some(Ok(folder)) => folder.starts_with(&real) && path.strip_prefix(root).is_ok(),
        Some(Err(error)) if is_absent(&error) => return Ok(()),
        Some(Err(error)) => return Err(failed(error)),
        None => false,
    };
    if !is_ours {
        return Ok(());
    }
    match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_file() => {}
        // Docent stores neither links nor folders.
        Ok(_) => return Ok(()),
        Err(error) if is_absent(&error) => {
            tidy(&path, root);
            return Ok(());
        }
        Err(error) => return Err(failed(error)),
    }
    if !holds(&path, file, asset).map_err(failed)? {
        return Ok(());
    }
    // An upload may put another picture here at any moment: what is looked at once more is out of its way.
    match fs::rename(&path, &aside) {
        Ok(()) => settle(&aside, &path, file, asset).map_err(failed)?,
        Err(error) if is_absent(&error) => {}
        Err(error) => return Err(failed(error)),
    }
    tidy(&path, root);
    Ok(())
}

/// Removes what was set aside, or puts it back if it is another picture.
fn settle(aside: &Path, place: &Path, file: &StoredFile, asset: &AssetId) -> io::Result<()> {
    if !holds(aside, file, asset)? {
        // Its folder may have been empty without it.
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        // Unless something newer lies there by now.
        match fs::hard_link(aside, place) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    fs::remove_file(aside)?;
    // The folder's entry has to be gone after a power cut, too.
    match aside.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Removes the folders of a file that are empty without it: their names tell its hash.
fn tidy(file: &Path, root: &Path) {
    for folder in file.ancestors().skip(1).take_while(|folder| *folder != root && folder.starts_with(root)) {
        if fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

/// Whether a file holds what `stored` says, or another file of the same picture.
fn holds(path: &Path, stored: &StoredFile, asset: &AssetId) -> io::Result<bool> {
    let (found, _) = Fingerprint::of_reader(fs::File::open(path)?)?;
    Ok(found.names(asset)
        || stored.content_hash.as_ref().is_some_and(|known| *known == found.bytes.to_hex())
        || stored.picture.as_ref().is_some_and(|known| *known == found.picture.to_hex()))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use docent_pipelines::asset::ContentHash;

    use super::*;
    use crate::assets::file_uri;

    /// Removes a file of which only its asset is known.
    fn remove_a(root: &Path, path: &Path) -> Result<(), ForgetError> {
        let file = StoredFile { uri: file_uri(path), content_hash: None, picture: None };
        remove(root, &file, &ContentHash::of(b"a").asset_id(), 7)
    }

    fn written(path: PathBuf, content: &[u8]) -> PathBuf {
        fs::create_dir_all(path.parent().expect("a folder")).expect("is made");
        fs::write(&path, content).expect("is written");
        path
    }

    #[test]
    fn a_stored_file_goes_with_its_empty_folders_and_others_stay() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().join("uploads");
        let file = written(root.join("ab/abc/a.jpg"), b"a");
        let other = written(root.join("by-name/b.jpg"), b"b");
        let foreign = written(folder.path().join("pictures/a.jpg"), b"a");
        std::os::unix::fs::symlink(folder.path().join("pictures"), root.join("link")).expect("a link");
        let remove = |path: &Path| remove_a(&root, path);
        remove(&file).expect("is removed");
        remove(&file).expect("is removed already");
        assert!(!file.exists() && !root.join("ab").exists() && root.exists());
        for kept in [&other, &foreign, &root.join("link/a.jpg")] {
            remove(kept).expect("is looked at");
            assert!(kept.exists(), "{}", kept.display());
        }
        fs::remove_dir_all(&root).expect("is removed");
        assert!(remove(&file).is_err(), "the folder may come back");
    }

    #[test]
    fn what_was_set_aside_is_removed_or_put_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().join("uploads");
        let place = root.join("by-name/a.jpg");
        fs::create_dir_all(root.join("by-name")).expect("is made");
        let aside = written(root.join(ON_THE_WAY).join("forgotten-7"), b"a");
        remove_a(&root, &place).expect("is removed");
        assert!(!aside.exists() && !place.exists());
        written(aside.clone(), b"another");
        remove_a(&root, &place).expect("is put back");
        assert!(!aside.exists());
        assert_eq!(fs::read(&place).expect("is there"), b"another");
    }
}
