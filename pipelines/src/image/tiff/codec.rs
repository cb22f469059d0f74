//! Unpacks one strip or tile.

use std::borrow::Cow;
use std::io::{Cursor, Read};

use flate2::read::ZlibDecoder;
use hayro_ccitt::{DecodeSettings, DecoderContext, EncodingMode};
use image::ImageDecoder;
use image::codecs::webp::WebPDecoder;
use weezl::BitOrder;

use super::super::{DecodeError, Format, Pixels, jpeg, jpeg2000};
use super::page::{self, Colors, Compression, Page, corrupt};

/// The size of a strip or tile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Samples of a pixel in it.
    pub(super) samples: usize,
}

/// The contents of a strip or tile.
pub(super) enum Chunk<'a> {
    /// Rows of samples as the directory describes them, each row from a byte's beginning.
    Rows(Cow<'a, [u8]>),
    /// Eight bits for each sample. Luma and chroma have become red, green and blue.
    Pixels(Pixels),
}

impl Size {
    /// Bytes of a row.
    pub(super) fn row(self, bits: u8) -> usize {
        (self.width * self.samples * usize::from(bits)).div_ceil(8)
    }

    /// Bytes of all rows, where they are not compressed.
    pub(super) fn unpacked(self, page: &Page<'_>) -> usize {
        match &page.colors {
            Colors::YCbCr(luma) if !page.planar => {
                let (across, down) = luma.subsampling;
                let units = self.width.div_ceil(across).saturating_mul(self.height.div_ceil(down));
                units.saturating_mul(across * down + 2)
            }
            _ => self.row(page.bits).saturating_mul(self.height),
        }
    }
}

/// Unpacks `bytes` to a chunk of `size`.
pub(super) fn unpack<'a>(page: &Page<'a>, bytes: &'a [u8], size: Size) -> Result<Chunk<'a>, DecodeError> {
    let whole = size.unpacked(page);
    let bytes = match page.compression {
        Compression::Jpeg | Compression::OldJpeg | Compression::Jpeg2000 | Compression::WebP => {
            Cow::Borrowed(bytes)
        }
        _ if page.reversed => Cow::Owned(bytes.iter().map(|byte| byte.reverse_bits()).collect()),
        _ => Cow::Borrowed(bytes),
    };
    let rows = match page.compression {
        Compression::None => match bytes {
            Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(..whole).ok_or_else(short)?),
            Cow::Owned(mut bytes) => {
                bytes.truncate(whole);
                Cow::Owned(bytes)
            }
        },
        Compression::PackBits => pack_bits(&bytes, whole)?.into(),
        Compression::Lzw => lzw(&bytes, whole)?.into(),
        Compression::Deflate => filled(ZlibDecoder::new(&bytes[..]), whole)?.into(),
        Compression::Zstandard => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(&bytes[..]);
            filled(decoder.map_err(|error| corrupt(error.to_string()))?, whole)?.into()
        }
        Compression::FaxRows | Compression::Fax3 | Compression::Fax4 => fax(page, &bytes, size)?.into(),
        Compression::Jpeg => return jpeg(page, &bytes),
        Compression::OldJpeg if bytes.starts_with(b"\xff\xd8") => return jpeg(page, &bytes),
        Compression::OldJpeg => {
            return Err(page::feature("old-style JPEG whose tables are apart from its strips"));
        }
        Compression::Jpeg2000 => {
            let pixels = jpeg2000::chunk(&bytes, page.chunk).map_err(|error| error.within(Format::Tiff))?;
            return Ok(Chunk::Pixels(pixels));
        }
        Compression::WebP => return webp(&bytes, page.chunk),
    };
    if rows.len() < whole { Err(short()) } else { Ok(Chunk::Rows(rows)) }
}

fn short() -> DecodeError {
    DecodeError::Truncated { format: Format::Tiff, reason: "a strip ends before its rows do".into() }
}

/// The first `whole` bytes of what `reader` unpacks.
fn filled(mut reader: impl Read, whole: usize) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = vec![0; whole];
    let mut filled = 0;
    while filled < whole {
        match reader.read(&mut bytes[filled..]) {
            Ok(0) => return Err(short()),
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(short()),
            Err(error) => return Err(corrupt(error.to_string())),
        }
    }
    Ok(bytes)
}

/// Runs and copies of Apple's PackBits (TIFF 6.0, section 9).
fn pack_bits(mut bytes: &[u8], whole: usize) -> Result<Vec<u8>, DecodeError> {
    let mut rows = Vec::with_capacity(whole);
    while rows.len() < whole {
        let [head, rest @ ..] = bytes else { return Err(short()) };
        let count = usize::from(*head);
        bytes = match head {
            0..=127 => {
                let (copied, rest) = rest.split_at_checked(count + 1).ok_or_else(short)?;
                rows.extend_from_slice(copied);
                rest
            }
            128 => rest,
            129.. => {
                let [byte, rest @ ..] = rest else { return Err(short()) };
                rows.resize(rows.len() + 257 - count, *byte);
                rest
            }
        };
    }
    rows.truncate(whole);
    Ok(rows)
}

/// LZW as of TIFF 6.0: codes begin with their highest bit and grow one code early. Before version 6, some programs began with
/// the lowest bit and grew in time; their first code, which clears the table, then reads 0 and 1.
fn lzw(bytes: &[u8], whole: usize) -> Result<Vec<u8>, DecodeError> {
    let old = matches!(bytes, [0, second, ..] if second & 1 == 1);
    let mut decoder = if old {
        weezl::decode::Decoder::new(BitOrder::Lsb, 8)
    } else {
        weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8)
    };
    let mut rows = vec![0; whole];
    let (mut read, mut written) = (0, 0);
    while written < whole {
        let result = decoder.decode_bytes(&bytes[read..], &mut rows[written..]);
        read += result.consumed_in;
        written += result.consumed_out;
        match result.status {
            Ok(_) if result.consumed_in == 0 && result.consumed_out == 0 => return Err(short()),
            Ok(weezl::LzwStatus::Done | weezl::LzwStatus::NoProgress) if written < whole => {
                return Err(short());
            }
            Ok(_) => {}
            Err(error) => return Err(corrupt(error.to_string())),
        }
    }
    Ok(rows)
}

/// Rows of bits that are 1 where the fax is black.
struct FaxRows {
    row: usize,
    width: u32,
    bytes: Vec<u8>,
}

impl hayro_ccitt::Decoder for FaxRows {
    fn push_row(&mut self, changes: &[u32]) {
        let start = self.bytes.len();
        self.bytes.resize(start + self.row, 0);
        let row = &mut self.bytes[start..];
        for run in changes.chunks(2) {
            let (from, to) = (run[0], run.get(1).copied().unwrap_or(self.width));
            for x in from..to.min(self.width) {
                row[x as usize / 8] |= 0x80 >> (x % 8);
            }
        }
    }
}

fn fax(page: &Page<'_>, bytes: &[u8], size: Size) -> Result<Vec<u8>, DecodeError> {
    if page.bits != 1 || size.samples != 1 {
        return Err(corrupt("a fax has one bit for each pixel"));
    }
    let options = page.directory.number(page::T4_OPTIONS).unwrap_or(0);
    let encoding = match page.compression {
        Compression::Fax4 => EncodingMode::Group4,
        Compression::Fax3 if options & 1 == 1 => EncodingMode::Group3_2D,
        _ => EncodingMode::Group3_1D,
    };
    let width = size.width as u32;
    let settings = DecodeSettings {
        columns: width,
        rows: size.height as u32,
        end_of_block: true,
        end_of_line: false,
        rows_are_byte_aligned: page.compression == Compression::FaxRows,
        encoding,
        strict: false,
    };
    let row = size.row(1);
    let mut rows = FaxRows { row, width, bytes: Vec::with_capacity(row * size.height) };
    // A line that cannot be read ends the strip; the caller sees that rows are missing.
    let read = hayro_ccitt::decode(bytes, &mut rows, &mut DecoderContext::new(settings));
    rows.bytes.truncate(row * size.height);
    match read {
        Err(error) if rows.bytes.len() < row * size.height => Err(corrupt(error.to_string())),
        _ => Ok(rows.bytes),
    }
}

/// The strip's own JPEG, with the tables that all strips share.
fn jpeg<'a>(page: &Page<'_>, bytes: &[u8]) -> Result<Chunk<'a>, DecodeError> {
    let tables = page.directory.bytes(page::JPEG_TABLES).unwrap_or_default();
    let tables = tables.strip_suffix(b"\xff\xd9").unwrap_or(tables);
    let stream: Cow<'_, [u8]> = match bytes.strip_prefix(b"\xff\xd8") {
        Some(rest) if tables.starts_with(b"\xff\xd8") => [tables, rest].concat().into(),
        _ => bytes.into(),
    };
    // The directory knows best what the colors are, and programs leave wrong marks in the strips.
    let colors = match page.colors {
        Colors::Rgb => Some(jpeg::Told::Rgb),
        Colors::YCbCr(_) => Some(jpeg::Told::YCbCr),
        _ => None,
    };
    let pixels = jpeg::chunk(&stream, colors, page.chunk).map_err(|error| error.within(Format::Tiff))?;
    Ok(Chunk::Pixels(pixels))
}

fn webp<'a>(bytes: &[u8], (across, down): (u32, u32)) -> Result<Chunk<'a>, DecodeError> {
    let failed = |error: image::ImageError| corrupt(error.to_string());
    let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(failed)?;
    let (width, height) = decoder.dimensions();
    if width > across || height > down {
        return Err(corrupt("a strip in WebP is larger than the directory says"));
    }
    let samples = usize::from(decoder.color_type().channel_count());
    let mut bytes = vec![0; width as usize * height as usize * samples];
    decoder.read_image(&mut bytes).map_err(failed)?;
    Ok(Chunk::Pixels(Pixels { width: width as usize, height: height as usize, samples, bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_bytes_are_copied_and_repeated() {
        // The example of TIFF 6.0, section 9.
        let packed =
            [0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7, 0xaa];
        let rows = [
            0xaa, 0xaa, 0xaa, 0x80, 0, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0, 0x2a, 0x22, 0xaa, 0xaa, 0xaa,
            0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
        ];
        assert_eq!(pack_bits(&packed, 24).expect("is whole"), rows);
        assert_eq!(pack_bits(&packed, 3).expect("is whole"), [0xaa; 3]);
        assert!(pack_bits(&packed, 25).is_err());
        assert!(pack_bits(&[128, 128], 1).is_err());
        assert!(pack_bits(&[129], 1).is_err());
    }

    #[test]
    fn short_streams_are_truncated() {
        let packed =
            weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8).encode(&[7; 100]).expect("packs");
        assert_eq!(lzw(&packed, 100).expect("is whole"), [7; 100]);
        assert!(matches!(lzw(&packed, 101), Err(DecodeError::Truncated { .. })));
        assert!(matches!(lzw(&packed[..4], 100), Err(DecodeError::Truncated { .. })));
        let old = weezl::encode::Encoder::new(BitOrder::Lsb, 8).encode(&[7; 100]).expect("packs");
        assert_eq!(lzw(&old, 100).expect("is whole"), [7; 100]);
    }
}
