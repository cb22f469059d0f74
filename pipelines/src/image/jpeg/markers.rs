//! The marker segments of a JPEG (ITU-T T.81, annex B).

use super::super::{DecodeError, Format, Tolerated, orientation};
use super::Told;

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

/// What the segments say, and the stream without those that do not touch the pixels.
pub(super) struct Stream<'a> {
    /// From the frame header.
    pub(super) frame: Frame,
    /// EXIF orientation, 1..=8.
    pub(super) orientation: u8,
    /// The ICC profile, put together from its parts.
    pub(super) profile: Option<Vec<u8>>,
    /// Whether there is more than one scan, so that a decoder must keep all coefficients.
    pub(super) several_scans: bool,
    /// Whether the end-of-image marker is there.
    pub(super) ended: bool,
    /// What is wrong with it so far, and does not matter.
    pub(super) tolerated: Vec<Tolerated>,
    /// Tables, frame and the head of the first scan. What libjpeg-turbo warns about although no pixel depends on it (stray
    /// bytes between segments, odd versions) is gone, so that a warning is always about pixels.
    pub(super) head: Vec<u8>,
    /// What follows, up to the end-of-image marker or the end of the file.
    pub(super) scans: &'a [u8],
}

/// A frame header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Frame {
    /// Low half of the marker: 0 baseline, 1 extended, 2 progressive, 3 lossless, ...
    pub(super) process: u8,
    /// Bits per sample.
    pub(super) precision: u8,
    pub(super) width: u16,
    pub(super) height: u16,
    /// Horizontal and vertical sampling factor of each component.
    pub(super) sampling: Vec<(u8, u8)>,
    /// Name of each component.
    pub(super) ids: Vec<u8>,
}

impl Frame {
    fn read(process: u8, content: &[u8]) -> Option<Self> {
        let [precision, y1, y0, x1, x0, count, components @ ..] = content else { return None };
        let sampling = components.chunks_exact(3).map(|c| (c[1] >> 4, c[1] & 15)).collect::<Vec<_>>();
        (sampling.len() == usize::from(*count)).then(|| Self {
            process,
            precision: *precision,
            width: u16::from_be_bytes([*x1, *x0]),
            height: u16::from_be_bytes([*y1, *y0]),
            sampling,
            ids: components.chunks_exact(3).map(|c| c[0]).collect(),
        })
    }
}

fn corrupt(reason: impl Into<String>) -> DecodeError {
    DecodeError::Corrupt { format: Format::Jpeg, reason: reason.into() }
}

fn truncated(reason: impl Into<String>) -> DecodeError {
    DecodeError::Truncated { format: Format::Jpeg, reason: reason.into() }
}

fn feature(reason: impl Into<String>) -> DecodeError {
    DecodeError::Feature { format: Format::Jpeg, reason: reason.into() }
}

/// The next marker at or after `at`, and where it ends; whatever lies before it is skipped.
fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += memchr::memchr(0xff, bytes.get(at..)?)?;
        at += bytes.get(at..)?.iter().position(|byte| *byte != 0xff)?;
        // 0xff00 is a byte of the picture.
        if bytes[at] != 0 {
            return Some((bytes[at], at + 1));
        }
    }
}

/// Content and end of the segment whose marker ends at `at`; the end may lie beyond that of the file.
fn segment(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let [high, low] = *bytes.get(at..)?.first_chunk::<2>()?;
    let end = at + usize::from(u16::from_be_bytes([high, low])).max(2);
    Some((bytes.get(at + 2..end.min(bytes.len()))?, end))
}

impl<'a> Stream<'a> {
    /// Reads all markers up to the end of the first picture; what follows it is no business of ours. `told` are the colors, if
    /// something other than the stream's own marks decides on them.
    pub(super) fn read(bytes: &'a [u8], told: Option<Told>) -> Result<Self, DecodeError> {
        let mut stream = Self {
            frame: Frame::default(),
            orientation: 1,
            profile: None,
            several_scans: false,
            ended: false,
            tolerated: Vec::new(),
            head: vec![0xff, SOI],
            scans: &[],
        };
        if let Some(told) = told {
            stream.keep(0xee, &[b"Adobe\0\x64\0\0\0\0", &[u8::from(told == Told::YCbCr)][..]].concat());
        }
        let mut exif = false;
        let mut height_at = None;
        let mut frame = None;
        let mut adobe_transform = None;
        let mut profile: Vec<(u8, &[u8])> = Vec::new();
        let mut at = 2;
        loop {
            let Some((marker, start)) = next_marker(bytes, at) else {
                return Err(truncated("the file ends before the picture begins"));
            };
            at = start;
            match marker {
                0x01 | 0xd0..=0xd7 | SOI => continue,
                EOI => return Err(corrupt("there is no picture in it, only its end")),
                _ => {}
            }
            let Some((content, end)) = segment(bytes, start).filter(|(_, end)| *end <= bytes.len()) else {
                return Err(truncated("the file ends within its header"));
            };
            at = end;
            match (marker, content) {
                (0xde | 0xdf, _) => return Err(feature("hierarchical JPEG")),
                // Frame headers; 0xc4, 0xc8 and 0xcc are tables.
                (0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf, _) => {
                    let read = Frame::read(marker & 15, content);
                    frame = Some(read.ok_or_else(|| corrupt("the frame header does not add up"))?);
                    // Marker, length and precision come before it.
                    height_at = Some(stream.head.len() + 5);
                }
                (0xe0 | 0xee, _) if told.is_some() => continue,
                (0xe0, [b'J', b'F', b'I', b'F', 0, ..]) => {
                    // Decides on the color space; version, density and thumbnail decide nothing.
                    stream.keep(marker, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
                    continue;
                }
                // Programs add their own behind the camera's; the first one decides.
                (0xe1, [b'E', b'x', b'i', b'f', 0, _, ..]) if !exif => {
                    exif = true;
                    stream.orientation = orientation::of_exif(content);
                }
                (0xe2, _) => {
                    if let Some([number, _, part @ ..]) = content.strip_prefix(b"ICC_PROFILE\0") {
                        profile.push((*number, part));
                    }
                }
                (0xee, [b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..]) => {
                    stream.keep(marker, &[b"Adobe\0\x64\0\0\0\0", &[*transform][..]].concat());
                    adobe_transform = Some(stream.head.len() - 1);
                    continue;
                }
                (SOS, [components, ..]) => {
                    let Some(frame) = frame else { return Err(corrupt("a scan without a frame header")) };
                    if let Some(transform) = adobe_transform.and_then(|at| stream.head.get_mut(at)) {
                        *transform = match frame.sampling.len() {
                            3 => (*transform).min(1),
                            // Two is YCCK; one is never said of four components.
                            4 if *transform != 0 => 2,
                            _ => *transform,
                        };
                    }
                    stream.several_scans =
                        matches!(frame.process, 2 | 10) || usize::from(*components) < frame.sampling.len();
                    stream.frame = frame;
                    stream.keep(SOS, content);
                    break;
                }
                _ => {}
            }
            // Applications' segments and comments.
            if !matches!(marker, 0xe0..=0xef | 0xfe) {
                stream.keep(marker, content);
            }
        }
        profile.sort_by_key(|(number, _)| *number);
        stream.profile = (!profile.is_empty())
            .then(|| profile.into_iter().flat_map(|(_, part)| part.iter().copied()).collect());
        let lines = stream.find_end(bytes, at);
        if stream.frame.height == 0
            && let (Some(lines), Some(at)) = (lines, height_at)
            && let Some(height) = stream.head.get_mut(at..at + 2)
        {
            height.copy_from_slice(&lines.to_be_bytes());
            stream.frame.height = lines;
            stream.tolerated.push(Tolerated::HeightAtTheEnd);
        }
        Ok(stream)
    }

    fn keep(&mut self, marker: u8, content: &[u8]) {
        self.head.extend([0xff, marker]);
        self.head.extend((content.len() as u16 + 2).to_be_bytes());
        self.head.extend_from_slice(content);
    }

    /// Takes everything from the data of the first scan at `start` to the end of the picture. Returns the number of lines, where
    /// it is told behind the scan.
    fn find_end(&mut self, bytes: &'a [u8], start: usize) -> Option<u16> {
        let mut lines = None;
        let mut at = start;
        let mut end = bytes.len();
        while let Some((marker, after)) = next_marker(bytes, at) {
            at = after;
            match marker {
                EOI => {
                    self.ended = true;
                    end = after - 2;
                    break;
                }
                // Tables between scans, further scans, comments: their content may look like markers.
                0xc4 | 0xcc | 0xda..=0xdd | 0xe0..=0xef | 0xfe => {
                    let segment = segment(bytes, after);
                    if let (0xdc, Some(([high, low, ..], _))) = (marker, segment) {
                        lines = lines.or(Some(u16::from_be_bytes([*high, *low])));
                    }
                    at = segment.map_or(bytes.len(), |(_, end)| end);
                }
                _ => {}
            }
        }
        self.scans = bytes.get(start..end).unwrap_or_default();
        lines
    }

    /// The stream to decode. Always ends with an end-of-image marker.
    pub(super) fn clean(&self) -> Vec<u8> {
        [&self.head, self.scans, &[0xff, EOI]].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: &[u8] = b"\xff\xc0\0\x0b\x08\0\x02\0\x03\x01\x01\x11\0";
    const SCAN: &[u8] = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0";

    fn read(parts: &[&[u8]]) -> Result<Stream<'static>, DecodeError> {
        Stream::read(parts.concat().leak(), None)
    }

    #[test]
    fn only_what_decides_on_pixels_is_kept() {
        let stray = b"stray bytes";
        let thumbnail = b"\xff\xe1\0\x0e\xff\xd8\xff\xda\xff\xd9thumb\0";
        let parts: [&[u8]; 7] = [
            b"\xff\xd8",
            thumbnail,
            stray,
            FRAME,
            b"\xff\xfe\0\x03!",
            SCAN,
            b"ab\xff\0c\xff\xd9more\xff\xd9",
        ];
        let stream = read(&parts).expect("is a JPEG");
        assert!(stream.ended && !stream.several_scans);
        assert_eq!((stream.frame.width, stream.frame.height), (3, 2));
        assert_eq!(stream.scans, b"ab\xff\0c");
        assert_eq!(stream.clean(), [b"\xff\xd8", FRAME, SCAN, b"ab\xff\0c\xff\xd9"].concat());
    }

    #[test]
    fn a_missing_end_is_told_and_mended() {
        let stream = read(&[b"\xff\xd8", FRAME, SCAN, b"abc"]).expect("is a JPEG");
        assert!(!stream.ended);
        assert!(stream.clean().ends_with(b"abc\xff\xd9"));
    }

    #[test]
    fn broken_headers_are_refused_with_the_reason() {
        let reason = |parts: &[&[u8]]| read(parts).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(reason(&[b""]).contains("truncated"));
        assert!(reason(&[b"\xff\xd8"]).contains("before the picture begins"));
        assert!(reason(&[b"\xff\xd8\xff\xe1\xff\xffExif"]).contains("within its header"));
        assert!(reason(&[b"\xff\xd8\xff\xd9"]).contains("no picture"));
        assert!(reason(&[b"\xff\xd8", SCAN]).contains("without a frame header"));
        assert!(reason(&[b"\xff\xd8\xff\xc0\0\x04\x08\0", SCAN]).contains("does not add up"));
        assert!(reason(&[b"\xff\xd8\xff\xde\0\x02"]).contains("hierarchical"));
    }
}
