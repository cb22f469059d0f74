//! What may be wrong with a file that is shown all the same.

/// Something that is wrong with a file and costs none of its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tolerated {
    /// The file ends without the mark of its end; its pixels are whole.
    NoEndMarker,
    /// There are bytes that belong to nothing within the compressed pixels.
    SpareBytes,
    /// Scans come in an order that the standard forbids.
    OrderOfScans,
    /// There are bytes before the picture's first.
    BytesBefore,
    /// The number of lines is only told behind the pixels.
    HeightAtTheEnd,
    /// The color profile is unreasonably large, and is not used.
    HugeProfile,
    /// The container announces another length than the file has.
    WrongLength,
    /// The container announces metadata that are not there.
    MissingMetadata,
    /// The last bytes, which only fill up, are missing.
    NoPadding,
    /// There are blocks of an unknown kind before the picture.
    UnknownBlocks,
    /// The screen has no size; the first picture's is used.
    NoScreen,
    /// A field of the header has a value that nobody writes.
    OddHeader,
    /// The opacity is zero everywhere, which cannot be meant.
    NothingOpaque,
    /// Apple's variant of PNG, which only its own programs read.
    ApplePng,
}

impl Tolerated {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::NoEndMarker,
        Self::SpareBytes,
        Self::OrderOfScans,
        Self::BytesBefore,
        Self::HeightAtTheEnd,
        Self::HugeProfile,
        Self::WrongLength,
        Self::MissingMetadata,
        Self::NoPadding,
        Self::UnknownBlocks,
        Self::NoScreen,
        Self::OddHeader,
        Self::NothingOpaque,
        Self::ApplePng,
    ];

    /// The stored words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoEndMarker => "no end marker",
            Self::SpareBytes => "spare bytes within the pixels",
            Self::OrderOfScans => "scans in a forbidden order",
            Self::BytesBefore => "bytes before the picture",
            Self::HeightAtTheEnd => "height told after the pixels",
            Self::HugeProfile => "color profile too large to use",
            Self::WrongLength => "wrong length in the header",
            Self::MissingMetadata => "announced metadata missing",
            Self::NoPadding => "last padding bytes missing",
            Self::UnknownBlocks => "blocks of an unknown kind",
            Self::NoScreen => "screen without a size",
            Self::OddHeader => "odd value in the header",
            Self::NothingOpaque => "opacity zero everywhere",
            Self::ApplePng => "Apple's variant of PNG",
        }
    }
}
