//! Tells camera raw files from TIFF.

use super::ifd::{Directory, Source};

/// Values of `PhotometricInterpretation` that only raw converters use.
const COLOR_FILTER_ARRAY: u64 = 32803;
const LINEAR_RAW: u64 = 34892;

const NEW_SUBFILE_TYPE: u16 = 254;
const PHOTOMETRIC: u16 = 262;
const MAKE: u16 = 271;
const SUB_IFDS: u16 = 330;
const DNG_VERSION: u16 = 50706;

/// The name of the camera raw format that poses as the TIFF in `bytes`, if it is one. Such files begin with a small preview, and
/// only raw converters find the exposure. The preview must not be taken for the picture.
pub(super) fn camera_raw(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(8..10) == Some(b"CR") {
        return Some("camera raw (Canon CR2)");
    }
    let source = Source::new(bytes)?;
    let first = source.first()?;
    if first.has(DNG_VERSION) {
        return Some("camera raw (DNG)");
    }
    let raw = |directory: Directory<'_>| {
        matches!(directory.number(PHOTOMETRIC), Some(COLOR_FILTER_ARRAY | LINEAR_RAW))
    };
    let inner = |at: &u64| usize::try_from(*at).ok().and_then(|at| source.directory(at));
    let exposure = raw(first) || first.numbers(SUB_IFDS, 8).iter().filter_map(inner).any(raw);
    // A directory that is only a preview, and further ones beside it, from a camera: also seen where the exposure's
    // directory lies outside the bytes at hand.
    let preview = first.number(NEW_SUBFILE_TYPE) == Some(1) && first.has(SUB_IFDS);
    let make = first.bytes(MAKE).map(<[u8]>::to_ascii_uppercase);
    let raw = exposure || (preview && make.is_some());
    if !raw {
        return None;
    }
    Some(match make.unwrap_or_default() {
        make if make.starts_with(b"NIKON") => "camera raw (Nikon NEF)",
        make if make.starts_with(b"SONY") => "camera raw (Sony ARW)",
        make if make.starts_with(b"PENTAX") || make.starts_with(b"RICOH") => "camera raw (Pentax PEF)",
        make if make.starts_with(b"SAMSUNG") => "camera raw (Samsung SRW)",
        make if make.starts_with(b"HASSELBLAD") => "camera raw (Hasselblad 3FR)",
        _ => "camera raw",
    })
}

#[cfg(test)]
mod tests {
    use super::super::ifd::tests::{entry, file};
    use super::*;

    fn filler() -> Vec<u8> {
        entry(256, 4, 1, 9)
    }

    #[test]
    fn raw_files_are_told_from_tiff() {
        let preview = || entry(NEW_SUBFILE_TYPE, 4, 1, 1);
        let nef =
            file(&[preview(), entry(MAKE, 2, 18, 50), entry(SUB_IFDS, 4, 2, 99)], b"NIKON CORPORATION\0");
        assert_eq!(camera_raw(&nef), Some("camera raw (Nikon NEF)"));
        let dng = file(&[filler(), filler(), entry(DNG_VERSION, 1, 4, 1)], b"");
        assert_eq!(camera_raw(&dng), Some("camera raw (DNG)"));
        let inner = [&b"\x01\0"[..], &entry(PHOTOMETRIC, 3, 1, COLOR_FILTER_ARRAY as u32)].concat();
        let raw = file(&[filler(), filler(), entry(SUB_IFDS, 4, 1, 50)], &inner);
        assert_eq!(camera_raw(&raw), Some("camera raw"));
    }

    #[test]
    fn thumbnails_beside_a_picture_do_not_make_it_raw() {
        let inner = [&b"\x01\0"[..], &entry(PHOTOMETRIC, 3, 1, 2)].concat();
        let photo = file(&[entry(MAKE, 2, 4, 0x004e_4b4e), filler(), entry(SUB_IFDS, 4, 1, 50)], &inner);
        assert_eq!(camera_raw(&photo), None);
    }

    #[test]
    fn broken_directories_are_no_camera_raw() {
        assert_eq!(camera_raw(b"II*\0\xff\xff\xff\xff"), None);
        assert_eq!(camera_raw(b"II*\0\x04\0\0\0"), None);
        // A directory that is its own child, and a tag whose values lie beyond the end.
        let broken = file(&[entry(SUB_IFDS, 4, 1, 8), entry(MAKE, 2, u32::MAX, 8), filler()], b"");
        assert_eq!(camera_raw(&broken), None);
    }
}
