//! What the fuzz targets share.

use docent_pipelines::{DecodeLimits, Image};

/// Small limits, so that a run is fast and a breach of them shows.
pub fn limits() -> DecodeLimits {
    DecodeLimits { max_pixels: 1 << 18, max_memory_bytes: 16 << 20, working_side: 64 }
}

/// Decodes whatever it is, and checks what holds for every picture.
pub fn decode(bytes: &[u8]) {
    match Image::decode(bytes, &limits()) {
        Ok(image) => {
            let picture = image.picture();
            let pixels = u64::from(picture.width()) * u64::from(picture.height());
            assert!(pixels > 0 && pixels <= limits().max_pixels);
            assert_eq!(picture.rgb().len() as u64, pixels * 3);
            assert!(image.width() >= 1 && image.height() >= 1);
        }
        // A decoder that crashes is caught; here it must be known.
        Err(error) => assert!(!error.to_string().contains("crashed"), "{error}"),
    }
}
