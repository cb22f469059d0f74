//! Opening what somebody else has named: only a file, only where it is allowed, and without ever waiting for somebody at
//! the other end of a pipe.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::place::lexical;

/// Why a file was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is something else.
    #[error("{0}, not a file")]
    NotAFile(&'static str),
    /// It lies, or leads, outside of the allowed folders.
    #[error("outside of the folders that may be read (assets.roots)")]
    Outside,
    /// The system's own words.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl OpenError {
    /// What lies there is no file, but of this kind.
    pub fn of_kind(kind: FileType) -> Self {
        Self::NotAFile(name(kind))
    }
}

/// The folders that may be read. Without any, everything may be.
#[derive(Debug, Clone, Default)]
pub struct Roots(Arc<[PathBuf]>);

impl Roots {
    /// These folders and what is below them.
    pub fn new(folders: &[PathBuf]) -> Self {
        Self(folders.iter().map(|folder| lexical(folder)).collect())
    }

    /// Whether no folders are named, so that everything may be read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where `path` leads once all links are followed, if that may be read. Without roots it is `path` itself.
    pub fn allowed(&self, path: &Path) -> Result<PathBuf, OpenError> {
        if self.0.is_empty() {
            return Ok(path.to_path_buf());
        }
        let real = match path.canonicalize() {
            Ok(real) => real,
            // Whether there is something elsewhere is nobody's business.
            Err(_) if !self.0.iter().any(|root| is_named_below(path, root)) => {
                return Err(OpenError::Outside);
            }
            Err(error) => return Err(error.into()),
        };
        // A root may be a link itself, and its drive may come and go.
        let inside = |root: &PathBuf| root.canonicalize().is_ok_and(|root| real.starts_with(root));
        if self.0.iter().any(inside) { Ok(real) } else { Err(OpenError::Outside) }
    }
}

/// Whether a path that leads nowhere would lead below `root`, going by its names.
fn is_named_below(path: &Path, root: &Path) -> bool {
    let path = lexical(path);
    path.starts_with(root) || root.canonicalize().is_ok_and(|root| path.starts_with(root))
}

/// Opens a file for reading. What is not a file is refused before it is touched: opening a pipe waits for a writer, and
/// opening a device may do something.
pub fn open_file(path: &Path) -> Result<(File, Metadata), OpenError> {
    regular(std::fs::metadata(path)?)?;
    // Something else may lie there by now; then this does not wait for it, either.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let metadata = regular(file.metadata()?)?;
    Ok((file, metadata))
}

fn regular(metadata: Metadata) -> Result<Metadata, OpenError> {
    if metadata.is_file() { Ok(metadata) } else { Err(OpenError::of_kind(metadata.file_type())) }
}

fn name(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else {
        "something else"
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Each of these would keep a thread, or do something, if it was opened like a file.
    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pipe = folder.path().join("pipe.jpg");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
        let socket = folder.path().join("socket.jpg");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        let link = folder.path().join("link.jpg");
        symlink(&pipe, &link).expect("a link");
        for (path, kind) in [
            (pipe.as_path(), "a named pipe, not a file"),
            (&link, "a named pipe, not a file"),
            (&socket, "a socket, not a file"),
            (folder.path(), "a folder, not a file"),
            (Path::new("/dev/zero"), "a device, not a file"),
        ] {
            let error = open_file(path).expect_err("is refused");
            assert_eq!(error.to_string(), kind, "{}", path.display());
        }
        assert!(matches!(open_file(&folder.path().join("gone")), Err(OpenError::Io(_))));
    }

    #[test]
    fn links_do_not_lead_out_of_the_roots() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (inside, outside) = (folder.path().join("inside"), folder.path().join("outside"));
        for place in [&inside, &outside] {
            std::fs::create_dir(place).expect("a folder");
            std::fs::write(place.join("a.jpg"), "a").expect("is written");
        }
        symlink(&inside, folder.path().join("root")).expect("a link");
        symlink(outside.join("a.jpg"), inside.join("out.jpg")).expect("a link");
        symlink(&outside, inside.join("out")).expect("a link");
        symlink(inside.join("a.jpg"), outside.join("in.jpg")).expect("a link");
        for root in ["inside", "root", "inside/../inside"] {
            let roots = Roots::new(&[folder.path().join("elsewhere"), folder.path().join(root)]);
            let allowed = |name: &str| roots.allowed(&folder.path().join(name));
            let real = inside.join("a.jpg").canonicalize().expect("is there");
            for name in ["inside/a.jpg", "root/a.jpg", "outside/in.jpg", "inside/out/in.jpg"] {
                assert_eq!(allowed(name).expect(name), real, "{root}: {name}");
            }
            for name in
                ["inside/out.jpg", "inside/out/a.jpg", "outside/a.jpg", "outside/gone.jpg", "inside-out.jpg"]
            {
                assert!(matches!(allowed(name), Err(OpenError::Outside)), "{root}: {name}");
            }
        }
        for root in [&inside, &folder.path().join("root")] {
            let roots = Roots::new(std::slice::from_ref(root));
            let real = inside.canonicalize().expect("is there").join("gone.jpg");
            for gone in [root.join("gone.jpg"), real] {
                assert!(matches!(roots.allowed(&gone), Err(OpenError::Io(_))), "{}", gone.display());
            }
        }
        let everything = Roots::default();
        assert_eq!(everything.allowed(Path::new("/no/where")).expect("is allowed"), Path::new("/no/where"));
    }
}
