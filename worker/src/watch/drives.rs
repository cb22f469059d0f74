//! Which folders the system tells something of: not those whose files other machines, or other programs, change behind its back.

use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// File systems that tell of changes made here alone, by the names in `/proc/self/mountinfo`; and all of FUSE, but for block
/// devices of this machine (`fuseblk`).
const SILENT: &[&str] = &[
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "drvfs",
    "gfs2",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "prl_fs",
    "smb3",
    "smbfs",
    "vboxsf",
    "virtiofs",
    "vmhgfs",
];
/// What the kernel says of mounted file systems. Elsewhere than on Linux there is no such file, and every folder is trusted.
const MOUNTS: &str = "/proc/self/mountinfo";

/// The kind of file system that `folder` lies on, if it tells nothing of what others change there.
pub fn silent(folder: &Path) -> Option<String> {
    let mounts = std::fs::read(MOUNTS).unwrap_or_default();
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    kind(&mounts, &folder).filter(|kind| is_silent(kind))
}

fn is_silent(kind: &str) -> bool {
    SILENT.contains(&kind) || kind == "fuse" || kind.starts_with("fuse.")
}

/// The kind of file system at `folder`: that of the mount point nearest above it; of several at one place, the last one.
fn kind(mounts: &[u8], folder: &Path) -> Option<String> {
    let lines = mounts.split(|byte| *byte == b'\n');
    let mounts = lines.filter_map(|line| {
        // "36 35 98:0 /root /mount/point options [optional fields] - kind source options"
        let mut fields = line.split(|byte| *byte == b' ');
        let point = unescaped(fields.nth(4)?);
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        folder
            .starts_with(&point)
            .then(|| (point.components().count(), String::from_utf8_lossy(kind).into_owned()))
    });
    mounts.max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind)
}

/// Blanks, tabs, line ends and backslashes are written as three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|_| byte == b'\\');
        let code = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTED: &[u8] = b"\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:45 / /mnt/nas rw,relatime shared:12 master:3 - nfs4 nas:/archive rw,vers=4.2
31 30 0:46 / /mnt/nas/local\\040disk rw - xfs /dev/sdb1 rw
32 22 0:47 / /home/ada/cloud rw - fuse.sshfs ada@cloud:/ rw
33 22 0:48 / /media/usb rw - ext4 /dev/sdc1 rw
34 33 0:49 / /media/usb rw - cifs //nas/share rw
";

    #[test]
    fn the_nearest_and_last_mount_point_counts() {
        for (folder, expected) in [
            ("/home/ada", "ext4"),
            ("/mnt/nas/1998", "nfs4"),
            ("/mnt/nas2", "ext4"),
            ("/mnt/nas/local disk/x", "xfs"),
            ("/home/ada/cloud", "fuse.sshfs"),
            ("/media/usb/dcim", "cifs"),
        ] {
            assert_eq!(kind(MOUNTED, Path::new(folder)).as_deref(), Some(expected), "{folder}");
        }
        assert_eq!(kind(b"", Path::new("/")), None);
        assert_eq!(kind(b"nonsense\n1 2 3 4 /\n", Path::new("/")), None);
    }

    #[test]
    fn drives_of_others_are_silent() {
        for kind in ["nfs4", "cifs", "fuse.rclone", "9p"] {
            assert!(is_silent(kind), "{kind}");
        }
        for kind in ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "vfat", "fuseblk", "fusectl"] {
            assert!(!is_silent(kind), "{kind}");
        }
    }

    #[test]
    fn a_folder_of_this_machine_is_trusted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(silent(folder.path()), None);
    }
}
